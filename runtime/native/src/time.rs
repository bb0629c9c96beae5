//! Time for tasks: the processor's counter says when, the programmable interval timer wakes.

use core::{cell::RefCell, task::Waker};
use critical_section::Mutex;
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;
use selkie::{
    System,
    cap::{Capability, Notification, Rights},
    clock::Instant,
    pit,
};

struct Clock {
    /// Who waits for when.
    queue: Mutex<RefCell<Queue>>,
}

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock { queue: Mutex::new(RefCell::new(Queue::new())) });

impl Driver for Clock {
    fn now(&self) -> u64 {
        now()
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        // The executor looks at the queue before it sleeps.
        critical_section::with(|section| self.queue.borrow_ref_mut(section).schedule_wake(at, waker));
    }
}

/// Microseconds since the start.
pub(crate) fn now() -> u64 {
    Instant::now().since_start().as_micros() as u64
}

/// Wakes the tasks whose time has come. Returns when that of the next one comes.
pub(crate) fn expire() -> Option<u64> {
    let next = critical_section::with(|section| CLOCK.queue.borrow_ref_mut(section).next_expiration(now()));
    (next != u64::MAX).then_some(next)
}

/// The badge of the timer's signals.
const BADGE: u64 = 1 << 62;
/// The most counts of the timer: it wakes every 55 ms while somebody waits for a moment further away.
const MOST: u64 = 65_536;

/// What wakes the function at a moment.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: pit::Timer,
    /// Whether its signals can be told from others.
    badged: bool,
    /// When it is set to.
    set: Option<u64>,
}

impl Alarm {
    /// Takes the timer, which signals `notification` from now on.
    pub(crate) fn new(sys: &mut System, notification: Notification) -> selkie::Result<Self> {
        // The counter's frequency is known from now on, or there is no time at all.
        selkie::clock::frequency()?;
        let timer = pit::Timer::new(sys)?;
        let slot = sys.memory.slot()?;
        // A capability that has a badge already gets no other one.
        let badged = slot.place().mint(notification.place(), Rights::ALL, BADGE).is_ok();
        let signalled = if badged { Notification::at(slot) } else { notification };
        timer.interrupt.handler().set_notification(signalled)?;
        Ok(Self { timer, badged, set: None })
    }

    /// Has it signal at `next`, or earlier. It is left alone where it does so already.
    pub(crate) fn set(&mut self, next: Option<u64>) -> selkie::Result<()> {
        let Some(next) = next else { return Ok(()) };
        if self.set.is_some_and(|set| set <= next) {
            return Ok(());
        }
        let now = now();
        let counts = (next.saturating_sub(now)).saturating_mul(pit::FREQUENCY.into()) / 1_000_000;
        let counts = counts.clamp(1, MOST);
        self.timer.one_shot(counts as u32)?;
        self.set = Some(now + counts * 1_000_000 / u64::from(pit::FREQUENCY));
        Ok(())
    }

    /// Takes the signals that have woken the function. A timer that was set anew may signal twice, the second time
    /// after nobody has set it: without an acknowledgement it would be the last.
    pub(crate) fn woken(&mut self, badge: u64) -> selkie::Result<()> {
        if !self.badged || badge & BADGE != 0 {
            self.set = None;
            self.timer.interrupt.ack()?;
        }
        Ok(())
    }
}

//! What wakes a thread that waits for devices at a moment: the timer, as a further signal of their notification.

use crate::{
    cap::{Capability, Notification, Rights},
    clock::{self, Instant},
    error::Result,
    pit,
    system::System,
};
use core::time::Duration;

/// The badge of the timer's signals.
const BADGE: u64 = 1 << 62;
/// The most counts of the timer: it wakes every 55 ms while somebody waits for a moment further away.
const MOST: u64 = 65_536;
const SECOND: u64 = 1_000_000_000;

/// The timer, set to moments. Moments are times since the function's start.
#[derive(Debug)]
pub struct Alarm {
    timer: pit::Timer,
    /// Whether its signals can be told from others.
    badged: bool,
    /// When it is set to.
    set: Option<Duration>,
}

impl Alarm {
    /// Takes the timer, which signals `notification` from now on.
    pub fn new(sys: &mut System, notification: Notification) -> Result<Self> {
        // The counter's frequency is known from now on, or there is no time at all.
        clock::frequency()?;
        let timer = pit::Timer::new(sys)?;
        let slot = sys.memory.slot()?;
        // A capability that has a badge already gets no other one.
        let badged = slot.place().mint(notification.place(), Rights::ALL, BADGE).is_ok();
        let signalled = if badged { Notification::at(slot) } else { notification };
        timer.interrupt.handler().set_notification(signalled)?;
        Ok(Self { timer, badged, set: None })
    }

    /// Has it signal at `moment`, or earlier. It is left alone where it does so already.
    pub fn set(&mut self, moment: Duration) -> Result<()> {
        if self.set.is_some_and(|set| set <= moment) {
            return Ok(());
        }
        let now = Instant::now().since_start();
        let nanos = moment.saturating_sub(now).min(Duration::from_secs(1)).as_nanos() as u64;
        let counts = (nanos * u64::from(pit::FREQUENCY) / SECOND).clamp(1, MOST);
        self.timer.one_shot(counts as u32)?;
        self.set = Some(now + Duration::from_nanos(counts * SECOND / u64::from(pit::FREQUENCY)));
        Ok(())
    }

    /// Takes the signals that have woken the function. A timer that was set anew may signal twice, the second time
    /// after nobody has set it: without an acknowledgement it would be the last.
    pub fn woken(&mut self, badge: u64) -> Result<()> {
        if !self.badged || badge & BADGE != 0 {
            self.set = None;
            self.timer.interrupt.ack()?;
        }
        Ok(())
    }
}

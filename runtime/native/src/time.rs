//! Time for tasks: the processor's counter says when; the executor has the timer that wakes.

use core::{cell::RefCell, task::Waker, time::Duration};
use critical_section::Mutex;
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;
use selkie::clock::Instant;

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

/// Wakes the tasks whose time has come. Returns when that of the next one comes, in the time since the start.
pub(crate) fn expire() -> Option<Duration> {
    let next = critical_section::with(|section| CLOCK.queue.borrow_ref_mut(section).next_expiration(now()));
    (next != u64::MAX).then(|| Duration::from_micros(next))
}

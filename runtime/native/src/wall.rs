//! The time of day: the host's, else what the real-time clock of the machine showed once and the time since.

use core::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use selkie::clock::{self, Instant};

/// Microseconds from 1970-01-01 00:00 to the function's start, by the real-time clock; 0 when nobody has looked yet, 1
/// when there is no such clock.
static START: AtomicU64 = AtomicU64::new(0);
const NO_CLOCK: u64 = 1;

/// The time since 1970-01-01 00:00 UTC; none where no clock tells it. A real-time clock is taken to show UTC, as QEMU's
/// does and as those of machines with Linux mostly do.
pub fn wall() -> Option<Duration> {
    clock::wall().map(clock::Wall::since_epoch).ok().or_else(by_real_time_clock)
}

fn by_real_time_clock() -> Option<Duration> {
    let up = Instant::now().since_start();
    if START.load(Ordering::Relaxed) == 0 {
        let start = selkie_drivers::real_time().ok();
        let start = start.and_then(|now| (now * 1_000_000).checked_sub(up.as_micros() as u64));
        START.store(start.unwrap_or(NO_CLOCK), Ordering::Relaxed);
    }
    match START.load(Ordering::Relaxed) {
        NO_CLOCK => None,
        start => Some(Duration::from_micros(start) + up),
    }
}

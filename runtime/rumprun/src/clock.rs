//! Time as the rump kernel asks for it.

use core::sync::atomic::{AtomicU64, Ordering};
use selkie::clock::{self, Instant};

/// Nanoseconds from 1970-01-01 00:00 UTC to moment 0.
static EPOCH: AtomicU64 = AtomicU64::new(0);

/// Looks at the clocks: once, at the start. Without a frequency of the processor's counter there is no time at all.
pub(crate) fn init() -> selkie::Result<()> {
    clock::frequency()?;
    let now = clock::wall().map(|wall| wall.since_epoch().as_nanos() as u64);
    // A real-time clock is taken to show UTC, as QEMU's does and as those of machines with Linux mostly do.
    let now = now.or_else(|_| selkie_drivers::real_time().map(|seconds| seconds * 1_000_000_000));
    if let Ok(now) = now {
        EPOCH.store(now.saturating_sub(monotonic()), Ordering::Relaxed);
    } else {
        log::warn!("no clock tells the time of day: it begins in 1970");
    }
    Ok(())
}

/// Nanoseconds since the function's start.
pub(crate) fn monotonic() -> u64 {
    let since = Instant::now().since_start();
    since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos())
}

/// Nanoseconds from 1970-01-01 00:00 UTC to the function's start.
pub(crate) fn epoch() -> u64 {
    EPOCH.load(Ordering::Relaxed)
}

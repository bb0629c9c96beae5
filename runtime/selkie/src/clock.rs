//! Time: the processor's time-stamp counter.

use crate::{
    boot_info::BootInfo,
    cap::IoPort,
    error::{Error, Result},
    pit,
};
use core::{
    arch::x86_64::_rdtsc,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Counts in a second; 0 until it is known.
static FREQUENCY: AtomicU64 = AtomicU64::new(0);
/// The counter at start-up.
static START: AtomicU64 = AtomicU64::new(0);

/// A moment. Moments are comparable within one run of the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

impl Instant {
    /// Now.
    pub fn now() -> Self {
        // SAFETY: every processor that seL4 runs on in 64-bit mode has the counter, and user code may read it.
        Self(unsafe { _rdtsc() })
    }

    /// The counter itself.
    pub const fn ticks(self) -> u64 {
        self.0
    }

    /// The time that has passed since then; 0 when the counter's frequency is not known.
    pub fn elapsed(self) -> Duration {
        Self::now().since(self)
    }

    /// The time from `earlier` to this moment; 0 when it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        let frequency = frequency().unwrap_or(u64::MAX);
        let ticks = self.0.saturating_sub(earlier.0);
        let (seconds, rest) = (ticks / frequency, ticks % frequency);
        let nanos = u128::from(rest) * 1_000_000_000 / u128::from(frequency);
        Duration::new(seconds, nanos as u32)
    }

    /// The time from the function's start to this moment.
    pub fn since_start(self) -> Duration {
        self.since(Self(START.load(Ordering::Relaxed)))
    }
}

/// The counter's frequency in Hz: what BootInfo says, else measured against the PIT, which takes 10 ms the
/// first time. Fails when neither is there.
pub fn frequency() -> Result<u64> {
    match FREQUENCY.load(Ordering::Relaxed) {
        0 => {
            let frequency = pit::measure(IoPort::OWN)?;
            if frequency == 0 {
                return Err(Error::NoDevice);
            }
            FREQUENCY.store(frequency, Ordering::Relaxed);
            Ok(frequency)
        }
        frequency => Ok(frequency),
    }
}

/// Waits for at least `time`, using the processor meanwhile but letting threads of the same priority run.
pub fn spin(time: Duration) -> Result<()> {
    frequency().map_err(|_| Error::NoDevice)?;
    let start = Instant::now();
    while start.elapsed() < time {
        crate::thread::yield_now();
    }
    Ok(())
}

/// Takes what BootInfo says: once, at start-up.
pub(crate) fn init(boot_info: &BootInfo) {
    START.store(Instant::now().0, Ordering::Relaxed);
    FREQUENCY.store(boot_info.tsc_mhz() * 1_000_000, Ordering::Relaxed);
}

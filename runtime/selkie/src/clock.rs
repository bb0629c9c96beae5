//! Time: the processor's time-stamp counter, and the time of day where the host has a clock.

use crate::{
    boot_info::BootInfo,
    cap::IoPort,
    device::{self, Device, DeviceKind},
    error::{Error, Result},
    pit,
};
use core::{
    arch::x86_64::_rdtsc,
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use selkie_base::{Date, devices::request};

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

/// The time of day, in UTC. The host may set its clock, so that it can go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wall(Duration);

impl Wall {
    /// The time since 1970-01-01 00:00 UTC.
    pub const fn since_epoch(self) -> Duration {
        self.0
    }

    /// The day.
    pub const fn date(self) -> Date {
        Date::of_day(self.0.as_secs() / 86_400)
    }
}

impl fmt::Display for Wall {
    /// As RFC 3339 has it: `2026-01-31T12:34:56.789Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Date { year, month, day } = self.date();
        let (second, millis) = (self.0.as_secs() % 86_400, self.0.subsec_millis());
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

/// The time of day. Fails where no clock tells it: on target `qemu` and on bare metal.
pub fn wall() -> Result<Wall> {
    let clock = device::find(DeviceKind::Clock)?;
    let [_, since_epoch, ..] = device::request(&clock, request::CLOCK_READ)?;
    Ok(Wall(Duration::from_nanos(since_epoch)))
}

/// The counter's frequency in Hz: what BootInfo says, else measured the first time: against the host's clock for 1 ms, or
/// against the PIT for 10 ms. Fails when none of them is there.
pub fn frequency() -> Result<u64> {
    match FREQUENCY.load(Ordering::Relaxed) {
        0 => {
            let frequency = match device::find(DeviceKind::Clock) {
                Ok(clock) => against(&clock)?,
                Err(_) => pit::measure(IoPort::OWN)?,
            };
            if frequency == 0 {
                return Err(Error::NoDevice);
            }
            FREQUENCY.store(frequency, Ordering::Relaxed);
            Ok(frequency)
        }
        frequency => Ok(frequency),
    }
}

/// The counter's frequency in Hz, measured against a clock of nanoseconds: that counts so finely that 1 ms tells as much
/// as 10 ms of the PIT. Others may run in between; see [`pit::measure`].
fn against(clock: &Device) -> Result<u64> {
    let first = Reading::best(clock)?;
    let over = first.nanos + 1_000_000;
    while Reading::now(clock)?.nanos < over {}
    let last = Reading::best(clock)?;
    let ticks = u128::from(last.ticks.saturating_sub(first.ticks));
    let nanos = u128::from(last.nanos.saturating_sub(first.nanos).max(1));
    Ok(u64::try_from(ticks * 1_000_000_000 / nanos).unwrap_or_default())
}

/// The counter and a clock of the host at one moment.
struct Reading {
    nanos: u64,
    ticks: u64,
    /// Ticks that the reading took, in the middle of which `ticks` is.
    took: u64,
}

impl Reading {
    fn now(clock: &Device) -> Result<Self> {
        let before = Instant::now().ticks();
        let [nanos, ..] = device::request(clock, request::CLOCK_READ)?;
        let took = Instant::now().ticks() - before;
        Ok(Self { nanos, ticks: before + took / 2, took })
    }

    /// The quickest of several.
    fn best(clock: &Device) -> Result<Self> {
        let mut best = Self::now(clock)?;
        for _ in 0..7 {
            let next = Self::now(clock)?;
            if next.took < best.took {
                best = next;
            }
        }
        Ok(best)
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

//! The clocks, read by the vDSO's function where the kernel gives one.

use crate::{syscall::syscall, vdso::Vdso};
use core::{mem::transmute, ops::Range};
use linux_raw_sys::general;

/// The monotonic and the wall clock.
#[derive(Debug)]
pub(crate) struct Clock {
    vdso: Option<Vdso>,
    read: Read,
}

#[derive(Debug, Clone, Copy)]
enum Read {
    /// Nobody has asked for the time yet.
    Unknown,
    /// By the vDSO's function.
    Function(ClockGettime),
    /// By the system call.
    Syscall,
}

type ClockGettime = unsafe extern "C" fn(u64, *mut [u64; 2]) -> i32;

impl Clock {
    /// The clocks of a process with this vDSO.
    pub(crate) fn new(vdso: Option<Vdso>) -> Self {
        Self { vdso, read: Read::Unknown }
    }

    /// The addresses of the vDSO, and of the pages before it that it reads the time from.
    pub(crate) fn pages(&self) -> Range<u64> {
        /// More than Linux has there.
        const BEFORE: u64 = 64 << 10;
        self.vdso.map_or(0..0, |vdso| {
            let [start, end] = vdso.range();
            start.saturating_sub(BEFORE)..end
        })
    }

    /// Nanoseconds since some moment; never goes back.
    pub(crate) fn monotonic(&mut self) -> u64 {
        self.nanoseconds(general::CLOCK_MONOTONIC)
    }

    /// Nanoseconds since 1970, in UTC; 0 before.
    pub(crate) fn wall(&mut self) -> u64 {
        self.nanoseconds(general::CLOCK_REALTIME)
    }

    fn nanoseconds(&mut self, clock: u32) -> u64 {
        let mut time = [0; 2];
        match self.read {
            Read::Unknown => {
                self.read = self.find();
                return self.nanoseconds(clock);
            }
            // SAFETY: the function has C's type for `clock_gettime`, and writes a `timespec`.
            Read::Function(function) => drop(unsafe { function(clock.into(), &raw mut time) }),
            Read::Syscall => {
                let time = (&raw mut time).expose_provenance() as u64;
                // SAFETY: a `timespec` is written to `time`.
                let _ = unsafe { syscall(general::__NR_clock_gettime, [clock.into(), time]) };
            }
        }
        time[0].wrapping_mul(1_000_000_000).wrapping_add(time[1])
    }

    fn find(&self) -> Read {
        let Some(address) = self.vdso.and_then(|vdso| vdso.function(b"__vdso_clock_gettime")) else {
            return Read::Syscall;
        };
        // SAFETY: the vDSO's function of this name has this type (vdso(7)).
        Read::Function(unsafe { transmute::<*const u8, ClockGettime>(address) })
    }
}

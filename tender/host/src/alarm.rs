//! The one timer of the real time, which ends in SIGALRM.

use crate::syscall::syscall;
use linux_raw_sys::general;

/// Sends SIGALRM in so many nanoseconds, once; 0 for never. Replaces what was set before.
pub(crate) fn set(nanoseconds: u64) {
    let micros = nanoseconds.div_ceil(1000);
    let value = [0, 0, micros / 1_000_000, micros % 1_000_000];
    // SAFETY: `value` is an `itimerval` (interval, then time left, each in seconds and microseconds), and is
    // only read.
    let _ = unsafe {
        syscall(general::__NR_setitimer, [general::ITIMER_REAL.into(), value.as_ptr().addr() as u64])
    };
}

/// Sends SIGVTALRM whenever the process has used the processor for so many milliseconds.
pub(crate) fn set_look(milliseconds: u64) {
    let micros = milliseconds.saturating_mul(1000);
    let value = [micros / 1_000_000, micros % 1_000_000, micros / 1_000_000, micros % 1_000_000];
    // SAFETY: as above.
    let _ = unsafe {
        syscall(general::__NR_setitimer, [general::ITIMER_VIRTUAL.into(), value.as_ptr().addr() as u64])
    };
}

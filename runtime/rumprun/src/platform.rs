//! What the scheduler of the rump kernel calls (`bmk_platform_*`).
//!
//! Its threads take turns in one thread of seL4, and nothing interrupts them: there are no levels of interrupts to raise.

#![allow(unreachable_pub, reason = "the rump kernel's libraries reach them")]

use crate::{bmk, clock, tls, wake};
use core::ffi::{CStr, c_char, c_int, c_ulong};

/// Ends the function: with the program's status, or after words about what has gone wrong.
///
/// # Safety
/// `message` is a text, ended by a NUL, or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bmk_platform_halt(message: *const c_char) -> ! {
    if message.is_null() {
        crate::program::end()
    }
    // SAFETY: the caller's.
    let message = unsafe { CStr::from_ptr(message) };
    crate::fail(format_args!("{}", message.to_str().unwrap_or("?").trim_end()))
}

/// Waits until a moment, or until there is something to do.
#[unsafe(no_mangle)]
pub extern "C" fn bmk_platform_cpu_block(until: i64) {
    wake::sleep(until.max(0) as u64);
}

/// Nanoseconds since the start. The scheduler asks before it chooses a thread: so this is where devices are looked at.
#[unsafe(no_mangle)]
pub extern "C" fn bmk_platform_cpu_clock_monotonic() -> i64 {
    wake::look();
    clock::monotonic() as i64
}

/// Nanoseconds from 1970 to the start.
#[unsafe(no_mangle)]
pub extern "C" fn bmk_platform_cpu_clock_epochoffset() -> i64 {
    clock::epoch() as i64
}

/// Nothing interrupts.
#[unsafe(no_mangle)]
pub extern "C" fn bmk_platform_splhigh() -> c_ulong {
    0
}

/// Nothing interrupts.
#[unsafe(no_mangle)]
pub extern "C" fn bmk_platform_splx(_: c_ulong) {}

/// Makes the variables of the next thread the current ones.
///
/// # Safety
/// `next` is what the scheduler knows of a thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bmk_platform_cpu_sched_settls(next: *const bmk::Tcb) {
    // SAFETY: the caller's.
    tls::set(unsafe { (*next).tls });
}

/// The rump kernel starts: its threads can be made now.
#[unsafe(no_mangle)]
pub extern "C" fn rumprun_platform_rumpuser_init() -> c_int {
    crate::net::start();
    crate::disk::start();
    0
}

//! The program: how it begins, and what its end is.

#![allow(unreachable_pub, reason = "the rump kernel's libraries reach them")]

use crate::{bmk::libc, console, disk, own::Own};
use core::ffi::{c_char, c_int};
use selkie::{MAX_STATUS, cap::Notification, config};

unsafe extern "C" {
    /// The program's `main`, under the name that the link gives it.
    fn selkie_program_main(argc: c_int, argv: *mut *mut c_char, environment: *mut *mut c_char) -> c_int;
    static mut environ: *mut *mut c_char;
    /// Ends the rump kernel: file systems are written and unmounted.
    safe fn rumprun_reboot() -> !;
}

struct State {
    /// The program's status; none before it has one.
    status: Option<u8>,
    wake: Option<Notification>,
}

static STATE: Own<State> = Own::new(State { status: None, wake: None });

/// What the function sleeps at, for its end.
pub(crate) fn init(wake: Notification) {
    STATE.get().wake = Some(wake);
}

/// Where rumprun thinks that the program begins.
///
/// # Safety
/// There are `argc` arguments.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumprun_main1(argc: c_int, argv: *mut *mut c_char) -> c_int {
    console::show(config::env("LOG").is_some_and(|level| matches!(level, "info" | "debug" | "trace")));
    // SAFETY: as for any C program.
    libc::exit(unsafe { selkie_program_main(argc, argv, environ) })
}

/// The end of the program, from any of its threads. What it has registered for its end was called.
#[unsafe(export_name = "__wrap__exit")]
pub extern "C" fn exit(status: c_int) -> ! {
    STATE.get().status = Some(u8::try_from(status & 0xff).unwrap_or(MAX_STATUS).min(MAX_STATUS));
    rumprun_reboot()
}

/// The function's end, once the rump kernel has come to its own.
pub(crate) fn end() -> ! {
    let (status, wake) = {
        let state = STATE.get();
        (state.status, state.wake)
    };
    if status.is_none() {
        // It has not come to the program.
        console::show(true);
    }
    console::flush();
    if let Some(wake) = wake {
        disk::finish(wake);
    }
    selkie::exit(status.unwrap_or(crate::FAILED))
}

//! Threads of the rump kernel's that the platform has for its devices.

use crate::bmk::{self, Thread};
use core::{
    ffi::{CStr, c_void},
    mem, ptr,
};

/// Starts a thread that does `work` as long as that says that there was something to do, and sleeps then until it is
/// woken.
pub(crate) fn start(name: &'static CStr, work: fn() -> bool) -> *mut Thread {
    let (run, argument) = (run as unsafe extern "C" fn(*mut c_void), work as *mut c_void);
    // SAFETY: the thread gets what it expects; the scheduler makes its stack.
    unsafe { bmk::bmk_sched_create(name.as_ptr(), ptr::null_mut(), 0, run, argument, ptr::null_mut(), 0) }
}

unsafe extern "C" fn run(argument: *mut c_void) {
    // SAFETY: `start` has given it.
    let work: fn() -> bool = unsafe { mem::transmute(argument) };
    bmk::become_kernel_thread();
    loop {
        if bmk::inside(work) {
            bmk::bmk_sched_yield();
        } else {
            bmk::bmk_sched_blockprepare();
            bmk::bmk_sched_block();
        }
    }
}

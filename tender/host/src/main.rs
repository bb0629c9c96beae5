//! Runs an seL4 root task as one locked-down Linux process.
//!
//! The program has no C library, no thread-local storage and no allocator. [`selkie_tender_setup`] loads the
//! root task and locks the process down; [`selkie_tender_model`] serves the seL4 interface; what is here is
//! the way between them, the root task and Linux.
//!
//! Once the root task runs, the tender is entered by its system calls ([`entry`]) and by signals
//! ([`signal`]), and left to the thread that the kernel chooses ([`run`]).
#![no_std]
#![no_main]

mod alarm;
mod clock;
mod disk;
mod entry;
mod events;
mod fpu;
mod input;
mod link;
mod memory_functions;
mod output;
mod process;
mod region;
mod run;
mod segment_bases;
mod signal;
mod sites;
mod start;
mod state;
mod syscall;
mod unhandled;
mod vdso;

use core::{
    alloc::{GlobalAlloc, Layout},
    ptr::null_mut,
};
use output::report;

/// The exit status when the tender cannot start, or has failed.
const FAILED: u8 = 125;

/// The allocator of a program that allocates nothing: the crate that reads ELF files names one.
struct Nothing;

// SAFETY: no memory is ever given out.
unsafe impl GlobalAlloc for Nothing {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Nothing = Nothing;

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    report(format_args!(
        "selkie-tender: internal error: {info}\n  \
         help: the root task may have written to the tender's memory; otherwise please report it\n"
    ));
    syscall::exit(FAILED);
}

//! The platform that NetBSD's rump kernel runs on, and with it a program in C that asks for POSIX.
//!
//! Nothing of NetBSD is here: the builder links this with the rump kernel's libraries of the user's own rumprun tree, as
//! one object file in which all names are local but those that the platform uses (`builder/src/root_task/rumprun`).

#![no_std]
#![no_main]

mod bmk;
mod clock;
mod console;
mod disk;
mod net;
mod own;
mod platform;
mod program;
mod random;
mod stop;
mod tls;
mod wake;
mod worker;

use core::fmt;
use selkie::System;

selkie::entry!(run);

/// The status of a function that did not come to its program, or whose rump kernel gave up.
const FAILED: u8 = 101;
/// Pages of the stack of each of the rump kernel's threads, as a power of 2.
const STACK_PAGE_ORDER: u64 = 3;
/// The least memory that NetBSD starts in.
const LEAST: usize = 3 << 20;

unsafe extern "C" {
    /// An absolute symbol: its address is how much memory the rump kernel and the program get.
    static __selkie_rumprun_memory: u8;
}

static mut JSON: [u8; 1024] = [0; 1024];

fn run(sys: &mut System) -> u8 {
    match start(sys) {
        Ok(never) => match never {},
        Err(error) => fail(format_args!("{error}")),
    }
}

fn start(sys: &mut System) -> selkie::Result<core::convert::Infallible> {
    let size = (&raw const __selkie_rumprun_memory).addr();
    if size < LEAST {
        fail(format_args!(
            "the heap has {} KiB, and NetBSD starts in no less than {} KiB",
            size >> 10,
            LEAST >> 10
        ));
    }
    clock::init()?;
    tls::init(sys)?;
    let wake = wake::notification(sys)?;
    wake::init(sys, wake)?;
    if !random::init(sys) {
        fail(format_args!(
            "nothing random: neither the host nor a device nor the processor has random bytes"
        ));
    }
    disk::init(sys, wake)?;
    net::init(sys, wake)?;
    program::init(wake);
    let memory = sys.map(size)?.address() as u64;
    let json = b"{\"cmdline\":\"program\"}\0";
    // SAFETY: nobody else uses it.
    let json = unsafe {
        let place = (&raw mut JSON).cast::<u8>();
        core::ptr::copy_nonoverlapping(json.as_ptr(), place, json.len());
        place
    };
    bmk::bmk_printf_init(put, None);
    bmk::bmk_sched_init();
    bmk::bmk_core_init(STACK_PAGE_ORDER);
    // SAFETY: the memory is fresh and known to nobody else; the text stays.
    unsafe {
        bmk::bmk_pgalloc_loadmem(memory, memory + size as u64);
        bmk::bmk_memsize = size as u64;
        bmk::bmk_sched_startmain(bmk::bmk_mainthread, json.cast())
    }
}

extern "C" fn put(byte: i32) {
    console::put(byte as u8);
}

/// Ends the function after words about what has gone wrong.
fn fail(what: fmt::Arguments<'_>) -> ! {
    console::show(true);
    console::flush();
    selkie::println!("error: {what}");
    selkie::exit(FAILED)
}

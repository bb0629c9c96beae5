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
mod files;
mod memory;
mod mounts;
mod net;
mod own;
mod platform;
mod program;
mod random;
mod signal;
mod stop;
mod tls;
mod wake;
mod worker;

use core::{convert::Infallible, fmt, ptr, slice};
use selkie::{System, config};
use selkie_rumprun_config::{Fixed, Json};

selkie::entry!(run);

/// The status of a function that did not come to its program, or whose rump kernel gave up.
const FAILED: u8 = 101;
/// The status of one that had too little memory.
const OUT_OF_MEMORY: u8 = 102;
/// Pages of the stack of each of the rump kernel's threads, as a power of 2.
const STACK_PAGE_ORDER: u64 = 3;
/// The platform's name of the disk.
const DISK: &str = "d0";

unsafe extern "C" {
    /// An absolute symbol: its address is how much memory the rump kernel and the program get.
    static __selkie_rumprun_memory: u8;
    static __selkie_rumprun_start: u8;
    static __selkie_rumprun_end: u8;
}

/// NetBSD's configuration, which it keeps pointers to.
static mut JSON: Option<Json> = None;

fn run(sys: &mut System) -> u8 {
    match start(sys) {
        Ok(never) => match never {},
        Err(error) => fail(format_args!("{error}")),
    }
}

/// What the image says, whatever the run is.
fn fixed() -> Fixed<'static> {
    let (start, end) = (&raw const __selkie_rumprun_start, &raw const __selkie_rumprun_end);
    // SAFETY: the linker script puts the section's bytes between the two, in memory that is never written.
    Fixed::new(unsafe { slice::from_raw_parts(ptr::from_ref(&*start), end as usize - start as usize) })
}

fn start(sys: &mut System) -> selkie::Result<Infallible> {
    let size = (&raw const __selkie_rumprun_memory).addr();
    if size < memory::LEAST {
        fail(format_args!(
            "`heap` gives NetBSD and the program {} KiB, and NetBSD starts in no less than {} KiB",
            size >> 10,
            memory::LEAST >> 10
        ));
    }
    clock::init()?;
    tls::init(sys)?;
    let wake = wake::notification(sys)?;
    wake::init(sys, wake)?;
    if !random::init(sys) {
        fail(format_args!(
            "nothing is random here: neither a host nor a device nor the processor has random bytes"
        ));
    }
    disk::init(sys, wake)?;
    let network = net::init(sys, wake)?;
    stop::init(sys, wake)?;
    program::init(wake);
    let mapped = sys.map(size).inspect_err(|_| {
        selkie::println!(
            "{} KiB for NetBSD and the program (`heap`) are more than there are: {}",
            size >> 10,
            sys.memory
        );
    })?;
    let memory = mapped.address() as u64;
    let json = match json(network) {
        Ok(json) => json,
        Err(error) => fail(format_args!("{error}")),
    };
    bmk::bmk_printf_init(put, None);
    bmk::bmk_sched_init();
    bmk::bmk_core_init(STACK_PAGE_ORDER);
    // SAFETY: the memory is fresh and known to nobody else, and the text is NetBSD's from now on.
    unsafe {
        bmk::bmk_pgalloc_loadmem(memory, memory + size as u64);
        bmk::bmk_memsize = size as u64;
        bmk::bmk_sched_startmain(bmk::bmk_mainthread, json.as_mut_ptr().cast())
    }
}

/// NetBSD's configuration.
fn json(network: bool) -> Result<&'static mut [u8], selkie_rumprun_config::Error<'static>> {
    let fixed = fixed();
    let place = &raw mut JSON;
    // SAFETY: this is called once, and nobody else knows the place.
    let json = unsafe { (*place).insert(Json::new(fixed.program().unwrap_or(program::NAME))?) };
    fixed.hostname().map_or(Ok(()), |name| json.hostname(name))?;
    if disk::is_there() {
        json.disk(DISK)?;
    }
    let mut addresses = config::net_addresses().peekable();
    if network && addresses.peek().is_none() {
        json.dhcp()?;
    } else if network {
        for address in addresses {
            json.address(address, config::net_gateways())?;
        }
    }
    json.end()
}

extern "C" fn put(byte: i32) {
    console::put(byte as u8);
}

/// Ends the function after words about what has gone wrong.
fn fail(what: fmt::Arguments<'_>) -> ! {
    console::show(true);
    console::flush();
    tls::runtime(|| {
        selkie::println!("error: {what}");
        program::finish();
        selkie::exit(if memory::was_short() { OUT_OF_MEMORY } else { FAILED })
    })
}

//! Does the kernel do what the runtime expects of it? Good cases and errors of every invocation, as TAP.
//!
//! Nothing that it prints depends on the machine: what is the same on every target is worth comparing.

#![no_std]
#![no_main]

use selkie::{
    prelude::*,
    vspace::{self, Mapping},
};

mod actor;
mod cnode;
mod component;
mod fault;
mod interrupt;
mod ipc;
mod kernel;
mod labels;
mod notification;
mod paging;
mod ports;
mod raw;
mod runtime;
mod tap;
mod thread;
mod untyped;

selkie_sys::when!(mcs { mod mcs; } else {});

selkie::entry!(main);

fn main(sys: &mut System) -> u8 {
    println!("TAP version 13");
    let mut tap = tap::Tap::default();
    if let Err(error) = warm_up(sys) {
        println!("Bail out! {error}");
        return 1;
    }
    tap.group(sys, "runtime", runtime::run);
    tap.group(sys, "untyped", untyped::run);
    tap.group(sys, "device", untyped::devices);
    tap.group(sys, "cnode", cnode::run);
    tap.group(sys, "labels", labels::run);
    tap.group(sys, "notification", notification::run);
    tap.group(sys, "ipc", ipc::run);
    tap.group(sys, "thread", thread::run);
    selkie_sys::when!(mcs { tap.group(sys, "mcs", mcs::run) } else {});
    tap.group(sys, "paging", paging::run);
    tap.group(sys, "vspace", paging::second::run);
    tap.group(sys, "fault", fault::run);
    tap.group(sys, "component", component::run);
    tap.group(sys, "ports", ports::run);
    tap.group(sys, "interrupt", interrupt::run);
    println!("# {}", if sys.memory.usage().free > 0 { "memory is left" } else { "memory is used up" });
    tap.end()
}

/// Makes what the runtime keeps once it needs it: what threads need, a larger table of blocks, and paging
/// structures. After that, each group of checks must leave as much memory taken as there was before.
fn warm_up(sys: &mut System) -> Result<()> {
    sys.spawn(|| ())?.join(sys)?;
    Mapping::with_guard(&mut sys.memory, 4 << 20)?.unmap(&mut sys.memory)?;
    // The page table of the small page stays, and must not be in the way of large ones.
    Mapping::new(&mut sys.memory, vspace::LARGE + vspace::PAGE)?.unmap(&mut sys.memory)?;
    Mapping::new(&mut sys.memory, 2 * vspace::LARGE)?.unmap(&mut sys.memory)?;
    let mut all = Vec::new();
    for _ in 0..500 {
        all.push(sys.memory.create::<Notification>()?);
    }
    all.into_iter().try_for_each(|object| sys.memory.destroy(object))
}

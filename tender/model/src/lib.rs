//! seL4's interface for one address space, served from ordinary memory.
//!
//! [`Kernel`] holds what a kernel holds: objects, capabilities and their derivation, threads and who runs
//! next. Objects lie where the kernel would put them, in the physical memory that untypeds stand for
//! ([`Memory`]), with the sizes that the interface gives them: accounting is exact by construction. What is
//! outside of the model (mapping a page, a byte of the console, the time) is asked of a [`Host`]; hence the
//! model is safe code, runs on any host, and can be tested there.
//!
//! Nothing here is a protection: the root task shares the process and can write these tables. The boundary
//! is the filter of system calls.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "testing")]
extern crate std;

mod boot;
mod budget;
mod cap;
mod cnode;
mod cspace;
mod debug;
mod delete;
mod derivation;
mod device;
mod domain;
mod endpoint;
mod entry;
mod error;
mod fault;
mod host;
mod interrupt;
#[cfg(feature = "testing")]
pub mod invariants;
mod invoke;
mod kernel;
mod machine;
mod memory;
mod message;
mod notification;
mod paging;
mod pit;
mod port;
mod queue;
mod reply;
mod request;
mod rules;
mod sched_context;
mod sched_invoke;
mod schedule;
mod serial;
mod slot;
mod tcb;
#[cfg(feature = "testing")]
pub mod testing;
mod thread;
mod trace;
mod transfer;
mod untyped;
mod vspace;
mod words;

pub use boot::{Boot, BootError, kernel_bytes};
pub use cap::{Cap, FrameSize, Rights};
pub use error::{Error, LookupFailure};
pub use fault::Fault;
pub use host::{Access, Host, MapError, Moved};
pub use kernel::{Kernel, Next};
pub use memory::{FirstWords, Memory};
pub use sched_context::SchedContext;
pub use slot::{Mdb, Slot};
pub use tcb::{Register, Tcb, ThreadState};

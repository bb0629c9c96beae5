//! Which system calls the tender can make once it is locked down.
//!
//! [`rules`] is the one list. [`Program`] compiles it for the kernel, and [`Listing`] prints it for people,
//! so that what `inspect` shows is what runs. The root task shares the process with the tender and can write
//! its tables: this list is the boundary, and no rule may rely on what the tender checks before a call.
//!
//! Tests come in this order: architecture, instruction pointer, number, arguments. seL4's stubs leave the
//! register that holds Linux's number undefined, so the root task is told apart by its address alone.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod listing;
mod policy;
mod program;

pub(crate) use policy::VDSO_CALL;

pub use listing::Listing;
pub use policy::{Call, Condition, Descriptor, Limit, Rule, Setting, Test, Value, rules};
pub use program::{AssembleError, Bindings, CAPACITY, Program};

/// System calls from below this address are the root task's own: they trap.
pub const TRAP_END: u64 = 1 << 32;
/// Where the tender begins.
pub const TENDER: u64 = 0x7e00_0000_0000;
/// Pages are mapped for the root task below this address only. A large page there does not reach the tender.
/// A multiple of 4 GiB takes the fewest instructions to compare with.
pub const GUEST_END: u64 = TENDER - (1 << 32);
/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// Bytes of a run of pages: the first pages move so many at a time.
pub const RUN: u64 = 8 * PAGE;
/// Bytes of a large page.
pub const LARGE_PAGE: u64 = 2 << 20;
/// The most events that one wait may give.
pub const MAX_EVENTS: u64 = 8;
/// The most bytes of frames that are sent or received at once.
pub const MAX_FRAMES: u64 = 64 << 10;
/// Random bytes that are asked for at once.
pub const SEED: u64 = 32;
/// The most bytes of one access to a disk: as many as its buffers have.
pub const MAX_TRANSFER: u64 = 128 << 10;

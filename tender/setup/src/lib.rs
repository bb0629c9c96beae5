//! What the tender does before the root task runs, and the lock-down that ends it.
//!
//! This is the trusted part: it reads bytes that nobody vouches for (the root task, the command line) while
//! the process may still do anything. It allocates nothing, and every system call is one of those in
//! `linux.rs`. In order:
//!
//! 1. [`Process`] reads what Linux left on the first stack, [`Command`] the command line, [`Payload`] what
//!    the builder put into the executable.
//! 2. [`load`] checks the root task, makes its memory, maps it, rewrites its system-call sites and writes
//!    the chunks of BootInfo that tell of devices and of the run's arguments.
//! 3. The host prepares signals and timers.
//! 4. [`lock`] gives up everything that the tender no longer needs.
#![cfg_attr(not(test), no_std)]

mod chunks;
mod disk;
mod elf;
mod error;
mod linux;
mod load;
mod lock;
mod map;
mod net;
mod note;
mod options;
mod payload;
mod process;
mod report;
mod sites;

pub use disk::{DISK_LAYOUT, Disk};
pub use elf::{Access, ElfError, MAX_SEGMENTS, RootTask, Segment};
pub use error::{Error, Text};
pub use linux::{Errno, Linux, above_console};
pub use load::{Loaded, LoadedDisk, LoadedNet, PHYSICAL_BASE, load};
pub use lock::{Hardening, LockDown, Missing, lock};
pub use net::NET;
pub use note::Note;
pub use options::{Command, DiskOption, HELP_OPERATOR, HELP_SINGLE, NetOption, Options, UsageError};
pub use payload::Payload;
pub use process::{Args, Process};
pub use report::{CANNOT_START, print, report};
pub use sites::{SiteCount, Thunks};

/// Bytes of a page.
pub(crate) const PAGE: u64 = 4096;

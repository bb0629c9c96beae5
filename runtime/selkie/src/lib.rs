//! The runtime of a Selkie function: a root task on seL4, or a component beside others, in safe Rust.
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//! use selkie::prelude::*;
//!
//! selkie::entry!(main);
//!
//! fn main(sys: &mut System) {
//!     println!("seL4 {}, {} MiB", sys.kernel_version(), sys.memory_size() >> 20);
//! }
//! ```
//!
//! - [`System`]: what `main` gets. Its [`memory`](System::memory) makes kernel objects of untypeds.
//! - [`cap`]: capabilities by kind, and all that each can be asked for; [`message`]: what endpoints carry.
//! - [`vspace`]: memory in the address space; a heap exists (feature `alloc`, on by default), and
//!   [`heap`] says how much of it is used.
//! - [`thread`], [`sync`]: threads and locks; [`fault`]: what happens when one does something wrong.
//! - [`console`], [`input`], [`println!`]: the serial port; the crate `log` works, its level is the variable `LOG`.
//! - [`interrupt`], [`pit`], [`clock`], [`alarm`]: interrupts, a timer that makes some, time, and what wakes at a moment.
//! - [`config`]: arguments and environment; [`files`]: what lies in the image; [`device`]: what a host process offers; [`exit()`]: the end.
//!
//! Safe here means what it means for a program that may open `/proc/self/mem`: capabilities that are used
//! for what they are made for keep Rust's promises. A function that takes apart what its own memory is made
//! of (the runtime's slots, the pages of its heap or image), or lets a device write there, is on its own.
//!
//! A function cannot tell whether it is the root task or one of several components. The runtime therefore
//! uses only what BootInfo names, and takes nothing for granted that need not answer: no console, no
//! interrupts and no ports are no reason to fail.
#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;

#[cfg(feature = "acpi")]
mod acpi;
pub mod alarm;
pub mod boot_info;
pub mod cap;
pub mod clock;
pub mod config;
pub mod console;
pub mod device;
mod error;
mod exit;
pub mod fault;
pub mod files;
mod fw_cfg;
pub mod heap;
mod host_console;
pub mod input;
pub mod interrupt;
mod logger;
pub mod memory;
mod memory_functions;
pub mod message;
mod on_mcs;
pub mod pit;
pub mod serial;
mod share;
mod start;
pub mod sync;
mod system;
pub mod thread;
pub mod vspace;

pub use boot_info::BootInfo;
pub use error::{Error, LookupFailure, Result};
pub use exit::{MAX_STATUS, Termination, exit};
pub use message::Message;
pub use system::System;

/// What most functions need.
pub mod prelude {
    pub use crate::{
        Error, Message, Result, System,
        cap::{Capability as _, Endpoint, Notification},
        config::{args, env},
        exit, print, println,
    };
    #[cfg(feature = "alloc")]
    pub use alloc::{
        borrow::ToOwned,
        boxed::Box,
        format,
        string::{String, ToString},
        vec,
        vec::Vec,
    };
}

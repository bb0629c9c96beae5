//! The parts of the runtime that touch no kernel: bookkeeping of slots, memory and addresses, and
//! decoding of the run configuration and of what is said about devices. They run, and are tested, on the host as they are.

#![cfg_attr(not(test), no_std)]

pub mod acpi;
mod date;
pub mod devices;
pub mod files;
mod pool;
mod ranges;
pub mod rtc;
mod run_config;
mod slots;

pub use date::Date;
pub use pool::{BlockId, Full, Node, Pool, Split, TakeError, Usage};
pub use ranges::Ranges;
pub use run_config::{AtExit, BadConfig, RunConfig, SerialPort};
pub use slots::Slots;

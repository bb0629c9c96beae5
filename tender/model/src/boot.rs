//! What the kernel does before the root task runs.
#![allow(unused_variables, dead_code)] // Removed when this file is written.

use crate::{Host, Kernel, Memory};
use core::ops::Range;
use selkie_tender_table::Table;

/// How the root task has been loaded.
///
/// The virtual pages of the image, then one for the IPC buffer, one for BootInfo and `extra_pages` for
/// what more BootInfo has, lie in the order of their addresses at the begin of the physical memory.
#[derive(Debug, Clone)]
pub struct Boot<'b> {
    /// The virtual addresses of the image, multiples of 4096.
    pub image: Range<u64>,
    /// Those parts of the image that are written to or not; `false` for what can only be read.
    pub writable: &'b [(Range<u64>, bool)],
    /// Where the root task begins.
    pub entry: u64,
    /// Pages for the chunks after BootInfo; the chunks themselves have been written there.
    pub extra_pages: u64,
    /// Bytes of those chunks.
    pub extra_bytes: u64,
    /// MHz of the time-stamp counter; 0 when it is not known.
    pub tsc_mhz: u64,
}

/// The memory is too small for what the kernel needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooSmall {
    /// Bytes that are needed at least.
    pub needed: u64,
}

impl<'m, H: Host> Kernel<'m, H> {
    /// Makes the initial objects and capabilities in `memory`, which is zero but for the image, and writes
    /// BootInfo. The root task's thread is the current one.
    pub fn boot(memory: Memory<'m>, table: &'m Table, host: H, boot: &Boot<'_>) -> Result<Self, TooSmall> {
        unimplemented!()
    }
}

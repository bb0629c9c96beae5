//! A machine for tests: memory, the interface of seL4 5.0.0 or of a later one, and a host that only takes notes.

mod machine;
mod table;

use crate::{Access, Boot, Host, Kernel, MapError, Memory, Moved};
use core::{cell::Cell, fmt::Arguments};
use selkie_tender_table::Table;
use std::{boxed::Box, collections::BTreeMap, collections::VecDeque, string::String, vec, vec::Vec};

pub use machine::{Machine, Reply};
pub use table::{Edition, table, table_of};

/// Where memory begins.
pub const BASE: u64 = 0x10_0000;
/// The virtual addresses of the image: four pages, the first two of them read-only.
pub const IMAGE: core::ops::Range<u64> = 0x40_0000..0x40_4000;
/// The virtual address of the root task's IPC buffer.
pub const IPC_BUFFER: u64 = IMAGE.end;
/// Addresses from here on are the host's own.
pub const HOST: u64 = 0x7e00_0000_0000;

/// A host that only takes notes.
#[derive(Debug, Default)]
pub struct FakeHost {
    /// What is mapped: by virtual address the physical one, the size and the access.
    pub mapped: BTreeMap<u64, (u64, u64, Access)>,
    /// No more can be mapped.
    pub full: bool,
    /// What was put out on the console.
    pub output: Vec<u8>,
    /// What will have been typed at the console.
    pub input: VecDeque<u8>,
    /// The time in nanoseconds.
    pub time: u64,
    /// When the host is to call.
    pub alarm: Option<u64>,
    /// The lines of the trace.
    pub trace: Vec<String>,
    /// What becomes of frames, and how often they were to be moved.
    pub moved: (Moved, u32),
    /// What becomes of requests to the disk, and how often they were to be looked at.
    pub sectors: (Moved, u32),
    /// How often random bits were asked for; none are given at the third time.
    pub randoms: u64,
}

impl Host for FakeHost {
    fn is_free(&self, address: u64, size: u64) -> bool {
        address.checked_add(size).is_some_and(|end| end <= HOST)
    }

    fn map(&mut self, address: u64, paddr: u64, size: u64, access: Access) -> Result<(), MapError> {
        if self.full {
            return Err(MapError);
        }
        self.unmap(address, size);
        self.mapped.insert(address, (paddr, size, access));
        Ok(())
    }

    fn unmap(&mut self, address: u64, size: u64) {
        self.mapped.retain(|at, _| !(address..address + size).contains(at));
    }

    fn console_write(&mut self, byte: u8) {
        self.output.push(byte);
    }

    fn console_read(&mut self) -> Option<u8> {
        self.input.pop_front()
    }

    fn move_frames(&mut self) -> Moved {
        self.moved.1 += 1;
        self.moved.0
    }

    fn move_sectors(&mut self) -> Moved {
        self.sectors.1 += 1;
        self.sectors.0
    }

    fn random(&mut self) -> Option<[u64; 4]> {
        self.randoms += 1;
        (self.randoms < 3).then_some([self.randoms, 2, 3, 4])
    }

    fn now(&mut self) -> u64 {
        self.time
    }

    fn wall_clock(&mut self) -> u64 {
        1_000_000_000_000_000_000 + self.time
    }

    fn set_alarm(&mut self, at: Option<u64>) {
        self.alarm = at;
    }

    fn trace(&mut self, line: Arguments<'_>) {
        self.trace.push(std::format!("{line}"));
    }
}

/// Memory of `size` bytes that is all zeros; it lives as long as the test process.
pub fn memory(size: u64) -> Memory<'static> {
    Memory::new(BASE, Box::leak(vec![Cell::new(0); size as usize / 8].into_boxed_slice()))
}

/// A booted kernel with `2^cnode_bits` initial slots in `size` bytes of memory; what is in the page of
/// chunks, if there is one, is written by `chunks` and has as many bytes as it answers.
pub fn boot_with(
    size: u64,
    cnode_bits: u64,
    chunks: impl FnOnce(Memory<'static>, u64) -> u64,
) -> Kernel<'static, FakeHost> {
    boot_in(memory(size), Box::leak(Box::new(table(cnode_bits))), chunks)
}

/// A kernel that has booted in this memory, which is all zeros, with this interface; for the rest as above.
pub fn boot_in<'m>(
    memory: Memory<'m>,
    table: &'m Table,
    chunks: impl FnOnce(Memory<'m>, u64) -> u64,
) -> Kernel<'m, FakeHost> {
    let extra_bytes = chunks(memory, BASE + (IMAGE.end - IMAGE.start) + 0x2000);
    let boot = Boot {
        image: IMAGE,
        writable: &[(IMAGE.start..IMAGE.start + 0x1800, false), (IMAGE.start + 0x2000..IMAGE.end, true)],
        entry: IMAGE.start + 0x40,
        extra_pages: extra_bytes.div_ceil(4096),
        extra_bytes,
        tsc_mhz: 2_400,
    };
    match Kernel::boot(memory, table, FakeHost::default(), &boot) {
        Ok(kernel) => kernel,
        Err(error) => panic!("{error:?}"),
    }
}

/// A booted kernel with 4,096 initial slots in 4 MiB of memory.
pub fn boot() -> Kernel<'static, FakeHost> {
    boot_with(4 << 20, 12, |_, _| 0)
}

//! What the model asks of this process.

use crate::{
    alarm,
    clock::Clock,
    input::{Input, Source},
    output::{Output, report},
    syscall::syscall,
};
use core::{fmt::Arguments, ops::Range};
use linux_raw_sys::general;
use selkie_tender_model::{Access, Host, MapError};

/// This process, as the model sees it.
#[derive(Debug)]
pub(crate) struct Process {
    /// What the memory and the image are mapped from.
    places: Places,
    pub(crate) console: Output,
    input: Input,
    clock: Clock,
}

/// Where things lie that pages are mapped from, and where no page may be mapped.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The descriptor of the memory.
    pub(crate) memory: i32,
    /// The physical address at its begin.
    pub(crate) memory_base: u64,
    /// The memory, as the tender sees it.
    pub(crate) window: *mut u8,
    /// The descriptor of the file that the root task came in.
    pub(crate) image: i32,
    /// Pages that are mapped from that file: their physical addresses, and where the first lies in it.
    pub(crate) file_pages: [(Range<u64>, u64); 4],
    /// Addresses that pages may be mapped at.
    pub(crate) free: Range<u64>,
    /// Among those, ones where they may not.
    pub(crate) taken: [Range<u64>; 3],
}

impl Process {
    /// This process, with its console's input and its vDSO.
    pub(crate) fn new(places: Places, input: Source, vdso: u64) -> Self {
        let console = Output::new(Output::CONSOLE);
        Self { places, console, input: Input::new(input), clock: Clock::new(vdso) }
    }

    /// Sleeps until a signal or input comes, unless a signal is pending.
    pub(crate) fn wait(&mut self) {
        self.console.flush();
        self.input.wait();
    }

    /// Physical memory as the tender sees it, from `paddr` on.
    pub(crate) fn window(&self, paddr: u64) -> *mut u64 {
        self.places.window.wrapping_add(paddr.wrapping_sub(self.places.memory_base) as usize).cast()
    }

    /// Where things lie.
    pub(crate) fn places(&self) -> Places {
        self.places.clone()
    }

    /// The part of the file whose pages stand for this physical address, when it is not memory that can be
    /// written to.
    fn file_page(&self, paddr: u64) -> Option<u64> {
        let found = self.places.file_pages.iter().find(|(pages, _)| pages.contains(&paddr));
        found.map(|(pages, offset)| offset + (paddr - pages.start))
    }
}

impl Places {
    /// What is at an address of the root task.
    pub(crate) fn name(&self, _address: u64) -> &'static str {
        "somewhere"
    }
}

impl Host for Process {
    fn is_free(&self, address: u64, size: u64) -> bool {
        let (free, Some(end)) = (&self.places.free, address.checked_add(size)) else { return false };
        let is_taken = self.places.taken.iter().any(|taken| address < taken.end && taken.start < end);
        address >= free.start && end <= free.end && !is_taken
    }

    fn map(&mut self, address: u64, paddr: u64, size: u64, access: Access) -> Result<(), MapError> {
        let (file, offset, sharing) = match self.file_page(paddr) {
            Some(offset) if access == Access::Read => (self.places.image, offset, general::MAP_PRIVATE),
            // Writing to such a page is for a copy of its own.
            Some(_) => return Err(MapError),
            None => (self.places.memory, paddr - self.places.memory_base, general::MAP_SHARED),
        };
        let access = match access {
            Access::Read => general::PROT_READ,
            Access::ReadWrite => general::PROT_READ | general::PROT_WRITE,
        };
        let flags = sharing | general::MAP_FIXED;
        // SAFETY: the address is one of the root task's (`is_free`), so no memory of the tender goes away.
        let mapped = unsafe {
            syscall(general::__NR_mmap, [address, size, access.into(), flags.into(), file as u64, offset])
        };
        mapped.map(drop).map_err(|_| MapError)
    }

    fn unmap(&mut self, address: u64, size: u64) {
        // SAFETY: as above. It fails only where the kernel has no room to keep the rest of a mapping apart;
        // then the page stays in sight.
        let _ = unsafe { syscall(general::__NR_munmap, [address, size]) };
    }

    fn console_write(&mut self, byte: u8) {
        self.console.push(byte);
    }

    fn console_read(&mut self) -> Option<u8> {
        self.input.next()
    }

    fn now(&mut self) -> u64 {
        self.clock.monotonic()
    }

    fn wall_clock(&mut self) -> u64 {
        self.clock.wall()
    }

    fn set_alarm(&mut self, at: Option<u64>) {
        // A time that has passed is the next moment: 0 would stop the timer.
        let left = at.map(|at| at.saturating_sub(self.now()).max(1));
        alarm::set(left.unwrap_or(0));
    }

    fn trace(&mut self, line: Arguments<'_>) {
        report(format_args!("{line}\n"));
    }
}

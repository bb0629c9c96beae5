//! What the model asks of this process.

use crate::{
    alarm,
    clock::Clock,
    input::{Input, Source},
    output::{Output, report},
    state::Place,
    syscall::syscall,
    vdso::Vdso,
};
use core::{cell::Cell, fmt::Arguments};
use linux_raw_sys::general;
use selkie_tender_filter::GUEST_END;
use selkie_tender_model::{Access, Host, MapError};
use selkie_tender_setup::{Loaded, PHYSICAL_BASE};

/// This process, as the model sees it.
#[derive(Debug)]
pub(crate) struct Process {
    loaded: &'static Loaded,
    pub(crate) console: &'static mut Output,
    input: Input,
    clock: Clock,
}

/// What is kept of the console's output until it is put out.
static CONSOLE: Place<Output> = Place::new();

impl Process {
    /// This process, with what set-up has loaded, its console's input and its vDSO.
    pub(crate) fn new(loaded: &'static Loaded, input: Source, vdso: Option<Vdso>) -> Self {
        // SAFETY: there is one process.
        let console = unsafe { CONSOLE.put(Output::new(Output::CONSOLE)) };
        Self { loaded, console, input: Input::new(input), clock: Clock::new(vdso) }
    }

    /// What set-up has loaded.
    pub(crate) fn loaded(&self) -> &'static Loaded {
        self.loaded
    }

    /// Sleeps until a signal or input comes, unless a signal is pending.
    pub(crate) fn wait(&mut self) {
        self.console.flush();
        self.input.wait();
    }

    /// Physical memory as the tender sees it, from `paddr` on.
    pub(crate) fn window(&self, paddr: u64) -> *mut u64 {
        let start = self.loaded.memory.as_ptr().cast_mut().cast::<u64>();
        start.wrapping_byte_add(paddr.wrapping_sub(PHYSICAL_BASE) as usize)
    }

    /// The page of this physical address in the root task's file, when it is one of those that do not lie in
    /// the memory.
    fn file_page(&self, paddr: u64) -> Option<&'static [u8]> {
        self.loaded.file_page(self.loaded.image().start + (paddr - PHYSICAL_BASE))
    }

    /// Brings a page of the file into the memory, to be mapped from there.
    fn copy_page(&self, paddr: u64, bytes: &[u8]) {
        for (word, bytes) in self.page(paddr).iter().zip(bytes.chunks(size_of::<u64>())) {
            let mut last = [0; size_of::<u64>()];
            last[..bytes.len()].copy_from_slice(bytes);
            word.set(u64::from_le_bytes(last));
        }
    }

    /// Whether such a page has been brought into the memory before.
    fn is_copied(&self, paddr: u64) -> bool {
        self.page(paddr).iter().any(|word| word.get() != 0)
    }

    fn page(&self, paddr: u64) -> &'static [Cell<u64>] {
        let first = ((paddr - PHYSICAL_BASE) / size_of::<u64>() as u64) as usize;
        self.loaded.memory.get(first..first + PAGE_WORDS).unwrap_or_default()
    }
}

/// Words of a page.
const PAGE_WORDS: usize = 4096 / size_of::<u64>();
/// No process may map what is below: Linux's default for `vm.mmap_min_addr`.
const LOWEST: u64 = 0x1_0000;

impl Host for Process {
    fn is_free(&self, address: u64, size: u64) -> bool {
        let Some(end) = address.checked_add(size) else { return false };
        let file = self.loaded.file.as_ptr_range();
        let taken = [
            self.loaded.thunks.pages(),
            // These lie low where the stack has no limit.
            file.start.addr() as u64..file.end.addr() as u64,
            self.clock.pages(),
        ];
        let is_taken = taken.iter().any(|taken| address < taken.end && taken.start < end);
        address >= LOWEST && end <= GUEST_END && !is_taken
    }

    fn map(&mut self, address: u64, paddr: u64, size: u64, access: Access) -> Result<(), MapError> {
        if let Some(bytes) = self.file_page(paddr)
            && !self.is_copied(paddr)
        {
            self.copy_page(paddr, bytes);
        }
        let access = match access {
            Access::Read => general::PROT_READ,
            Access::ReadWrite => general::PROT_READ | general::PROT_WRITE,
        };
        let flags = general::MAP_SHARED | general::MAP_FIXED;
        let (memory, offset) = (self.loaded.memory_fd as u64, paddr - PHYSICAL_BASE);
        // SAFETY: the address is one of the root task's (`is_free`), so no memory of the tender goes away.
        let mapped = unsafe {
            syscall(general::__NR_mmap, [address, size, access.into(), flags.into(), memory, offset])
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

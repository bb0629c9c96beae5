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

    /// Where the page of this physical address is in the root task's file, when it is one of those that do
    /// not lie in the memory.
    fn file_page(&self, paddr: u64) -> Option<u64> {
        self.loaded.file_offset(self.loaded.image().start + (paddr - PHYSICAL_BASE))
    }

    /// Brings a page of the file into the memory, for those who write to it.
    fn copy_page(&self, paddr: u64, offset: u64) {
        let start = (offset - self.loaded.image_offset) as usize;
        let bytes = self.loaded.file.get(start..).unwrap_or_default();
        let page = self.page(paddr);
        for (word, bytes) in page.iter().zip(bytes.chunks_exact(size_of::<u64>())) {
            word.set(u64::from_le_bytes(bytes.try_into().unwrap_or_default()));
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
        let stubs = self.loaded.thunks.pages();
        address >= LOWEST && end <= GUEST_END && (end <= stubs.start || stubs.end <= address)
    }

    fn map(&mut self, address: u64, paddr: u64, size: u64, access: Access) -> Result<(), MapError> {
        let file = match self.file_page(paddr) {
            Some(offset) if access == Access::ReadWrite && !self.is_copied(paddr) => {
                self.copy_page(paddr, offset);
                None
            }
            file => file.filter(|_| !self.is_copied(paddr)),
        };
        let (file, offset, sharing) = match file {
            Some(offset) => (self.loaded.image_fd, offset, general::MAP_PRIVATE),
            None => (self.loaded.memory_fd, paddr - PHYSICAL_BASE, general::MAP_SHARED),
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

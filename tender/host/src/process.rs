//! What the model asks of this process.

use crate::{
    alarm,
    clock::Clock,
    disk::Sectors,
    events,
    input::{Input, Source},
    link::Link,
    output::{Output, report},
    region,
    state::Place,
    syscall::syscall,
    vdso::Vdso,
};
use core::{fmt::Arguments, ops::Range, sync::atomic::AtomicU64};
use linux_raw_sys::general;
use selkie_tender_filter::{GUEST_END, SEED};
use selkie_tender_model::{Access, FirstWords, Host, MapError, Moved};
use selkie_tender_setup::{DISK_LAYOUT, Loaded, LoadedDisk, LoadedNet, NET, PHYSICAL_BASE};

/// This process, as the model sees it.
#[derive(Debug)]
pub(crate) struct Process {
    loaded: &'static Loaded,
    /// The memory's first pages, at the root task's addresses or in the window.
    first: &'static FirstWords<'static>,
    pub(crate) console: &'static mut Output,
    input: Input,
    clock: Clock,
    /// The network, and the descriptor that tells of it.
    net: Option<(&'static mut Link, i32)>,
    /// The disk.
    disk: Option<&'static mut Sectors>,
}

/// What is kept of the console's output until it is put out.
static CONSOLE: Place<Output> = Place::new();

impl Process {
    /// This process, with what set-up has loaded, its console's input and its vDSO.
    pub(crate) fn new(
        loaded: &'static Loaded,
        first: &'static FirstWords<'static>,
        input: Source,
        vdso: Option<Vdso>,
    ) -> Self {
        // SAFETY: there is one process.
        let console = unsafe { CONSOLE.put(Output::new(Output::CONSOLE)) };
        let (input, clock) = (Input::new(input), Clock::new(vdso));
        Self { loaded, first, console, input, clock, net: None, disk: None }
    }

    /// Serves the network from now on; `events` tells of it. Whether that could be.
    #[inline(never)] // Those without a network need less of the stack.
    pub(crate) fn serve_net(&mut self, net: LoadedNet, events: i32) -> bool {
        #[unsafe(link_section = ".link")]
        static LINK: Place<Link> = Place::new();
        let Some(region) = self.region(net.region, NET.layout.size()) else { return false };
        let Some(link) = Link::new(region, net) else { return false };
        // SAFETY: there is one process.
        self.net = Some((unsafe { LINK.put(link) }, events));
        true
    }

    /// Serves the disk from now on. Whether that could be.
    #[inline(never)] // As above.
    pub(crate) fn serve_disk(&mut self, disk: LoadedDisk) -> bool {
        #[unsafe(link_section = ".link")]
        static SECTORS: Place<Sectors> = Place::new();
        let Some(region) = self.region(disk.region, DISK_LAYOUT.size()) else { return false };
        let Some(sectors) = Sectors::new(region, disk.disk) else { return false };
        // SAFETY: there is one process.
        self.disk = Some(unsafe { SECTORS.put(sectors) });
        true
    }

    /// The region of a device with queues, which begins at this byte of the first pages.
    ///
    /// It moves to the memory's file with all of them: there it stays, whatever the root task does with its own pages.
    fn region(&mut self, start: u64, size: u32) -> Option<&'static [AtomicU64]> {
        if !self.first.has_moved() {
            self.move_first_pages().ok()?;
        }
        let start = start as usize / size_of::<u64>();
        let words = self.first.words().get(start..)?.get(..size as usize / size_of::<u64>())?;
        // SAFETY: the window stays, and others use what is in it as cells.
        Some(unsafe { region::words(words) })
    }

    /// Whether there is a network. A process that computes without end looks at it then and now, too.
    pub(crate) fn wakes_for_net(&mut self) -> bool {
        self.net.as_mut().map(|(link, _)| link.wake()).is_some()
    }

    /// What set-up has loaded.
    pub(crate) fn loaded(&self) -> &'static Loaded {
        self.loaded
    }

    /// Sleeps until a signal or input comes, unless a signal is pending.
    pub(crate) fn wait(&mut self) {
        self.console.flush();
        match &mut self.net {
            None => self.input.wait(),
            Some((link, events)) => {
                if events::wait_net(*events) {
                    link.wake();
                }
            }
        }
    }

    /// The kernel's object at `paddr`, as the tender sees it.
    pub(crate) fn object(&self, paddr: u64) -> *mut u64 {
        let first = self.first.size() + PHYSICAL_BASE;
        let start = self.loaded.memory.as_ptr().cast_mut().cast::<u64>();
        start.wrapping_byte_add(paddr.wrapping_sub(first) as usize)
    }

    /// Moves the first pages into the memory's file when they are about to be mapped elsewhere, or others are to
    /// be mapped in their place.
    fn prepare(&mut self, address: u64, size: u64, paddr: Option<u64>) -> Result<(), MapError> {
        let (pages, first) = (self.loaded.first_pages(), PHYSICAL_BASE..PHYSICAL_BASE + self.first.size());
        let in_place = address < pages.end && pages.start < address + size;
        let is_first = paddr.is_some_and(|paddr| first.contains(&paddr));
        if (in_place || is_first) && !self.first.has_moved() {
            self.move_first_pages()?;
        }
        if let Some(paddr) = paddr.filter(|_| is_first) {
            self.bring_file_page(paddr);
        }
        Ok(())
    }

    /// Maps the memory's file in place of the first pages, but for those that nobody can write to, and copies
    /// them there. When Linux refuses, what has not come to its turn stays as it is.
    fn move_first_pages(&mut self) -> Result<(), MapError> {
        let Range { start, end } = self.loaded.first_pages();
        let mut address = start;
        while address < end {
            let is_moved = |address: &u64| self.loaded.file_page(*address).is_none();
            // The filter lets pages be mapped alone or in whole runs.
            address += match (address..end).step_by(PAGE).take(RUN_PAGES).take_while(is_moved).count() {
                0 => PAGE as u64,
                RUN_PAGES => self.move_pages::<{ RUN_PAGES * PAGE_WORDS }>(address, address - start)?,
                _ => self.move_pages::<PAGE_WORDS>(address, address - start)?,
            };
        }
        self.first.set_moved();
        Ok(())
    }

    /// Moves pages of so many words, which begin at this offset. Gives their size.
    fn move_pages<const WORDS: usize>(&mut self, address: u64, offset: u64) -> Result<u64, MapError> {
        let first = offset as usize / size_of::<u64>();
        let (range, size) = (first..first + WORDS, (WORDS * size_of::<u64>()) as u64);
        let words = self.first.words().get(range.clone()).ok_or(MapError)?;
        let mut copy = [0; WORDS];
        copy.iter_mut().zip(words).for_each(|(copy, word)| *copy = word.get());
        self.show(address, PHYSICAL_BASE + offset, size, Access::ReadWrite)?;
        let words = self.first.words().get(range).ok_or(MapError)?;
        // What is zero is so in the file, too, and takes no page there.
        for (copy, word) in copy.into_iter().zip(words).filter(|(copy, _)| *copy != 0) {
            word.set(copy);
        }
        Ok(size)
    }

    /// Brings a page that comes from the root task's file into the memory, when it is not there yet: it is about
    /// to be mapped from there.
    fn bring_file_page(&self, paddr: u64) {
        let offset = paddr - PHYSICAL_BASE;
        let Some(bytes) = self.loaded.file_page(self.loaded.image().start + offset) else { return };
        let first = (offset / size_of::<u64>() as u64) as usize;
        let page = self.first.words().get(first..first + PAGE_WORDS).unwrap_or_default();
        if page.iter().any(|word| word.get() != 0) {
            return;
        }
        for (word, bytes) in page.iter().zip(bytes.chunks(size_of::<u64>())) {
            let mut last = [0; size_of::<u64>()];
            last[..bytes.len()].copy_from_slice(bytes);
            word.set(u64::from_le_bytes(last));
        }
    }

    /// Maps a page of the memory.
    fn show(&mut self, address: u64, paddr: u64, size: u64, access: Access) -> Result<(), MapError> {
        let access = match access {
            Access::Read => general::PROT_READ,
            Access::ReadWrite => general::PROT_READ | general::PROT_WRITE,
        };
        let flags = general::MAP_SHARED | general::MAP_FIXED;
        let (memory, offset) = (self.loaded.memory_fd as u64, self.loaded.offset(paddr).ok_or(MapError)?);
        // SAFETY: the address is one of the root task's (`is_free`), so no memory of the tender goes away.
        let mapped = unsafe {
            syscall(general::__NR_mmap, [address, size, access.into(), flags.into(), memory, offset])
        };
        mapped.map(drop).map_err(|_| MapError)
    }
}

/// Bytes and words of a page.
const PAGE: usize = 4096;
const PAGE_WORDS: usize = PAGE / size_of::<u64>();
/// Pages that are moved at a time: each takes a call of Linux, and their copy lies on the stack.
const RUN_PAGES: usize = selkie_tender_filter::RUN as usize / PAGE;
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
        self.prepare(address, size, Some(paddr))?;
        self.show(address, paddr, size, access)
    }

    fn unmap(&mut self, address: u64, size: u64) {
        // Where Linux has no room for more mappings, the page stays in sight.
        if self.prepare(address, size, None).is_ok() {
            // SAFETY: as above.
            let _ = unsafe { syscall(general::__NR_munmap, [address, size]) };
        }
    }

    fn console_write(&mut self, byte: u8) {
        self.console.push(byte);
    }

    fn console_read(&mut self) -> Option<u8> {
        self.input.next()
    }

    fn move_frames(&mut self) -> Moved {
        self.net.as_mut().map(|(link, _)| link.work()).unwrap_or_default()
    }

    fn move_sectors(&mut self) -> Moved {
        self.disk.as_mut().map(|sectors| sectors.work()).unwrap_or_default()
    }

    fn random(&mut self) -> Option<[u64; 4]> {
        let mut words = [0; 4];
        let place = words.as_mut_ptr().expose_provenance() as u64;
        // SAFETY: as many bytes as `words` has are written to it.
        let got = unsafe { syscall(general::__NR_getrandom, [place, SEED, 0]) };
        (got == Ok(SEED)).then_some(words)
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

//! Paging structures: tables of 512 entries in physical memory, as the processor would read them.
//!
//! The tables that map the root task at boot are computed from what they were made for, not stored: most root
//! tasks never change them, and each would be a page of memory. The first write to such a table stores it.

use crate::{Access, Error, FrameSize, Host, LookupFailure, MapError, Memory};
use core::ops::Range;

/// Bytes of a page and of a table.
pub(crate) const PAGE: u64 = 4096;
/// Addresses from here on are the kernel's.
pub(crate) const USER_TOP: u64 = 0xffff_ff80_0000_0000;

/// Entries of a table.
const ENTRIES: u64 = 512;
/// The root's entry for the kernel's own addresses. It leads to no table of this model.
const KERNEL_INDEX: u64 = ENTRIES - 1;
/// Initial tables that can stay computed, in words of a bit each: those of 500 MiB. Others are stored at boot.
const COMPUTED_WORDS: usize = 4;

/// An entry of a table, as on the processor (Intel SDM, volume 3, section 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry(pub(crate) u64);

impl Entry {
    const PRESENT: u64 = 1 << 0;
    const WRITABLE: u64 = 1 << 1;
    const USER: u64 = 1 << 2;
    const LARGE: u64 = 1 << 7;
    const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
    /// Of a large page, bit 12 belongs to the attributes.
    const LARGE_ADDRESS: u64 = 0x000f_ffff_ffe0_0000;
    const HUGE_ADDRESS: u64 = 0x000f_ffff_c000_0000;
    const EMPTY: Self = Self(0);

    /// One that leads to the table at `paddr`. Attributes: bit 0 write-through, bit 1 not cached.
    pub(crate) fn table(paddr: u64, attributes: u64) -> Self {
        Self(paddr | (attributes & 3) << 3 | Self::USER | Self::WRITABLE | Self::PRESENT)
    }

    /// One that shows a page. Without access it is there, but only the kernel could use it; then writing is
    /// allowed, as on the kernel. Attributes as for tables, and bit 2 for the page-attribute table.
    pub(crate) fn page(paddr: u64, size: FrameSize, access: Option<Access>, attributes: u64) -> Self {
        let pat = attributes >> 2 & 1;
        let kind = match size {
            FrameSize::Small => pat << 7,
            FrameSize::Large => pat << 12 | Self::LARGE,
            FrameSize::Huge => Self::LARGE,
        };
        let rights = match access {
            None => Self::WRITABLE,
            Some(Access::Read) => Self::USER,
            Some(Access::ReadWrite) => Self::USER | Self::WRITABLE,
        };
        Self(paddr | kind | (attributes & 3) << 3 | rights | Self::PRESENT)
    }

    pub(crate) fn is_present(self) -> bool {
        self.0 & Self::PRESENT != 0
    }

    /// Of a page directory's entry: it is there and leads to a page table.
    pub(crate) fn is_table(self) -> bool {
        self.0 & (Self::PRESENT | Self::LARGE) == Self::PRESENT
    }

    /// Whether it leads to a table where it could show a page of this size.
    pub(crate) fn is_table_of(self, size: FrameSize) -> bool {
        size != FrameSize::Small && self.is_table()
    }

    fn is_large(self) -> bool {
        self.0 & (Self::PRESENT | Self::LARGE) == Self::PRESENT | Self::LARGE
    }

    fn paddr(self) -> u64 {
        self.0 & Self::ADDRESS
    }

    /// Whether a table's entry of this level shows the page of that size at `paddr`.
    fn shows(self, paddr: u64, size: FrameSize) -> bool {
        match size {
            FrameSize::Small => self.is_present() && self.paddr() == paddr,
            FrameSize::Large => self.is_large() && self.0 & Self::LARGE_ADDRESS == paddr,
            FrameSize::Huge => self.is_large() && self.0 & Self::HUGE_ADDRESS == paddr,
        }
    }
}

/// The level of a table: its distance from the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub(crate) enum Level {
    PageTable = 1,
    PageDirectory = 2,
    Pdpt = 3,
    Pml4 = 4,
}

impl Level {
    /// From the root down.
    pub(crate) const ALL: [Self; 4] = [Self::Pml4, Self::Pdpt, Self::PageDirectory, Self::PageTable];

    /// An entry of such a table stands for `2^bits` bytes.
    pub(crate) fn entry_bits(self) -> u32 {
        12 + 9 * (self as u32 - 1)
    }

    /// A table stands for `2^bits` bytes.
    pub(crate) fn table_bits(self) -> u32 {
        self.entry_bits() + 9
    }

    /// The level of what entries lead to; none below page tables.
    fn below(self) -> Option<Self> {
        match self {
            Self::Pml4 => Some(Self::Pdpt),
            Self::Pdpt => Some(Self::PageDirectory),
            Self::PageDirectory => Some(Self::PageTable),
            Self::PageTable => None,
        }
    }

    /// The level of the tables whose entries lead to such tables.
    pub(crate) fn above(self) -> Self {
        match self {
            Self::PageTable => Self::PageDirectory,
            Self::PageDirectory => Self::Pdpt,
            Self::Pdpt | Self::Pml4 => Self::Pml4,
        }
    }

    /// The level of the tables whose entries are pages of that size.
    pub(crate) fn of_page(size: FrameSize) -> Self {
        match size {
            FrameSize::Small => Self::PageTable,
            FrameSize::Large => Self::PageDirectory,
            FrameSize::Huge => Self::Pdpt,
        }
    }

    fn index(self, address: u64) -> u64 {
        address >> self.entry_bits() & (ENTRIES - 1)
    }
}

/// The address that the processor takes for `address`: bits 48 to 63 do not take part in the look-up.
pub(crate) fn canonical(address: u64) -> u64 {
    ((address << 16) as i64 >> 16) as u64
}

/// The tables that map the root task at boot: all pages of a range of virtual addresses, to physical pages in
/// the same order, all readable and writable.
///
/// The root lies first, then the tables of each level in the order of what they stand for, one page each.
#[derive(Debug, Clone, Default)]
pub(crate) struct InitialTables {
    virt: Range<u64>,
    paddr: u64,
    tables: u64,
    stored: [u64; COMPUTED_WORDS],
}

impl InitialTables {
    /// Tables at `tables` that show the pages from `paddr` on at `virt` (multiples of 4096).
    pub(crate) fn new(virt: Range<u64>, paddr: u64, tables: u64) -> Self {
        Self { virt, paddr, tables, stored: [0; COMPUTED_WORDS] }
    }

    /// How many tables of a level there are.
    pub(crate) fn count(&self, level: Level) -> u64 {
        let bits = level.table_bits();
        match level {
            Level::Pml4 => 1,
            _ if self.virt.is_empty() => 0,
            _ => ((self.virt.end - 1) >> bits) - (self.virt.start >> bits) + 1,
        }
    }

    /// How many tables there are, the root included.
    pub(crate) fn total(&self) -> u64 {
        Level::ALL.iter().map(|level| self.count(*level)).sum()
    }

    /// The place of table number `nth` of a level and the first address that it stands for.
    pub(crate) fn table(&self, level: Level, nth: u64) -> (u64, u64) {
        let before: u64 =
            Level::ALL.iter().filter(|above| **above > level).map(|above| self.count(*above)).sum();
        let bits = level.table_bits();
        let first = if level == Level::Pml4 { 0 } else { self.virt.start >> bits << bits };
        (self.tables + (before + nth) * PAGE, first + (nth << bits))
    }

    /// The number of the table at `paddr` while it is computed.
    fn computed(&self, paddr: u64) -> Option<u64> {
        let number = paddr.checked_sub(self.tables)? / PAGE;
        (number < self.total() && !self.is_stored(number)).then_some(number)
    }

    fn is_stored(&self, number: u64) -> bool {
        self.stored.get(number as usize / 64).is_none_or(|word| word >> (number % 64) & 1 != 0)
    }

    fn set_stored(&mut self, number: u64) {
        if let Some(word) = self.stored.get_mut(number as usize / 64) {
            *word |= 1 << (number % 64);
        }
    }

    /// An entry of table `number`, computed.
    fn entry(&self, number: u64, index: u64) -> Entry {
        let mut nth = number;
        for level in Level::ALL {
            let count = self.count(level);
            if nth < count {
                return self.entry_of(level, nth, index);
            }
            nth -= count;
        }
        Entry::EMPTY
    }

    fn entry_of(&self, level: Level, nth: u64, index: u64) -> Entry {
        let bits = level.entry_bits();
        let (_, first) = self.table(level, nth);
        let address = first + (index << bits);
        // The index in the root of addresses above any image's would be out of reach of the sum.
        if address >= self.virt.end || address + (1 << bits) <= self.virt.start {
            return Entry::EMPTY;
        }
        match level.below() {
            None => Entry::page(
                self.paddr + (address - self.virt.start),
                FrameSize::Small,
                Some(Access::ReadWrite),
                0,
            ),
            Some(below) => {
                let nth = (address >> bits) - (self.virt.start >> bits);
                Entry::table(self.table(below, nth).0, 0)
            }
        }
    }
}

/// The address space: its root and the initial tables.
#[derive(Debug, Clone, Default)]
pub(crate) struct VSpace {
    /// The root that has the one ASID; 0 once that is gone.
    root: u64,
    initial: InitialTables,
}

/// Where an entry is: in the table at `.0`, number `.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(u64, u64);

impl VSpace {
    /// The ASID of the root task's address space, the only one that is ever given.
    pub(crate) const ASID: u16 = 1;

    /// The address space of the initial tables, whose memory is zero.
    pub(crate) fn new(memory: &Memory<'_>, initial: InitialTables) -> Self {
        for number in 64 * COMPUTED_WORDS as u64..initial.total() {
            for index in 0..ENTRIES {
                let entry = initial.entry(number, index);
                if entry != Entry::EMPTY {
                    memory.set(initial.tables + number * PAGE + index * 8, entry.0);
                }
            }
        }
        Self { root: initial.tables, initial }
    }

    /// The root of the address space with this ASID.
    pub(crate) fn find(&self, asid: u16) -> Result<u64, Error> {
        if asid == Self::ASID && self.root != 0 {
            return Ok(self.root);
        }
        Err(Error::FailedLookup { source: false, failure: LookupFailure::InvalidRoot })
    }

    /// The place of the entry for `address` in a table of the level, below the given root.
    pub(crate) fn lookup(
        &self,
        memory: &Memory<'_>,
        root: u64,
        address: u64,
        level: Level,
    ) -> Result<Place, Error> {
        let mut table = root;
        for above in Level::ALL.into_iter().take_while(|above| *above > level) {
            if self.is_kernel(table, above.index(address)) {
                return Err(Error::InvalidArgument(0));
            }
            let entry = self.entry(memory, Place(table, above.index(address)));
            if !entry.is_table() {
                let bits_left = above.entry_bits().into();
                let failure = LookupFailure::MissingCapability { bits_left };
                return Err(Error::FailedLookup { source: false, failure });
            }
            table = entry.paddr();
        }
        Ok(Place(table, level.index(address)))
    }

    /// Whether it is the root's entry for the kernel's addresses: something is there, but no table.
    fn is_kernel(&self, table: u64, index: u64) -> bool {
        table == self.root && index == KERNEL_INDEX
    }

    /// The entry at a place.
    pub(crate) fn entry(&self, memory: &Memory<'_>, place: Place) -> Entry {
        let Place(table, index) = place;
        if self.is_kernel(table, index) {
            return Entry(Entry::PRESENT);
        }
        match self.initial.computed(table) {
            Some(number) => self.initial.entry(number, index),
            None => Entry(memory.get(table + index * 8)),
        }
    }

    /// Whether a page is at `address`, whatever it allows.
    pub(crate) fn has_page(&self, memory: &Memory<'_>, address: u64) -> bool {
        let entry = |level| {
            let place = self.find(Self::ASID).and_then(|root| self.lookup(memory, root, address, level));
            place.map_or(Entry::EMPTY, |place| self.entry(memory, place))
        };
        entry(Level::Pdpt).is_large()
            || entry(Level::PageDirectory).is_large()
            || entry(Level::PageTable).is_present()
    }

    /// Replaces the entry at a place.
    pub(crate) fn set_entry(&mut self, memory: &Memory<'_>, place: Place, entry: Entry) {
        let Place(table, index) = place;
        if let Some(number) = self.initial.computed(table) {
            for index in 0..ENTRIES {
                memory.set(table + index * 8, self.initial.entry(number, index).0);
            }
            self.initial.set_stored(number);
        }
        memory.set(table + index * 8, entry.0);
    }

    /// Makes a table empty. What was shown through it has been unmapped before.
    pub(crate) fn clear_table(&mut self, memory: &Memory<'_>, table: u64) {
        match self.initial.computed(table) {
            // Its memory is zero still.
            Some(number) => self.initial.set_stored(number),
            None => memory.zero(table, PAGE),
        }
    }

    /// Puts a page where `place` is the entry for `address`, with this access at most.
    pub(crate) fn map_page<H: Host>(
        &mut self,
        memory: &Memory<'_>,
        host: &mut H,
        place: Place,
        page: &PageMapping,
    ) -> Result<(), MapError> {
        let (address, size) = (canonical(page.address), page.size.bytes());
        match page.access {
            Some(access) => host.map(address, page.paddr, size, access)?,
            None if self.entry(memory, place).is_present() => host.unmap(address, size),
            None => {}
        }
        let entry = Entry::page(page.paddr, page.size, page.access, page.attributes);
        self.set_entry(memory, place, entry);
        Ok(())
    }

    /// Takes the page at `paddr` out of `address`, if it is there.
    pub(crate) fn unmap_page<H: Host>(
        &mut self,
        memory: &Memory<'_>,
        host: &mut H,
        (asid, address): (u16, u64),
        paddr: u64,
        size: FrameSize,
    ) {
        let Ok(root) = self.find(asid) else { return };
        let Ok(place) = self.lookup(memory, root, address, Level::of_page(size)) else { return };
        if self.entry(memory, place).shows(paddr, size) {
            host.unmap(canonical(address), size.bytes());
            self.set_entry(memory, place, Entry::EMPTY);
        }
    }

    /// Takes the table at `paddr` out of `address`, if it is there, and with it all that it shows.
    pub(crate) fn unmap_table<H: Host>(
        &mut self,
        memory: &Memory<'_>,
        host: &mut H,
        (asid, address): (u16, u64),
        paddr: u64,
        level: Level,
    ) {
        let Ok(root) = self.find(asid) else { return };
        let Ok(place) = self.lookup(memory, root, address, level.above()) else { return };
        let entry = self.entry(memory, place);
        if entry.is_table() && entry.paddr() == paddr {
            let first = address >> level.table_bits() << level.table_bits();
            self.hide_below(memory, host, paddr, level, canonical(first));
            self.set_entry(memory, place, Entry::EMPTY);
        }
    }

    /// Takes the ASID from the address space of this root, if it has it: nothing is shown any more.
    pub(crate) fn unassign<H: Host>(&mut self, memory: &Memory<'_>, host: &mut H, root: u64) {
        if root != 0 && root == self.root {
            self.hide_below(memory, host, root, Level::Pml4, 0);
            self.root = 0;
        }
    }

    /// Takes the ASID from whatever address space has it.
    pub(crate) fn unassign_all<H: Host>(&mut self, memory: &Memory<'_>, host: &mut H) {
        self.unassign(memory, host, self.root);
    }

    /// What the host shows if all is well: by virtual address the physical one, the size and the access.
    #[cfg(feature = "testing")]
    pub(crate) fn pages(&self, memory: &Memory<'_>) -> std::collections::BTreeMap<u64, (u64, u64, Access)> {
        let mut pages = std::collections::BTreeMap::new();
        let mut left = std::vec::Vec::new();
        left.extend(self.find(Self::ASID).map(|root| (root, Level::Pml4, 0)));
        while let Some((table, level, first)) = left.pop() {
            for index in 0..ENTRIES {
                let entry = self.entry(memory, Place(table, index));
                let address = canonical(first | index << level.entry_bits());
                match level.below() {
                    _ if !entry.is_present() || self.is_kernel(table, index) => {}
                    Some(below) if entry.is_table() => left.push((entry.paddr(), below, address)),
                    _ => {
                        let size = match level {
                            Level::Pdpt => FrameSize::Huge,
                            Level::PageDirectory => FrameSize::Large,
                            Level::PageTable | Level::Pml4 => FrameSize::Small,
                        };
                        let access = match entry.0 & (Entry::USER | Entry::WRITABLE) {
                            Entry::USER => Access::Read,
                            Entry::WRITABLE => continue,
                            _ => Access::ReadWrite,
                        };
                        let paddr = entry.0 & Entry::ADDRESS & !(size.bytes() - 1);
                        pages.insert(address, (paddr, size.bytes(), access));
                    }
                }
            }
        }
        pages
    }

    /// Unmaps at the host what a table shows that stands for the addresses from `first` on.
    fn hide_below<H: Host>(&self, memory: &Memory<'_>, host: &mut H, table: u64, level: Level, first: u64) {
        let bits = level.entry_bits();
        for index in 0..ENTRIES {
            if self.is_kernel(table, index) {
                continue;
            }
            let entry = self.entry(memory, Place(table, index));
            let address = canonical(first.wrapping_add(index << bits));
            match level.below() {
                _ if !entry.is_present() => {}
                Some(below) if entry.is_table() => {
                    self.hide_below(memory, host, entry.paddr(), below, address);
                }
                // One call for all pages of a page table, where nothing but them can be.
                None if host.is_free(first, FrameSize::Large.bytes()) => {
                    host.unmap(first, FrameSize::Large.bytes());
                    return;
                }
                _ => host.unmap(address, 1 << bits),
            }
        }
    }
}

/// What [`VSpace::map_page`] shows, where and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageMapping {
    pub(crate) address: u64,
    pub(crate) paddr: u64,
    pub(crate) size: FrameSize,
    pub(crate) access: Option<Access>,
    pub(crate) attributes: u64,
}

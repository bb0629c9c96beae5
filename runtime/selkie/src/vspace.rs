//! The function's address space: ranges of addresses, and pages mapped to them.
//!
//! Paging structures are made when a page needs them and are kept.

use crate::{
    cap::{
        Attributes, Capability, LargePage, Object, ObjectType, Page, PageDirectory, PageTable, Pdpt, Pml4,
        Rights, Slot, Structure,
    },
    error::{Error, LookupFailure, Result},
    memory::{Memory, RawObjects},
    sync::Mutex,
};
use core::ops::Range;
use selkie_base::Ranges;
use selkie_sys::mapping;

/// Bytes of a page.
pub const PAGE: usize = 4096;
/// Bytes of a large page.
pub const LARGE: usize = 1 << 21;
/// Where the runtime maps memory: above the function's image, and below 4 GiB as long as there is room,
/// because seL4 5.0.0 reports only 32 bits of a fault's address.
const FIRST: usize = 0x1000_0000;
/// Here lie large pages, so that no page table of small ones is in their way.
const LARGE_ONLY: Range<usize> = 0x8000_0000..0x4000_0000_0000;
const END: usize = 0x7000_0000_0000;

/// Free addresses of the function's own address space.
struct Free {
    /// For pages of 4 KiB: page tables may lie there.
    small: Ranges<32>,
    /// For large pages, in multiples of [`LARGE`]: no page table lies there.
    large: Ranges<32>,
}

static FREE: Mutex<Free> = Mutex::new(Free { small: Ranges::empty(), large: Ranges::empty() });

/// Makes the addresses above the image available: once, at start-up.
pub(crate) fn init(image_end: usize) {
    let mut free = FREE.lock();
    let first = FIRST.max(image_end.next_multiple_of(LARGE));
    free.small.give(first, LARGE_ONLY.start);
    free.small.give(LARGE_ONLY.end, END);
    free.large.give(LARGE_ONLY.start.max(first), LARGE_ONLY.end);
}

/// Takes `size` bytes of addresses, at a multiple of `align` (a power of two). Nothing is mapped there.
/// Where `align` is at least [`LARGE`], large pages fit.
pub fn reserve(size: usize, align: usize) -> Result<usize> {
    let unit = if align < LARGE { PAGE } else { LARGE };
    let size = size.max(1).checked_next_multiple_of(unit).ok_or(Error::NoAddresses)?;
    let mut free = FREE.lock();
    let ranges = if align < LARGE { &mut free.small } else { &mut free.large };
    ranges.take(size, align.max(PAGE)).ok_or(Error::NoAddresses)
}

/// Gives addresses back, with the size that they were reserved with. Nothing is mapped there any more.
/// Only large pages have been where they were reserved for large pages.
pub fn release(address: usize, size: usize) {
    let mut free = FREE.lock();
    let large = LARGE_ONLY.contains(&address);
    let ranges = if large { &mut free.large } else { &mut free.small };
    ranges.give(address, address + size.next_multiple_of(if large { LARGE } else { PAGE }));
}

/// A kind of page.
pub trait AnyPage: Object {
    /// Bytes of a page of this kind.
    const SIZE: usize;
}

impl AnyPage for Page {
    const SIZE: usize = PAGE;
}

impl AnyPage for LargePage {
    const SIZE: usize = LARGE;
}

/// Maps `page` at `address` of the address space `root` and makes the paging structures that are missing.
pub fn map_page<P: AnyPage>(
    memory: &mut Memory,
    root: Pml4,
    page: P,
    address: usize,
    rights: Rights,
    attributes: Attributes,
) -> Result<()> {
    map_slot(memory, root, page.slot(), address, rights, attributes)
}

fn map_slot(
    memory: &mut Memory,
    root: Pml4,
    page: Slot,
    address: usize,
    rights: Rights,
    attributes: Attributes,
) -> Result<()> {
    loop {
        let Err(error) = crate::cap::map_page(page, root, address, rights, attributes) else {
            return Ok(());
        };
        add_structure(memory, root, address, error)?;
    }
}

/// Makes and maps the paging structure that `error` says is missing above `address`, and those above it.
fn add_structure(memory: &mut Memory, root: Pml4, address: usize, error: Error) -> Result<()> {
    let Error::FailedLookup { failure: LookupFailure::MissingCapability { bits_left }, .. } = error else {
        return Err(error);
    };
    let object = match bits_left {
        mapping::LOOKUP_NO_PT => ObjectType::PageTable,
        mapping::LOOKUP_NO_PD => ObjectType::PageDirectory,
        mapping::LOOKUP_NO_PDPT => ObjectType::Pdpt,
        _ => return Err(error),
    };
    let structure = memory.make(object, 1)?;
    loop {
        let slot = structure.first;
        let mapped = match object {
            ObjectType::PageTable => PageTable::at(slot).map(root, address),
            ObjectType::PageDirectory => PageDirectory::at(slot).map(root, address),
            _ => Pdpt::at(slot).map(root, address),
        };
        let Err(error) = mapped else { return Ok(()) };
        if let Err(error) = add_structure(memory, root, address, error) {
            memory.destroy_raw(structure)?;
            return Err(error);
        }
    }
}

/// Maps pages of `size` bytes one after the other, from `address` on, readable and writable.
pub(crate) fn map_pages(memory: &mut Memory, pages: &RawObjects, size: usize, address: usize) -> Result<()> {
    for index in 0..pages.count as usize {
        let (page, at) = (pages.first.offset(index), address + index * size);
        map_slot(memory, Pml4::OWN, page, at, Rights::READ_WRITE, Attributes::WriteBack)?;
    }
    Ok(())
}

/// Blocks that the memory of one [`Mapping`] can be made of.
const BLOCKS: usize = 24;

/// Ordinary memory, mapped readable and writable and filled with zeros.
///
/// Dropping it leaves the memory mapped for ever; [`Mapping::unmap`] gives it back.
#[derive(Debug)]
#[must_use = "the memory can only be given back through this value"]
pub struct Mapping {
    address: usize,
    size: usize,
    /// Bytes below it that nothing is mapped to.
    guard: usize,
    blocks: [Option<Block>; BLOCKS],
}

/// Pages of one size.
#[derive(Debug)]
struct Block {
    pages: RawObjects,
    large: bool,
}

impl Mapping {
    /// Maps `size` bytes, rounded up to whole pages. Large pages are used where they fit.
    pub fn new(memory: &mut Memory, size: usize) -> Result<Self> {
        let align = if size >= LARGE { LARGE } else { PAGE };
        let size = size.checked_next_multiple_of(PAGE).ok_or(Error::NoAddresses)?;
        Self::at(memory, reserve(size, align)?, size, 0)
    }

    /// The same with a page below it that nothing is mapped to. Large pages are not used.
    pub fn with_guard(memory: &mut Memory, size: usize) -> Result<Self> {
        let size = size.checked_next_multiple_of(PAGE).ok_or(Error::NoAddresses)?;
        let whole = size.checked_add(PAGE).ok_or(Error::NoAddresses)?;
        Self::at(memory, reserve(whole, PAGE)? + PAGE, size, PAGE)
    }

    fn at(memory: &mut Memory, address: usize, size: usize, guard: usize) -> Result<Self> {
        let mut mapping = Self { address, size, guard, blocks: [const { None }; BLOCKS] };
        match mapping.fill(memory) {
            Ok(()) => Ok(mapping),
            Err(error) => {
                mapping.unmap(memory)?;
                Err(error)
            }
        }
    }

    /// Where it begins.
    pub fn address(&self) -> usize {
        self.address
    }

    /// How many bytes it has.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The page of 4 KiB that is mapped at `offset`, if it is one.
    pub fn page(&self, offset: usize) -> Option<Page> {
        let mut start = 0;
        for block in self.blocks.iter().flatten() {
            let size = block.size();
            if offset < start + size {
                let page = block.pages.first.offset((offset - start) / PAGE);
                return (!block.large).then(|| Page::at(page));
            }
            start += size;
        }
        None
    }

    /// Unmaps the memory and gives it back. Whoever still refers to it gets a fault.
    pub fn unmap(self, memory: &mut Memory) -> Result<()> {
        let mut size = self.size;
        if LARGE_ONLY.contains(&self.address) {
            // Small pages leave their page table behind, in the way of large ones: neither it nor those
            // addresses, at the end, are used again.
            size = self.blocks.iter().flatten().filter(|block| block.large).map(Block::size).sum();
        }
        for block in self.blocks.into_iter().flatten() {
            memory.destroy_raw(block.pages)?;
        }
        release(self.address - self.guard, self.guard + size);
        Ok(())
    }

    /// Halves the size of the next block until there is memory for it.
    fn fill(&mut self, memory: &mut Memory) -> Result<()> {
        let (mut done, mut most) = (0, usize::MAX);
        for place in 0..BLOCKS {
            let left = self.size - done;
            if left == 0 {
                return Ok(());
            }
            let mut size = (1 << left.ilog2()).min(most);
            if self.guard != 0 {
                size = size.min(LARGE / 2);
            }
            let block = loop {
                match Block::new(memory, size) {
                    Err(Error::NoMemory) if size > PAGE => size /= 2,
                    other => break other?,
                }
            };
            let block = self.blocks[place].insert(block);
            map_pages(memory, &block.pages, block.page_size(), self.address + done)?;
            (done, most) = (done + size, size);
        }
        if done == self.size { Ok(()) } else { Err(Error::NoMemory) }
    }
}

impl Block {
    fn new(memory: &mut Memory, size: usize) -> Result<Self> {
        let large = size >= LARGE;
        let (object, page) = if large { (ObjectType::LargePage, LARGE) } else { (ObjectType::Page, PAGE) };
        Ok(Self { pages: memory.make(object, size / page)?, large })
    }

    fn page_size(&self) -> usize {
        if self.large { LARGE } else { PAGE }
    }

    fn size(&self) -> usize {
        self.pages.count as usize * self.page_size()
    }
}

//! The address space: structures and pages, mapped, shared, taken away.

mod copies;
mod frames;
mod image;
mod levels;
pub mod second;

selkie_sys::when!(page_remap { mod remap; } else {
    #[path = "paging/map_again.rs"]
    mod remap;
});

use crate::{kernel, tap::Tap};
use selkie::{
    LookupFailure,
    cap::{Attributes, Capability, LargePage, Page, PageDirectory, PageTable, Pdpt, Pml4, Rights, Structure},
    memory::Objects,
    prelude::*,
    vspace,
};

const BACK: Attributes = Attributes::WriteBack;
const RW: Rights = Rights::READ_WRITE;
/// Far from everything else: nothing below the root exists here.
const FAR: usize = 0x7100_0000_0000;

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    structures(tap, sys)?;
    pages(tap, sys)?;
    large_pages(tap, sys)?;
    refusals(tap, sys)?;
    levels::run(tap, sys)?;
    frames::run(tap, sys)?;
    image::run(tap, sys)
}

/// One structure of each level.
struct Tree {
    pdpt: Objects<Pdpt>,
    directory: Objects<PageDirectory>,
    table: Objects<PageTable>,
}

impl Tree {
    fn new(sys: &mut System) -> Result<Self> {
        Ok(Self { pdpt: sys.memory.create()?, directory: sys.memory.create()?, table: sys.memory.create()? })
    }

    /// Maps all of them at [`FAR`].
    fn map(&self) -> Result<()> {
        self.map_in(Pml4::OWN)
    }

    /// The same in any address space.
    fn map_in(&self, root: Pml4) -> Result<()> {
        self.pdpt.cap().map(root, FAR)?;
        self.directory.cap().map(root, FAR)?;
        self.table.cap().map(root, FAR)
    }

    /// Takes them out again.
    fn unmap(&self) -> Result<()> {
        self.table.cap().unmap()?;
        self.directory.cap().unmap()?;
        self.pdpt.cap().unmap()
    }

    fn end(self, sys: &mut System) -> Result<()> {
        sys.memory.destroy(self.table)?;
        sys.memory.destroy(self.directory)?;
        sys.memory.destroy(self.pdpt)
    }
}

/// Maps a page with the usual rights and attributes.
fn map(page: Page, address: usize) -> Result<()> {
    page.map(Pml4::OWN, address, RW, BACK)
}

/// The same where it is mapped already.
fn remap(page: Page) -> Result<()> {
    page.remap(Pml4::OWN, FAR, RW, BACK)
}

fn missing(result: Result<()>) -> Option<u64> {
    match result {
        Err(Error::FailedLookup { failure: LookupFailure::MissingCapability { bits_left }, .. }) => {
            Some(bits_left)
        }
        _ => None,
    }
}

fn structures(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let root = Pml4::OWN;
    let (page, table) = (sys.memory.create::<Page>()?, sys.memory.create::<PageTable>()?);
    let (directory, pdpt) = (sys.memory.create::<PageDirectory>()?, sys.memory.create::<Pdpt>()?);
    tap.is("a page without PDPT", missing(page.cap().map(root, FAR, RW, BACK)), Some(39));
    tap.is("a page table without PDPT", missing(table.cap().map(root, FAR)), Some(39));
    tap.is("a page directory without PDPT", missing(directory.cap().map(root, FAR)), Some(39));
    tap.is("map a PDPT", pdpt.cap().map(root, FAR), Ok(()));
    tap.is("a page table without page directory", missing(table.cap().map(root, FAR)), Some(30));
    tap.is("map a page directory", directory.cap().map(root, FAR), Ok(()));
    tap.is("a page without page table", missing(page.cap().map(root, FAR, RW, BACK)), Some(21));
    tap.is("map a page table", table.cap().map(root, FAR), Ok(()));
    tap.is("map a page", page.cap().map(root, FAR, RW, BACK), Ok(()));
    tap.is("the page can be used", write_and_read(FAR, 0x5e14), 0x5e14);
    tap.yes("map a PDPT twice", pdpt.cap().map(root, FAR).is_err());
    let second = sys.memory.create::<PageTable>()?;
    tap.is("a second page table in one place", second.cap().map(root, FAR), Err(Error::DeleteFirst));
    tap.is("unmap a page table", table.cap().unmap(), Ok(()));
    tap.is("then another one fits", second.cap().map(root, FAR), Ok(()));
    tap.is("and the page again", page.cap().unmap().and(page.cap().map(root, FAR, RW, BACK)), Ok(()));
    tap.is("what was in the page is still there", read(FAR), 0x5e14);
    page.cap().unmap()?;
    tap.is("unmap a page directory", directory.cap().unmap(), Ok(()));
    tap.is("unmap a PDPT", pdpt.cap().unmap(), Ok(()));
    sys.memory.destroy(second)?;
    sys.memory.destroy(page)?;
    sys.memory.destroy(table)?;
    sys.memory.destroy(directory)?;
    sys.memory.destroy(pdpt)
}

fn pages(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let address = vspace::reserve(2 * vspace::PAGE, vspace::PAGE)?;
    let page = sys.memory.create::<Page>()?;
    tap.is(
        "structures are made on demand",
        vspace::map_page(&mut sys.memory, Pml4::OWN, page.cap(), address, RW, BACK),
        Ok(()),
    );
    tap.is("a fresh page is zero", read(address), 0);
    let copy = sys.memory.slot()?;
    copy.place().copy(page.cap().place(), Rights::ALL)?;
    let copy = Page::at(copy);
    let next = address + vspace::PAGE;
    tap.is(
        "map a copy elsewhere",
        vspace::map_page(&mut sys.memory, Pml4::OWN, copy, next, RW, BACK),
        Ok(()),
    );
    write_and_read(address, 0xc0de);
    tap.is("both show the same memory", read(next), 0xc0de);
    tap.is("both have the same address", copy.address(), page.cap().address());
    tap.is("the runtime knows that address", page.cap().address(), Ok(sys.memory.paddr(&page)));
    tap.is("remap without the right to write", copy.remap(Pml4::OWN, next, Rights::READ, BACK), Ok(()));
    tap.is("what is read-only can be read", read(next), 0xc0de);
    tap.is("remap as memory of a device", copy.remap(Pml4::OWN, next, RW, Attributes::Uncacheable), Ok(()));
    tap.is("it can still be used", write_and_read(next, 0xd00d), 0xd00d);
    tap.is("unmap", copy.unmap(), Ok(()));
    tap.is("unmap again", copy.unmap(), Ok(()));
    let unmapped = copy.remap(Pml4::OWN, next, RW, BACK);
    tap.is("remap of a page that is not mapped", unmapped.is_ok(), !kernel::REMAP);
    copy.unmap()?;
    tap.is("the first mapping stays", read(address), 0xd00d);
    copy.place().delete()?;
    sys.memory.release_slots(copy.slot(), 1);
    sys.memory.destroy(page)?;
    vspace::release(address, 2 * vspace::PAGE);
    let mapping = sys.map(64 << 10)?;
    tap.is("memory of the runtime is zero", read(mapping.address() + (60 << 10)), 0);
    mapping.unmap(&mut sys.memory)
}

fn large_pages(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let address = vspace::reserve(vspace::LARGE, vspace::LARGE)?;
    let page = sys.memory.create::<LargePage>()?;
    tap.is(
        "map a large page",
        vspace::map_page(&mut sys.memory, Pml4::OWN, page.cap(), address, RW, BACK),
        Ok(()),
    );
    tap.is("its last word", write_and_read(address + vspace::LARGE - 8, 0x1a57), 0x1a57);
    tap.is("its address is aligned", page.cap().address().map(|paddr| paddr % vspace::LARGE as u64), Ok(0));
    tap.is(
        "a large page that is not aligned",
        page.cap().unmap().and(page.cap().map(Pml4::OWN, address + vspace::PAGE, RW, BACK)),
        Err(Error::Alignment),
    );
    sys.memory.destroy(page)?;
    vspace::release(address, vspace::LARGE);
    Ok(())
}

fn refusals(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let pages = sys.memory.create_many::<Page>(2)?;
    let (one, other) = (pages.cap(), Page::at(pages.cap().slot().offset(1)));
    let address = vspace::reserve(2 * vspace::PAGE, vspace::PAGE)?;
    vspace::map_page(&mut sys.memory, Pml4::OWN, one, address, RW, BACK)?;
    tap.is("an occupied address", other.map(Pml4::OWN, address, RW, BACK), kernel::occupied());
    other.unmap()?;
    // Where it took the place, the first one knows nothing of it.
    one.unmap()?;
    one.map(Pml4::OWN, address, RW, BACK)?;
    tap.is(
        "an address that is not aligned",
        other.map(Pml4::OWN, address + 8, RW, BACK),
        Err(Error::Alignment),
    );
    tap.is(
        "an address of the kernel",
        other.map(Pml4::OWN, 0xffff_ffff_8000_0000, RW, BACK),
        Err(Error::InvalidArgument { number: 0 }),
    );
    tap.yes("a page that is mapped elsewhere", one.map(Pml4::OWN, address + vspace::PAGE, RW, BACK).is_err());
    tap.is(
        "a page as the address space",
        other.map(Pml4::at(one.slot()), address + vspace::PAGE, RW, BACK),
        Err(Error::InvalidCapability { number: 1 }),
    );
    sys.memory.destroy(pages)?;
    vspace::release(address, 2 * vspace::PAGE);
    Ok(())
}

fn read(address: usize) -> u64 {
    // SAFETY: callers have mapped the page, and no Rust value lies in it.
    unsafe { (address as *const u64).read_volatile() }
}

fn write_and_read(address: usize, word: u64) -> u64 {
    // SAFETY: as in `read`; the page is writable.
    unsafe { (address as *mut u64).write_volatile(word) };
    read(address)
}

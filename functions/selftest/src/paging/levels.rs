//! Paging structures, level by level: what each needs, refuses, and leaves behind.

use super::{FAR, Tree};
use crate::{
    kernel,
    raw::{End, argument, ask, capability, delete_first, done, missing, too_short},
    tap::Tap,
};
use selkie::{
    cap::{CNode, Capability, Page, PageDirectory, PageTable, Pml4, Slot, Structure},
    prelude::*,
};
use selkie_sys::{Word, label, when};

/// Where the kernel's addresses begin.
const KERNEL: Word = 0xffff_ff80_0000_0000;
const ROOT: Slot = Slot(selkie_sys::slot::VSPACE);

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    refusals(tap, sys)?;
    rounding(tap, sys)?;
    cleared(tap, sys)?;
    deleted(tap, sys)?;
    other_operations(tap, sys)
}

/// The same questions to each level, from the top.
fn refusals(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let tree = Tree::new(sys)?;
    let second = Tree::new(sys)?;
    let page = sys.memory.create::<Page>()?;
    let levels = [
        ("a PDPT", tree.pdpt.cap().slot(), second.pdpt.cap().slot(), label::X86_PDPT_MAP, None),
        (
            "a page directory",
            tree.directory.cap().slot(),
            second.directory.cap().slot(),
            label::X86_PAGE_DIRECTORY_MAP,
            Some(39),
        ),
        (
            "a page table",
            tree.table.cap().slot(),
            second.table.cap().slot(),
            label::X86_PAGE_TABLE_MAP,
            Some(30),
        ),
    ];
    for (what, slot, twin, label, bits) in levels {
        let map = |slot: Slot, address: Word, root: Slot| ask(slot, label, &[address, 0], &[root]);
        let far = FAR as Word;
        too_short(tap, what, slot, label, &[far, 0], &[ROOT]);
        for (root, wrong) in
            [("a page", page.cap().slot()), ("a CNode", CNode::OWN.slot()), ("nothing", Slot::NULL)]
        {
            tap.is(&format!("{what} into {root}"), map(slot, far, wrong), capability(1));
        }
        tap.is(&format!("{what} at an address of the kernel"), map(slot, KERNEL, ROOT), argument(0));
        tap.is(&format!("{what} at the last address"), map(slot, Word::MAX, ROOT), argument(0));
        tap.is(
            &format!("{what} into a page, at an address of the kernel"),
            map(slot, KERNEL, page.cap().slot()),
            capability(1),
        );
        if let Some(bits) = bits {
            // One more address that has nothing above it.
            let nowhere = map(slot, 0x7500_0000_0000, ROOT);
            tap.is(&format!("{what} where nothing is above it"), nowhere, missing(End::Target, 39));
            tap.yes(&format!("{what}: levels above are there"), bits <= 39);
        }
        tap.is(&format!("{what} can be mapped"), map(slot, far, ROOT), done());
        tap.is(&format!("{what} twice"), map(slot, far, ROOT), capability(0));
        tap.is(&format!("{what} twice, into a page"), map(slot, far, page.cap().slot()), capability(0));
        tap.is(&format!("{what} where there is one"), map(twin, far, ROOT), delete_first());
    }
    tree.unmap()?;
    sys.memory.destroy(page)?;
    second.end(sys)?;
    tree.end(sys)
}

/// Addresses of structures are rounded down to what the structure covers.
fn rounding(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let tree = Tree::new(sys)?;
    let page = sys.memory.create::<Page>()?;
    tap.is(
        "a PDPT somewhere within what it covers",
        tree.pdpt.cap().map(Pml4::OWN, FAR + 0x12_3456_7891),
        Ok(()),
    );
    tap.is("a page directory likewise", tree.directory.cap().map(Pml4::OWN, FAR + 0x3456_7891), Ok(()));
    tap.is("a page table likewise", tree.table.cap().map(Pml4::OWN, FAR + 0x1f_ffff), Ok(()));
    tap.is("then a page fits at the beginning", super::map(page.cap(), FAR), Ok(()));
    tap.is("and can be used", super::write_and_read(FAR, 0xbe91), 0xbe91);
    page.cap().unmap()?;
    let next = super::map(page.cap(), FAR + 0x20_0000);
    tap.is("what the next page table would cover is empty", super::missing(next), Some(21));
    let next = super::map(page.cap(), FAR + 0x4000_0000);
    tap.is("so is the next page directory", super::missing(next), Some(30));
    let next = super::map(page.cap(), FAR + 0x80_0000_0000);
    tap.is("so is the next PDPT", super::missing(next), Some(39));
    tree.unmap()?;
    sys.memory.destroy(page)?;
    tree.end(sys)
}

/// A structure that is unmapped forgets what was in it; the capabilities of that do not know.
fn cleared(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let tree = Tree::new(sys)?;
    let pages = sys.memory.create_many::<Page>(2)?;
    let (page, other) = (pages.cap(), Page::at(pages.cap().slot().offset(1)));
    tree.map()?;
    super::map(page, FAR)?;
    super::write_and_read(FAR, 0x01d);
    tree.table.cap().unmap()?;
    tap.is("remap of a page whose table is gone", super::missing(super::remap(page)), Some(21));
    tree.table.cap().map(Pml4::OWN, FAR)?;
    tap.is(
        "map of a page that knows nothing of it",
        super::map(page, FAR),
        if kernel::REMAP { Err(Error::InvalidCapability { number: 0 }) } else { Ok(()) },
    );
    tap.is("the table is empty: another page fits", super::map(other, FAR), Ok(()));
    tap.is("it is the other one", super::read(FAR), 0);
    tap.is("unmap of the first leaves it alone", page.unmap(), Ok(()));
    tap.is("it is still there", super::read(FAR), 0);
    tap.is("the first can be mapped elsewhere", super::map(page, FAR + 0x1000), Ok(()));
    tap.is("and has kept what was in it", super::read(FAR + 0x1000), 0x01d);
    tree.directory.cap().unmap()?;
    let again = tree.table.cap().map(Pml4::OWN, FAR);
    tap.is("a table whose directory is gone", again, Err(Error::InvalidCapability { number: 0 }));
    tap.is("unmap it", tree.table.cap().unmap(), Ok(()));
    tap.is(
        "map it where there is no directory",
        super::missing(tree.table.cap().map(Pml4::OWN, FAR)),
        Some(30),
    );
    tree.directory.cap().map(Pml4::OWN, FAR)?;
    tap.is("map it where there is one again", tree.table.cap().map(Pml4::OWN, FAR), Ok(()));
    page.unmap()?;
    tap.is("the page fits again", super::map(page, FAR), Ok(()));
    tree.pdpt.cap().unmap()?;
    tap.is("without the PDPT there is nothing", super::missing(super::remap(page)), Some(39));
    tree.unmap()?;
    sys.memory.destroy(pages)?;
    tree.end(sys)
}

/// A structure goes with its last capability.
fn deleted(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let tree = Tree::new(sys)?;
    let page = sys.memory.create::<Page>()?;
    let table = sys.memory.create::<PageTable>()?;
    let directory = sys.memory.create::<PageDirectory>()?;
    tree.pdpt.cap().map(Pml4::OWN, FAR)?;
    directory.cap().map(Pml4::OWN, FAR)?;
    table.cap().map(Pml4::OWN, FAR)?;
    super::map(page.cap(), FAR)?;
    sys.memory.destroy(table)?;
    tap.is("a deleted page table is unmapped", super::missing(super::remap(page.cap())), Some(21));
    tap.is("another fits in its place", tree.table.cap().map(Pml4::OWN, FAR), Ok(()));
    sys.memory.destroy(directory)?;
    tap.is("a deleted page directory is unmapped", super::missing(super::remap(page.cap())), Some(30));
    tap.is("another fits there", tree.directory.cap().map(Pml4::OWN, FAR), Ok(()));
    tree.unmap()?;
    sys.memory.destroy(page)?;
    tree.end(sys)
}

/// What seL4 5.0.0 has labels for, and does not do.
fn other_operations(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let tree = Tree::new(sys)?;
    let bits = tree.directory.cap().status_bits(FAR);
    tap.is("status bits of a page directory", bits, Err(Error::IllegalOperation));
    when!(io_labels {
        for (what, slot) in
            [("a page table", tree.table.cap().slot()), ("a page directory", tree.directory.cap().slot())]
        {
            let io = ask(slot, label::X86_IO_PAGE_TABLE_MAP, &[0], &[Slot::NULL]);
            tap.is(&format!("{what} for a device"), io, crate::raw::illegal());
        }
    } else {});
    tree.end(sys)
}

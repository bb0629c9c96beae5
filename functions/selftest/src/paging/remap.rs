//! An invocation of its own changes how a page is mapped: seL4 5.0.0 to 10.

use super::{FAR, Tree};
use crate::{
    raw::{End, answer, ask, capability, done, illegal, missing, too_short},
    tap::Tap,
};
use selkie::{
    cap::{Capability, Page, Pml4, Rights, Slot, Structure},
    prelude::*,
};
use selkie_sys::{Word, label, when};

const ROOT: Slot = Slot(selkie_sys::slot::VSPACE);

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let tree = Tree::new(sys)?;
    let pages = sys.memory.create_many::<Page>(2)?;
    let (page, other) = (pages.cap(), Page::at(pages.cap().slot().offset(1)));
    let slot = page.slot();
    let remap = |words: &[Word], root: Slot| ask(slot, label::X86_PAGE_REMAP, words, &[root]);
    tap.is("remap of what is not mapped", remap(&[3, 0], ROOT), illegal());
    tap.is("it comes before the length", ask(slot, label::X86_PAGE_REMAP, &[], &[]), illegal());
    tree.map()?;
    super::map(page, FAR)?;
    too_short(tap, "a remap", slot, label::X86_PAGE_REMAP, &[3, 0], &[ROOT]);
    tap.is("remap into a page", remap(&[3, 0], other.slot()), capability(1));
    tap.is("remap into nothing", remap(&[3, 0], Slot::NULL), capability(1));
    tap.is("remap", remap(&[3, 0], ROOT), done());
    tap.is("remap again", remap(&[3, 0], ROOT), done());
    tree.table.cap().unmap()?;
    tap.is("remap once the page table is gone", remap(&[3, 0], ROOT), missing(End::Target, 21));
    tree.table.cap().map(Pml4::OWN, FAR)?;
    tap.is("remap puts the page into an emptied table", remap(&[3, 0], ROOT), done());
    tap.is("where it was", super::write_and_read(FAR, 0xaa), 0xaa);
    page.unmap()?;
    tap.is(
        "unmap of what is not mapped says nothing",
        ask(slot, label::X86_PAGE_UNMAP, &[7, 8], &[]),
        answer(label::X86_PAGE_UNMAP, &[7, 8]),
    );
    for_devices(tap, slot, other.slot());
    tree.unmap()?;
    sys.memory.destroy(pages)?;
    tree.end(sys)
}

/// seL4 5.0.0 unmaps a page only with its last capability.
pub fn copies(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let tree = Tree::new(sys)?;
    let page = sys.memory.create::<Page>()?;
    let slot = sys.memory.slot()?;
    tree.map()?;
    super::map(page.cap(), FAR)?;
    super::write_and_read(FAR, 0xc0);
    tap.is("copy of a mapped page", slot.place().copy(page.cap().place(), Rights::ALL), Ok(()));
    let copy = Page::at(slot);
    tap.is("the copy is not mapped", super::remap(copy), Err(Error::IllegalOperation));
    tap.is("so it can be", super::map(copy, FAR + 0x1000), Ok(()));
    tap.is("both show the same", super::read(FAR + 0x1000), 0xc0);
    tap.is("delete of a mapped copy", slot.place().delete(), Ok(()));
    tap.is("leaves it mapped", super::read(FAR + 0x1000), 0xc0);
    slot.place().copy(page.cap().place(), Rights::ALL)?;
    tap.is("the place stays taken", super::map(copy, FAR + 0x1000), Err(Error::DeleteFirst));
    tap.is("move of a mapped page", copy_move(page.cap(), slot), Ok(()));
    tap.is("it is mapped still", super::read(FAR), 0xc0);
    // Only a structure that is unmapped takes away what nobody can unmap.
    tree.table.cap().unmap()?;
    tree.table.cap().map(Pml4::OWN, FAR)?;
    tap.is(
        "an emptied table has room again",
        super::map(Page::at(slot), FAR + 0x1000),
        Err(Error::InvalidCapability { number: 0 }),
    );
    Page::at(slot).unmap()?;
    tap.is("for a page that is not mapped", super::map(Page::at(slot), FAR + 0x1000), Ok(()));
    page.cap().place().take(slot.place())?;
    let untouched = super::read(FAR + 0x1000);
    sys.memory.destroy(page)?;
    tap.is("what was in it", untouched, 0xc0);
    let next = sys.memory.create::<Page>()?;
    tap.is("the last capability unmaps: the place is free", super::map(next.cap(), FAR + 0x1000), Ok(()));
    sys.memory.release_slots(slot, 1);
    next.cap().unmap()?;
    tree.unmap()?;
    sys.memory.destroy(next)?;
    tree.end(sys)
}

/// Deletes the copy in `slot`, and moves the page there.
fn copy_move(page: Page, slot: Slot) -> Result<()> {
    slot.place().delete()?;
    slot.place().take(page.place())
}

/// What seL4 5.0.0 has labels for, and refuses without an IOMMU.
fn for_devices(tap: &mut Tap, slot: Slot, other: Slot) {
    when!(io_labels {
        too_short(tap, "a page for a device", slot, label::X86_PAGE_MAP_IO, &[3, 0], &[other]);
        let io = |cap: Slot| ask(slot, label::X86_PAGE_MAP_IO, &[3, 0], &[cap]);
        tap.is("a page for a device, in nothing", io(Slot::NULL), capability(0));
        tap.is("a page for a device, in a VSpace", io(ROOT), capability(0));
    } else {
        let _ = (tap, slot, other);
    });
}

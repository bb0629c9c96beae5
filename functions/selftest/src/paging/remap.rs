//! An invocation of its own changes how a page is mapped: seL4 5.0.0 to 10.

use super::{FAR, Tree};
use crate::{
    kernel,
    raw::{End, answer, ask, capability, done, illegal, missing, too_short, truncated},
    tap::Tap,
};
use selkie::{
    cap::{Capability, Page, Pml4, Slot, Structure},
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
    tap.is(
        "whether it comes before the length",
        ask(slot, label::X86_PAGE_REMAP, &[], &[]),
        kernel::from(10, truncated(), illegal()),
    );
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
        if kernel::since(10) { done() } else { answer(label::X86_PAGE_UNMAP, &[7, 8]) },
    );
    for_devices(tap, slot, other.slot());
    tree.unmap()?;
    sys.memory.destroy(pages)?;
    tree.end(sys)
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

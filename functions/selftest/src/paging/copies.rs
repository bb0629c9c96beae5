//! Copies of pages that are mapped, and what stays mapped when a capability goes.

use super::{FAR, Tree};
use crate::{kernel, tap::Tap};
use selkie::{
    cap::{Capability, Page, Pml4, Rights, Slot, Structure},
    prelude::*,
    thread::Builder,
};

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    if kernel::since(10) { each_its_own(tap, sys) } else { the_last(tap, sys) }
}

/// seL4 5.0.0 unmaps a page only with its last capability.
fn the_last(tap: &mut Tap, sys: &mut System) -> Result<()> {
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

/// A page can be mapped where one is, and takes its place; a capability that is deleted takes its own mapping with it.
fn each_its_own(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let tree = Tree::new(sys)?;
    let pages = sys.memory.create_many::<Page>(2)?;
    let (page, other) = (pages.cap(), Page::at(pages.cap().slot().offset(1)));
    let slot = sys.memory.slot()?;
    let next = FAR + 0x1000;
    tree.map()?;
    super::map(page, FAR)?;
    super::write_and_read(FAR, 0xc0);
    tap.is("copy of a mapped page", slot.place().copy(page.place(), Rights::ALL), Ok(()));
    let copy = Page::at(slot);
    tap.is("the copy is not mapped: it can be, elsewhere", super::map(copy, next), Ok(()));
    tap.is("both show the same", super::read(next), 0xc0);
    tap.is("delete of a mapped copy", slot.place().delete(), Ok(()));
    tap.yes("unmaps it", faults(sys, next)?);
    tap.is("the other stays", super::read(FAR), 0xc0);
    slot.place().take(page.place())?;
    tap.is("move of a mapped page: it is mapped still", super::read(FAR), 0xc0);
    page.place().take(slot.place())?;
    // Which of both a read sees then is a matter of what the processor remembers.
    tap.is("a page where there is one", super::map(other, FAR), Ok(()));
    tap.is("unmap of the first", page.unmap(), Ok(()));
    tap.is("the first can be mapped again", super::map(page, next), Ok(()));
    tap.is("and has kept what was in it", super::read(next), 0xc0);
    sys.memory.release_slots(slot, 1);
    sys.memory.destroy(pages)?;
    tap.yes("pages are unmapped with their last capabilities", faults(sys, FAR)? && faults(sys, next)?);
    tree.unmap()?;
    tree.end(sys)
}

/// Whether a read from `address` is a fault.
fn faults(sys: &mut System, address: usize) -> Result<bool> {
    let handler = sys.memory.create::<Endpoint>()?;
    let endpoint = handler.cap();
    let thread = Builder::new().fault_endpoint(endpoint).spawn(sys, move || {
        super::read(address);
        endpoint.send(&Message::new(selkie_sys::fault::UNKNOWN_SYSCALL));
    })?;
    let label = endpoint.recv().message.label();
    if label == selkie_sys::fault::VM_FAULT {
        // SAFETY: the thread waits for a reply that never comes, and holds no lock.
        unsafe { thread.kill(sys)? };
    } else {
        thread.join(sys)?;
    }
    sys.memory.destroy(handler)?;
    Ok(label == selkie_sys::fault::VM_FAULT)
}

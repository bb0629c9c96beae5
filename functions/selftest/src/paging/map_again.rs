//! A page that is mapped is mapped again, where it is: later kernels change a mapping so.

use super::{FAR, Tree};
use crate::{
    raw::{End, argument, ask, capability, done, missing, too_short},
    tap::Tap,
};
use selkie::{
    cap::{Capability, Page, Pml4, Rights, Slot, Structure},
    prelude::*,
    thread::Builder,
};
use selkie_sys::{Word, label};

const ROOT: Slot = Slot(selkie_sys::slot::VSPACE);

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let tree = Tree::new(sys)?;
    let pages = sys.memory.create_many::<Page>(2)?;
    let (page, other) = (pages.cap(), Page::at(pages.cap().slot().offset(1)));
    let slot = page.slot();
    let again =
        |address: usize, root: Slot| ask(slot, label::X86_PAGE_MAP, &[address as Word, 3, 0], &[root]);
    tree.map()?;
    super::map(page, FAR)?;
    too_short(tap, "a second map", slot, label::X86_PAGE_MAP, &[FAR as Word, 3, 0], &[ROOT]);
    tap.is("a second map into a page", again(FAR, other.slot()), capability(1));
    tap.is("a second map into nothing", again(FAR, Slot::NULL), capability(1));
    tap.is("a second map", again(FAR, ROOT), done());
    tap.is("a third one", again(FAR, ROOT), done());
    tap.is("at another address", again(FAR + 0x1000, ROOT), argument(0));
    tap.is("at one that is not aligned", again(FAR + 8, ROOT), argument(0));
    tree.table.cap().unmap()?;
    tap.is("once the page table is gone", again(FAR, ROOT), missing(End::Target, 21));
    tree.table.cap().map(Pml4::OWN, FAR)?;
    tap.is("into an emptied table", again(FAR, ROOT), done());
    tap.is("where it was", super::write_and_read(FAR, 0xaa), 0xaa);
    page.unmap()?;
    tap.is("unmap of what is not mapped", ask(slot, label::X86_PAGE_UNMAP, &[7, 8], &[]), done());
    tap.is("then it can be mapped elsewhere", again(FAR + 0x1000, ROOT), done());
    page.unmap()?;
    tree.unmap()?;
    sys.memory.destroy(pages)?;
    tree.end(sys)
}

/// A page can be mapped where one is, and takes its place; a capability that is deleted takes its own mapping with it.
pub fn copies(tap: &mut Tap, sys: &mut System) -> Result<()> {
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

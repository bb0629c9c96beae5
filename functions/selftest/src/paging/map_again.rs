//! A page that is mapped is mapped again, where it is: later kernels change a mapping so.

use super::{FAR, Tree};
use crate::{
    raw::{End, argument, ask, capability, done, missing, too_short},
    tap::Tap,
};
use selkie::{
    cap::{Capability, Page, Pml4, Slot, Structure},
    prelude::*,
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

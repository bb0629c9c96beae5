//! Pages: every argument of a map and a remap, rights, copies, and what stays when a capability goes.

use super::{FAR, Tree};
use crate::{
    actor::{Actor, calm},
    fault::Handler,
    kernel,
    raw::{End, alignment, answer, argument, ask, capability, delete_first, done, missing, too_short},
    tap::Tap,
};
use core::arch::naked_asm;
use selkie::{
    cap::{Attributes, CNode, Capability, LargePage, Page, Pml4, Rights, Slot, Structure},
    prelude::*,
};
use selkie_sys::{Word, fault, label};

const ROOT: Slot = Slot(selkie_sys::slot::VSPACE);
/// Where the kernel's addresses begin.
const KERNEL: Word = 0xffff_ff80_0000_0000;

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    small(tap, sys)?;
    large(tap, sys)?;
    super::remap::run(tap, sys)?;
    addresses(tap, sys)?;
    super::copies::run(tap, sys)?;
    calm(sys, |sys| rights(tap, sys))
}

fn small(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let tree = Tree::new(sys)?;
    let pages = sys.memory.create_many::<Page>(2)?;
    let (page, other) = (pages.cap().slot(), pages.cap().slot().offset(1));
    let far = FAR as Word;
    let map =
        |page: Slot, address: Word, root: Slot| ask(page, label::X86_PAGE_MAP, &[address, 3, 0], &[root]);
    too_short(tap, "a page", page, label::X86_PAGE_MAP, &[far, 3, 0], &[ROOT]);
    tap.is("a page with nothing above it", map(page, far, ROOT), missing(End::Target, 39));
    tap.is("an alignment before what is missing", map(page, far + 0x800, ROOT), alignment());
    tap.is("an odd address", map(page, far + 1, ROOT), alignment());
    tap.is("a page at an address of the kernel", map(page, KERNEL, ROOT), argument(0));
    tap.is("a page that would reach into the kernel", map(page, KERNEL - 1, ROOT), argument(0));
    tap.is("the kernel before the alignment", map(page, KERNEL + 8, ROOT), argument(0));
    for (root, wrong) in [("a page", other), ("a CNode", CNode::OWN.slot()), ("nothing", Slot::NULL)] {
        tap.is(&format!("a page into {root}"), map(page, far, wrong), capability(1));
    }
    tap.is("a page into a page, at an address of the kernel", map(page, KERNEL, other), capability(1));
    tree.map()?;
    tap.is("a page", map(page, far, ROOT), done());
    let (twice, elsewhere, into) = if kernel::REMAP {
        (capability(0), capability(0), capability(0))
    } else {
        (done(), argument(0), capability(1))
    };
    tap.is("a page twice", map(page, far, ROOT), twice.clone());
    tap.is("a page at a second address", map(page, far + 0x1000, ROOT), elsewhere);
    tap.is("a page twice, into a page", map(page, far, other), into);
    tap.is("a page where there is one", map(other, far, ROOT), kernel::answer_where_occupied());
    pages.caps().last().map_or(Ok(()), Page::unmap)?;
    tap.is("a page at the end of the table", map(other, far + 0x1f_f000, ROOT), done());
    tap.is("the last word of that page", super::write_and_read(FAR + 0x1f_fff8, 0x1a57), 0x1a57);
    pages.caps().try_for_each(Page::unmap)?;
    for (what, attributes) in
        [("write-through", 1), ("uncacheable", 3), ("write-combining", 4), ("unknown", 0xf8)]
    {
        let mapped = ask(page, label::X86_PAGE_MAP, &[far, 3, attributes], &[ROOT]);
        tap.is(&format!("a page with the attribute {what}"), mapped, done());
        tap.is(
            &format!("it can be used with the attribute {what}"),
            super::write_and_read(FAR, attributes),
            attributes,
        );
        pages.cap().unmap()?;
    }
    let rights = ask(page, label::X86_PAGE_MAP, &[far, Word::MAX, 0], &[ROOT]);
    tap.is("rights beyond those there are", rights, done());
    tree.unmap()?;
    sys.memory.destroy(pages)?;
    tree.end(sys)
}

fn large(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let tree = Tree::new(sys)?;
    let (page, small) = (sys.memory.create::<LargePage>()?, sys.memory.create::<Page>()?);
    let other = sys.memory.create::<LargePage>()?;
    let far = FAR as Word;
    let map = |page: Slot, address: Word| ask(page, label::X86_PAGE_MAP, &[address, 3, 0], &[ROOT]);
    let slot = page.cap().slot();
    too_short(tap, "a large page", slot, label::X86_PAGE_MAP, &[far, 3, 0], &[ROOT]);
    tap.is("a large page without PDPT", map(slot, far), missing(End::Target, 39));
    tree.pdpt.cap().map(Pml4::OWN, FAR)?;
    tap.is("a large page without page directory", map(slot, far), missing(End::Target, 30));
    tree.directory.cap().map(Pml4::OWN, FAR)?;
    tap.is("a large page at a small page's address", map(slot, far + 0x1000), alignment());
    tap.is("a large page that would reach into the kernel", map(slot, KERNEL - 0x1000), argument(0));
    tap.is("a large page", map(slot, far), done());
    tap.is("a large page twice", map(slot, far), if kernel::REMAP { capability(0) } else { done() });
    tap.is("a large page where there is one", map(other.cap().slot(), far), kernel::answer_where_occupied());
    other.cap().unmap()?;
    page.cap().unmap()?;
    page.cap().map(Pml4::OWN, FAR, Rights::ALL, Attributes::WriteBack)?;
    tap.is("a large page beside it", map(other.cap().slot(), far + 0x20_0000), done());
    tap.is(
        "a page table where a large page is",
        tree.table.cap().map(Pml4::OWN, FAR),
        Err(Error::DeleteFirst),
    );
    tap.is("a small page where a large page is", map(small.cap().slot(), far), missing(End::Target, 21));
    tap.is(
        "words of both",
        (super::write_and_read(FAR + 0x1f_fff8, 1), super::write_and_read(FAR + 0x20_0000, 2)),
        (1, 2),
    );
    tap.is(
        "remap of a large page",
        page.cap().remap(Pml4::OWN, FAR, Rights::READ, Attributes::WriteBack),
        Ok(()),
    );
    tap.is("it can be read", super::read(FAR + 0x1f_fff8), 1);
    tap.is("unmap of a large page", page.cap().unmap(), Ok(()));
    tap.is(
        "unmap of it again says nothing",
        ask(slot, label::X86_PAGE_UNMAP, &[], &[]),
        if kernel::since(10) { done() } else { answer(label::X86_PAGE_UNMAP, &[]) },
    );
    tap.is("then a page table fits", tree.table.cap().map(Pml4::OWN, FAR), Ok(()));
    tap.is("a large page where a page table is", map(slot, far), delete_first());
    other.cap().unmap()?;
    tree.unmap()?;
    sys.memory.destroy(other)?;
    sys.memory.destroy(small)?;
    sys.memory.destroy(page)?;
    tree.end(sys)
}

fn addresses(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let tree = Tree::new(sys)?;
    let pages = sys.memory.create_many::<Page>(4)?;
    let all: Result<Vec<_>> = pages.caps().map(Page::address).collect();
    let all = all?;
    tap.yes(
        "pages of one block lie one after the other",
        all.windows(2).all(|pair| pair[1] == pair[0] + 4096),
    );
    tree.map()?;
    super::map(pages.cap(), FAR)?;
    tap.is("a mapped page has the same address", pages.cap().address(), Ok(all[0]));
    let answered = ask(pages.cap().slot(), label::X86_PAGE_GET_ADDRESS, &[1, 2], &[]);
    tap.is("the answer's length", answered, if kernel::since(13) { answer(0, &all[..1]) } else { done() });
    pages.cap().unmap()?;
    tree.unmap()?;
    sys.memory.destroy(pages)?;
    tree.end(sys)
}

/// Reads from its argument, then ends in an invalid instruction.
#[unsafe(naked)]
extern "C" fn read(_: Word) -> ! {
    naked_asm!("mov rax, [rdi]", "ud2")
}

/// Writes to its argument, then ends in an invalid instruction.
#[unsafe(naked)]
extern "C" fn write(_: Word) -> ! {
    naked_asm!("mov [rdi], rax", "ud2")
}

/// What a page with these rights allows, and with which status the rest fails.
fn rights(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let tree = Tree::new(sys)?;
    let page = sys.memory.create::<Page>()?;
    let slot = sys.memory.slot()?;
    let handler = Handler::new(sys)?;
    let actor = Actor::new(sys, handler.slot())?;
    tree.map()?;
    // Rights of the capability and of the mapping; how a read and a write end: 0, or the fault's status.
    let cases: [(&str, Rights, Rights, Word, Word); 9] = [
        ("all rights", Rights::ALL, Rights::ALL, 0, 0),
        ("read and write", Rights::READ_WRITE, Rights::READ_WRITE, 0, 0),
        ("a mapping that may be read", Rights::ALL, Rights::READ, 0, 7),
        ("a capability that may be read", Rights::READ, Rights::ALL, 0, 7),
        ("a mapping that may only be written", Rights::ALL, Rights::WRITE, 5, 7),
        ("a capability that may only be written", Rights::WRITE, Rights::ALL, 5, 7),
        ("a mapping without rights", Rights::ALL, Rights::NONE, 5, 7),
        ("a capability without rights", Rights::NONE, Rights::ALL, 5, 7),
        ("a capability that may grant", Rights::GRANT, Rights::ALL, 5, 7),
    ];
    for (what, of_cap, of_mapping, reads, writes) in cases {
        slot.place().copy(page.cap().place(), of_cap)?;
        let mapped = Page::at(slot).map(Pml4::OWN, FAR, of_mapping, Attributes::WriteBack);
        tap.is(&format!("map with {what}"), mapped, Ok(()));
        for (how, body, status) in [("read", read as crate::actor::Body, reads), ("write", write, writes)] {
            actor.start(body, FAR as Word)?;
            let (_, label, words) = handler.take();
            let got = if label == fault::VM_FAULT { words.get(3).map_or(99, |word| word & 7) } else { 0 };
            tap.is(&format!("{how} with {what}"), got, status);
        }
        Page::at(slot).unmap()?;
        slot.place().delete()?;
    }
    super::map(page.cap(), FAR)?;
    page.cap().remap(Pml4::OWN, FAR, Rights::NONE, Attributes::WriteBack)?;
    actor.start(read, FAR as Word)?;
    tap.is("a remap takes the rights away", handler.take().1, fault::VM_FAULT);
    super::remap(page.cap())?;
    actor.start(read, FAR as Word)?;
    tap.is("and gives them again", handler.take().1, fault::USER_EXCEPTION);
    page.cap().unmap()?;
    actor.end(sys)?;
    handler.end(sys)?;
    sys.memory.release_slots(slot, 1);
    tree.unmap()?;
    sys.memory.destroy(page)?;
    tree.end(sys)
}

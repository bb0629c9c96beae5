//! How many objects of each type fit, what is left after each step, and what gives memory back.

use crate::{
    raw::{Answer, ask, done, memory, revoke_first},
    tap::Tap,
};
use selkie::{
    cap::{CNode, Capability, ObjectType, Page, Pml4, Rights, Untyped},
    prelude::*,
    vspace,
};
use selkie_sys::{Word, bits, label, object};

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    capacity(tap, sys)?;
    watermark(tap, sys)?;
    descendants(tap, sys)?;
    copies(tap, sys)?;
    zeroes(tap, sys)
}

fn retype(untyped: Untyped, node: CNode, number: Word, size: Word, offset: Word, count: Word) -> Answer {
    ask(untyped.slot(), label::UNTYPED_RETYPE, &[number, size, 0, 0, offset, count], &[node.slot()])
}

/// An untyped is filled to the last byte, then has no room for one object more.
fn capacity(tap: &mut Tap, sys: &mut System) -> Result<()> {
    /// Name, type, how many fit, and the size in bits of the untyped.
    const FILLS: [(&str, ObjectType, Word, u8); 12] = [
        ("256 untypeds of 16 bytes", ObjectType::Untyped { bits: 4 }, 256, 12),
        ("256 endpoints", ObjectType::Endpoint, 256, 12),
        ("a page of notifications", ObjectType::Notification, 1 << (12 - bits::NOTIFICATION), 12),
        ("2 TCBs", ObjectType::Tcb, 2, 12),
        ("8 CNodes of 16 slots", ObjectType::CNode { bits: 4 }, 8, 12),
        ("64 CNodes of 2 slots", ObjectType::CNode { bits: 1 }, 64, 12),
        ("4 page tables", ObjectType::PageTable, 4, 14),
        ("4 page directories", ObjectType::PageDirectory, 4, 14),
        ("4 PDPTs", ObjectType::Pdpt, 4, 14),
        ("4 PML4s", ObjectType::Pml4, 4, 14),
        ("4 pages", ObjectType::Page, 4, 14),
        ("1 large page", ObjectType::LargePage, 1, 21),
    ];
    let node = sys.memory.create_cnode(9)?;
    for (what, object, count, bits) in FILLS {
        let untyped = sys.memory.create_untyped(bits)?;
        let make = |offset, count| {
            retype(untyped.cap(), node.cap(), object.number(), object.size_argument(), offset, count)
        };
        if count < 256 {
            tap.is(&format!("one more than {what}"), make(0, count + 1), memory(1 << bits));
        }
        tap.is(&format!("{what} fill an untyped"), make(0, count), done());
        tap.is(&format!("{what} leave nothing"), make(300, 1), memory(0));
        sys.memory.destroy(untyped)?;
    }
    sys.memory.destroy(node)
}

fn watermark(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let untyped = sys.memory.create_untyped(13)?;
    let node = sys.memory.create_cnode(4)?;
    let make = |number, offset, count| retype(untyped.cap(), node.cap(), number, 0, offset, count);
    tap.is("an endpoint", make(object::ENDPOINT, 0, 1), done());
    tap.is("it takes 16 bytes", make(object::LARGE_PAGE, 1, 1), memory(8192 - 16));
    tap.is("a notification", make(object::NOTIFICATION, 1, 1), done());
    let taken = 2 << bits::NOTIFICATION;
    tap.is("it begins at a multiple of its size", make(object::LARGE_PAGE, 2, 1), memory(8192 - taken));
    tap.is("a TCB", make(object::TCB, 2, 1), done());
    tap.is("it begins at a multiple of 2048", make(object::LARGE_PAGE, 3, 1), memory(4096));
    tap.is("what failed has taken nothing", make(object::PAGE_4K, 3, 2), memory(4096));
    tap.is("a page takes the rest", make(object::PAGE_4K, 3, 1), done());
    tap.is("nothing is left", make(object::ENDPOINT, 4, 1), memory(0));
    node.cap().place(3, 4).delete()?;
    node.cap().place(2, 4).delete()?;
    tap.is("deleting the last objects gives nothing back", make(object::ENDPOINT, 4, 1), memory(0));
    node.cap().place(0, 4).delete()?;
    node.cap().place(1, 4).delete()?;
    tap.is("without objects the memory is reported whole", make(object::LARGE_PAGE, 4, 1), memory(8192));
    tap.is("and can be used whole", make(object::PAGE_4K, 4, 2), done());
    sys.memory.destroy(untyped)?;
    sys.memory.destroy(node)
}

/// Untypeds of untypeds.
fn descendants(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let parent = sys.memory.create_untyped(13)?;
    let node = sys.memory.create_cnode(4)?;
    let slot = sys.memory.slot()?;
    let place = |index| node.cap().place(index, 4);
    tap.is("two halves", retype(parent.cap(), node.cap(), object::UNTYPED, 12, 0, 2), done());
    slot.place().take(place(0))?;
    let half = Untyped::at(slot);
    tap.is("an object of a half", retype(half, node.cap(), object::TCB, 0, 2, 2), done());
    tap.is("a full half", retype(half, node.cap(), object::ENDPOINT, 0, 4, 1), memory(0));
    tap.is(
        "an untyped whose halves are taken",
        retype(parent.cap(), node.cap(), object::TCB, 0, 4, 1),
        memory(0),
    );
    let copied = place(4).copy(place(2), Rights::ALL);
    tap.is("a copy of an object", copied, Ok(()));
    place(2).delete()?;
    place(3).delete()?;
    tap.is("a copy keeps the memory taken", retype(half, node.cap(), object::TCB, 0, 5, 1), memory(0));
    place(4).delete()?;
    tap.is("the last copy frees it", retype(half, node.cap(), object::TCB, 0, 5, 1), done());
    tap.is("revoke of the whole", parent.cap().place().revoke(), Ok(()));
    let empty = ask(slot, label::UNTYPED_RETYPE, &[], &[]);
    tap.is("the halves are gone", empty, crate::raw::capability(0));
    tap.is("the object of a half is gone", place(5).copy(parent.cap().place(), Rights::ALL), Ok(()));
    place(5).delete()?;
    tap.is("the whole can be used again", retype(parent.cap(), node.cap(), object::PAGE_4K, 0, 0, 2), done());
    sys.memory.release_slots(slot, 1);
    sys.memory.destroy(parent)?;
    sys.memory.destroy(node)
}

/// A copy of an untyped takes over what the original has left.
fn copies(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let untyped = sys.memory.create_untyped(12)?;
    let node = sys.memory.create_cnode(4)?;
    let slot = sys.memory.slot()?;
    let second = sys.memory.slot()?;
    tap.is("copy of a fresh untyped", slot.place().copy(untyped.cap().place(), Rights::NONE), Ok(()));
    tap.is(
        "the original has nothing left",
        retype(untyped.cap(), node.cap(), object::ENDPOINT, 0, 0, 1),
        memory(0),
    );
    tap.is(
        "no second copy",
        second.place().copy(untyped.cap().place(), Rights::ALL),
        Err(Error::RevokeFirst),
    );
    let refused = ask(
        CNode::OWN.slot(),
        label::CNODE_COPY,
        &[second.0, 64, untyped.cap().slot().0, 64, 7],
        &[CNode::OWN.slot()],
    );
    tap.is("its answer has no words", refused, revoke_first());
    let copy = Untyped::at(slot);
    tap.is("the copy can be used", retype(copy, node.cap(), object::TCB, 0, 0, 2), done());
    tap.is("to its end", retype(copy, node.cap(), object::ENDPOINT, 0, 2, 1), memory(0));
    tap.is("revoke of the original", untyped.cap().place().revoke(), Ok(()));
    tap.is("deletes the copy", ask(slot, label::UNTYPED_RETYPE, &[], &[]), crate::raw::capability(0));
    tap.is("and makes room", retype(untyped.cap(), node.cap(), object::TCB, 0, 0, 2), done());
    untyped.cap().place().revoke()?;
    tap.is("move of an untyped", slot.place().take(untyped.cap().place()), Ok(()));
    tap.is("what was moved can be used", retype(copy, node.cap(), object::TCB, 0, 0, 2), done());
    tap.is("move back", untyped.cap().place().take(slot.place()), Ok(()));
    sys.memory.release_slots(slot, 1);
    sys.memory.release_slots(second, 1);
    sys.memory.destroy(untyped)?;
    sys.memory.destroy(node)
}

/// Memory that was used before comes back as zeroes.
fn zeroes(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let untyped = sys.memory.create_untyped(14)?;
    let slots = sys.memory.slots(4)?;
    let address = vspace::reserve(vspace::PAGE, vspace::PAGE)?;
    let mut sums = [0u64; 2];
    for sum in &mut sums {
        let pages = CNode::OWN.place(0, 0);
        untyped.cap().retype(ObjectType::Page, pages, slots.0, 4)?;
        for index in 0..4 {
            *sum += dirty(sys, Page::at(slots.offset(index)), address)?;
        }
        untyped.cap().place().revoke()?;
    }
    tap.is("pages are zero when they are made, and made again", sums, [0, 0]);
    sys.memory.release_slots(slots, 4);
    vspace::release(address, vspace::PAGE);
    sys.memory.destroy(untyped)
}

/// Adds up a page's words, then fills it.
fn dirty(sys: &mut System, page: Page, address: usize) -> Result<u64> {
    let attributes = selkie::cap::Attributes::WriteBack;
    vspace::map_page(&mut sys.memory, Pml4::OWN, page, address, Rights::READ_WRITE, attributes)?;
    let words = address as *mut u64;
    let mut sum = 0u64;
    for index in 0..vspace::PAGE / 8 {
        // SAFETY: the page is mapped there, and no Rust value lies in it.
        unsafe {
            sum = sum.wrapping_add(words.add(index).read_volatile());
            words.add(index).write_volatile(0x0123_4567_89ab_cdef);
        }
    }
    page.unmap().map(|()| sum)
}

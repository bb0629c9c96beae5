//! Who is whose descendant: what a revoke deletes, what it leaves, and what goes with the last capability.

use crate::{
    raw::{ask, capability, done, memory},
    tap::Tap,
};
use selkie::{
    cap::{CNode, Capability, Endpoint, Notification, ObjectType, Place, Rights, Untyped},
    memory::Objects,
    prelude::*,
};
use selkie_sys::{label, object};

struct Bench {
    node: Objects<CNode>,
    object: Objects<Notification>,
}

impl Bench {
    fn new(sys: &mut System) -> Result<Self> {
        Ok(Self { node: sys.memory.create_cnode(4)?, object: sys.memory.create()? })
    }

    fn at(&self, index: u64) -> Place {
        self.node.cap().place(index, 4)
    }

    /// Which of the slots 1 to 8 hold something, as the digits of a decimal number.
    fn held(&self) -> u64 {
        let probe = self.at(15);
        (1..=8)
            .filter(|index| {
                let held = probe.copy(self.at(*index), Rights::ALL).is_ok();
                // What was copied is no longer needed.
                let _ = probe.delete();
                held
            })
            .fold(0, |digits, index| digits * 10 + index)
    }

    fn end(self, sys: &mut System) -> Result<()> {
        sys.memory.destroy(self.node)?;
        sys.memory.destroy(self.object)
    }
}

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    badges(tap, sys)?;
    moves(tap, sys)?;
    cnodes(tap, sys)?;
    last_capability(tap, sys)?;
    zombies(tap, sys)
}

fn badges(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let bench = Bench::new(sys)?;
    let fill = || -> Result<()> {
        bench.at(1).copy(bench.object.cap().place(), Rights::ALL)?;
        bench.at(2).mint(bench.at(1), Rights::ALL, 7)?;
        bench.at(3).copy(bench.at(2), Rights::ALL)?;
        bench.at(4).copy(bench.at(3), Rights::ALL)?;
        bench.at(5).mint(bench.at(1), Rights::ALL, 7)?;
        bench.at(6).mint(bench.object.cap().place(), Rights::ALL, 8)?;
        bench.at(7).copy(bench.at(1), Rights::ALL)
    };
    fill()?;
    tap.is("revoke of a copy", bench.at(7).revoke(), Ok(()));
    tap.is("deletes nothing", bench.held(), 1_234_567);
    tap.is("revoke of the copy that others come from", bench.at(1).revoke(), Ok(()));
    tap.is("deletes nothing either", bench.held(), 1_234_567);
    tap.is("revoke of a copy with a badge", bench.at(3).revoke(), Ok(()));
    tap.is("deletes nothing as well", bench.held(), 1_234_567);
    tap.is("revoke of what got its badge first", bench.at(2).revoke(), Ok(()));
    tap.is("deletes its copies and no other of the same badge", bench.held(), 12_567);
    tap.is("delete of what got its badge", bench.at(5).delete(), Ok(()));
    tap.is("leaves the others", bench.held(), 1_267);
    tap.is("revoke of the original", bench.object.cap().place().revoke(), Ok(()));
    tap.is("deletes all", bench.held(), 0);
    fill()?;
    tap.is("delete of what copies come from", bench.at(2).delete(), Ok(()));
    tap.is("leaves the copies", bench.held(), 134_567);
    bench.at(6).revoke()?;
    tap.is("revoke of an empty slot", bench.at(2).revoke(), Ok(()));
    tap.is("deletes nothing at all", bench.held(), 134_567);
    bench.end(sys)
}

/// A capability keeps its place in the tree when it moves.
fn moves(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let bench = Bench::new(sys)?;
    bench.at(1).mint(bench.object.cap().place(), Rights::ALL, 7)?;
    bench.at(2).copy(bench.at(1), Rights::ALL)?;
    bench.at(3).take(bench.at(1))?;
    bench.at(4).copy(bench.at(3), Rights::ALL)?;
    tap.is("a moved capability has its children", bench.at(3).revoke(), Ok(()));
    tap.is("they are deleted with it", bench.held(), 3);
    let slot = sys.memory.slot()?;
    slot.place().take(bench.object.cap().place())?;
    tap.is("a moved original has its children", slot.place().revoke(), Ok(()));
    tap.is("they go", bench.held(), 0);
    bench.object.cap().place().take(slot.place())?;
    sys.memory.release_slots(slot, 1);
    let inner = sys.memory.create_cnode(2)?;
    let tcb = sys.memory.create::<selkie::cap::Tcb>()?;
    bench.at(1).copy(inner.cap().slot().place(), Rights::ALL)?;
    bench.at(2).copy(tcb.cap().place(), Rights::ALL)?;
    bench.at(2).rotate(0, bench.at(1), 0, bench.at(2))?;
    tap.is("rotated capabilities are children still", inner.cap().slot().place().revoke(), Ok(()));
    tap.is("the one that was rotated went", bench.held(), 1);
    tcb.cap().place().revoke()?;
    tap.is("so did the other", bench.held(), 0);
    sys.memory.destroy(tcb)?;
    sys.memory.destroy(inner)?;
    bench.end(sys)
}

/// A CNode goes with its last capability, and what is in it goes too.
fn cnodes(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let untyped = sys.memory.create_untyped(12)?;
    let bench = Bench::new(sys)?;
    let slots = sys.memory.slots(2)?;
    let (one, other) = (slots, slots.offset(1));
    let home = sys.memory.create_untyped(12)?;
    home.cap().retype(ObjectType::CNode { bits: 4 }, CNode::OWN.place(0, 0), one.0, 1)?;
    other.place().copy(one.place(), Rights::ALL)?;
    let retype = |ut: Untyped, number, offset| {
        ask(ut.slot(), label::UNTYPED_RETYPE, &[number, 0, 0, 0, offset, 1], &[bench.node.cap().slot()])
    };
    CNode::at(one).place(0, 4).copy(bench.object.cap().place(), Rights::ALL)?;
    untyped.cap().retype(ObjectType::Page, CNode::at(one).place(0, 0), 3, 1)?;
    tap.is("a page in a CNode takes memory", retype(untyped.cap(), object::PAGE_4K, 1), memory(0));
    tap.is("delete of one of a CNode's two capabilities", one.place().delete(), Ok(()));
    tap.is("the page is still there", retype(untyped.cap(), object::PAGE_4K, 1), memory(0));
    let found = bench.at(9).copy(CNode::at(other).place(3, 4), Rights::ALL);
    tap.is("it can be reached through the other", found, Ok(()));
    bench.at(9).delete()?;
    tap.is("delete of the CNode's last capability", other.place().delete(), Ok(()));
    tap.is("the page went with it", retype(untyped.cap(), object::PAGE_4K, 1), done());
    tap.is("the CNode's memory is free", retype(home.cap(), object::PAGE_4K, 2), done());
    tap.is("its slot is empty", ask(other, label::CNODE_DELETE, &[0, 4], &[]), capability(0));
    sys.memory.destroy(home)?;
    sys.memory.destroy(untyped)?;
    sys.memory.release_slots(slots, 2);
    bench.end(sys)
}

/// An object lives as long as any capability of it.
fn last_capability(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let bench = Bench::new(sys)?;
    let untyped = sys.memory.create_untyped(4)?;
    untyped.cap().retype(ObjectType::Endpoint, bench.node.cap().place(0, 0), 1, 1)?;
    bench.at(2).mint(bench.at(1), Rights::ALL, 3)?;
    bench.at(1).delete()?;
    let again = |offset| {
        ask(
            untyped.cap().slot(),
            label::UNTYPED_RETYPE,
            &[object::ENDPOINT, 0, 0, 0, offset, 1],
            &[bench.node.cap().slot()],
        )
    };
    tap.is("a badge keeps an endpoint", again(5), memory(0));
    let slot = sys.memory.slot()?;
    slot.place().copy(bench.at(2), Rights::ALL)?;
    Endpoint::at(slot).try_send(&Message::new(0));
    tap.is("it can be used", Endpoint::at(slot).try_recv().is_none(), true);
    slot.place().delete()?;
    bench.at(2).delete()?;
    tap.is("the last capability frees it", again(5), done());
    sys.memory.release_slots(slot, 1);
    sys.memory.destroy(untyped)?;
    bench.end(sys)
}

/// CNodes that hold themselves, or each other.
fn zombies(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let untyped = sys.memory.create_untyped(11)?;
    let slots = sys.memory.slots(4)?;
    let make = || untyped.cap().retype(ObjectType::CNode { bits: 4 }, CNode::OWN.place(0, 0), slots.0, 4);
    let node = |index: usize| CNode::at(slots.offset(index));
    let place = |index: usize| slots.offset(index).place();
    make()?;
    node(0).place(3, 4).copy(place(0), Rights::ALL)?;
    tap.is("a CNode in itself", node(0).place(0x33, 8).copy(place(1), Rights::ALL), Err(Error::DeleteFirst));
    tap.is("delete of it from within", node(0).place(0x33, 8).delete(), Ok(()));
    node(0).place(3, 4).copy(place(0), Rights::ALL)?;
    tap.is("delete of it from outside", place(0).delete(), Ok(()));
    tap.is("the slot outside is empty", place(0).copy(place(1), Rights::ALL), Ok(()));
    node(2).place(1, 4).copy(place(3), Rights::ALL)?;
    node(3).place(1, 4).copy(place(2), Rights::ALL)?;
    tap.is("delete of a CNode that another holds", place(2).delete(), Ok(()));
    tap.is(
        "it is there through the other",
        node(3).place(0x11, 8).copy(place(1), Rights::ALL),
        Err(Error::DeleteFirst),
    );
    tap.is("delete of the other", place(3).delete(), Ok(()));
    tap.is("revoke of the memory of all", untyped.cap().place().revoke(), Ok(()));
    tap.is("all memory is there again", make(), Ok(()));
    node(0).place(0, 4).take(place(1))?;
    node(0).place(0x00, 8).copy(place(2), Rights::ALL)?;
    node(0).place(0x01, 8).take(place(3))?;
    tap.is("delete of a CNode with CNodes in it", place(0).delete(), Ok(()));
    tap.is("revoke of the rest", untyped.cap().place().revoke(), Ok(()));
    tap.is("and all memory is there once more", make(), Ok(()));
    node(0).place(15, 4).take(place(0))?;
    tap.is(
        "a CNode only in itself is out of reach",
        ask(slots, label::CNODE_DELETE, &[15, 4], &[]),
        capability(0),
    );
    tap.is("revoke of its memory", untyped.cap().place().revoke(), Ok(()));
    tap.is("its memory comes back", make(), Ok(()));
    untyped.cap().place().revoke()?;
    sys.memory.release_slots(slots, 4);
    sys.memory.destroy(untyped)
}

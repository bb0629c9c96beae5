//! What a copy, mint, mutate or rotate does with each kind of capability.

use crate::tap::Tap;
use selkie::{
    cap::{
        CNode, Capability, Endpoint, IoPort, IrqControl, Notification, Page, PageDirectory, PageTable, Place,
        Pml4, Rights, Slot, Structure, Tcb,
    },
    memory::Objects,
    prelude::*,
};

/// Far from everything else: no paging structure exists here.
const FAR: usize = 0x7200_0000_0000;

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let node = sys.memory.create_cnode(4)?;
    rights(tap, sys, &node)?;
    badges(tap, sys, &node)?;
    unbadged(tap, sys, &node)?;
    structures(tap, sys, &node)?;
    ports(tap, &node)?;
    rotations(tap, sys, &node)?;
    sys.memory.destroy(node)
}

fn at(node: &Objects<CNode>, index: u64) -> Place {
    node.cap().place(index, 4)
}

/// A copy has at most the rights of what it was copied from.
fn rights(tap: &mut Tap, sys: &mut System, node: &Objects<CNode>) -> Result<()> {
    let object = sys.memory.create::<Notification>()?;
    let slot = sys.memory.slot()?;
    let source = object.cap().place();
    let mut arrives = |what: &str, place: Place, want: Option<u64>| -> Result<()> {
        slot.place().copy(place, Rights::ALL)?;
        Notification::at(slot).signal();
        tap.is(what, object.cap().poll(), want);
        slot.place().delete()
    };
    at(node, 1).mint(source, Rights::ALL, 1)?;
    arrives("all rights", at(node, 1), Some(1))?;
    at(node, 2).copy(at(node, 1), Rights::WRITE)?;
    arrives("the right to write suffices to signal", at(node, 2), Some(1))?;
    at(node, 3).copy(at(node, 2), Rights::READ)?;
    arrives("read of a copy that may only be written: no right is left", at(node, 3), None)?;
    at(node, 4).copy(at(node, 3), Rights::ALL)?;
    arrives("no right comes back with a copy", at(node, 4), None)?;
    at(node, 5).copy(at(node, 1), Rights::GRANT)?;
    arrives("the right to grant says nothing of a notification", at(node, 5), None)?;
    at(node, 6).take(at(node, 2))?;
    arrives("a move keeps the rights", at(node, 6), Some(1))?;
    at(node, 7).mint(source, Rights::WRITE.and(Rights::GRANT), 1)?;
    arrives("a mint masks the rights", at(node, 7), Some(1))?;
    sys.memory.release_slots(slot, 1);
    sys.memory.destroy(object)
}

fn badges(tap: &mut Tap, sys: &mut System, node: &Objects<CNode>) -> Result<()> {
    let object = sys.memory.create::<Endpoint>()?;
    let signal = sys.memory.create::<Notification>()?;
    let source = object.cap().place();
    let illegal = Err(Error::IllegalOperation);
    tap.is("mint of an endpoint with badge 0", at(node, 1).mint(source, Rights::ALL, 0), Ok(()));
    tap.is("its badge can still be set", at(node, 2).mint(at(node, 1), Rights::ALL, 5), Ok(()));
    tap.is("once it is set, not again", at(node, 3).mint(at(node, 2), Rights::ALL, 5), illegal);
    tap.is("not to 0 either", at(node, 3).mint(at(node, 2), Rights::ALL, 0), illegal);
    tap.is("mutate of an endpoint", at(node, 3).mutate(at(node, 1), 0), illegal);
    tap.is("mutate of an endpoint with a badge", at(node, 3).mutate(at(node, 2), 6), illegal);
    at(node, 4).copy(signal.cap().place(), Rights::ALL)?;
    tap.is("mutate of a notification", at(node, 5).mutate(at(node, 4), 0), illegal);
    let wide = 0xfedc_ba98_7654_3210;
    tap.is(
        "mint of a notification with a badge of 64 bits",
        at(node, 6).mint(at(node, 4), Rights::ALL, wide),
        Ok(()),
    );
    let slot = sys.memory.slot()?;
    slot.place().take(at(node, 6))?;
    Notification::at(slot).signal();
    tap.is("a notification's badge has 64 bits", signal.cap().poll(), Some(wide));
    slot.place().delete()?;
    sys.memory.release_slots(slot, 1);
    sys.memory.destroy(signal)?;
    sys.memory.destroy(object)
}

/// Capabilities that have neither badge nor guard.
fn unbadged(tap: &mut Tap, sys: &mut System, node: &Objects<CNode>) -> Result<()> {
    let page = sys.memory.create::<Page>()?;
    let tcb = sys.memory.create::<Tcb>()?;
    let untyped = sys.memory.create_untyped(12)?;
    tap.is(
        "mint of a page: the badge says nothing",
        at(node, 1).mint(page.cap().place(), Rights::ALL, 9),
        Ok(()),
    );
    tap.is("mutate of a page", at(node, 2).mutate(at(node, 1), 9), Ok(()));
    tap.is("mint of a TCB", at(node, 3).mint(tcb.cap().place(), Rights::NONE, 9), Ok(()));
    tap.is("mint of a TCB once more", at(node, 4).mint(at(node, 3), Rights::NONE, 9), Ok(()));
    tap.is("mutate of a TCB", at(node, 5).mutate(at(node, 4), 9), Ok(()));
    tap.is("mint of an untyped", at(node, 6).mint(untyped.cap().place(), Rights::NONE, 9), Ok(()));
    tap.is("mutate of an untyped", at(node, 7).mutate(at(node, 6), 9), Ok(()));
    let control = IrqControl::OWN.place();
    let illegal = Err(Error::IllegalOperation);
    tap.is("copy of the control of interrupts", at(node, 8).copy(control, Rights::ALL), illegal);
    tap.is("mint of the control of interrupts", at(node, 8).mint(control, Rights::ALL, 0), illegal);
    tap.is("move of the control of interrupts", at(node, 8).take(control), Ok(()));
    tap.is("and back", control.take(at(node, 8)), Ok(()));
    sys.memory.destroy(untyped)?;
    sys.memory.destroy(tcb)?;
    sys.memory.destroy(page)
}

/// Paging structures can be copied while they are mapped.
fn structures(tap: &mut Tap, sys: &mut System, node: &Objects<CNode>) -> Result<()> {
    let (pdpt, directory) =
        (sys.memory.create::<selkie::cap::Pdpt>()?, sys.memory.create::<PageDirectory>()?);
    let table = sys.memory.create::<PageTable>()?;
    let illegal = Err(Error::IllegalOperation);
    tap.is(
        "copy of a page directory not mapped",
        at(node, 1).copy(directory.cap().place(), Rights::ALL),
        illegal,
    );
    tap.is("copy of a page table not mapped", at(node, 1).copy(table.cap().place(), Rights::ALL), illegal);
    pdpt.cap().map(Pml4::OWN, FAR)?;
    directory.cap().map(Pml4::OWN, FAR)?;
    table.cap().map(Pml4::OWN, FAR)?;
    tap.is("copy of a mapped page directory", at(node, 1).copy(directory.cap().place(), Rights::ALL), Ok(()));
    tap.is("copy of a mapped page table", at(node, 2).copy(table.cap().place(), Rights::ALL), Ok(()));
    tap.is("unmap of a page table that was copied", table.cap().unmap(), Err(Error::RevokeFirst));
    tap.is("unmap of a page directory that was copied", directory.cap().unmap(), Err(Error::RevokeFirst));
    at(node, 1).delete()?;
    at(node, 2).delete()?;
    tap.is("unmap of a page table without copies", table.cap().unmap(), Ok(()));
    tap.is("unmap of it again", table.cap().unmap(), Ok(()));
    tap.is("unmap of a page directory without copies", directory.cap().unmap(), Ok(()));
    tap.is("unmap of a PDPT", pdpt.cap().unmap(), Ok(()));
    tap.is("unmap of it once more", pdpt.cap().unmap(), Ok(()));
    sys.memory.destroy(table)?;
    sys.memory.destroy(directory)?;
    sys.memory.destroy(pdpt)
}

/// A capability for IO ports has its range where others have a badge.
fn ports(tap: &mut Tap, node: &Objects<CNode>) -> Result<()> {
    let range = |first: u64, last: u64| first << 16 | last;
    let own = IoPort::OWN.place();
    let illegal = Err(Error::IllegalOperation);
    if at(node, 1).mint(own, Rights::ALL, range(0x3f8, 0x3ff)).is_err() {
        tap.skip("ranges of ports", "there is no capability for them");
        return Ok(());
    }
    tap.is(
        "ports: a range within the range",
        at(node, 2).mint(at(node, 1), Rights::ALL, range(0x3fa, 0x3fb)),
        Ok(()),
    );
    tap.is("ports: a range of one", at(node, 3).mint(at(node, 2), Rights::ALL, range(0x3fb, 0x3fb)), Ok(()));
    tap.is(
        "ports: a range that begins too early",
        at(node, 4).mint(at(node, 2), Rights::ALL, range(0x3f9, 0x3fb)),
        illegal,
    );
    tap.is(
        "ports: a range that ends too late",
        at(node, 4).mint(at(node, 2), Rights::ALL, range(0x3fa, 0x3fc)),
        illegal,
    );
    tap.is(
        "ports: a range from last to first",
        at(node, 4).mint(at(node, 1), Rights::ALL, range(0x3fb, 0x3fa)),
        illegal,
    );
    tap.is(
        "ports: a mutate to a smaller range",
        at(node, 4).mutate(at(node, 1), range(0x3f8, 0x3fb)),
        Ok(()),
    );
    tap.is(
        "ports: and not back to the larger one",
        at(node, 5).mutate(at(node, 4), range(0x3f8, 0x3ff)),
        illegal,
    );
    for index in 1..=5 {
        at(node, index).delete()?;
    }
    Ok(())
}

/// A rotate refuses what a mutate refuses, and moves everything else.
fn rotations(tap: &mut Tap, sys: &mut System, node: &Objects<CNode>) -> Result<()> {
    let object = sys.memory.create::<Endpoint>()?;
    let tcb = sys.memory.create::<Tcb>()?;
    let inner = sys.memory.create_cnode(2)?;
    let illegal = Err(Error::IllegalOperation);
    at(node, 1).copy(object.cap().place(), Rights::ALL)?;
    at(node, 2).copy(tcb.cap().place(), Rights::ALL)?;
    at(node, 3).copy(inner.cap().slot().place(), Rights::ALL)?;
    tap.is(
        "rotate with an endpoint as the source",
        at(node, 4).rotate(0, at(node, 2), 0, at(node, 1)),
        illegal,
    );
    tap.is(
        "rotate with an endpoint as the pivot",
        at(node, 4).rotate(0, at(node, 1), 0, at(node, 2)),
        illegal,
    );
    tap.is(
        "rotate of a TCB and a CNode",
        at(node, 4).rotate(CNode::guard(1, 2), at(node, 3), 0, at(node, 2)),
        Ok(()),
    );
    tap.is("the source is empty", at(node, 2).copy(tcb.cap().place(), Rights::ALL), Ok(()));
    let slot: Slot = sys.memory.slot()?;
    slot.place().take(at(node, 4))?;
    let there = CNode::at(slot).place(0b01_00, 4);
    tap.is("the pivot has moved and got its guard", there.copy(object.cap().place(), Rights::ALL), Ok(()));
    tap.is("it is the CNode", inner.cap().place(0, 2).delete(), Ok(()));
    tap.is("a swap of two slots", at(node, 2).rotate(0, at(node, 3), 0, at(node, 2)), Ok(()));
    tap.is(
        "rotate with a missing source",
        at(node, 2).rotate(0, at(node, 3), 0, at(node, 9)),
        Err(Error::DeleteFirst),
    );
    let nothing = at(node, 9).rotate(0, at(node, 3), 0, at(node, 9));
    let missing = selkie::LookupFailure::MissingCapability { bits_left: 4 };
    tap.is("rotate of an empty slot", nothing, Err(Error::FailedLookup { source: true, failure: missing }));
    let nothing = at(node, 9).rotate(0, at(node, 10), 0, at(node, 3));
    tap.is(
        "rotate over an empty pivot",
        nothing,
        Err(Error::FailedLookup { source: false, failure: missing }),
    );
    slot.place().delete()?;
    sys.memory.release_slots(slot, 1);
    sys.memory.destroy(inner)?;
    sys.memory.destroy(tcb)?;
    sys.memory.destroy(object)
}

//! A second address space, and the numbers that address spaces need.

use super::FAR;
use crate::{
    actor::{Actor, calm},
    fault::Handler,
    raw::{
        End, ask, capability, delete_first, depth, done, illegal, no_root, revoke_first, too_short, truncated,
    },
    tap::Tap,
};
use selkie::{
    cap::{
        AsidControl, AsidPool, Attributes, CNode, Capability, ObjectType, Page, Pdpt, Pml4, Rights, Slot,
        Space, Structure,
    },
    prelude::*,
};
use selkie_sys::{fault, label};

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    numbers(tap, sys)?;
    structures(tap, sys)?;
    pools(tap, sys)?;
    copies(tap, sys)?;
    calm(sys, |sys| threads(tap, sys))
}

fn numbers(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let root = sys.memory.create::<Pml4>()?;
    let pdpt = sys.memory.create::<Pdpt>()?;
    let page = sys.memory.create::<Page>()?;
    let pool = AsidPool::OWN.slot();
    let assign = |what: Slot| ask(pool, label::X86_ASID_POOL_ASSIGN, &[], &[what]);
    let no_number = Err(Error::InvalidCapability { number: 1 });
    tap.is("a PDPT in an address space without a number", pdpt.cap().map(root.cap(), 0), no_number);
    let page_there = page.cap().map(root.cap(), 0, Rights::READ_WRITE, Attributes::WriteBack);
    tap.is("a page in an address space without a number", page_there, no_number);
    too_short(tap, "a number", pool, label::X86_ASID_POOL_ASSIGN, &[], &[root.cap().slot()]);
    tap.is("a number for a page", assign(page.cap().slot()), capability(1));
    tap.is("a number for nothing", assign(Slot::NULL), capability(1));
    tap.is("a number for the function's own address space", assign(Pml4::OWN.slot()), capability(1));
    tap.is("give it a number", assign(root.cap().slot()), done());
    tap.is("give it another number", assign(root.cap().slot()), capability(1));
    tap.is("then structures can be mapped", pdpt.cap().map(root.cap(), 0), Ok(()));
    tap.is("a pool: the label 0", ask(pool, 0, &[], &[root.cap().slot()]), illegal());
    tap.is("a pool: the greatest label", ask(pool, 0xf_ffff, &[], &[]), illegal());
    sys.memory.destroy(page)?;
    sys.memory.destroy(pdpt)?;
    sys.memory.destroy(root)
}

/// Pages know the address space that they are mapped in.
fn structures(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let root = sys.memory.create::<Pml4>()?;
    let page = sys.memory.create::<Page>()?;
    AsidPool::OWN.assign(root.cap())?;
    let tree = super::Tree::new(sys)?;
    tree.map_in(root.cap())?;
    let there = page.cap().map(root.cap(), FAR, Rights::READ_WRITE, Attributes::WriteBack);
    tap.is("a page in a second address space", there, Ok(()));
    let remap = |root: Pml4| page.cap().remap(root, Rights::READ, Attributes::WriteBack);
    tap.is("remap there", remap(root.cap()), Ok(()));
    tap.is("remap in the first", remap(Pml4::OWN), Err(Error::InvalidCapability { number: 0 }));
    let mapped = page.cap().map(Pml4::OWN, FAR, Rights::READ, Attributes::WriteBack);
    tap.is("map in the first as well", mapped, Err(Error::InvalidCapability { number: 0 }));
    tap.is("unmap there", page.cap().unmap(), Ok(()));
    tap.is("unmapped, it has no address space", remap(root.cap()), Err(Error::IllegalOperation));
    sys.memory.destroy(page)?;
    tree.end(sys)?;
    sys.memory.destroy(root)
}

fn pools(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let untyped = sys.memory.create_untyped(12)?;
    let small = sys.memory.create_untyped(11)?;
    let root = sys.memory.create::<Pml4>()?;
    let node = sys.memory.create_cnode(4)?;
    let control = AsidControl::OWN.slot();
    let (memory, cnode) = (untyped.cap().slot(), node.cap().slot());
    let make = |words: &[u64], caps: [Slot; 2]| ask(control, label::X86_ASID_CONTROL_MAKE_POOL, words, &caps);
    tap.is("the control of numbers: the label 0", ask(control, 0, &[], &[]), illegal());
    too_short(tap, "a pool", control, label::X86_ASID_CONTROL_MAKE_POOL, &[1, 4], &[memory, cnode]);
    tap.is(
        "a pool without capabilities",
        ask(control, label::X86_ASID_CONTROL_MAKE_POOL, &[1, 4], &[]),
        truncated(),
    );
    tap.is("a pool of a CNode", make(&[1, 4], [cnode, cnode]), capability(1));
    tap.is(
        "a pool of an untyped that is too small",
        make(&[1, 4], [small.cap().slot(), cnode]),
        capability(1),
    );
    tap.is("a pool in an untyped", make(&[1, 4], [memory, memory]), no_root(End::Target));
    tap.is("a pool at too few bits", make(&[1, 3], [memory, cnode]), depth(End::Target, 3, 4));
    untyped.cap().retype(ObjectType::Endpoint, node.cap().place(0, 0), 1, 1)?;
    tap.is("a pool of an untyped with children", make(&[2, 4], [memory, cnode]), revoke_first());
    untyped.cap().place().revoke()?;
    let copied = node.cap().place(1, 4).copy(root.cap().place(), Rights::ALL);
    tap.is("copy of a root without a number", copied, Err(Error::IllegalOperation));
    node.cap().place(1, 4).copy(small.cap().place(), Rights::ALL)?;
    tap.is("a pool in an occupied slot", make(&[1, 4], [memory, cnode]), delete_first());
    node.cap().place(1, 4).delete()?;
    tap.is("a pool", make(&[1, 4], [memory, cnode]), done());
    tap.is("a second pool of the same memory", make(&[2, 4], [memory, cnode]), revoke_first());
    let slot = sys.memory.slot()?;
    slot.place().take(node.cap().place(1, 4))?;
    tap.is("a number from the new pool", AsidPool::at(slot).assign(root.cap()), Ok(()));
    let pdpt = sys.memory.create::<Pdpt>()?;
    let page = sys.memory.create::<Page>()?;
    tap.is("an address space with such a number", pdpt.cap().map(root.cap(), FAR), Ok(()));
    tap.is("delete of the pool", slot.place().delete(), Ok(()));
    let there = page.cap().map(root.cap(), FAR, Rights::READ, Attributes::WriteBack);
    let gone = Err(Error::FailedLookup { source: false, failure: selkie::LookupFailure::InvalidRoot });
    tap.is("takes the number away", there, gone);
    sys.memory.destroy(page)?;
    sys.memory.destroy(pdpt)?;
    sys.memory.release_slots(slot, 1);
    sys.memory.destroy(node)?;
    sys.memory.destroy(root)?;
    sys.memory.destroy(small)?;
    sys.memory.destroy(untyped)
}

/// A root can be copied once it has a number.
fn copies(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let root = sys.memory.create::<Pml4>()?;
    let tcb = sys.memory.create::<selkie::cap::Tcb>()?;
    let slot = sys.memory.slot()?;
    let set =
        |root: Slot| ask(tcb.cap().slot(), label::TCB_SET_SPACE, &[0, 0, 0], &[CNode::OWN.slot(), root]);
    tap.is("a thread in an address space without a number", set(root.cap().slot()), illegal());
    AsidPool::OWN.assign(root.cap())?;
    tap.is("copy of a root", slot.place().copy(root.cap().place(), Rights::NONE), Ok(()));
    tap.is(
        "a number for the copy",
        AsidPool::OWN.assign(Pml4::at(slot)),
        Err(Error::InvalidCapability { number: 1 }),
    );
    tap.is("a thread in the copy", set(slot), done());
    tap.is(
        "copy of the function's own root",
        slot.place().copy(Pml4::OWN.place(), Rights::NONE),
        Err(Error::DeleteFirst),
    );
    slot.place().delete()?;
    sys.memory.release_slots(slot, 1);
    sys.memory.destroy(tcb)?;
    sys.memory.destroy(root)
}

/// Never runs: there is nothing in its address space.
extern "C" fn body(_: u64) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// A thread in an empty address space.
fn threads(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let root = sys.memory.create::<Pml4>()?;
    AsidPool::OWN.assign(root.cap())?;
    let handler = Handler::new(sys)?;
    let space = Space { fault_endpoint: handler.slot(), cnode: CNode::OWN, guard: 0, vspace: root.cap() };
    let actor = Actor::in_space(sys, space)?;
    actor.start(body, 0)?;
    let ip = body as *const () as u64;
    let (_, label, words) = handler.take();
    tap.is("a thread in an empty address space faults", label, fault::VM_FAULT);
    tap.is("at its first instruction", words.first().copied(), Some(ip));
    actor.end(sys)?;
    handler.end(sys)?;
    sys.memory.destroy(root)
}

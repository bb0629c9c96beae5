//! A second address space, and the numbers that address spaces need.
//!
//! Where only the function's own address space can have a number, what needs one is skipped: one check for each
//! such matter.

use super::{FAR, Tree};
use crate::{
    actor::{Actor, calm},
    fault::Handler,
    kernel,
    raw::{
        Answer, End, answer, ask, capability, delete_first, depth, done, illegal, no_root, revoke_first,
        too_short, truncated,
    },
    tap::Tap,
};
use selkie::{
    cap::{AsidControl, AsidPool, CNode, Capability, ObjectType, Page, Pdpt, Pml4, Rights, Slot, Space, Tcb},
    memory::Objects,
    prelude::*,
};
use selkie_sys::{Word, error, fault, label, lookup_failure, when};

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    without_number(tap, sys)?;
    pool_arguments(tap, sys)?;
    numbers(tap, sys)?;
    pages(tap, sys)?;
    pools(tap, sys)?;
    copies(tap, sys)?;
    calm(sys, |sys| threads(tap, sys))
}

/// An address space that has no number yet.
fn without_number(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let root = sys.memory.create::<Pml4>()?;
    let (pdpt, page) = (sys.memory.create::<Pdpt>()?, sys.memory.create::<Page>()?);
    let tcb = sys.memory.create::<Tcb>()?;
    let slot = sys.memory.slot()?;
    let (it, pool) = (root.cap().slot(), AsidPool::OWN.slot());
    tap.is(
        "a PDPT in an address space without a number",
        ask(pdpt.cap().slot(), label::X86_PDPT_MAP, &[0, 0], &[it]),
        capability(1),
    );
    tap.is("a page in an address space without a number", map(page.cap(), it), capability(1));
    let refused = slot.place().copy(root.cap().place(), Rights::ALL);
    tap.is("copy of a root without a number", refused, Err(Error::IllegalOperation));
    tap.is("a thread in an address space without a number", set_space(tcb.cap(), it), illegal());
    let assign = |what: Slot| ask(pool, label::X86_ASID_POOL_ASSIGN, &[], &[what]);
    too_short(tap, "a number", pool, label::X86_ASID_POOL_ASSIGN, &[], &[it]);
    tap.is("a number for a page", assign(page.cap().slot()), capability(1));
    tap.is("a number for nothing", assign(Slot::NULL), capability(1));
    tap.is("a number for the function's own address space", assign(Pml4::OWN.slot()), capability(1));
    tap.is("a pool: the label 0", ask(pool, 0, &[], &[it]), illegal());
    tap.is("a pool: the greatest label", ask(pool, 0xf_ffff, &[], &[]), illegal());
    sys.memory.release_slots(slot, 1);
    sys.memory.destroy(tcb)?;
    sys.memory.destroy(page)?;
    sys.memory.destroy(pdpt)?;
    sys.memory.destroy(root)
}

/// Maps a page at [`FAR`].
fn map(page: Page, root: Slot) -> Answer {
    ask(page.slot(), label::X86_PAGE_MAP, &[FAR as Word, 3, 0], &[root])
}

fn set_space(tcb: Tcb, root: Slot) -> Answer {
    let caps = kernel::space_caps([CNode::OWN.slot(), root]);
    ask(tcb.slot(), label::TCB_SET_SPACE, &kernel::spaces([0, 0]), &caps)
}

/// Makes a pool of the first capability's memory, in the CNode of the second.
fn make_pool(place: [Word; 2], caps: [Slot; 2]) -> Answer {
    ask(AsidControl::OWN.slot(), label::X86_ASID_CONTROL_MAKE_POOL, &place, &caps)
}

fn pool_arguments(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let (untyped, small) = (sys.memory.create_untyped(12)?, sys.memory.create_untyped(11)?);
    let node = sys.memory.create_cnode(4)?;
    let control = AsidControl::OWN.slot();
    let (memory, cnode) = (untyped.cap().slot(), node.cap().slot());
    tap.is("the control of numbers: the label 0", ask(control, 0, &[], &[]), illegal());
    too_short(tap, "a pool", control, label::X86_ASID_CONTROL_MAKE_POOL, &[1, 4], &[memory, cnode]);
    let none = ask(control, label::X86_ASID_CONTROL_MAKE_POOL, &[1, 4], &[]);
    tap.is("a pool without capabilities", none, truncated());
    tap.is("a pool of a CNode", make_pool([1, 4], [cnode, cnode]), capability(1));
    tap.is(
        "a pool of an untyped that is too small",
        make_pool([1, 4], [small.cap().slot(), cnode]),
        capability(1),
    );
    tap.is("a pool in an untyped", make_pool([1, 4], [memory, memory]), no_root(End::Target));
    tap.is("a pool at too few bits", make_pool([1, 3], [memory, cnode]), depth(End::Target, 3, 4));
    untyped.cap().retype(ObjectType::Endpoint, node.cap().place(0, 0), 1, 1)?;
    tap.is("a pool of an untyped with children", make_pool([2, 4], [memory, cnode]), revoke_first());
    untyped.cap().place().revoke()?;
    node.cap().place(1, 4).copy(small.cap().place(), Rights::ALL)?;
    tap.is("a pool in an occupied slot", make_pool([1, 4], [memory, cnode]), delete_first());
    sys.memory.destroy(node)?;
    sys.memory.destroy(small)?;
    sys.memory.destroy(untyped)
}

/// An address space with a number, if a second one can have one.
fn numbered(sys: &mut System) -> Result<Option<Objects<Pml4>>> {
    let root = sys.memory.create::<Pml4>()?;
    match AsidPool::OWN.assign(root.cap()) {
        Ok(()) => Ok(Some(root)),
        Err(Error::DeleteFirst) => sys.memory.destroy(root).map(|()| None),
        Err(error) => Err(error),
    }
}

/// Says why a check needs what is not there.
fn skip(tap: &mut Tap, what: &str) -> Result<()> {
    tap.skip(what, "no second address space gets a number");
    Ok(())
}

fn numbers(tap: &mut Tap, sys: &mut System) -> Result<()> {
    const WHAT: &str = "an address space gets a number, once, then structures";
    let Some(root) = numbered(sys)? else { return skip(tap, WHAT) };
    let tree = Tree::new(sys)?;
    let again = ask(AsidPool::OWN.slot(), label::X86_ASID_POOL_ASSIGN, &[], &[root.cap().slot()]);
    let structures = tree.map_in(root.cap()).and_then(|()| tree.unmap());
    tap.is(WHAT, (again, structures), (capability(1), Ok(())));
    tree.end(sys)?;
    sys.memory.destroy(root)
}

fn pages(tap: &mut Tap, sys: &mut System) -> Result<()> {
    const WHAT: &str = "pages know the address space that they are mapped in";
    let Some(root) = numbered(sys)? else { return skip(tap, WHAT) };
    let tree = Tree::new(sys)?;
    let page = sys.memory.create::<Page>()?;
    tree.map_in(root.cap())?;
    let remap = |root: Slot| {
        when!(page_remap { ask(page.cap().slot(), label::X86_PAGE_REMAP, &[2, 0], &[root]) } else {
            ask(page.cap().slot(), label::X86_PAGE_MAP, &[FAR as Word, 2, 0], &[root])
        })
    };
    let (it, own) = (root.cap().slot(), Pml4::OWN.slot());
    let mut got = vec![map(page.cap(), it), remap(it), remap(own), map(page.cap(), own)];
    page.cap().unmap()?;
    got.push(remap(it));
    let want = when!(page_remap { vec![done(), done(), kernel::from(10, capability(1), capability(0)), capability(0), illegal()] } else {
        vec![done(), done(), capability(1), capability(1), done()]
    });
    tap.is(WHAT, got, want);
    sys.memory.destroy(page)?;
    tree.end(sys)?;
    sys.memory.destroy(root)
}

fn pools(tap: &mut Tap, sys: &mut System) -> Result<()> {
    const WHAT: &str = "a pool is made, gives a number, and takes it away when it is deleted";
    let Some(spare) = numbered(sys)? else { return skip(tap, WHAT) };
    sys.memory.destroy(spare)?;
    let untyped = sys.memory.create_untyped(12)?;
    let (root, page) = (sys.memory.create::<Pml4>()?, sys.memory.create::<Page>()?);
    let slot = sys.memory.slot()?;
    let own = CNode::OWN.slot();
    let pool = |slot: Slot| make_pool([slot.0, 64], [untyped.cap().slot(), own]);
    let mut got = vec![
        pool(slot),
        pool(page.cap().slot()),
        ask(slot, label::X86_ASID_POOL_ASSIGN, &[], &[root.cap().slot()]),
        map(page.cap(), root.cap().slot()),
    ];
    slot.place().delete()?;
    got.push(map(page.cap(), root.cap().slot()));
    let lookup = |details: &[Word]| answer(error::FAILED_LOOKUP, &[&[0], details].concat());
    let no_structures = lookup(&[lookup_failure::MISSING_CAPABILITY, 39]);
    let no_number = lookup(&[lookup_failure::INVALID_ROOT]);
    tap.is(WHAT, got, vec![done(), revoke_first(), done(), no_structures, no_number]);
    sys.memory.release_slots(slot, 1);
    sys.memory.destroy(page)?;
    sys.memory.destroy(root)?;
    sys.memory.destroy(untyped)
}

fn copies(tap: &mut Tap, sys: &mut System) -> Result<()> {
    const WHAT: &str = "a root with a number is copied, and a thread gets the copy";
    let Some(root) = numbered(sys)? else { return skip(tap, WHAT) };
    let tcb = sys.memory.create::<Tcb>()?;
    let slot = sys.memory.slot()?;
    let copied = slot.place().copy(root.cap().place(), Rights::NONE);
    let assigned = ask(AsidPool::OWN.slot(), label::X86_ASID_POOL_ASSIGN, &[], &[slot]);
    let got = (copied, assigned, set_space(tcb.cap(), slot));
    tap.is(WHAT, got, (Ok(()), capability(1), done()));
    sys.memory.destroy(tcb)?;
    slot.place().delete()?;
    sys.memory.release_slots(slot, 1);
    sys.memory.destroy(root)
}

/// Never runs: there is nothing in its address space.
extern "C" fn body(_: u64) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

fn threads(tap: &mut Tap, sys: &mut System) -> Result<()> {
    const WHAT: &str = "a thread in an empty address space faults at its first instruction";
    let Some(root) = numbered(sys)? else { return skip(tap, WHAT) };
    let handler = Handler::new(sys)?;
    let space = Space { fault_endpoint: handler.slot(), cnode: CNode::OWN, guard: 0, vspace: root.cap() };
    let actor = Actor::in_space(sys, space)?;
    actor.start(body, 0)?;
    let fault = handler.try_take().map(|(_, label, words)| (label, words.first().copied()));
    tap.is(WHAT, fault, Some((fault::VM_FAULT, Some(body as *const () as u64))));
    actor.end(sys)?;
    handler.end(sys)?;
    sys.memory.destroy(root)
}

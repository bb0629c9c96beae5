//! Retyping: every type of object, and every way to be refused.

mod accounts;
mod arguments;

use crate::tap::Tap;
use selkie::{
    cap::{Capability, ObjectType, Place, Untyped},
    prelude::*,
};

const TYPES: [(&str, ObjectType); 11] = [
    ("an untyped", ObjectType::Untyped { bits: 12 }),
    ("a TCB", ObjectType::Tcb),
    ("an endpoint", ObjectType::Endpoint),
    ("a notification", ObjectType::Notification),
    ("a CNode", ObjectType::CNode { bits: 4 }),
    ("a page", ObjectType::Page),
    ("a large page", ObjectType::LargePage),
    ("a page table", ObjectType::PageTable),
    ("a page directory", ObjectType::PageDirectory),
    ("a PDPT", ObjectType::Pdpt),
    ("a PML4", ObjectType::Pml4),
];

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    types(tap, sys)?;
    refusals(tap, sys)?;
    arguments::run(tap, sys)?;
    room(tap, sys)?;
    accounts::run(tap, sys)
}

fn types(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let untyped = sys.memory.create_untyped(21)?;
    let node = sys.memory.create_cnode(4)?;
    let root = node.cap().place(0, 0);
    for (name, object) in TYPES {
        tap.is(&format!("retype to {name}"), untyped.cap().retype(object, root, 1, 1), Ok(()));
        untyped.cap().place().revoke()?;
    }
    tap.is("retype to 8 endpoints at once", untyped.cap().retype(ObjectType::Endpoint, root, 0, 8), Ok(()));
    let again = node.cap().place(7, 4).copy(node.cap().place(6, 4), selkie::cap::Rights::ALL);
    tap.is("the eighth slot is taken", again, Err(Error::DeleteFirst));
    sys.memory.destroy(untyped)?;
    sys.memory.destroy(node)
}

fn refusals(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let untyped = sys.memory.create_untyped(13)?;
    let node = sys.memory.create_cnode(4)?;
    let (ut, root) = (untyped.cap(), node.cap().place(0, 0));
    let endpoint = ObjectType::Endpoint;
    tap.is("an unknown type", ut.retype_raw(99, 0, root, 0, 1), Err(Error::InvalidArgument { number: 0 }));
    tap.is(
        "a CNode without slots",
        ut.retype(ObjectType::CNode { bits: 0 }, root, 0, 1),
        Err(Error::InvalidArgument { number: 1 }),
    );
    tap.is(
        "an untyped of 8 bytes",
        ut.retype(ObjectType::Untyped { bits: 3 }, root, 0, 1),
        Err(Error::InvalidArgument { number: 1 }),
    );
    tap.yes(
        "an untyped of 2^64 bytes",
        matches!(ut.retype(ObjectType::Untyped { bits: 64 }, root, 0, 1), Err(Error::Range { min: 0, .. })),
    );
    tap.is("no object", ut.retype(endpoint, root, 0, 0), Err(Error::Range { min: 1, max: 256 }));
    tap.is("too many objects", ut.retype(endpoint, root, 0, 257), Err(Error::Range { min: 1, max: 256 }));
    tap.is("a slot behind the end", ut.retype(endpoint, root, 16, 1), Err(Error::Range { min: 0, max: 15 }));
    tap.is("more objects than slots", ut.retype(endpoint, root, 15, 2), Err(Error::Range { min: 1, max: 1 }));
    ut.retype(endpoint, root, 3, 1)?;
    tap.is("an occupied slot", ut.retype(endpoint, root, 2, 2), Err(Error::DeleteFirst));
    let elsewhere = Place { root: node.cap(), index: 3, depth: 4 };
    tap.yes(
        "an endpoint as the destination",
        matches!(ut.retype(endpoint, elsewhere, 0, 1), Err(Error::FailedLookup { source: false, .. })),
    );
    tap.is(
        "a CNode as the source",
        Untyped::at(node.cap().slot()).retype(endpoint, root, 0, 1),
        Err(Error::IllegalOperation),
    );
    let empty = sys.memory.slot()?;
    tap.is(
        "an empty slot as the source",
        Untyped::at(empty).retype(endpoint, root, 0, 1),
        Err(Error::InvalidCapability { number: 0 }),
    );
    sys.memory.release_slots(empty, 1);
    sys.memory.destroy(untyped)?;
    sys.memory.destroy(node)
}

/// How much fits into an untyped, and when it can be used again.
fn room(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let untyped = sys.memory.create_untyped(13)?;
    let node = sys.memory.create_cnode(4)?;
    let (ut, root) = (untyped.cap(), node.cap().place(0, 0));
    ut.retype(ObjectType::Endpoint, root, 0, 1)?;
    tap.is("a page after an endpoint is aligned", ut.retype(ObjectType::Page, root, 1, 1), Ok(()));
    tap.is(
        "no second page fits",
        ut.retype(ObjectType::Page, root, 2, 1),
        Err(Error::NotEnoughMemory { available: 0 }),
    );
    node.cap().place(0, 4).delete()?;
    tap.is(
        "room comes back only with the last child",
        ut.retype(ObjectType::Page, root, 2, 1),
        Err(Error::NotEnoughMemory { available: 0 }),
    );
    node.cap().place(1, 4).delete()?;
    tap.is("without children two pages fit", ut.retype(ObjectType::Page, root, 1, 2), Ok(()));
    tap.is(
        "a full untyped has no room for the least object",
        ut.retype(ObjectType::Untyped { bits: 4 }, root, 3, 1),
        Err(Error::NotEnoughMemory { available: 0 }),
    );
    ut.place().revoke()?;
    tap.is("after a revoke everything fits", ut.retype(ObjectType::Page, root, 1, 2), Ok(()));
    sys.memory.destroy(untyped)?;
    let small = sys.memory.create_untyped(12)?;
    tap.is(
        "an object larger than the untyped",
        small.cap().retype(ObjectType::LargePage, root, 5, 1),
        Err(Error::NotEnoughMemory { available: 4096 }),
    );
    sys.memory.destroy(small)?;
    sys.memory.destroy(node)
}

/// What untypeds of device memory refuse and give.
pub fn devices(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let node = sys.memory.create_cnode(4)?;
    let root = node.cap().place(0, 0);
    let device = sys.boot_info().untypeds().find(|untyped| untyped.device);
    let Some(device) = device else {
        tap.skip("an endpoint of device memory", "no device untyped here");
        return sys.memory.destroy(node);
    };
    tap.is(
        "an endpoint of device memory",
        Untyped::at(device.slot).retype(ObjectType::Endpoint, root, 0, 1),
        Err(Error::InvalidArgument { number: 1 }),
    );
    let page = sys.memory.create_device_page(device.paddr);
    tap.is("a page of device memory", page.as_ref().map(|_| ()).map_err(|error| *error), Ok(()));
    if let Ok(page) = page {
        tap.is("it has the address asked for", page.cap().address(), Ok(device.paddr));
        sys.memory.destroy(page)?;
    }
    sys.memory.destroy(node)
}

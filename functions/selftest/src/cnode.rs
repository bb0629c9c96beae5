//! Capability spaces: every operation on slots, and look-ups that fail.

mod addresses;
mod kinds;
mod tree;

use crate::tap::Tap;
use selkie::{
    LookupFailure,
    cap::{CNode, Capability, Notification, ObjectType, Page, Place, Rights, Slot, Untyped},
    memory::Objects,
    prelude::*,
};

/// Slots of the CNode that the checks work on, in bits.
const BITS: u8 = 4;

/// A CNode of 16 slots with a notification in slot 1, and slots of the function's own to use it from.
struct Bench {
    node: Objects<CNode>,
    source: Objects<Notification>,
    /// An empty slot of the function's own, to use what an operation has made.
    slot: Slot,
}

impl Bench {
    fn new(sys: &mut System) -> Result<Self> {
        let bench = Self {
            node: sys.memory.create_cnode(BITS)?,
            source: sys.memory.create()?,
            slot: sys.memory.slot()?,
        };
        bench.at(1).copy(bench.source.cap().place(), Rights::ALL)?;
        Ok(bench)
    }

    fn at(&self, index: u64) -> Place {
        self.node.cap().place(index, BITS)
    }

    /// Signals through the capability at `place`, and says what arrives.
    fn signal_through(&self, place: Place) -> Option<u64> {
        if self.slot.place().copy(place, Rights::ALL).is_err() {
            return None;
        }
        Notification::at(self.slot).signal();
        let badge = self.source.cap().poll();
        let deleted = self.slot.place().delete();
        deleted.ok().and(badge)
    }

    /// The physical address of the page whose capability is in slot `index`.
    fn address_of(&self, index: u64) -> Result<u64> {
        self.slot.place().copy(self.at(index), Rights::ALL)?;
        let address = Page::at(self.slot).address();
        self.slot.place().delete().and(address)
    }

    fn is_empty(&self, index: u64) -> bool {
        let result = self.at(15).copy(self.at(index), Rights::ALL);
        // What was copied is no longer needed; a failure shows in the next check.
        let _ = self.at(15).delete();
        matches!(
            result,
            Err(Error::FailedLookup { source: true, failure: LookupFailure::MissingCapability { .. } })
        )
    }

    fn end(self, sys: &mut System) -> Result<()> {
        sys.memory.release_slots(self.slot, 1);
        sys.memory.destroy(self.node)?;
        sys.memory.destroy(self.source)
    }
}

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    copies(tap, sys)?;
    moves(tap, sys)?;
    rotations(tap, sys)?;
    derivation(tap, sys)?;
    look_ups(tap, sys)?;
    addresses::run(tap, sys)?;
    kinds::run(tap, sys)?;
    tree::run(tap, sys)
}

fn copies(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let bench = Bench::new(sys)?;
    tap.is("copy", bench.at(2).copy(bench.at(1), Rights::ALL), Ok(()));
    tap.is("copy to an occupied slot", bench.at(2).copy(bench.at(1), Rights::ALL), Err(Error::DeleteFirst));
    tap.is(
        "copy from an empty slot",
        bench.at(4).copy(bench.at(3), Rights::ALL),
        Err(Error::FailedLookup {
            source: true,
            failure: LookupFailure::MissingCapability { bits_left: BITS.into() },
        }),
    );
    tap.is("mint with a badge", bench.at(5).mint(bench.at(1), Rights::ALL, 0x55), Ok(()));
    tap.is("the badge arrives", bench.signal_through(bench.at(5)), Some(0x55));
    tap.is(
        "mint of a badged capability",
        bench.at(6).mint(bench.at(5), Rights::ALL, 0x66),
        Err(Error::IllegalOperation),
    );
    tap.is("copy of a badged capability", bench.at(6).copy(bench.at(5), Rights::ALL), Ok(()));
    tap.is("it has the same badge", bench.signal_through(bench.at(6)), Some(0x55));
    tap.is("mint with another badge", bench.at(7).mint(bench.at(1), Rights::WRITE, 0x80), Ok(()));
    tap.is("it arrives too", bench.signal_through(bench.at(7)), Some(0x80));
    bench.at(8).mint(bench.at(1), Rights::READ, 0x100)?;
    tap.is("nothing arrives without the right to write", bench.signal_through(bench.at(8)), None);
    bench.end(sys)
}

fn moves(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let bench = Bench::new(sys)?;
    bench.at(2).mint(bench.at(1), Rights::ALL, 7)?;
    tap.is("move", bench.at(3).take(bench.at(2)), Ok(()));
    tap.yes("the source of a move is empty", bench.is_empty(2));
    tap.is("what was moved works", bench.signal_through(bench.at(3)), Some(7));
    tap.is("move to an occupied slot", bench.at(3).take(bench.at(1)), Err(Error::DeleteFirst));
    tap.yes(
        "move from an empty slot",
        matches!(bench.at(4).take(bench.at(2)), Err(Error::FailedLookup { source: true, .. })),
    );
    tap.is(
        "mutate of a badged capability",
        bench.at(6).mutate(bench.at(3), 10),
        Err(Error::IllegalOperation),
    );
    bench.at(4).copy(bench.node.cap().slot().place(), Rights::ALL)?;
    tap.is("mutate to an occupied slot", bench.at(3).mutate(bench.at(4), 0), Err(Error::DeleteFirst));
    tap.is("mutate gives a CNode a guard", bench.at(5).mutate(bench.at(4), CNode::guard(0b101, 3)), Ok(()));
    tap.yes("the source of a mutate is empty", bench.is_empty(4));
    bench.slot.place().take(bench.at(5))?;
    tap.is("the guard holds", CNode::at(bench.slot).place(0x53, 7).delete(), Ok(()));
    tap.yes("it is the same CNode", bench.is_empty(3));
    bench.slot.place().delete()?;
    bench.end(sys)
}

fn rotations(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let bench = Bench::new(sys)?;
    let pages = sys.memory.create_many::<Page>(2)?;
    let addresses: Vec<_> = pages.caps().map(Page::address).collect();
    for (page, index) in pages.caps().zip(2..) {
        bench.at(index).copy(page.place(), Rights::ALL)?;
    }
    let (first, second) = (addresses[0], addresses[1]);
    tap.is("rotate", bench.at(4).rotate(0, bench.at(3), 0, bench.at(2)), Ok(()));
    tap.is("the pivot has moved on", bench.address_of(4), second);
    tap.is("the source has become the pivot", bench.address_of(3), first);
    tap.yes("the source of a rotate is empty", bench.is_empty(2));
    tap.is("rotate swaps two slots", bench.at(3).rotate(0, bench.at(4), 0, bench.at(3)), Ok(()));
    tap.is("the first has the second", bench.address_of(3), second);
    tap.is("the second has the first", bench.address_of(4), first);
    tap.is(
        "rotate with the pivot as source",
        bench.at(5).rotate(0, bench.at(3), 0, bench.at(3)),
        Err(Error::IllegalOperation),
    );
    tap.is(
        "rotate with the pivot as destination",
        bench.at(3).rotate(0, bench.at(3), 0, bench.at(4)),
        Err(Error::IllegalOperation),
    );
    tap.is(
        "rotate to an occupied slot",
        bench.at(1).rotate(0, bench.at(3), 0, bench.at(4)),
        Err(Error::DeleteFirst),
    );
    tap.yes(
        "rotate with an empty pivot",
        matches!(
            bench.at(5).rotate(0, bench.at(6), 0, bench.at(4)),
            Err(Error::FailedLookup { failure: LookupFailure::MissingCapability { .. }, .. })
        ),
    );
    sys.memory.destroy(pages)?;
    bench.end(sys)
}

fn derivation(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let bench = Bench::new(sys)?;
    tap.is("delete", bench.at(1).delete(), Ok(()));
    tap.yes("a deleted slot is empty", bench.is_empty(1));
    tap.is("delete of an empty slot", bench.at(1).delete(), Ok(()));
    bench.at(1).copy(bench.source.cap().place(), Rights::ALL)?;
    bench.at(2).mint(bench.at(1), Rights::ALL, 5)?;
    tap.is("revoke", bench.source.cap().place().revoke(), Ok(()));
    tap.yes("a revoke deletes copies", bench.is_empty(1));
    tap.yes("a revoke deletes copies of copies", bench.is_empty(2));
    bench.at(1).copy(bench.source.cap().place(), Rights::ALL)?;
    tap.yes("the revoked capability itself stays", !bench.is_empty(1));

    let untyped = sys.memory.create_untyped(12)?;
    tap.is(
        "copy of an untyped without children",
        bench.at(3).copy(untyped.cap().place(), Rights::ALL),
        Ok(()),
    );
    bench.at(3).delete()?;
    untyped.cap().retype(ObjectType::Endpoint, bench.node.cap().place(0, 0), 4, 1)?;
    tap.is(
        "copy of an untyped with children",
        bench.at(3).copy(untyped.cap().place(), Rights::ALL),
        Err(Error::RevokeFirst),
    );
    tap.is("cancel sends with a badge", endpoint_with_badge(&bench).cancel_badged_sends(), Ok(()));
    tap.is("cancel sends at a notification", bench.at(1).cancel_badged_sends(), Err(Error::IllegalOperation));
    tap.is("revoke of an untyped", untyped.cap().place().revoke(), Ok(()));
    tap.yes("it deletes the objects' capabilities", bench.is_empty(4) && bench.is_empty(5));
    sys.memory.destroy(untyped)?;
    bench.end(sys)
}

/// A badged capability of the endpoint in slot 4, in slot 5.
fn endpoint_with_badge(bench: &Bench) -> Place {
    // A failure shows in the check that uses the place.
    let _ = bench.at(5).mint(bench.at(4), Rights::ALL, 77);
    bench.at(5)
}

fn look_ups(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let bench = Bench::new(sys)?;
    let node = bench.node.cap();
    tap.is("a depth of 0 bits", node.place(1, 0).delete(), Err(Error::Range { min: 1, max: 64 }));
    tap.is("a depth of 65 bits", node.place(1, 65).delete(), Err(Error::Range { min: 1, max: 64 }));
    tap.is(
        "fewer bits than the CNode translates",
        node.place(1, 3).delete(),
        Err(Error::FailedLookup {
            source: false,
            failure: LookupFailure::DepthMismatch { bits_left: 3, bits_found: 4 },
        }),
    );
    tap.yes(
        "more bits than lead anywhere",
        matches!(node.place(0x10, 8).delete(), Err(Error::FailedLookup { source: false, .. })),
    );
    let untyped = sys.memory.create_untyped(4)?;
    let root = CNode::at(untyped.cap().slot());
    tap.is("an untyped as the root", root.place(1, 4).delete(), Err(Error::IllegalOperation));
    sys.memory.destroy(untyped)?;
    // A CNode with a guard: 4 bits of guard (0xa), then 4 bits of index.
    bench.slot.place().mint(node.slot().place(), Rights::ALL, CNode::guard(0xa, 4))?;
    let guarded = CNode::at(bench.slot);
    tap.is("look up through a guard", guarded.place(0xa2, 8).copy(bench.at(1), Rights::ALL), Ok(()));
    tap.yes("the guard leads to the same CNode", !bench.is_empty(2));
    tap.is(
        "a guard that does not match",
        guarded.place(0xb3, 8).copy(bench.at(1), Rights::ALL),
        Err(Error::FailedLookup {
            source: false,
            failure: LookupFailure::GuardMismatch { bits_left: 8, guard: 0xa, guard_bits: 4 },
        }),
    );
    tap.is(
        "the null slot is no untyped",
        Untyped::at(Slot::NULL).retype(ObjectType::Tcb, node.place(0, 0), 9, 1),
        Err(Error::InvalidCapability { number: 0 }),
    );
    bench.slot.place().delete()?;
    bench.end(sys)
}

//! Invocations of CNodes: what they do, and every error in the kernel's order of checks.

use selkie_tender_model::testing::{Machine, Reply};
use selkie_tender_model::{Cap, Error, LookupFailure, Rights};
use selkie_tender_table::{Invocation as I, Kind};

/// The slot of the initial CNode's capability.
const ROOT: u64 = 2;
/// All bits of an address.
const ALL: u64 = 64;
/// All rights, as a word.
const RWG: u64 = 7;

/// A machine with an endpoint in slot `at`, a notification in the next and a CNode of 16 slots in the one
/// after that.
fn machine() -> (Machine<'static>, u64) {
    let mut machine = Machine::new();
    let (untyped, at) = (machine.largest_untyped(), machine.first_empty());
    for (number, (kind, bits)) in (at..).zip([(Kind::Endpoint, 0), (Kind::Notification, 0), (Kind::CNode, 4)])
    {
        assert_eq!(machine.retype(untyped, kind, bits, number, 1), Reply::done());
    }
    (machine, at)
}

fn lookup(source: bool, failure: LookupFailure) -> Reply {
    Error::FailedLookup { source, failure }.into()
}

fn copy(machine: &mut Machine<'_>, from: u64, to: u64) -> Reply {
    machine.invoke(ROOT, I::CNodeCopy, &[to, ALL, from, ALL, RWG], &[ROOT])
}

fn mint(machine: &mut Machine<'_>, from: u64, to: u64, rights: u64, data: u64) -> Reply {
    machine.invoke(ROOT, I::CNodeMint, &[to, ALL, from, ALL, rights, data], &[ROOT])
}

fn on_slot(machine: &mut Machine<'_>, invocation: I, slot: u64) -> Reply {
    machine.invoke(ROOT, invocation, &[slot, ALL], &[])
}

/// A guard as seL4 5.0.0 takes it.
fn guard(guard: u64, bits: u64) -> u64 {
    guard << 8 | bits << 2
}

#[test]
fn copies_have_no_more_rights_and_are_derived() {
    let (mut machine, at) = machine();
    for rights in 0..8 {
        let to = at + 10 + rights;
        let words = [to, ALL, at, ALL, rights];
        assert_eq!(machine.invoke(ROOT, I::CNodeCopy, &words, &[ROOT]), Reply::done());
        let Cap::Endpoint { badge: 0, rights: own, .. } = machine.cap(to) else { panic!("{rights}") };
        assert_eq!(own, Rights::decode_without_grant_reply(rights));
    }
    // The badge is that of the original, so the copies are no children of each other, but of it.
    let memory = machine.memory();
    assert!(!machine.slot(at + 10).mdb(&memory).revocable);
    assert_eq!(machine.slot(at).mdb(&memory).next, machine.slot(at + 17).0);
    assert_eq!(on_slot(&mut machine, I::CNodeRevoke, at), Reply::done());
    assert!((at + 10..at + 18).all(|slot| machine.cap(slot) == Cap::Null));
    assert!(matches!(machine.cap(at), Cap::Endpoint { .. }));
}

#[test]
fn minted_badges_are_revoked_one_by_one() {
    let (mut machine, at) = machine();
    assert_eq!(mint(&mut machine, at, at + 10, RWG, 5), Reply::done());
    assert_eq!(mint(&mut machine, at, at + 11, RWG, 6), Reply::done());
    assert_eq!(copy(&mut machine, at + 10, at + 12), Reply::done());
    assert!(matches!(machine.cap(at + 12), Cap::Endpoint { badge: 5, .. }));
    assert_eq!(on_slot(&mut machine, I::CNodeRevoke, at + 10), Reply::done());
    assert_eq!(machine.cap(at + 12), Cap::Null);
    assert!(matches!(machine.cap(at + 10), Cap::Endpoint { badge: 5, .. }));
    assert!(matches!(machine.cap(at + 11), Cap::Endpoint { badge: 6, .. }));
    // A badge cannot be replaced, and an endpoint's has 28 bits; a notification's has all.
    assert_eq!(mint(&mut machine, at + 10, at + 12, RWG, 7), Error::IllegalOperation.into());
    assert_eq!(mint(&mut machine, at, at + 12, RWG, u64::MAX), Reply::done());
    assert!(matches!(machine.cap(at + 12), Cap::Endpoint { badge: 0xfff_ffff, .. }));
    assert_eq!(mint(&mut machine, at + 1, at + 13, RWG, u64::MAX), Reply::done());
    assert!(matches!(machine.cap(at + 13), Cap::Notification { badge: u64::MAX, .. }));
}

#[test]
fn guards_decide_what_addresses_lead_to() {
    let (mut machine, at) = machine();
    let (node, guarded) = (at + 2, at + 20);
    // 4 bits of radix and 60 of guard: all 64.
    assert_eq!(mint(&mut machine, node, guarded, RWG, guard(5, 60)), Reply::done());
    assert!(matches!(machine.cap(guarded), Cap::CNode { guard: 5, guard_bits: 60, radix: 4, .. }));
    assert_eq!(mint(&mut machine, node, at + 21, RWG, guard(0, 61)), Error::IllegalOperation.into());
    // Bits of the guard beyond its size are dropped.
    assert_eq!(mint(&mut machine, node, at + 21, RWG, guard(0xff, 3)), Reply::done());
    assert!(matches!(machine.cap(at + 21), Cap::CNode { guard: 7, guard_bits: 3, .. }));

    let address = 5 << 4 | 9;
    let words = [address, ALL, at, ALL, RWG];
    assert_eq!(machine.invoke(guarded, I::CNodeCopy, &words, &[ROOT]), Reply::done());
    let mismatch = LookupFailure::GuardMismatch { bits_left: 64, guard_found: 5, bits_found: 60 };
    let words = [6 << 4, ALL];
    assert_eq!(machine.invoke(guarded, I::CNodeDelete, &words, &[]), lookup(false, mismatch));
    let mismatch = LookupFailure::GuardMismatch { bits_left: 59, guard_found: 5, bits_found: 60 };
    assert_eq!(machine.invoke(guarded, I::CNodeDelete, &[address, 59], &[]), lookup(false, mismatch));
    let depth = LookupFailure::DepthMismatch { bits_left: 62, bits_found: 64 };
    assert_eq!(machine.invoke(guarded, I::CNodeDelete, &[5 << 2, 62], &[]), lookup(false, depth));
    assert_eq!(machine.invoke(guarded, I::CNodeDelete, &[address, ALL], &[]), Reply::done());
}

#[test]
fn slots_are_named_by_exactly_their_bits() {
    let (mut machine, at) = machine();
    for depth in [0, 65, 64 + 256, u64::MAX] {
        let error = Error::Range { min: 1, max: 64 };
        assert_eq!(machine.invoke(ROOT, I::CNodeDelete, &[at, depth], &[]), error.into(), "{depth}");
    }
    // The CNode without a guard takes 4 bits; an endpoint in its slot 1 takes none.
    let node = at + 2;
    assert_eq!(machine.invoke(node, I::CNodeCopy, &[1, 4, at, ALL, RWG], &[ROOT]), Reply::done());
    let left = LookupFailure::DepthMismatch { bits_left: 60, bits_found: 0 };
    assert_eq!(machine.invoke(node, I::CNodeDelete, &[1 << 60, 64], &[]), lookup(false, left));
    let more = LookupFailure::DepthMismatch { bits_left: 3, bits_found: 4 };
    assert_eq!(machine.invoke(node, I::CNodeDelete, &[1, 3], &[]), lookup(false, more));
    assert_eq!(machine.invoke(node, I::CNodeDelete, &[1, 4], &[]), Reply::done());
    // Through the initial CNode (12 bits, 52 of guard) into this one.
    assert_eq!(machine.invoke(ROOT, I::CNodeMove, &[at + 30, ALL, node, ALL], &[ROOT]), Reply::done());
}

#[test]
fn operations_that_a_cnode_lacks_and_short_messages() {
    let (mut machine, at) = machine();
    let label = |invocation| u64::from(Machine::new().kernel.table().message(invocation).label);
    for other in [label(I::TcbSuspend), label(I::CNodeSaveCaller) + 1, label(I::CNodeRevoke) - 1, 0, 500] {
        assert_eq!(machine.call(ROOT, other, &[], &[]), Error::IllegalOperation.into(), "{other}");
    }
    let truncated = Reply::from(Error::TruncatedMessage);
    for operation in [I::CNodeRevoke, I::CNodeDelete, I::CNodeCancelBadgedSends, I::CNodeSaveCaller] {
        assert_eq!(machine.invoke(ROOT, operation, &[at], &[]), truncated);
    }
    for operation in [I::CNodeCopy, I::CNodeMint, I::CNodeMove, I::CNodeMutate, I::CNodeRotate] {
        assert_eq!(machine.invoke(ROOT, operation, &[0], &[ROOT]), truncated);
        // The destination is looked at before the rest of the message.
        let invalid = machine.invoke(ROOT, operation, &[0, 65], &[]);
        assert_eq!(invalid, Error::Range { min: 1, max: 64 }.into());
        assert_eq!(machine.invoke(ROOT, operation, &[0, ALL, 0, 0, 0, 0, 0, 0], &[]), truncated);
    }
    // Whether the source is there comes before the last words.
    for (operation, words) in [(I::CNodeCopy, 4), (I::CNodeMint, 5), (I::CNodeMutate, 4)] {
        let missing = LookupFailure::MissingCapability { bits_left: ALL };
        let message = [at + 10, ALL, at + 11, ALL, RWG];
        let answer = machine.invoke(ROOT, operation, &message[..words], &[ROOT]);
        assert_eq!(answer, lookup(true, missing));
        let message = [at + 10, ALL, at, ALL, RWG];
        assert_eq!(machine.invoke(ROOT, operation, &message[..words], &[ROOT]), truncated);
        assert_eq!(machine.invoke(ROOT, operation, &message[..3], &[ROOT]), truncated);
    }
}

#[test]
fn sources_and_destinations_are_checked_in_order() {
    let (mut machine, at) = machine();
    for operation in [I::CNodeCopy, I::CNodeMint, I::CNodeMove, I::CNodeMutate] {
        let mut fails = |words: [u64; 6], root, reply: Reply| {
            assert_eq!(machine.invoke(ROOT, operation, &words, &[root]), reply, "{operation:?}");
        };
        // A full destination comes before an invalid source.
        fails([at, ALL, 0, 0, RWG, 0], at, Error::DeleteFirst.into());
        fails([at + 9, ALL, at, ALL, RWG, 0], at, lookup(true, LookupFailure::InvalidRoot));
        fails([at + 9, ALL, at, 0, RWG, 0], ROOT, Error::Range { min: 1, max: 64 }.into());
        let missing = LookupFailure::MissingCapability { bits_left: ALL };
        fails([at + 9, ALL, at + 8, ALL, RWG, 0], ROOT, lookup(true, missing));
    }
}

#[test]
fn what_cannot_be_copied() {
    let (mut machine, at) = machine();
    let illegal = Reply::from(Error::IllegalOperation);
    // IRQ control is unique; an untyped with children, and paging structures that are not mapped.
    assert_eq!(copy(&mut machine, 4, at + 10), illegal);
    let untyped = machine.largest_untyped();
    assert_eq!(copy(&mut machine, untyped, at + 10), Error::RevokeFirst.into());
    let kinds = [Kind::PageTable, Kind::PageDirectory, Kind::Pdpt, Kind::Pml4];
    for (number, kind) in (at + 20..).zip(kinds) {
        assert_eq!(machine.retype(untyped, kind, 0, number, 1), Reply::done());
        assert_eq!(copy(&mut machine, number, at + 10), illegal, "{kind:?}");
    }
    // Move and Mutate of the same.
    assert_eq!(
        machine.invoke(ROOT, I::CNodeMove, &[at + 10, ALL, 4, ALL], &[ROOT]),
        Reply::done(),
        "IRQ control can be moved"
    );
    assert_eq!(machine.cap(4), Cap::Null);
}

#[test]
fn copied_pages_are_not_mapped_and_lose_rights() {
    let (mut machine, at) = machine();
    let untyped = machine.largest_untyped();
    assert_eq!(machine.retype(untyped, Kind::Page, 0, at + 9, 1), Reply::done());
    // Of a page, write without read is nothing.
    for (rights, read, write) in [(7, true, true), (2, true, false), (3, true, true), (1, false, false)] {
        let to = at + 10 + rights;
        assert_eq!(mint(&mut machine, at + 9, to, rights, 0), Reply::done());
        let Cap::Frame { read: can_read, write: can_write, mapped: None, .. } = machine.cap(to) else {
            panic!("{:?}", machine.cap(to));
        };
        assert_eq!((can_read, can_write), (read, write), "{rights}");
    }
    // A page that is mapped: its copy is not.
    assert_eq!(copy(&mut machine, 9, at + 30), Reply::done());
    assert!(matches!(machine.cap(9), Cap::Frame { mapped: Some(_), .. }));
    assert!(matches!(machine.cap(at + 30), Cap::Frame { mapped: None, .. }));
}

#[test]
fn ports_shrink() {
    let (mut machine, at) = machine();
    let ports = |first: u64, last: u64| first << 16 | last;
    assert_eq!(mint(&mut machine, 7, at + 10, RWG, ports(0x3f8, 0x3ff)), Reply::done());
    assert_eq!(machine.cap(at + 10), Cap::IoPort { first: 0x3f8, last: 0x3ff });
    for wrong in [ports(0x3f7, 0x3ff), ports(0x3f8, 0x400), ports(0x3f9, 0x3f8)] {
        assert_eq!(mint(&mut machine, at + 10, at + 11, RWG, wrong), Error::IllegalOperation.into());
    }
}

#[test]
fn moves_keep_the_place_in_the_derivation_list() {
    let (mut machine, at) = machine();
    assert_eq!(copy(&mut machine, at, at + 10), Reply::done());
    let moved = machine.invoke(ROOT, I::CNodeMove, &[at + 11, ALL, at, ALL], &[ROOT]);
    assert_eq!((moved, machine.cap(at)), (Reply::done(), Cap::Null));
    assert_eq!(on_slot(&mut machine, I::CNodeRevoke, at + 11), Reply::done());
    assert_eq!(machine.cap(at + 10), Cap::Null);
    // Mutate gives a CNode a guard on the way, but an endpoint no badge.
    let words = [at + 12, ALL, at + 2, ALL, guard(1, 8)];
    assert_eq!(machine.invoke(ROOT, I::CNodeMutate, &words, &[ROOT]), Reply::done());
    assert!(matches!(machine.cap(at + 12), Cap::CNode { guard: 1, guard_bits: 8, .. }));
    let words = [at + 13, ALL, at + 11, ALL, 9];
    let illegal = Reply::from(Error::IllegalOperation);
    assert_eq!(machine.invoke(ROOT, I::CNodeMutate, &words, &[ROOT]), illegal);
}

#[test]
fn rotating_moves_two_capabilities_or_swaps_them() {
    let (mut machine, at) = machine();
    let (endpoint, notification) = (machine.cap(at), machine.cap(at + 1));
    let is = |machine: &Machine<'_>, slots: [u64; 3], caps: [Cap; 3]| {
        assert_eq!(slots.map(|slot| machine.cap(slot)), caps);
    };
    let rotate = |machine: &mut Machine<'_>, dest: u64, pivot: u64, source: u64, data: [u64; 2]| {
        let words = [dest, ALL, data[0], pivot, ALL, data[1], source, ALL];
        machine.invoke(ROOT, I::CNodeRotate, &words, &[ROOT, ROOT])
    };
    let (dest, pivot, source) = (at + 10, at, at + 1);
    // An endpoint or notification cannot be rotated: Mutate's rule of badges holds.
    let illegal = Reply::from(Error::IllegalOperation);
    assert_eq!(rotate(&mut machine, dest, pivot, source, [0, 0]), illegal);
    is(&machine, [dest, pivot, source], [Cap::Null, endpoint, notification]);
    // CNodes can: the first datum is for what comes to the destination, the second for the pivot.
    let untyped = machine.largest_untyped();
    let (pivot, source) = (at + 20, at + 21);
    assert_eq!(machine.retype(untyped, Kind::CNode, 1, pivot, 2), Reply::done());
    let data = [guard(1, 2), guard(2, 3)];
    assert_eq!(rotate(&mut machine, dest, pivot, source, data), Reply::done());
    assert!(matches!(machine.cap(dest), Cap::CNode { guard: 1, guard_bits: 2, .. }));
    assert!(matches!(machine.cap(pivot), Cap::CNode { guard: 2, guard_bits: 3, .. }));
    assert_eq!(machine.cap(source), Cap::Null);
    // With the source as destination both swap.
    let (a, b) = (machine.cap(dest), machine.cap(pivot));
    let data = [guard(2, 3), guard(1, 2)];
    assert_eq!(rotate(&mut machine, dest, pivot, dest, data), Reply::done());
    let address = |cap| match cap {
        Cap::CNode { address, .. } => address,
        _ => 0,
    };
    assert_eq!(address(machine.cap(dest)), address(b));
    assert_eq!(address(machine.cap(pivot)), address(a));

    let missing = |source| lookup(source, LookupFailure::MissingCapability { bits_left: ALL });
    assert_eq!(rotate(&mut machine, dest, pivot, pivot, [0, 0]), illegal);
    assert_eq!(rotate(&mut machine, pivot, pivot, dest, [0, 0]), illegal);
    assert_eq!(rotate(&mut machine, at, pivot, dest, [0, 0]), Error::DeleteFirst.into());
    assert_eq!(rotate(&mut machine, at + 30, pivot, at + 31, [0, 0]), missing(true));
    assert_eq!(rotate(&mut machine, at + 30, at + 31, dest, [0, 0]), missing(false));
    let words = [at + 30, ALL, 0, pivot, 0, 0, dest, ALL];
    let range = Error::Range { min: 1, max: 64 };
    assert_eq!(machine.invoke(ROOT, I::CNodeRotate, &words, &[ROOT, ROOT]), range.into());
    let words = [at + 30, ALL, 0, pivot, ALL, 0, dest, ALL];
    let answer = machine.invoke(ROOT, I::CNodeRotate, &words, &[at, ROOT]);
    assert_eq!(answer, lookup(true, LookupFailure::InvalidRoot));
    let answer = machine.invoke(ROOT, I::CNodeRotate, &words, &[ROOT]);
    assert_eq!(answer, Error::TruncatedMessage.into());
    let answer = machine.invoke(ROOT, I::CNodeRotate, &words[..7], &[ROOT, ROOT]);
    assert_eq!(answer, Error::TruncatedMessage.into());
}

#[test]
fn saving_the_caller_needs_an_empty_slot_but_no_caller() {
    let (mut machine, at) = machine();
    assert_eq!(on_slot(&mut machine, I::CNodeSaveCaller, at), Error::DeleteFirst.into());
    assert_eq!(on_slot(&mut machine, I::CNodeSaveCaller, at + 10), Reply::done());
    assert_eq!(machine.cap(at + 10), Cap::Null);
}

#[test]
fn badged_sends_are_cancelled_with_all_rights_only() {
    let (mut machine, at) = machine();
    assert_eq!(mint(&mut machine, at, at + 10, 3, 5), Reply::done());
    assert_eq!(mint(&mut machine, at, at + 11, RWG, 5), Reply::done());
    for (slot, expected) in [
        (at + 10, Reply::from(Error::IllegalOperation)),
        (at + 1, Error::IllegalOperation.into()),
        (at + 12, Error::IllegalOperation.into()),
        (at + 11, Reply::done()),
        (at, Reply::done()),
    ] {
        assert_eq!(on_slot(&mut machine, I::CNodeCancelBadgedSends, slot), expected, "{slot}");
    }
}

#[test]
fn what_was_derived_from_a_deleted_capability_is_no_child_of_its_neighbour() {
    let (mut machine, at) = machine();
    // Two independent capabilities with one badge, and a copy of the one that comes last in the list.
    assert_eq!(mint(&mut machine, at, at + 10, RWG, 5), Reply::done());
    assert_eq!(mint(&mut machine, at, at + 11, RWG, 5), Reply::done());
    assert_eq!(copy(&mut machine, at + 10, at + 12), Reply::done());
    assert_eq!(on_slot(&mut machine, I::CNodeDelete, at + 10), Reply::done());
    assert_eq!(on_slot(&mut machine, I::CNodeRevoke, at + 11), Reply::done());
    assert!(matches!(machine.cap(at + 12), Cap::Endpoint { badge: 5, .. }));
}

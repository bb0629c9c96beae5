//! Retyping: objects, accounting, and every error in the kernel's order of checks.

use selkie_tender_model::testing::{Machine, Reply};
use selkie_tender_model::{Cap, Error, FrameSize, LookupFailure, Tcb, ThreadState};
use selkie_tender_table::{Invocation as I, Kind};

const ROOT: u64 = 2;
const ALL: u64 = 64;
/// The number of a kind that this kernel does not have.
const NO_KIND: u64 = 11;

/// A machine with an untyped of `2^bits` bytes in the slot that is answered.
fn machine(bits: u64) -> (Machine<'static>, u64) {
    let mut machine = Machine::new();
    let (untyped, at) = (machine.largest_untyped(), machine.first_empty());
    assert_eq!(machine.retype(untyped, Kind::Untyped, bits, at, 1), Reply::done());
    (machine, at)
}

fn used(machine: &Machine<'_>, slot: u64) -> u64 {
    let Cap::Untyped { used, .. } = machine.cap(slot) else { panic!("no untyped in {slot}") };
    used
}

fn address(machine: &Machine<'_>, slot: u64) -> u64 {
    match machine.cap(slot) {
        Cap::Untyped { address, .. }
        | Cap::Endpoint { address, .. }
        | Cap::Notification { address, .. }
        | Cap::CNode { address, .. }
        | Cap::Frame { address, .. }
        | Cap::PageTable { address, .. }
        | Cap::PageDirectory { address, .. }
        | Cap::Pdpt { address, .. }
        | Cap::Pml4 { address, .. }
        | Cap::Thread { tcb: address } => address,
        cap => panic!("{cap:?}"),
    }
}

#[test]
fn each_kind_takes_its_size() {
    let sizes = [
        (Kind::Untyped, 8, 1 << 8),
        (Kind::Tcb, 0, 1 << 11),
        (Kind::Endpoint, 0, 1 << 4),
        (Kind::Notification, 0, 1 << 5),
        (Kind::CNode, 3, 1 << 8),
        (Kind::Page, 0, 1 << 12),
        (Kind::PageTable, 0, 1 << 12),
        (Kind::PageDirectory, 0, 1 << 12),
        (Kind::Pdpt, 0, 1 << 12),
        (Kind::Pml4, 0, 1 << 12),
    ];
    for (kind, bits, size) in sizes {
        let (mut machine, at) = machine(16);
        let base = address(&machine, at);
        assert_eq!(machine.retype(at, kind, bits, at + 1, 3), Reply::done());
        assert_eq!(used(&machine, at), 3 * size, "{kind:?}");
        for number in 0..3 {
            assert_eq!(address(&machine, at + 1 + number), base + number * size, "{kind:?}");
        }
        // The newest capability is the first child.
        let memory = machine.memory();
        assert_eq!(machine.slot(at).mdb(&memory).next, machine.slot(at + 3).0);
    }
}

#[test]
fn objects_are_aligned_to_their_size() {
    let (mut machine, at) = machine(16);
    let base = address(&machine, at);
    assert_eq!(machine.retype(at, Kind::Endpoint, 0, at + 1, 1), Reply::done());
    assert_eq!(machine.retype(at, Kind::Page, 0, at + 2, 1), Reply::done());
    assert_eq!(address(&machine, at + 2), base + 4096);
    assert_eq!(used(&machine, at), 8192);
    assert_eq!(machine.retype(at, Kind::Notification, 0, at + 3, 1), Reply::done());
    assert_eq!(address(&machine, at + 3), base + 8192);
}

#[test]
fn what_is_left_is_told_and_used_to_the_last_byte() {
    let (mut machine, at) = machine(12);
    assert_eq!(machine.retype(at, Kind::Page, 0, at + 1, 2), Error::NotEnoughMemory(4096).into());
    assert_eq!(machine.retype(at, Kind::CNode, 47, at + 1, 1), Error::NotEnoughMemory(4096).into());
    assert_eq!(machine.retype(at, Kind::Untyped, 47, at + 1, 1), Error::NotEnoughMemory(4096).into());
    assert_eq!(machine.retype(at, Kind::Endpoint, 0, at + 1, 255), Reply::done());
    assert_eq!(machine.retype(at, Kind::Endpoint, 0, at + 256, 2), Error::NotEnoughMemory(16).into());
    assert_eq!(machine.retype(at, Kind::Endpoint, 0, at + 256, 1), Reply::done());
    assert_eq!(machine.retype(at, Kind::Endpoint, 0, at + 257, 1), Error::NotEnoughMemory(0).into());
}

#[test]
fn memory_comes_back_zeroed_when_all_children_are_gone() {
    let (mut machine, at) = machine(13);
    let (memory, base) = (machine.memory(), address(&machine, at));
    assert_eq!(machine.retype(at, Kind::Page, 0, at + 1, 1), Reply::done());
    memory.set(base + 8, 0x1234);
    // Not to be touched: nothing above the watermark is ever written.
    memory.set(base + 4096, 0x5678);
    assert_eq!(machine.invoke(ROOT, I::CNodeRevoke, &[at, ALL], &[]), Reply::done());
    assert_eq!(machine.cap(at + 1), Cap::Null);
    assert_eq!(used(&machine, at), 4096);
    assert_eq!(machine.retype(at, Kind::Endpoint, 0, at + 1, 1), Reply::done());
    assert_eq!((memory.get(base + 8), memory.get(base + 4096)), (0, 0x5678));
    assert_eq!(used(&machine, at), 16);
    memory.set(base + 4096, 0);
}

#[test]
fn memory_that_only_untypeds_were_made_of_is_not_looked_at_again() {
    let (mut machine, at) = machine(14);
    let (memory, base) = (machine.memory(), address(&machine, at));
    assert_eq!(machine.retype(at, Kind::Untyped, 13, at + 1, 2), Reply::done());
    assert_eq!(machine.retype(at + 1, Kind::Untyped, 12, at + 3, 2), Reply::done());
    assert_eq!(machine.retype(at + 3, Kind::Page, 0, at + 5, 1), Reply::done());
    // The page was used; the untypeds after it never were, and are not to be touched.
    memory.set(base, 0x1234);
    memory.set(base + 0x1000, 0x5678);
    memory.set(base + 0x2000, 0x9abc);
    assert_eq!(machine.invoke(ROOT, I::CNodeRevoke, &[at, ALL], &[]), Reply::done());
    assert_eq!(machine.retype(at, Kind::Page, 0, at + 1, 4), Reply::done());
    let words = [0, 0x1000, 0x2000].map(|offset| memory.get(base + offset));
    assert_eq!(words, [0, 0x5678, 0x9abc]);
}

#[test]
fn a_failed_retype_changes_nothing() {
    let (mut machine, at) = machine(12);
    assert_eq!(machine.retype(at, Kind::Page, 0, at + 1, 1), Reply::done());
    assert_eq!(machine.invoke(ROOT, I::CNodeDelete, &[at + 1, ALL], &[]), Reply::done());
    assert_eq!(machine.retype(at, Kind::LargePage, 0, at + 1, 1), Error::NotEnoughMemory(4096).into());
    assert_eq!(used(&machine, at), 4096);
}

#[test]
fn a_copied_untyped_can_only_be_used_through_the_copy() {
    let (mut machine, at) = machine(12);
    let copied = machine.invoke(ROOT, I::CNodeCopy, &[at + 1, ALL, at, ALL, 7], &[ROOT]);
    assert_eq!(copied, Reply::done());
    assert_eq!((used(&machine, at), used(&machine, at + 1)), (4096, 0));
    assert_eq!(machine.retype(at, Kind::Endpoint, 0, at + 2, 1), Error::NotEnoughMemory(0).into());
    assert_eq!(machine.retype(at + 1, Kind::Endpoint, 0, at + 2, 1), Reply::done());
    // What was made through the copy is a child of the original too.
    assert_eq!(machine.invoke(ROOT, I::CNodeDelete, &[at + 1, ALL], &[]), Reply::done());
    assert_eq!(machine.retype(at, Kind::Endpoint, 0, at + 3, 1), Error::NotEnoughMemory(0).into());
    assert_eq!(machine.invoke(ROOT, I::CNodeRevoke, &[at, ALL], &[]), Reply::done());
    assert_eq!(machine.retype(at, Kind::Endpoint, 0, at + 3, 256), Reply::done());
}

#[test]
fn objects_start_as_the_kernel_makes_them() {
    let (mut machine, at) = machine(16);
    for (number, kind) in (at + 1..).zip([Kind::Tcb, Kind::Page, Kind::Pml4, Kind::Endpoint]) {
        assert_eq!(machine.retype(at, kind, 0, number, 1), Reply::done());
    }
    let (memory, thread) = (machine.memory(), Tcb(address(&machine, at + 1)));
    assert_eq!(thread.state(&memory), ThreadState::Inactive);
    assert_eq!(thread.time_slice(&memory), 5);
    assert!((0..Tcb::SLOTS).all(|number| thread.slot(number).is_empty(&memory)));
    let Cap::Frame { size: FrameSize::Small, read: true, write: true, device: false, mapped: None, .. } =
        machine.cap(at + 2)
    else {
        panic!("{:?}", machine.cap(at + 2));
    };
    assert!(matches!(machine.cap(at + 3), Cap::Pml4 { asid: 0, .. }));
}

#[test]
fn untypeds_of_devices_give_pages_and_untypeds_only() {
    let mut machine = Machine::new();
    let at = machine.first_empty();
    let device =
        (1..at).find(|slot| matches!(machine.cap(*slot), Cap::Untyped { device: true, .. })).unwrap();
    for kind in [Kind::Tcb, Kind::Endpoint, Kind::Notification, Kind::PageTable, Kind::Pml4] {
        assert_eq!(machine.retype(device, kind, 0, at, 1), Error::InvalidArgument(1).into(), "{kind:?}");
    }
    assert_eq!(machine.retype(device, Kind::CNode, 2, at, 1), Error::InvalidArgument(1).into());
    // Too large comes first.
    let left = Error::NotEnoughMemory(1 << 20);
    assert_eq!(machine.retype(device, Kind::CNode, 20, at, 1), left.into());
    assert_eq!(machine.retype(device, Kind::Untyped, 13, at, 1), Reply::done());
    assert!(matches!(machine.cap(at), Cap::Untyped { address: 0, bits: 13, device: true, .. }));
    assert_eq!(machine.retype(at, Kind::Page, 0, at + 1, 2), Reply::done());
    assert!(matches!(machine.cap(at + 2), Cap::Frame { address: 0x1000, device: true, .. }));
    // Nothing is zeroed there: it is no memory.
    assert_eq!(machine.invoke(ROOT, I::CNodeRevoke, &[device, ALL], &[]), Reply::done());
    assert_eq!(machine.retype(device, Kind::LargePage, 0, at, 1), left.into());
    assert_eq!(machine.retype(device, Kind::Page, 0, at, 1), Reply::done());
}

#[test]
fn arguments_are_checked_in_the_kernel_s_order() {
    let (mut machine, at) = machine(16);
    let untyped = machine.kind(Kind::Untyped);
    let (cnode, endpoint) = (machine.kind(Kind::CNode), machine.kind(Kind::Endpoint));
    let missing = |bits_left| Error::FailedLookup {
        source: false,
        failure: LookupFailure::MissingCapability { bits_left },
    };
    let range = |min, max| Error::Range { min, max };
    let invalid_root = Error::FailedLookup { source: false, failure: LookupFailure::InvalidRoot };
    // Each with all later arguments wrong too, where that is possible.
    let cases: &[([u64; 6], u64, Error)] = &[
        ([NO_KIND, 99, 0, 65, 5000, 0], at, Error::InvalidArgument(0)),
        ([u64::MAX, 99, 0, 65, 5000, 0], at, Error::InvalidArgument(0)),
        ([cnode, 48, 0, 65, 5000, 0], at, range(0, 61)),
        ([cnode, 0, 0, 65, 5000, 0], at, Error::InvalidArgument(1)),
        ([untyped, 3, 0, 65, 5000, 0], at, Error::InvalidArgument(1)),
        ([endpoint, 0, 0, 65, 5000, 0], at, invalid_root),
        ([endpoint, 0, 0, 65, 5000, 0], ROOT, range(1, 64)),
        ([endpoint, 0, at, 64, 5000, 0], ROOT, missing(64)),
        ([endpoint, 0, at + 9, 64, 5000, 0], ROOT, missing(64)),
        ([endpoint, 0, 0, 0, 5000, 0], at, missing(0)),
        ([endpoint, 0, 0, 0, 4096, 0], ROOT, range(0, 4095)),
        ([endpoint, 0, 0, 0, 4095, 0], ROOT, range(1, 256)),
        ([endpoint, 0, 0, 0, 4095, 257], ROOT, range(1, 256)),
        ([endpoint, 0, 0, 0, 4095, 2], ROOT, range(1, 1)),
        ([endpoint, 0, 0, 0, at, 1], ROOT, Error::DeleteFirst),
        ([untyped, 40, 0, 0, at - 1, 2], ROOT, Error::DeleteFirst),
        ([untyped, 40, 0, 0, at + 1, 1], ROOT, Error::NotEnoughMemory(1 << 16)),
    ];
    for (words, root, error) in cases {
        let answer = machine.invoke(at, I::UntypedRetype, words, &[*root]);
        assert_eq!(answer, Reply::from(*error), "{words:?}");
    }
    let words = [endpoint, 0, 0, 0, at + 1, 1];
    let truncated = Reply::from(Error::TruncatedMessage);
    assert_eq!(machine.invoke(at, I::UntypedRetype, &words[..5], &[ROOT]), truncated);
    assert_eq!(machine.invoke(at, I::UntypedRetype, &words, &[]), truncated);
    assert_eq!(machine.invoke(at, I::CNodeDelete, &words, &[ROOT]), Error::IllegalOperation.into());
    // A CNode by index and depth.
    let words = [endpoint, 0, ROOT, 64, at + 1, 1];
    assert_eq!(machine.invoke(at, I::UntypedRetype, &words, &[ROOT]), Reply::done());
}

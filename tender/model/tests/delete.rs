//! Deletion and revocation of CNodes and threads: zombies.

use selkie_tender_model::testing::{Machine, Reply};
use selkie_tender_model::{Cap, Next, Tcb, ThreadState};
use selkie_tender_table::{Invocation as I, Kind, Syscall};

const ROOT: u64 = 2;
const ALL: u64 = 64;

/// A machine with `count` CNodes of four slots in the slots from the one that is answered on, and the
/// untyped that they were made from.
fn machine(count: u64) -> (Machine<'static>, u64, u64) {
    let mut machine = Machine::new();
    let (untyped, at) = (machine.largest_untyped(), machine.first_empty());
    assert_eq!(machine.retype(untyped, Kind::CNode, 2, at, count), Reply::done());
    (machine, untyped, at)
}

/// Copies or moves what is in a slot of the initial CNode into a slot of the CNode `node`.
fn put(machine: &mut Machine<'_>, operation: I, from: u64, node: u64, slot: u64) {
    let answer = machine.invoke(node, operation, &[slot, 2, from, ALL, 7], &[ROOT]);
    assert_eq!(answer, Reply::done());
}

fn delete(machine: &mut Machine<'_>, slot: u64) {
    assert_eq!(machine.invoke(ROOT, I::CNodeDelete, &[slot, ALL], &[]), Reply::done());
}

fn revoke(machine: &mut Machine<'_>, slot: u64) {
    assert_eq!(machine.invoke(ROOT, I::CNodeRevoke, &[slot, ALL], &[]), Reply::done());
}

/// Whether the untyped has no children, so that all of it can be used again.
fn is_free(machine: &mut Machine<'_>, untyped: u64, at: u64) -> bool {
    let made = machine.retype(untyped, Kind::Endpoint, 0, at, 1) == Reply::done();
    let Cap::Untyped { used, .. } = machine.cap(untyped) else { return false };
    made && used == 16
}

#[test]
fn a_cnode_takes_what_is_in_it_along() {
    let (mut machine, untyped, at) = machine(1);
    assert_eq!(machine.retype(untyped, Kind::Endpoint, 0, at + 1, 1), Reply::done());
    for slot in 0..4 {
        put(&mut machine, I::CNodeCopy, at + 1, at, slot);
    }
    delete(&mut machine, at);
    let memory = machine.memory();
    assert_eq!(
        (machine.cap(at), machine.slot(at + 1).mdb(&memory).prev),
        (Cap::Null, machine.slot(untyped).0)
    );
    assert_eq!(machine.slot(at + 1).mdb(&memory).next, 0);
}

#[test]
fn a_cnode_stays_while_there_is_another_capability_to_it() {
    let (mut machine, _, at) = machine(1);
    let copied = machine.invoke(ROOT, I::CNodeCopy, &[at + 5, ALL, at, ALL, 7], &[ROOT]);
    assert_eq!(copied, Reply::done());
    put(&mut machine, I::CNodeCopy, ROOT, at, 0);
    delete(&mut machine, at);
    let found = machine.invoke(at + 5, I::CNodeMove, &[1, 2, 0, 2], &[at + 5]);
    assert_eq!(found, Reply::done());
}

#[test]
fn a_cnode_that_contains_itself_goes_away() {
    for slot in 0..4 {
        let (mut machine, untyped, at) = machine(1);
        put(&mut machine, I::CNodeCopy, at, at, slot);
        put(&mut machine, I::CNodeCopy, ROOT, at, (slot + 1) % 4);
        delete(&mut machine, at);
        // The copy inside is the last capability now: the CNode lives on, out of reach.
        assert!(!is_free(&mut machine, untyped, at + 9), "{slot}");
        revoke(&mut machine, untyped);
        assert!(is_free(&mut machine, untyped, at + 9), "{slot}");
    }
}

#[test]
fn a_cnode_whose_only_capability_is_inside_goes_away_with_its_untyped() {
    for slot in 0..4 {
        let (mut machine, untyped, at) = machine(1);
        put(&mut machine, I::CNodeMove, at, at, slot);
        revoke(&mut machine, untyped);
        assert!(is_free(&mut machine, untyped, at), "{slot}");
    }
}

#[test]
fn rings_and_chains_of_cnodes_go_away() {
    for (count, ring) in [(2, true), (3, true), (12, true), (12, false)] {
        for inner in 0..4 {
            let (mut machine, untyped, at) = machine(count);
            // Each holds the only capability to the next one; a ring's last one that to the first.
            for number in (1..count).rev() {
                put(&mut machine, I::CNodeMove, at + number, at + number - 1, inner);
            }
            if ring {
                let mut last = at;
                // The last CNode is reached through all the others.
                let mut path = 0;
                for _ in 1..count {
                    path = path << 2 | inner;
                    last += 1;
                }
                let words = [(path << 2) | ((inner + 1) % 4), 2 * (last - at + 1), at, ALL];
                assert_eq!(machine.invoke(at, I::CNodeMove, &words, &[ROOT]), Reply::done());
                assert_eq!(machine.cap(at), Cap::Null);
            } else {
                delete(&mut machine, at);
            }
            // As on the kernel, inner CNodes stay behind, out of reach, until their memory is revoked.
            revoke(&mut machine, untyped);
            assert!(is_free(&mut machine, untyped, at), "{count} {ring} {inner}");
        }
    }
}

#[test]
fn a_thread_takes_its_spaces_along() {
    let (mut machine, untyped, at) = machine(1);
    assert_eq!(machine.retype(untyped, Kind::Tcb, 0, at + 1, 1), Reply::done());
    let Cap::Thread { tcb } = machine.cap(at + 1) else { panic!("no thread") };
    let space = machine.invoke(at + 1, I::TcbSetSpace, &[0, 0, 0], &[at, 3]);
    assert_eq!(space, Reply::done());
    assert_eq!(machine.invoke(at + 1, I::TcbResume, &[], &[]), Reply::done());
    // The CNode's only capabilities are in the thread, then.
    delete(&mut machine, at);
    delete(&mut machine, at + 1);
    let memory = machine.memory();
    assert_eq!(Tcb(tcb).state(&memory), ThreadState::Inactive);
    assert!((0..Tcb::SLOTS).all(|number| Tcb(tcb).slot(number).is_empty(&memory)));
    revoke(&mut machine, untyped);
    assert!(is_free(&mut machine, untyped, at));
}

#[test]
fn a_thread_whose_cspace_holds_its_own_capability_goes_away() {
    let (mut machine, untyped, at) = machine(1);
    assert_eq!(machine.retype(untyped, Kind::Tcb, 0, at + 1, 1), Reply::done());
    assert_eq!(machine.invoke(at + 1, I::TcbSetSpace, &[0, 0, 0], &[at, 3]), Reply::done());
    put(&mut machine, I::CNodeMove, at + 1, at, 3);
    // Nothing refers to either but they themselves.
    delete(&mut machine, at);
    assert!(!is_free(&mut machine, untyped, at));
    revoke(&mut machine, untyped);
    assert!(is_free(&mut machine, untyped, at));
}

#[test]
fn the_current_thread_can_delete_itself() {
    let mut machine = Machine::new();
    let number = machine.number(Syscall::Call);
    let label = machine.kernel.table().message(I::CNodeDelete).label;
    assert_eq!(machine.syscall(number, ROOT, label.into(), &[1, ALL], &[]), Next::Idle);
}

#[test]
fn endpoints_and_notifications_let_waiting_threads_go() {
    let (mut machine, untyped, at) = machine(1);
    for (number, kind) in (at + 1..).zip([Kind::Endpoint, Kind::Notification]) {
        assert_eq!(machine.retype(untyped, kind, 0, number, 1), Reply::done());
        assert_eq!(machine.retype(untyped, Kind::Tcb, 0, number + 10, 1), Reply::done());
        let Cap::Thread { tcb } = machine.cap(number + 10) else { panic!("no thread") };
        let first = machine.kernel.current();
        let space = machine.invoke(number + 10, I::TcbSetSpace, &[0, 0, 0], &[ROOT, 3]);
        assert_eq!(space, Reply::done());
        assert_eq!(machine.invoke(number + 10, I::TcbSetPriority, &[255], &[]), Reply::done());
        assert_eq!(machine.invoke(number + 10, I::TcbResume, &[], &[]), Reply::done());
        // The other thread runs when this one yields, and waits.
        let (yields, receives) = (machine.number(Syscall::Yield), machine.number(Syscall::Recv));
        assert_eq!(machine.syscall(yields, 0, 0, &[], &[]), Next::Run(Tcb(tcb)));
        assert_eq!(machine.syscall(receives, number, 0, &[], &[]), Next::Run(first));
        let memory = machine.memory();
        assert_eq!(
            Tcb(tcb).blocked_on(&memory),
            match machine.cap(number) {
                Cap::Endpoint { address, .. } | Cap::Notification { address, .. } => address,
                cap => panic!("{cap:?}"),
            }
        );
        delete(&mut machine, number);
        assert_eq!(Tcb(tcb).state(&memory), ThreadState::Restart, "{kind:?}");
        assert_eq!(machine.invoke(number + 10, I::TcbSuspend, &[], &[]), Reply::done());
        assert_eq!(Tcb(tcb).state(&memory), ThreadState::Inactive);
    }
}

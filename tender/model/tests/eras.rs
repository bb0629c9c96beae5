//! What seL4 10 and later do otherwise than 5.0.0, through system calls as a user makes them.

use selkie_tender_model::{
    Cap, Next, Register, Tcb,
    testing::{Edition, Machine, Reply},
};
use selkie_tender_table::{Invocation as I, Kind, Number, Syscall};

const TCB: u64 = 1;
const CNODE: u64 = 2;
const VSPACE: u64 = 3;
const PORTS: u64 = 7;
const FREE: u64 = 2_000;
/// Numbers of errors.
const INVALID_CAPABILITY: u64 = 2;
const ILLEGAL_OPERATION: u64 = 3;
const RANGE: u64 = 4;
const DELETE_FIRST: u64 = 8;
const REVOKE_FIRST: u64 = 9;
/// Rights of an endpoint: reading and granting, and granting answers only.
const READ: u64 = 2;
const WRITE: u64 = 1;
const GRANT_REPLY: u64 = 8;

const LATER: [Edition; 4] = [Edition::Ten, Edition::ThirteenMcs, Edition::Sixteen, Edition::SixteenMcs];

fn make(machine: &mut Machine<'_>, kind: Kind, slot: u64) {
    let untyped = machine.largest_untyped();
    assert_eq!(machine.retype(untyped, kind, 0, slot, 1), Reply::done(), "{kind:?}");
}

#[test]
fn ports_are_issued_once_in_ranges() {
    for edition in LATER {
        let mut machine = Machine::of(edition);
        assert_eq!(machine.cap(PORTS), Cap::IoPortControl);
        let mut issue = |first, last, slot| {
            let words = [first, last, slot, 64];
            machine.invoke(PORTS, I::IoPortControlIssue, &words, &[CNODE])
        };
        assert_eq!(issue(0x40, 0x43, FREE), Reply::done());
        assert_eq!(issue(0x43, 0x50, FREE + 1).label, REVOKE_FIRST, "one is given away");
        assert_eq!(issue(0x51, 0x50, FREE + 1).label, 1, "the last before the first");
        assert_eq!(issue(0x44, 0x50, FREE).label, DELETE_FIRST);
        assert_eq!(issue(0x44, 0x50, FREE + 1), Reply::done());
        assert_eq!(machine.cap(FREE), Cap::IoPort { first: 0x40, last: 0x43 });
        assert_eq!(machine.invoke(FREE, I::IoPortIn8, &[0x44], &[]).label, ILLEGAL_OPERATION);
        assert_eq!(machine.invoke(FREE, I::IoPortIn32, &[0x41], &[]).label, ILLEGAL_OPERATION);
        // What is deleted can be issued again.
        assert_eq!(machine.invoke(CNODE, I::CNodeDelete, &[FREE, 64], &[]), Reply::done());
        let words = [0x40, 0x42, FREE, 64];
        assert_eq!(machine.invoke(PORTS, I::IoPortControlIssue, &words, &[CNODE]), Reply::done());
    }
}

#[test]
fn five_gives_all_ports_at_once() {
    assert_eq!(Machine::new().cap(PORTS), Cap::IoPort { first: 0, last: u16::MAX });
}

#[test]
fn a_priority_needs_the_authority_of_a_thread() {
    for edition in LATER {
        let mut machine = Machine::of(edition);
        make(&mut machine, Kind::Tcb, FREE);
        let mut set = |invocation, priority, authority: u64| {
            machine.invoke(FREE, invocation, &[priority], &[authority]).label
        };
        assert_eq!(set(I::TcbSetPriority, 9, CNODE), INVALID_CAPABILITY);
        assert_eq!(set(I::TcbSetPriority, 9, FREE), RANGE, "it has no authority of its own");
        assert_eq!(set(I::TcbSetPriority, 256, TCB), RANGE);
        assert_eq!(set(I::TcbSetMcPriority, 7, TCB), 0);
        assert_eq!(set(I::TcbSetPriority, 7, FREE), 0);
        let Cap::Thread { tcb } = machine.cap(FREE) else { panic!("no thread") };
        assert_eq!(Tcb(tcb).priority(&machine.memory()), 7);
    }
}

#[test]
fn the_base_of_thread_local_storage_is_a_register() {
    for edition in [Edition::Sixteen, Edition::SixteenMcs] {
        let mut machine = Machine::of(edition);
        make(&mut machine, Kind::Tcb, FREE);
        let mut set = |base| machine.invoke(FREE, I::TcbSetTlsBase, &[base], &[]).label;
        assert_eq!(set(0x40_2000), 0);
        let Cap::Thread { tcb } = machine.cap(FREE) else { panic!("no thread") };
        assert_eq!(Tcb(tcb).register(&machine.memory(), Register::FsBase), 0x40_2000);
        // All twenty words: the last two are the bases.
        let words = machine.invoke(FREE, I::TcbReadRegisters, &[0, 20], &[]).words;
        assert_eq!((words.len(), words[18]), (20, 0x40_2000));
    }
}

#[test]
fn the_right_to_answer_is_enough_for_a_call() {
    for edition in [Edition::Sixteen, Edition::Five] {
        let mut machine = Machine::of(edition);
        make(&mut machine, Kind::Endpoint, FREE);
        let rights = WRITE | GRANT_REPLY;
        let words = [FREE + 1, 64, FREE, 64, rights, 0x55];
        assert_eq!(machine.invoke(CNODE, I::CNodeMint, &words, &[CNODE]), Reply::done());
        let call = machine.number(Syscall::Call);
        let root = machine.kernel.current();
        // Nobody is there to take it: the caller waits, whatever its right.
        assert_ne!(machine.syscall(call, FREE + 1, 0, &[], &[]), Next::Run(root));
        let Cap::Endpoint { rights, .. } = machine.cap(FREE + 1) else { panic!("no endpoint") };
        assert_eq!(rights.grant_reply, edition == Edition::Sixteen);
    }
}

#[test]
fn an_endpoint_has_badges_of_its_release() {
    for (edition, wanted) in [(Edition::Five, 0x345_6789), (Edition::Sixteen, 0x1_2345_6789)] {
        let mut machine = Machine::of(edition);
        make(&mut machine, Kind::Endpoint, FREE);
        let words = [FREE + 1, 64, FREE, 64, READ | WRITE, 0x1_2345_6789];
        assert_eq!(machine.invoke(CNODE, I::CNodeMint, &words, &[CNODE]), Reply::done());
        let Cap::Endpoint { badge, .. } = machine.cap(FREE + 1) else { panic!("no endpoint") };
        assert_eq!(badge, wanted, "{edition:?}");
    }
}

#[test]
fn a_page_that_is_mapped_is_mapped_again_at_its_place_only() {
    for edition in [Edition::Sixteen, Edition::SixteenMcs] {
        let mut machine = Machine::of(edition);
        make(&mut machine, Kind::Page, FREE);
        let mut map = |address| machine.invoke(FREE, I::PageMap, &[address, 3, 0], &[VSPACE]);
        assert_eq!(map(0x40_8000), Reply::done());
        assert_eq!(map(0x40_8000), Reply::done());
        assert_eq!(map(0x40_9000).label, 1, "it is mapped elsewhere");
    }
}

#[test]
fn scheduling_contexts_are_there_where_the_table_has_them() {
    for edition in Edition::ALL {
        let mut machine = Machine::of(edition);
        assert_eq!(machine.call(TCB, 200, &[], &[]).label, ILLEGAL_OPERATION, "a label of nobody");
        assert_eq!(machine.kind(Kind::SchedContext) != u64::MAX, edition.is_mcs());
        assert_eq!(machine.kernel.table().number(Number::RuleMcs) != 0, edition.is_mcs());
    }
}

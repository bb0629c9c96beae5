//! Scheduling contexts, reply objects and timeouts, through system calls as a user makes them.

use selkie_tender_model::{
    Cap, Next, Register, Tcb, ThreadState,
    testing::{Edition, Machine, Reply},
};
use selkie_tender_table::{Invocation as I, Kind, Number, Syscall};

const TCB: u64 = 1;
const CNODE: u64 = 2;
const VSPACE: u64 = 3;
/// The root task's scheduling context.
const TIME: u64 = 14;
/// A budget of a millisecond in each ten, in microseconds.
const BUDGET: [u64; 2] = [1_000, 10_000];
const MILLISECOND: u64 = 1_000_000;
/// The root task's priority in these tests, and one above it.
const CALM: u64 = 100;
const URGENT: u64 = 200;
const ALL: u64 = 15;
/// Numbers of errors.
const ILLEGAL_OPERATION: u64 = 3;

/// A machine whose root task is the test, at a priority that leaves room above.
struct Test {
    machine: Machine<'static>,
    root: Tcb,
    next: u64,
    control: u64,
}

/// A thread and its time.
struct Actor {
    slot: u64,
    tcb: Tcb,
    time: u64,
}

impl Test {
    fn new(edition: Edition) -> Self {
        let mut machine = Machine::of(edition);
        let root = machine.kernel.current();
        let control = (1..machine.slots()).find(|slot| machine.cap(*slot) == Cap::SchedControl);
        assert_eq!(machine.invoke(TCB, I::TcbSetPriority, &[CALM], &[TCB]), Reply::done());
        Self { machine, root, next: 2_000, control: control.expect("the capability to configure time") }
    }

    fn done(&mut self, cap: u64, invocation: I, words: &[u64], caps: &[u64]) {
        assert_eq!(self.machine.invoke(cap, invocation, words, caps), Reply::done(), "{invocation:?}");
    }

    fn make(&mut self, kind: Kind) -> u64 {
        let (slot, bits) = (self.next, if kind == Kind::SchedContext { 8 } else { 0 });
        self.next += 1;
        let untyped = self.machine.largest_untyped();
        assert_eq!(self.machine.retype(untyped, kind, bits, slot, 1), Reply::done(), "{kind:?}");
        slot
    }

    /// Gives a scheduling context this budget of each period, in microseconds.
    fn configure(&mut self, time: u64, [budget, period]: [u64; 2], badge: u64) {
        let words = [budget, period, 0, badge, 0];
        self.done(self.control, I::SchedControlConfigureFlags, &words, &[time]);
    }

    /// A thread above the root task that does not run yet, with this budget.
    fn actor(&mut self, budget: [u64; 2], badge: u64) -> Actor {
        let (slot, time, frame) =
            (self.make(Kind::Tcb), self.make(Kind::SchedContext), self.make(Kind::Page));
        self.configure(time, budget, badge);
        self.done(slot, I::TcbConfigure, &[0, 0, 0x60_0000], &[CNODE, VSPACE, frame]);
        self.done(slot, I::TcbSetSchedParams, &[URGENT, URGENT], &[TCB, time, 0]);
        let Cap::Thread { tcb } = self.machine.cap(slot) else { panic!("no thread") };
        Actor { slot, tcb: Tcb(tcb), time }
    }

    /// Lets a thread run, which it does at once.
    fn start(&mut self, actor: &Actor) {
        self.machine.invoke(actor.slot, I::TcbResume, &[], &[]);
        assert_eq!(self.machine.kernel.current(), actor.tcb);
    }

    /// A system call of the current thread that waits at an endpoint, with a reply object.
    fn call_with(&mut self, call: Syscall, cap: u64, reply: u64, words: &[u64]) -> Next {
        let (memory, thread) = (self.machine.memory(), self.machine.kernel.current());
        thread.set_register(&memory, Register::R12, reply);
        let number = self.machine.number(call);
        self.machine.syscall(number, cap, 0, words, &[])
    }

    /// A server that waits at an endpoint and has no time of its own.
    fn passive(&mut self, endpoint: u64, reply: u64) -> Actor {
        let server = self.actor(BUDGET, 0);
        self.start(&server);
        assert_eq!(self.call_with(Syscall::Recv, endpoint, reply, &[]), Next::Run(self.root));
        self.done(server.time, I::SchedContextUnbind, &[], &[]);
        assert_eq!(server.tcb.sched_context(&self.machine.memory()), 0);
        server
    }

    fn pass(&mut self, time: u64) {
        self.machine.kernel.host().time += time;
    }

    fn state(&self, thread: Tcb) -> ThreadState {
        thread.state(&self.machine.memory())
    }
}

fn each(test: impl Fn(&mut Test)) {
    for edition in [Edition::ThirteenMcs, Edition::SixteenMcs] {
        test(&mut Test::new(edition));
    }
}

#[test]
fn the_root_task_begins_with_time_and_the_capability_to_give_it() {
    each(|test| {
        let Cap::SchedContext { address, .. } = test.machine.cap(TIME) else { panic!("no time") };
        assert_eq!(test.root.sched_context(&test.machine.memory()), address);
        let first = test.machine.kernel.table().number(Number::SlotCount);
        assert!(test.control >= first, "{}", test.control);
    });
}

#[test]
fn a_passive_server_runs_on_the_time_of_its_callers() {
    each(|test| {
        let (endpoint, reply) = (test.make(Kind::Endpoint), test.make(Kind::Reply));
        let server = test.passive(endpoint, reply);
        let memory = test.machine.memory();
        let own = test.root.sched_context(&memory);
        let call = test.machine.number(Syscall::Call);
        let next = test.machine.syscall(call, endpoint, 7, &[1, 2], &[]);
        assert_eq!(next, Next::Run(server.tcb));
        assert_eq!(test.state(test.root), ThreadState::BlockedOnReply);
        assert_eq!((server.tcb.sched_context(&memory), test.root.sched_context(&memory)), (own, 0));
        assert_eq!(test.machine.message(server.tcb), Reply { label: 7, words: vec![1, 2] });
        let next = test.call_with(Syscall::ReplyRecv, endpoint, reply, &[3]);
        assert_eq!(next, Next::Run(test.root));
        assert_eq!((test.root.sched_context(&memory), server.tcb.sched_context(&memory)), (own, 0));
        assert_eq!(test.machine.message(test.root), Reply { label: 0, words: vec![3] });
    });
}

#[test]
fn time_comes_back_through_two_servers() {
    each(|test| {
        let (front, back) = (test.make(Kind::Endpoint), test.make(Kind::Endpoint));
        let (first, second) = (test.make(Kind::Reply), test.make(Kind::Reply));
        let (outer, inner) = (test.passive(front, first), test.passive(back, second));
        let (memory, call) = (test.machine.memory(), test.machine.number(Syscall::Call));
        let own = test.root.sched_context(&memory);
        assert_eq!(test.machine.syscall(call, front, 0, &[], &[]), Next::Run(outer.tcb));
        assert_eq!(test.machine.syscall(call, back, 0, &[], &[]), Next::Run(inner.tcb));
        assert_eq!(inner.tcb.sched_context(&memory), own);
        assert_eq!(test.call_with(Syscall::ReplyRecv, back, second, &[]), Next::Run(outer.tcb));
        assert_eq!(outer.tcb.sched_context(&memory), own);
        assert_eq!(test.call_with(Syscall::ReplyRecv, front, first, &[]), Next::Run(test.root));
        assert_eq!(test.root.sched_context(&memory), own);
    });
}

#[test]
fn a_server_that_ends_gives_the_time_back() {
    each(|test| {
        let (endpoint, reply) = (test.make(Kind::Endpoint), test.make(Kind::Reply));
        let server = test.passive(endpoint, reply);
        let (memory, call) = (test.machine.memory(), test.machine.number(Syscall::Call));
        let own = test.root.sched_context(&memory);
        test.machine.syscall(call, endpoint, 0, &[], &[]);
        // The server deletes the only capability for what would answer its caller.
        test.machine.invoke(CNODE, I::CNodeDelete, &[reply, 64], &[]);
        assert_eq!(test.root.sched_context(&memory), own);
        assert_eq!(test.state(test.root), ThreadState::Inactive);
        assert_eq!(server.tcb.sched_context(&memory), 0);
    });
}

#[test]
fn a_budget_that_is_used_up_comes_back_a_period_later() {
    each(|test| {
        let actor = test.actor(BUDGET, 0);
        test.start(&actor);
        test.pass(MILLISECOND / 2);
        assert_eq!(test.machine.kernel.tick(), Next::Run(actor.tcb));
        test.pass(MILLISECOND / 2);
        assert_eq!(test.machine.kernel.tick(), Next::Run(test.root));
        let at = test.machine.kernel.host().alarm;
        assert_eq!(at, Some(10 * MILLISECOND));
        test.pass(8 * MILLISECOND);
        assert_eq!(test.machine.kernel.interrupt(), Next::Run(test.root), "too early");
        test.pass(MILLISECOND);
        assert_eq!(test.machine.kernel.interrupt(), Next::Run(actor.tcb));
        // The end of its budget is in a millisecond.
        assert_eq!(test.machine.kernel.host().alarm, Some(11 * MILLISECOND));
    });
}

#[test]
fn a_thread_whose_budget_is_used_up_faults_if_someone_is_to_hear_of_it() {
    each(|test| {
        let endpoint = test.make(Kind::Endpoint);
        let (actor, badge) = (test.actor(BUDGET, 0x77), 0x55);
        let minted = test.next;
        test.next += 1;
        test.done(CNODE, I::CNodeMint, &[minted, 64, endpoint, 64, ALL, badge], &[CNODE]);
        test.done(actor.slot, I::TcbSetTimeoutEndpoint, &[], &[minted]);
        test.start(&actor);
        test.pass(MILLISECOND);
        assert_eq!(test.machine.kernel.tick(), Next::Run(test.root));
        let reply = test.make(Kind::Reply);
        test.call_with(Syscall::Recv, endpoint, reply, &[]);
        let label = test.machine.kernel.table().number(Number::FaultTimeout);
        let message = test.machine.message(test.root);
        assert_eq!((message.label, message.words[0], message.words.len()), (label, 0x77, 2));
        assert_eq!(test.root.register(&test.machine.memory(), Register::Rdi), badge);
    });
}

#[test]
fn what_was_used_is_told_once() {
    each(|test| {
        let actor = test.actor(BUDGET, 0);
        test.start(&actor);
        test.pass(MILLISECOND);
        test.machine.kernel.tick();
        let told = |test: &mut Test| {
            test.machine.invoke(actor.time, I::SchedContextConsumed, &[], &[]);
            test.root.register(&test.machine.memory(), Register::R10)
        };
        assert_eq!([told(test), told(test)], [1_000, 0]);
    });
}

#[test]
fn budgets_are_held_against_their_limits() {
    each(|test| {
        let time = test.make(Kind::SchedContext);
        let (control, refused) = (test.control, |label: u64| label == 4);
        let mut label = |budget, period, refills, target| {
            let words = [budget, period, refills, 0, 0];
            test.machine.invoke(control, I::SchedControlConfigureFlags, &words, &[target]).label
        };
        assert!(refused(label(0, 10_000, 0, time)), "no budget");
        assert!(refused(label(1_000, u64::MAX, 0, time)), "no clock counts that far");
        assert!(refused(label(10_001, 10_000, 0, time)), "more than the period");
        assert!(refused(label(1_000, 10_000, 9, time)), "no room for the refills");
        assert_eq!(label(1_000, 10_000, 8, time), 0);
        assert_eq!(label(1_000, 10_000, 0, TCB), 2, "no scheduling context");
    });
}

#[test]
fn time_belongs_to_one_thread_at_a_time() {
    each(|test| {
        let actor = test.actor(BUDGET, 0);
        let other = test.make(Kind::SchedContext);
        let mut label = |cap, invocation, caps: &[u64]| test.machine.invoke(cap, invocation, &[], caps).label;
        assert_eq!(label(actor.time, I::SchedContextBind, &[TCB]), ILLEGAL_OPERATION, "it has a thread");
        assert_eq!(label(other, I::SchedContextBind, &[actor.slot]), ILLEGAL_OPERATION, "it has time");
        assert_eq!(label(other, I::SchedContextBind, &[CNODE]), 2);
        assert_eq!(label(TIME, I::SchedContextUnbind, &[]), ILLEGAL_OPERATION, "one's own");
        assert_eq!(label(other, I::SchedContextUnbindObject, &[actor.slot]), ILLEGAL_OPERATION);
        assert_eq!(label(actor.time, I::SchedContextUnbindObject, &[actor.slot]), 0);
        assert_eq!(label(other, I::SchedContextBind, &[actor.slot]), 0);
    });
}

#[test]
fn a_thread_yields_to_one_above_it_and_hears_what_that_has_used() {
    each(|test| {
        // The time of nobody, and one's own, cannot be yielded to.
        let idle = test.make(Kind::SchedContext);
        for time in [idle, TIME] {
            let answer = test.machine.invoke(time, I::SchedContextYieldTo, &[], &[]);
            assert_eq!(answer.label, ILLEGAL_OPERATION);
        }
        let actor = test.actor([10_000, 10_000], 0);
        test.done(actor.slot, I::TcbSetPriority, &[CALM], &[TCB]);
        test.done(actor.slot, I::TcbResume, &[], &[]);
        test.machine.invoke(actor.time, I::SchedContextYieldTo, &[], &[]);
        assert_eq!(test.machine.kernel.current(), actor.tcb);
        test.pass(2 * MILLISECOND);
        // It ends, and the root task is told.
        test.machine.invoke(actor.slot, I::TcbSuspend, &[], &[]);
        assert_eq!(test.machine.kernel.current(), test.root);
        assert_eq!(test.root.register(&test.machine.memory(), Register::R10), 2_000);
    });
}

#[test]
fn a_thread_without_time_does_not_run_until_a_signal_brings_some() {
    each(|test| {
        let signal = test.make(Kind::Notification);
        let actor = test.actor(BUDGET, 0);
        test.start(&actor);
        let wait = test.machine.number(Syscall::Wait);
        assert_eq!(test.machine.syscall(wait, signal, 0, &[], &[]), Next::Run(test.root));
        test.done(actor.time, I::SchedContextUnbind, &[], &[]);
        test.done(actor.time, I::SchedContextBind, &[], &[signal]);
        let send = test.machine.number(Syscall::Send);
        assert_eq!(test.machine.syscall(send, signal, 0, &[], &[]), Next::Run(actor.tcb));
        // It gives the time back when it waits there again.
        assert_eq!(test.machine.syscall(wait, signal, 0, &[], &[]), Next::Run(test.root));
        assert_eq!(actor.tcb.sched_context(&test.machine.memory()), 0);
    });
}

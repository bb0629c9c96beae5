//! Threads, messages, signals, faults and scheduling, through system calls as a user makes them.
#![allow(clippy::unwrap_used)] // A test that finds nothing has failed.

use selkie_tender_model::{
    Cap, Fault, Kernel, LookupFailure, Next, Register, Tcb, ThreadState,
    testing::{FakeHost, boot},
};
use selkie_tender_table::{Invocation, Kind, Number, Syscall};

const MESSAGE: [Register; 4] = [Register::R10, Register::R8, Register::R9, Register::R15];
const TCB: u64 = 1;
const CNODE: u64 = 2;
const VSPACE: u64 = 3;
const BOOT_IPC_FRAME: u64 = 10;
/// The root task's priority, and the highest one that it can give.
const HIGHEST: u64 = 255;
const RESTART_AT: u64 = 0x40_0100;

/// The root task, and what it has made.
struct Machine {
    kernel: Kernel<'static, FakeHost>,
    next_slot: u64,
    root: Tcb,
}

/// The answer in the current thread's registers.
#[derive(Debug, PartialEq, Eq)]
struct Received {
    badge: u64,
    label: u64,
    words: Vec<u64>,
}

impl Machine {
    fn new() -> Self {
        let kernel = boot();
        let root = kernel.current();
        Self { kernel, next_slot: 2000, root }
    }

    fn set(&mut self, thread: Tcb, register: Register, value: u64) {
        thread.set_register(&self.kernel.memory(), register, value);
    }

    fn get(&self, thread: Tcb, register: Register) -> u64 {
        thread.register(&self.kernel.memory(), register)
    }

    fn state(&self, thread: Tcb) -> ThreadState {
        thread.state(&self.kernel.memory())
    }

    fn buffer(&self, thread: Tcb) -> Option<u64> {
        let memory = self.kernel.memory();
        match thread.ipc_frame().cap(&memory) {
            Cap::Frame { address, size, .. } => {
                Some(address + (thread.ipc_buffer(&memory) & (size.bytes() - 1)))
            }
            _ => None,
        }
    }

    /// Puts a message into the thread's registers and buffer.
    fn write(&mut self, thread: Tcb, label: u64, words: &[u64], caps: &[u64]) {
        let memory = self.kernel.memory();
        for (index, word) in words.iter().enumerate() {
            match MESSAGE.get(index) {
                Some(register) => self.set(thread, *register, *word),
                None => memory.set(self.buffer(thread).unwrap() + 8 + index as u64 * 8, *word),
            }
        }
        let offset = self.kernel.table().number(Number::IpcBufferCapsOrBadges);
        for (index, cap) in caps.iter().enumerate() {
            memory.set(self.buffer(thread).unwrap() + offset + index as u64 * 8, *cap);
        }
        let tag = label << 12 | (caps.len() as u64) << 7 | words.len() as u64;
        self.set(thread, Register::Rsi, tag);
    }

    fn read(&self, thread: Tcb) -> Received {
        let memory = self.kernel.memory();
        let tag = self.get(thread, Register::Rsi);
        let words = (0..tag & 0x7f).map(|index| match MESSAGE.get(index as usize) {
            Some(register) => self.get(thread, *register),
            None => memory.get(self.buffer(thread).unwrap() + 8 + index * 8),
        });
        Received { badge: self.get(thread, Register::Rdi), label: tag >> 12, words: words.collect() }
    }

    /// The current thread makes a system call; its message is in place.
    fn syscall(&mut self, call: Syscall, cap: u64) -> Next {
        let thread = self.kernel.current();
        let number = (1..64i64).find(|number| self.kernel.table().syscall(-number) == Some(call)).unwrap();
        self.set(thread, Register::Rdx, -number as u64);
        self.set(thread, Register::Rdi, cap);
        self.set(thread, Register::FaultIp, 0x40_0200);
        self.set(thread, Register::Rip, 0x40_0202);
        self.kernel.syscall()
    }

    fn send(&mut self, call: Syscall, cap: u64, label: u64, words: &[u64], caps: &[u64]) -> Next {
        self.write(self.kernel.current(), label, words, caps);
        self.syscall(call, cap)
    }

    /// An invocation by the current thread; the label and message of its answer.
    fn invoke(&mut self, cap: u64, invocation: Invocation, words: &[u64], caps: &[u64]) -> (u64, Vec<u64>) {
        let thread = self.kernel.current();
        let label = self.kernel.table().message(invocation).label.into();
        self.send(Syscall::Call, cap, label, words, caps);
        let answer = self.read(thread);
        (answer.label, answer.words)
    }

    fn ok(&mut self, cap: u64, invocation: Invocation, words: &[u64], caps: &[u64]) {
        assert_eq!(self.invoke(cap, invocation, words, caps).0, 0, "{invocation:?}");
    }

    /// A new object, made of the biggest untyped; its slot.
    fn make(&mut self, kind: Kind) -> u64 {
        let memory = self.kernel.memory();
        let cspace = self.root.cspace().cap(&memory);
        let Cap::CNode { address, radix, .. } = cspace else { panic!("{cspace:?}") };
        let bits = |slot: u64| match selkie_tender_model::Slot(address + slot * 32).cap(&memory) {
            Cap::Untyped { bits, device: false, .. } => bits,
            _ => 0,
        };
        let untyped = (0..1 << radix).max_by_key(|slot| bits(*slot)).unwrap();
        let number = (0..32).find(|number| self.kernel.table().kind(*number) == Some(kind)).unwrap();
        let slot = self.next_slot;
        self.next_slot += 1;
        self.ok(untyped, Invocation::UntypedRetype, &[number, 0, 0, 0, slot, 1], &[CNODE]);
        slot
    }

    fn object(&self, slot: u64) -> Cap {
        let memory = self.kernel.memory();
        let Cap::CNode { address, .. } = self.root.cspace().cap(&memory) else { panic!() };
        selkie_tender_model::Slot(address + slot * 32).cap(&memory)
    }

    fn mint(&mut self, source: u64, rights: u64, badge: u64) -> u64 {
        let slot = self.next_slot;
        self.next_slot += 1;
        self.ok(CNODE, Invocation::CNodeMint, &[slot, 64, source, 64, rights, badge], &[CNODE]);
        slot
    }

    /// A thread of this priority that waits to be resumed, with an IPC buffer of its own.
    fn thread(&mut self, priority: u64, fault_endpoint: u64) -> (u64, Tcb) {
        let (slot, frame) = (self.make(Kind::Tcb), self.make(Kind::Page));
        let words = [fault_endpoint, HIGHEST << 8 | priority, 0, 0, 0x60_0000];
        self.ok(slot, Invocation::TcbConfigure, &words, &[CNODE, VSPACE, frame]);
        let Cap::Thread { tcb } = self.object(slot) else { panic!() };
        self.set(Tcb(tcb), Register::FaultIp, RESTART_AT);
        (slot, Tcb(tcb))
    }

    fn resume(&mut self, slot: u64) {
        self.ok(slot, Invocation::TcbResume, &[], &[]);
    }

    /// A thread of this priority that waits for a message at the endpoint.
    fn receiver(&mut self, priority: u64, endpoint: u64) -> Tcb {
        let (slot, thread) = self.thread(priority, 0);
        self.let_run(slot, thread);
        self.syscall(Syscall::Recv, endpoint);
        self.back_to_root();
        thread
    }

    /// The thread runs, the root task is ready.
    fn let_run(&mut self, slot: u64, thread: Tcb) {
        self.resume(slot);
        if self.kernel.current() != thread {
            let priority = thread.priority(&self.kernel.memory());
            self.ok(TCB, Invocation::TcbSetPriority, &[priority], &[]);
            while self.kernel.current() != thread {
                self.syscall(Syscall::Yield, 0);
            }
        }
        assert_eq!(self.kernel.current(), thread);
    }

    /// The root task runs again, at its own priority.
    fn back_to_root(&mut self) {
        assert_eq!(self.kernel.current(), self.root);
        self.ok(TCB, Invocation::TcbSetPriority, &[HIGHEST], &[]);
    }
}

#[test]
fn a_call_is_answered_with_all_its_words() {
    let mut machine = Machine::new();
    let endpoint = machine.make(Kind::Endpoint);
    let badged = machine.mint(endpoint, 7, 0x55);
    let server = machine.receiver(HIGHEST, endpoint);
    let words: Vec<u64> = (100..110).collect();
    assert_eq!(machine.send(Syscall::Call, badged, 7, &words, &[]), Next::Run(server));
    assert_eq!(machine.state(machine.root), ThreadState::BlockedOnReply);
    assert_eq!(machine.read(server), Received { badge: 0x55, label: 7, words });
    let next = machine.send(Syscall::ReplyRecv, endpoint, 9, &[1, 2, 3, 4, 5], &[]);
    assert_eq!(next, Next::Run(machine.root));
    let answer = Received { badge: 0, label: 9, words: vec![1, 2, 3, 4, 5] };
    assert_eq!(machine.read(machine.root), answer);
    assert_eq!(machine.state(server), ThreadState::BlockedOnReceive);
}

#[test]
fn without_a_buffer_four_words_arrive() {
    let mut machine = Machine::new();
    let endpoint = machine.make(Kind::Endpoint);
    let server = machine.receiver(HIGHEST, endpoint);
    let memory = machine.kernel.memory();
    server.ipc_frame().set_cap(&memory, Cap::Null);
    machine.send(Syscall::NBSend, endpoint, 1, &[1, 2, 3, 4, 5, 6], &[]);
    assert_eq!(machine.get(server, Register::Rsi), 1 << 12 | 4);
}

#[test]
fn a_call_without_grant_never_returns() {
    let mut machine = Machine::new();
    let endpoint = machine.make(Kind::Endpoint);
    let send_only = machine.mint(endpoint, 1, 0);
    let server = machine.receiver(3, endpoint);
    assert_eq!(machine.send(Syscall::Call, send_only, 0, &[], &[]), Next::Run(server));
    assert_eq!(machine.state(machine.root), ThreadState::Inactive);
    assert_eq!(machine.syscall(Syscall::Recv, endpoint), Next::Idle);
}

#[test]
fn one_capability_and_badges_arrive() {
    let mut machine = Machine::new();
    let endpoint = machine.make(Kind::Endpoint);
    let notification = machine.make(Kind::Notification);
    let badged = machine.mint(endpoint, 7, 0x66);
    let server = machine.receiver(3, endpoint);
    let (memory, table) = (machine.kernel.memory(), machine.kernel.table());
    let buffer = machine.buffer(server).unwrap();
    let dest = machine.next_slot;
    memory.set(buffer + table.number(Number::IpcBufferReceiveCNode), CNODE);
    memory.set(buffer + table.number(Number::IpcBufferReceiveIndex), dest);
    memory.set(buffer + table.number(Number::IpcBufferReceiveDepth), 64);
    machine.send(Syscall::Send, endpoint, 0, &[], &[badged, notification, notification]);
    // The first one as a badge, the second into the slot, no place for the third.
    assert_eq!(machine.get(server, Register::Rsi), 1 << 9 | 2 << 7);
    assert_eq!(memory.get(buffer + table.number(Number::IpcBufferCapsOrBadges)), 0x66);
    assert_eq!(machine.object(dest), machine.object(notification));
}

#[test]
fn who_runs_after_a_message_depends_on_priority() {
    for (priority, switches) in [(254, false), (255, true)] {
        let mut machine = Machine::new();
        machine.ok(TCB, Invocation::TcbSetPriority, &[HIGHEST], &[]);
        let endpoint = machine.make(Kind::Endpoint);
        let server = machine.receiver(priority, endpoint);
        let next = machine.send(Syscall::Send, endpoint, 0, &[], &[]);
        assert_eq!(next, Next::Run(if switches { server } else { machine.root }), "{priority}");
    }
}

#[test]
fn a_signal_switches_only_to_higher_priorities() {
    for (priority, switches) in [(100, false), (101, true)] {
        let mut machine = Machine::new();
        let notification = machine.make(Kind::Notification);
        let badged = machine.mint(notification, 7, 0x4);
        let waiter = machine.receiver(priority, notification);
        machine.ok(TCB, Invocation::TcbSetPriority, &[100], &[]);
        let next = machine.syscall(Syscall::Send, badged);
        assert_eq!(next, Next::Run(if switches { waiter } else { machine.root }));
        assert_eq!(machine.get(waiter, Register::Rdi), 0x4);
    }
}

#[test]
fn signals_add_up_until_they_are_polled() {
    let mut machine = Machine::new();
    let notification = machine.make(Kind::Notification);
    for badge in [1, 4] {
        let badged = machine.mint(notification, 7, badge);
        machine.syscall(Syscall::NBSend, badged);
    }
    machine.syscall(Syscall::NBRecv, notification);
    assert_eq!(machine.get(machine.root, Register::Rdi), 5);
    machine.syscall(Syscall::NBRecv, notification);
    assert_eq!(machine.get(machine.root, Register::Rdi), 0);
}

#[test]
fn a_bound_notification_wakes_a_receiver() {
    let mut machine = Machine::new();
    let (endpoint, notification) = (machine.make(Kind::Endpoint), machine.make(Kind::Notification));
    let badged = machine.mint(notification, 7, 0x10);
    let (slot, thread) = machine.thread(HIGHEST, 0);
    machine.ok(slot, Invocation::TcbBindNotification, &[], &[notification]);
    assert_eq!(machine.invoke(slot, Invocation::TcbBindNotification, &[], &[notification]).0, 3);
    machine.let_run(slot, thread);
    assert_eq!(machine.syscall(Syscall::Recv, endpoint), Next::Run(machine.root));
    machine.syscall(Syscall::Send, badged);
    assert_eq!(machine.state(thread), ThreadState::Running);
    assert_eq!(machine.get(thread, Register::Rdi), 0x10);
    // Somebody else may not wait for it.
    let next = machine.syscall(Syscall::Recv, notification);
    assert_eq!(next, Next::Unhandled(machine.root));
}

#[test]
fn threads_of_a_priority_take_turns() {
    let mut machine = Machine::new();
    let (first, a) = machine.thread(HIGHEST, 0);
    let (second, b) = machine.thread(HIGHEST, 0);
    assert!(machine.kernel.yield_is_noop());
    machine.resume(first);
    machine.resume(second);
    assert!(!machine.kernel.yield_is_noop());
    // A thread that becomes ready comes first.
    let order: Vec<Next> = (0..4).map(|_| machine.syscall(Syscall::Yield, 0)).collect();
    assert_eq!(order, [b, a, machine.root, b].map(Next::Run));
    // A time slice is five ticks.
    let ticks: Vec<Next> = (0..6).map(|_| machine.kernel.tick()).collect();
    assert_eq!(ticks, [b, b, b, b, a, a].map(Next::Run));
}

#[test]
fn a_priority_that_rises_waits_for_the_next_choice() {
    let mut machine = Machine::new();
    machine.ok(TCB, Invocation::TcbSetPriority, &[100], &[]);
    let (slot, thread) = machine.thread(50, 0);
    machine.resume(slot);
    assert!(machine.kernel.yield_is_noop());
    machine.ok(slot, Invocation::TcbSetPriority, &[150], &[]);
    assert_eq!(machine.kernel.current(), machine.root);
    assert!(!machine.kernel.yield_is_noop());
    assert_eq!(machine.syscall(Syscall::Yield, 0), Next::Run(thread));
}

#[test]
fn a_page_fault_is_a_message_and_its_answer_restarts() {
    let mut machine = Machine::new();
    let endpoint = machine.make(Kind::Endpoint);
    let (slot, thread) = machine.thread(HIGHEST, endpoint);
    machine.let_run(slot, thread);
    machine.set(thread, Register::FaultIp, 0x40_0300);
    // Of the address its lower half is told, and nothing of a fetch.
    machine.kernel.fault(Fault::Vm { address: 0x12_dead_0000, fetch: true, code: 0x16 });
    assert_eq!(machine.kernel.current(), machine.root);
    assert!(machine.kernel.fault_of(thread).is_some());
    machine.syscall(Syscall::Recv, endpoint);
    let message = machine.read(machine.root);
    assert_eq!(message, Received { badge: 0, label: 5, words: vec![0x40_0300, 0xdead_0000, 0, 6] });
    assert_eq!(machine.send(Syscall::Reply, 0, 0, &[], &[]), Next::Run(thread));
    assert_eq!(machine.get(thread, Register::Rip), 0x40_0300);
    assert_eq!(machine.kernel.fault_of(thread), None);
}

#[test]
fn the_answer_to_an_unknown_system_call_sets_registers() {
    let mut machine = Machine::new();
    let endpoint = machine.make(Kind::Endpoint);
    let (slot, thread) = machine.thread(HIGHEST, endpoint);
    machine.let_run(slot, thread);
    machine.set(thread, Register::Rdx, 77);
    machine.set(thread, Register::FaultIp, 0x40_0400);
    machine.kernel.syscall();
    machine.syscall(Syscall::Recv, endpoint);
    let mut words = machine.read(machine.root).words;
    assert_eq!((words.len(), words[15], words[18]), (19, 0x40_0400, 77));
    words[0] = 0x1234; // rax
    words[15] = 0x8000_0000_0000; // no address
    words[17] = u64::MAX; // flags
    machine.send(Syscall::Reply, 0, 0, &words, &[]);
    assert_eq!(machine.kernel.current(), thread);
    assert_eq!(machine.get(thread, Register::Rax), 0x1234);
    assert_eq!(machine.get(thread, Register::Rip), 0);
    assert_eq!(machine.get(thread, Register::Rflags), 0xed7);
}

#[test]
fn an_exception_can_end_a_thread() {
    let mut machine = Machine::new();
    let endpoint = machine.make(Kind::Endpoint);
    let (slot, thread) = machine.thread(HIGHEST, endpoint);
    machine.let_run(slot, thread);
    machine.kernel.fault(Fault::Exception { number: 6, code: 0 });
    machine.syscall(Syscall::Recv, endpoint);
    let message = machine.read(machine.root);
    assert_eq!((message.label, message.words.len(), message.words[3]), (3, 5, 6));
    machine.send(Syscall::Reply, 0, 1, &[], &[]);
    assert_eq!(machine.state(thread), ThreadState::Inactive);
}

#[test]
fn an_empty_slot_is_refused_when_sending_and_faults_when_receiving() {
    let mut machine = Machine::new();
    assert_eq!(machine.invoke(1234, Invocation::TcbResume, &[], &[]), (2, vec![0]));
    assert_eq!(machine.syscall(Syscall::Recv, 1234), Next::Unhandled(machine.root));
    let failure = LookupFailure::MissingCapability { bits_left: 0 };
    let fault = Fault::Cap { address: 1234, receiving: true, failure };
    assert_eq!(machine.kernel.fault_of(machine.root), Some(fault));
}

#[test]
fn what_leads_nowhere_faults_unless_nobody_waits() {
    let mut machine = Machine::new();
    let nowhere = 1 << 40;
    assert_eq!(machine.send(Syscall::NBSend, nowhere, 0, &[], &[]), Next::Run(machine.root));
    assert_eq!(machine.syscall(Syscall::Recv, nowhere), Next::Unhandled(machine.root));
    let fault = machine.kernel.fault_of(machine.root);
    assert!(
        matches!(
            fault,
            Some(Fault::Cap {
                address: 0x100_0000_0000,
                receiving: true,
                failure: LookupFailure::GuardMismatch { bits_left: 64, guard_found: 0, bits_found: 52 },
            })
        ),
        "{fault:?}"
    );
}

#[test]
fn a_thread_that_stops_lets_others_go_on() {
    let mut machine = Machine::new();
    let endpoint = machine.make(Kind::Endpoint);
    let (slot, thread) = machine.thread(HIGHEST, 0);
    machine.let_run(slot, thread);
    let fault = Fault::Exception { number: 6, code: 0 };
    assert_eq!(machine.kernel.fault(fault), Next::Unhandled(thread));
    assert_eq!(machine.kernel.fault_of(thread), Some(fault));
    assert_eq!(machine.kernel.go_on(), Some(Next::Run(machine.root)));
    // Started again, it has forgotten the fault: what it sends is a message.
    machine.let_run(slot, thread);
    assert_eq!(machine.kernel.fault_of(thread), None);
    machine.send(Syscall::Send, endpoint, 3, &[], &[]);
    machine.syscall(Syscall::Recv, endpoint);
    assert_eq!(machine.read(machine.root).label, 3);
    // When all wait for it in vain, it is the end.
    machine.let_run(slot, thread);
    assert_eq!(machine.kernel.fault(fault), Next::Unhandled(thread));
    assert_eq!(machine.kernel.go_on(), Some(Next::Run(machine.root)));
    assert_eq!(machine.syscall(Syscall::Recv, endpoint), Next::Unhandled(thread));
    assert_eq!(machine.kernel.go_on(), None);
}

#[test]
fn when_the_initial_thread_stops_the_root_task_ends() {
    let mut machine = Machine::new();
    let (slot, _) = machine.thread(HIGHEST, 0);
    machine.resume(slot);
    assert_eq!(machine.syscall(Syscall::Recv, 0), Next::Unhandled(machine.root));
    assert_eq!(machine.kernel.go_on(), None);
}

#[test]
fn a_thread_without_address_space_faults() {
    let mut machine = Machine::new();
    let slot = machine.make(Kind::Tcb);
    let Cap::Thread { tcb } = machine.object(slot) else { panic!() };
    machine.resume(slot);
    machine.ok(slot, Invocation::TcbSetPriority, &[HIGHEST], &[]);
    assert_eq!(machine.syscall(Syscall::Yield, 0), Next::Unhandled(Tcb(tcb)));
    let fault = Fault::Vm { address: 0, fetch: true, code: 0x14 };
    assert_eq!(machine.kernel.fault_of(Tcb(tcb)), Some(fault));
}

#[test]
fn registers_are_read_written_and_copied() {
    let mut machine = Machine::new();
    let (slot, thread) = machine.thread(3, 0);
    let context: Vec<u64> = (0..19).map(|number| 0x1000 + number).collect();
    let words: Vec<u64> = [0, 19].into_iter().chain(context.iter().copied()).collect();
    machine.ok(slot, Invocation::TcbWriteRegisters, &words, &[]);
    assert_eq!(machine.get(thread, Register::Rip), 0x1000);
    let (label, read) = machine.invoke(slot, Invocation::TcbReadRegisters, &[0, 19], &[]);
    assert_eq!((label, read[0], read[1], read[18]), (0, 0x1000, 0x1001, 0x1012));
    assert_eq!(read[2], 0x202);
    let (other, copy) = machine.thread(3, 0);
    machine.ok(other, Invocation::TcbCopyRegisters, &[0b1100], &[slot]);
    assert_eq!(machine.get(copy, Register::FsBase), 0x1012);
    assert_eq!(machine.get(copy, Register::Rip), 0x1000);
}

#[test]
fn invocations_of_threads_refuse_what_the_kernel_refuses() {
    use Invocation as I;
    /// Capability, operation, words, capabilities; the label and the words of the answer.
    type Case = (u64, I, Vec<u64>, Vec<u64>, u64, Vec<u64>);
    let mut machine = Machine::new();
    let (slot, _) = machine.thread(3, 0);
    let endpoint = machine.make(Kind::Endpoint);
    machine.ok(TCB, I::TcbSetMcPriority, &[200], &[]);
    let configure = |priorities| vec![0, priorities, 0, 0, 0];
    let space = [CNODE, VSPACE, BOOT_IPC_FRAME];
    let cases: Vec<Case> = vec![
        (slot, I::TcbReadRegisters, vec![0], vec![], 7, vec![]),
        (slot, I::TcbReadRegisters, vec![0, 0], vec![], 4, vec![1, 19]),
        (slot, I::TcbReadRegisters, vec![0, 20], vec![], 4, vec![1, 19]),
        (TCB, I::TcbReadRegisters, vec![0, 1], vec![], 3, vec![]),
        (TCB, I::TcbWriteRegisters, vec![0, 0], vec![], 3, vec![]),
        (slot, I::TcbWriteRegisters, vec![0, 3, 1, 2], vec![], 7, vec![]),
        (slot, I::TcbCopyRegisters, vec![0], vec![], 7, vec![]),
        (slot, I::TcbCopyRegisters, vec![0], vec![endpoint], 2, vec![1]),
        (slot, I::TcbSetPriority, vec![], vec![], 7, vec![]),
        (slot, I::TcbSetPriority, vec![201], vec![], 4, vec![0, 200]),
        (slot, I::TcbSetPriority, vec![0x100], vec![], 4, vec![0, 200]),
        (slot, I::TcbSetMcPriority, vec![201], vec![], 4, vec![0, 200]),
        (slot, I::TcbConfigure, configure(201), space.to_vec(), 4, vec![0, 200]),
        (slot, I::TcbConfigure, configure(201 << 8), space.to_vec(), 4, vec![0, 200]),
        (slot, I::TcbConfigure, configure(1), vec![CNODE, VSPACE], 7, vec![]),
        (slot, I::TcbConfigure, configure(1), vec![VSPACE, VSPACE, BOOT_IPC_FRAME], 3, vec![]),
        (slot, I::TcbConfigure, configure(1), vec![CNODE, CNODE, BOOT_IPC_FRAME], 3, vec![]),
        (slot, I::TcbSetSpace, vec![0, 0, 0], vec![endpoint, VSPACE], 3, vec![]),
        (slot, I::TcbSetIpcBuffer, vec![0x1001], vec![BOOT_IPC_FRAME], 5, vec![]),
        (slot, I::TcbSetIpcBuffer, vec![0x1000], vec![endpoint], 3, vec![]),
        (slot, I::TcbBindNotification, vec![], vec![endpoint], 3, vec![]),
        (slot, I::TcbUnbindNotification, vec![], vec![], 3, vec![]),
        (slot, I::CNodeCopy, vec![], vec![], 3, vec![]),
        (11, I::DomainSet, vec![1], vec![slot], 1, vec![0]),
        (11, I::DomainSet, vec![0], vec![endpoint], 1, vec![1]),
        (11, I::DomainSet, vec![0], vec![slot], 0, vec![]),
    ];
    for (cap, invocation, words, caps, label, answer) in cases {
        let got = machine.invoke(cap, invocation, &words, &caps);
        assert_eq!(got, (label, answer), "{invocation:?} {words:x?} {caps:?}");
    }
}

#[test]
fn who_waits_at_an_endpoint_that_goes_away_tries_again() {
    let mut machine = Machine::new();
    let endpoint = machine.make(Kind::Endpoint);
    let thread = machine.receiver(3, endpoint);
    machine.ok(CNODE, Invocation::CNodeDelete, &[endpoint, 64], &[]);
    assert_eq!(machine.state(thread), ThreadState::Restart);
}

#[test]
fn badged_sends_are_cancelled_by_badge() {
    let mut machine = Machine::new();
    let endpoint = machine.make(Kind::Endpoint);
    let sender = |machine: &mut Machine, badge| {
        let cap = machine.mint(endpoint, 7, badge);
        let (slot, thread) = machine.thread(HIGHEST, 0);
        machine.let_run(slot, thread);
        machine.send(Syscall::Send, cap, badge, &[], &[]);
        machine.back_to_root();
        (cap, thread)
    };
    let (cap, first) = sender(&mut machine, 1);
    let (_, second) = sender(&mut machine, 2);
    machine.ok(CNODE, Invocation::CNodeCancelBadgedSends, &[cap, 64], &[]);
    assert_eq!(machine.state(first), ThreadState::Restart);
    assert_eq!(machine.state(second), ThreadState::BlockedOnSend);
    // First come, first served: only the second is left.
    machine.syscall(Syscall::NBRecv, endpoint);
    assert_eq!(machine.read(machine.root).badge, 2);
}

#[test]
fn a_suspended_thread_leaves_its_queue() {
    let mut machine = Machine::new();
    let endpoint = machine.make(Kind::Endpoint);
    let (slot, thread) = machine.thread(HIGHEST, 0);
    machine.let_run(slot, thread);
    machine.send(Syscall::Send, endpoint, 0, &[], &[]);
    machine.ok(slot, Invocation::TcbSuspend, &[], &[]);
    assert_eq!(machine.state(thread), ThreadState::Inactive);
    machine.syscall(Syscall::NBRecv, endpoint);
    assert_eq!(machine.get(machine.root, Register::Rdi), 0);
}

#[test]
fn a_line_tells_a_call_and_what_became_of_it() {
    let mut machine = Machine::new();
    machine.kernel.set_tracing(true);
    assert!(!machine.kernel.yield_is_noop());
    machine.ok(TCB, Invocation::TcbSetPriority, &[HIGHEST], &[]);
    machine.invoke(CNODE, Invocation::CNodeDelete, &[5, 65], &[]);
    machine.syscall(Syscall::Recv, 1 << 40);
    let lines = std::mem::take(&mut machine.kernel.host().trace);
    let root = machine.root.0;
    assert_eq!(
        lines,
        [
            format!("thread {root:#x}: Call slot 0x1 (thread {root:#x}) TCBSetPriority(priority=0xff) = ok"),
            format!(
                "thread {root:#x}: Call slot 0x2 (CNode) CNodeDelete(index=0x5, depth=0x41) = RangeError: \
                 not between 1 and 64"
            ),
            format!(
                "thread {root:#x}: Recv slot 0x10000000000 (nothing) = fault, which nobody handles: no \
                 capability for receiving at 0x10000000000: a guard is 0x0 in 52 bits, 64 bits are left"
            ),
        ]
    );
}

#[test]
fn a_line_tells_a_fault_and_who_hears_of_it() {
    let mut machine = Machine::new();
    machine.kernel.set_tracing(true);
    let root = machine.root;
    machine.set(root, Register::FaultIp, 0x40_0300);
    machine.kernel.fault(Fault::Exception { number: 6, code: 0 });
    let line = machine.kernel.host().trace.pop().unwrap();
    let expected = format!(
        "thread {:#x}: fault at 0x400300, for slot 0x0 (empty): exception 6 of the processor",
        root.0
    );
    assert!(line.starts_with(&expected), "{line}");
}

//! Who makes up the calls: random ones that are near enough to right ones to do something.

use crate::{CNODE_BITS, I};
use selkie_base::devices::DEVICES_CHUNK;
use selkie_tender_model::testing::{BASE, IMAGE, IPC_BUFFER, Machine};
use selkie_tender_model::{Cap, Fault, LookupFailure, Next, Register, Tcb, ThreadState};
use selkie_tender_table::{Kind, Number, Place, Syscall, param};

const SLOTS: u64 = 1 << CNODE_BITS;
/// Slots below this are those of thread, CSpace and VSpace.
const PRECIOUS: u64 = 4;
const SLOT_TCB: u64 = 1;
const SLOT_IPC_BUFFER: u64 = 10;
const SLOT_CNODE: u64 = 2;
const SLOT_VSPACE: u64 = 3;

/// Calls that a thread returns from at once, or when it is its turn again.
const QUICK: &[Syscall] =
    &[Syscall::NBSend, Syscall::NBSend, Syscall::Reply, Syscall::Yield, Syscall::NBRecv];
/// Calls between threads.
const CALLS: &[Syscall] = &[
    Syscall::Call,
    Syscall::ReplyRecv,
    Syscall::ReplyRecv,
    Syscall::Send,
    Syscall::NBSend,
    Syscall::Recv,
    Syscall::Recv,
    Syscall::Reply,
    Syscall::Yield,
    Syscall::NBRecv,
];
/// Calls between threads where replies are objects.
const MCS_CALLS: &[Syscall] = &[
    Syscall::Call,
    Syscall::Call,
    Syscall::ReplyRecv,
    Syscall::ReplyRecv,
    Syscall::Send,
    Syscall::NBSend,
    Syscall::NBSendRecv,
    Syscall::NBSendWait,
    Syscall::Recv,
    Syscall::Recv,
    Syscall::Wait,
    Syscall::NBWait,
    Syscall::Yield,
    Syscall::NBRecv,
];
/// Threads that there are from the first call on.
const THREADS: u64 = 5;

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.word() % limit
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// A message that is sent.
#[derive(Debug)]
struct Message {
    call: i64,
    cap: u64,
    label: u64,
    words: Vec<u64>,
    caps: Vec<u64>,
}

/// Who makes up the calls.
pub(crate) struct Fuzzer<'m> {
    pub(crate) machine: Machine<'m>,
    pub(crate) random: Random,
    /// Which invocations have succeeded, and how often.
    pub(crate) succeeded: [u64; I::COUNT],
}

impl Fuzzer<'_> {
    /// A slot of the initial CNode: with something in it, if there is.
    fn full(&mut self) -> u64 {
        // What all depends on is moved or deleted now and then only.
        let first = if self.random.one_in(30) { 0 } else { PRECIOUS };
        let mut slots = (0..8).map(|_| first + self.random.below(SLOTS - first));
        slots.find(|slot| self.machine.cap(*slot) != Cap::Null).unwrap_or(SLOT_IPC_BUFFER)
    }

    /// A slot of the initial CNode: empty, if there is one.
    fn empty(&mut self) -> u64 {
        let slot = (0..6).map(|_| self.random.below(SLOTS)).find(|slot| self.machine.cap(*slot) == Cap::Null);
        slot.unwrap_or(SLOTS - 1)
    }

    /// A slot with a capability of this kind, if there is one.
    fn find(&mut self, is: impl Fn(Cap) -> bool) -> u64 {
        let first = self.random.below(SLOTS);
        let found = (0..SLOTS).map(|number| (first + number) % SLOTS);
        found.into_iter().find(|slot| is(self.machine.cap(*slot))).unwrap_or(first)
    }

    fn cnode(&mut self) -> u64 {
        if self.random.one_in(3) { self.find(|cap| matches!(cap, Cap::CNode { .. })) } else { SLOT_CNODE }
    }

    /// The address and depth of a slot in the CNode of slot `root`: empty or not.
    fn place(&mut self, root: u64, empty: bool) -> (u64, u64) {
        if self.random.one_in(40) {
            return (self.random.word() >> self.random.below(64), self.random.below(70));
        }
        match self.machine.cap(root) {
            Cap::CNode { radix, guard, guard_bits, .. } if root != SLOT_CNODE => {
                let index = self.random.word() & ((1 << radix) - 1);
                let mut depth = u64::from(guard_bits) + u64::from(radix);
                let mut address = guard.checked_shl(radix.into()).unwrap_or(0) | index;
                if self.random.one_in(4) && depth < 60 {
                    // Through what is in this slot, if that is a CNode.
                    address = address << 2 | self.random.below(4);
                    depth += 2;
                }
                (address, depth)
            }
            _ if empty => (self.empty(), 64),
            _ => (self.full(), 64),
        }
    }

    /// Data for a badge, guard or range of ports.
    fn data(&mut self) -> u64 {
        match self.random.below(4) {
            0 => 0,
            1 => self.random.below(4),
            2 => self.random.below(8) << 8 | self.random.below(64) << 2,
            _ => self.random.word(),
        }
    }

    fn invocation(&mut self) -> Message {
        let (cap, invocation, words, caps) = match self.random.below(100) {
            0..12 if self.is_mcs() => self.on_time(),
            0..40 => self.on_cnode(),
            40..62 => self.on_untyped(),
            62..78 => self.on_thread(),
            78..90 => self.on_paging(),
            _ => self.on_the_rest(),
        };
        let label = self.machine.kernel.table().message(invocation).label.into();
        let call = self.machine.number(if self.random.one_in(10) { Syscall::Send } else { Syscall::Call });
        Message { call, cap, label, words, caps }
    }

    fn is_mcs(&self) -> bool {
        self.machine.kernel.table().number(Number::RuleMcs) != 0
    }

    /// Scheduling contexts: what they are given, who runs on them, and who handles timeouts.
    fn on_time(&mut self) -> (u64, I, Vec<u64>, Vec<u64>) {
        let sc = self.find(|cap| matches!(cap, Cap::SchedContext { .. }));
        let thread = self.find(|cap| matches!(cap, Cap::Thread { .. }));
        let notification = self.find(|cap| matches!(cap, Cap::Notification { .. }));
        let endpoint = self.find(|cap| matches!(cap, Cap::Endpoint { .. }));
        let target = if self.random.one_in(3) { notification } else { thread };
        match self.random.below(12) {
            0..4 => {
                let control = self.find(|cap| cap == Cap::SchedControl);
                let period = self.random.pick(&[100, 1000, 20_000, 5]);
                let budget = if self.random.one_in(3) { period } else { 20 + self.random.below(200) };
                let words =
                    vec![budget, period, self.random.below(4), self.random.word(), self.random.below(2)];
                (control, I::SchedControlConfigureFlags, words, vec![sc])
            }
            4 | 5 => (sc, I::SchedContextBind, vec![], vec![target]),
            6 => (sc, I::SchedContextUnbindObject, vec![], vec![target]),
            7 if self.random.one_in(3) => (sc, I::SchedContextUnbind, vec![], vec![]),
            7 => (sc, I::SchedContextConsumed, vec![], vec![]),
            8 => (sc, I::SchedContextYieldTo, vec![], vec![]),
            9 => (thread, I::TcbSetTimeoutEndpoint, vec![], vec![endpoint]),
            _ => {
                let none = if self.random.one_in(4) { self.empty() } else { sc };
                (thread, I::TcbSetSchedParams, vec![255, 254], vec![SLOT_TCB, none, endpoint])
            }
        }
    }

    fn on_cnode(&mut self) -> (u64, I, Vec<u64>, Vec<u64>) {
        let node = self.cnode();
        let (root, other) = (self.cnode(), self.cnode());
        let fill = self.random.below(10) < 6;
        let (index, depth) = self.place(node, fill);
        let (source, source_depth) = self.place(root, false);
        let rights = if self.random.one_in(3) { self.random.below(16) } else { 15 };
        if !fill {
            let invocation = self.random.pick(&[
                I::CNodeDelete,
                I::CNodeDelete,
                I::CNodeRevoke,
                I::CNodeCancelBadgedSends,
                I::CNodeSaveCaller,
            ]);
            return (node, invocation, vec![index, depth], vec![]);
        }
        let mut words = vec![index, depth, source, source_depth];
        let invocation = self.random.pick(&[
            I::CNodeCopy,
            I::CNodeMint,
            I::CNodeMint,
            I::CNodeMove,
            I::CNodeMutate,
            I::CNodeRotate,
        ]);
        match invocation {
            I::CNodeCopy => words.push(rights),
            I::CNodeMint => words.extend([rights, self.data()]),
            I::CNodeMutate => words.push(self.data()),
            I::CNodeRotate => {
                let (pivot, pivot_depth) = self.place(other, false);
                let data = [self.data(), self.data()];
                words = vec![index, depth, data[0], pivot, pivot_depth, data[1], source, source_depth];
                return (node, invocation, words, vec![other, root]);
            }
            _ => {}
        }
        (node, invocation, words, vec![root])
    }

    fn on_untyped(&mut self) -> (u64, I, Vec<u64>, Vec<u64>) {
        let untyped = self.find(|cap| matches!(cap, Cap::Untyped { .. }));
        let kind = self.random.pick(&[
            Kind::Untyped,
            Kind::Untyped,
            Kind::Tcb,
            Kind::Tcb,
            Kind::Endpoint,
            Kind::Endpoint,
            Kind::Notification,
            Kind::CNode,
            Kind::CNode,
            Kind::Page,
            Kind::LargePage,
            Kind::PageTable,
            Kind::PageDirectory,
            Kind::Pdpt,
            Kind::Pml4,
        ]);
        let of_mcs = self.random.pick(&[Kind::SchedContext, Kind::Reply, Kind::Reply]);
        let kind = if self.is_mcs() && self.random.one_in(4) { of_mcs } else { kind };
        let kind = if self.random.one_in(30) { self.random.below(14) } else { self.machine.kind(kind) };
        let bits = match self.random.below(30) {
            0 => self.random.below(70),
            1..8 => 1 + self.random.below(14),
            _ if kind == self.machine.kind(Kind::SchedContext) => 7 + self.random.below(2),
            _ => 1 + self.random.below(6),
        };
        let count = if self.random.one_in(30) { self.random.below(300) } else { 1 + self.random.below(3) };
        let offset = self.empty();
        let (index, depth) = if self.random.one_in(4) { self.place(SLOT_CNODE, false) } else { (0, 0) };
        let root = if self.random.one_in(4) { self.cnode() } else { SLOT_CNODE };
        let offset = if root == SLOT_CNODE && depth == 0 { offset } else { self.random.below(8) };
        (untyped, I::UntypedRetype, vec![kind, bits, index, depth, offset, count], vec![root])
    }

    fn on_thread(&mut self) -> (u64, I, Vec<u64>, Vec<u64>) {
        let thread = self.find(|cap| matches!(cap, Cap::Thread { .. }));
        let root = self.cnode();
        let endpoint = self.find(|cap| matches!(cap, Cap::Endpoint { .. }));
        let page = self.find(|cap| matches!(cap, Cap::Frame { .. }));
        let priority =
            if self.random.one_in(4) { self.random.below(300) } else { 253 + self.random.below(3) };
        let data = if self.random.one_in(4) { self.data() } else { 0 };
        let buffer = IPC_BUFFER + self.random.below(4) * 512;
        let (invocation, words, caps) = match self.random.below(13) {
            0..3 => {
                let words = self.configuration(endpoint, priority, data, buffer);
                (I::TcbConfigure, words, vec![root, SLOT_VSPACE, page])
            }
            3 if self.is_mcs() => (I::TcbSetSpace, vec![data, 0], vec![endpoint, root, SLOT_VSPACE]),
            3 => (I::TcbSetSpace, vec![endpoint, data, 0], vec![root, SLOT_VSPACE]),
            4..7 => (I::TcbResume, vec![], vec![]),
            7 => (I::TcbSuspend, vec![], vec![]),
            8 if self.random.one_in(4) => {
                (I::TcbSetSchedParams, vec![255, priority], vec![SLOT_TCB, endpoint, endpoint])
            }
            8 => (I::TcbSetPriority, vec![priority], vec![SLOT_TCB]),
            9 => {
                let notification = self.find(|cap| matches!(cap, Cap::Notification { .. }));
                (I::TcbBindNotification, vec![], vec![notification])
            }
            10 => (I::TcbUnbindNotification, vec![], vec![]),
            11 => {
                let mut words = vec![self.random.below(2), 2 + self.random.below(20), IMAGE.start];
                words.extend((0..18).map(|_| self.random.word()));
                (I::TcbWriteRegisters, words, vec![])
            }
            _ => {
                let other = self.find(|cap| matches!(cap, Cap::Thread { .. }));
                let invocation = self.random.pick(&[
                    I::TcbReadRegisters,
                    I::TcbCopyRegisters,
                    I::TcbSetIpcBuffer,
                    I::TcbSetMcPriority,
                    I::TcbSetTlsBase,
                    I::TcbSetFlags,
                    I::DomainSet,
                ]);
                let words = vec![self.random.below(32), self.random.below(20)];
                return (
                    if invocation == I::DomainSet { 11 } else { thread },
                    invocation,
                    words,
                    vec![other],
                );
            }
        };
        (thread, invocation, words, caps)
    }

    /// The words of a thread's configuration: where time is given by scheduling contexts without fault handler,
    /// on all but the oldest kernel without priority.
    fn configuration(&self, endpoint: u64, priority: u64, data: u64, buffer: u64) -> Vec<u64> {
        let table = self.machine.kernel.table();
        let has = |param: usize| table.message(I::TcbConfigure).params[param].kind != Place::NOWHERE;
        let mut words = vec![data, 0, buffer];
        if has(param::tcb_configure::PRIORITY) {
            words.insert(0, priority);
        }
        if has(param::tcb_configure::FAULT_EP) {
            words.insert(0, endpoint);
        }
        words
    }

    fn on_paging(&mut self) -> (u64, I, Vec<u64>, Vec<u64>) {
        let is_paging = |cap| {
            matches!(
                cap,
                Cap::Frame { .. }
                    | Cap::PageTable { .. }
                    | Cap::PageDirectory { .. }
                    | Cap::Pdpt { .. }
                    | Cap::Pml4 { .. }
            )
        };
        let cap = self.find(is_paging);
        let address = match self.random.below(4) {
            0 => IMAGE.start + self.random.below(16) * 4096,
            1 => self.random.below(8) << self.random.pick(&[12, 21, 30, 39]),
            2 => 0x1000_0000 + self.random.below(4) * 4096,
            _ => self.random.word() >> self.random.below(64),
        };
        let (rights, attributes) = (self.random.below(8), self.random.below(8));
        let (map, unmap) = match self.machine.cap(cap) {
            Cap::PageTable { .. } => (I::PageTableMap, I::PageTableUnmap),
            Cap::PageDirectory { .. } => (I::PageDirectoryMap, I::PageDirectoryUnmap),
            Cap::Pdpt { .. } => (I::PdptMap, I::PdptUnmap),
            _ => (I::PageMap, I::PageUnmap),
        };
        let root = if self.random.one_in(10) { self.full() } else { SLOT_VSPACE };
        match self.random.below(8) {
            0..4 if map == I::PageMap => (cap, map, vec![address, rights, attributes], vec![root]),
            0..4 => (cap, map, vec![address, attributes], vec![root]),
            4 | 5 => (cap, unmap, vec![], vec![]),
            6 => (cap, I::PageRemap, vec![rights, attributes], vec![root]),
            _ => (cap, I::PageGetAddress, vec![], vec![]),
        }
    }

    fn on_the_rest(&mut self) -> (u64, I, Vec<u64>, Vec<u64>) {
        let all: Vec<_> =
            I::ALL.iter().copied().filter(|invocation| *invocation >= I::IrqIssueHandler).collect();
        let invocation = self.random.pick(&all);
        let ports = self.find(|cap| matches!(cap, Cap::IoPort { .. }));
        let cap = match invocation {
            I::DomainScheduleConfigure | I::DomainScheduleSetStart => 11,
            I::IoPortIn8
            | I::IoPortIn16
            | I::IoPortIn32
            | I::IoPortOut8
            | I::IoPortOut16
            | I::IoPortOut32 => ports,
            I::IrqIssueHandler | I::IrqIssueHandlerIoApic | I::IrqIssueHandlerMsi => 4,
            I::IrqAck | I::IrqSetHandler | I::IrqClearHandler => {
                self.find(|cap| matches!(cap, Cap::IrqHandler { .. }))
            }
            I::AsidControlMakePool => 5,
            I::AsidPoolAssign => 6,
            I::DomainSet => 11,
            _ => 7,
        };
        let mut words: Vec<_> = (0..7).map(|_| self.random.below(130)).collect();
        match invocation {
            I::IrqIssueHandlerIoApic | I::IrqIssueHandlerMsi => {
                let pin = self.random.pick(&[2, 4, 8]);
                words = vec![self.empty(), 64, 0, pin, 0, 0, self.random.below(110)];
            }
            I::IoPortIn8 | I::IoPortOut8 => {
                words = vec![
                    self.random.pick(&[0x3f8, 0x3f9, 0x3fa, 0x40, 0x42, 0x43, 0x61]),
                    self.random.below(256),
                ];
            }
            I::AsidControlMakePool => words = vec![self.empty(), 64],
            I::IoPortControlIssue => {
                let first = self.random.pick(&[0x3f8, 0x40, 0x61, 0xf0]);
                words = vec![first, first + self.random.below(8), self.empty(), 64];
            }
            _ => {}
        }
        let target = match invocation {
            I::IrqSetHandler => self.find(|cap| matches!(cap, Cap::Notification { .. })),
            I::AsidPoolAssign => self.find(|cap| matches!(cap, Cap::Pml4 { .. })),
            I::AsidControlMakePool => self.find(|cap| matches!(cap, Cap::Untyped { .. })),
            I::DomainSet => self.find(|cap| matches!(cap, Cap::Thread { .. })),
            _ => SLOT_CNODE,
        };
        (cap, invocation, words, vec![target, SLOT_CNODE])
    }

    /// Whether another thread can run, so that this one may block.
    fn has_company(&self) -> bool {
        let (memory, current) = (self.machine.memory(), self.machine.kernel.current());
        let runs = |thread: Tcb| {
            let state = thread.state(&memory);
            let runs = matches!(state, ThreadState::Running | ThreadState::Restart);
            let has_time = !self.is_mcs() || thread.sched_context(&memory) != 0;
            runs && has_time && thread != current && thread.domain(&memory) == 0
        };
        let thread = |slot| match self.machine.cap(slot) {
            Cap::Thread { tcb } => Some(Tcb(tcb)),
            _ => None,
        };
        (0..SLOTS).filter_map(thread).any(runs)
    }

    /// Messages between threads.
    fn transfer(&mut self) -> Message {
        let alone = !self.has_company() && !self.random.one_in(50);
        let calls = if self.is_mcs() { MCS_CALLS } else { CALLS };
        let call = self.random.pick(if alone { QUICK } else { calls });
        let call = self.machine.number(call);
        let is_target = |cap| {
            matches!(
                cap,
                Cap::Endpoint { .. } | Cap::Notification { .. } | Cap::Reply { .. } | Cap::ReplyObject { .. }
            )
        };
        let cap = self.find(is_target);
        let caps = (0..self.random.below(4)).map(|_| self.full()).collect();
        let words = (0..self.random.below(12)).map(|_| self.random.word()).collect();
        Message { call, cap, label: self.random.below(60), words, caps }
    }

    /// Anything at all.
    fn nonsense(&mut self) -> Message {
        let call =
            if self.random.one_in(3) { self.random.word() as i64 } else { -(self.random.below(16) as i64) };
        // Ports that end the root task are of no use here.
        let cap = Some(self.full()).filter(|cap| *cap != 7).unwrap_or(SLOT_CNODE);
        let cap = if self.random.one_in(3) { self.random.word() >> self.random.below(64) } else { cap };
        let words = (0..self.random.below(30)).map(|_| self.random.word() >> self.random.below(64)).collect();
        let caps = (0..self.random.below(4)).map(|_| self.random.below(SLOTS + 4)).collect();
        Message { call, cap, label: self.random.below(70), words, caps }
    }

    fn fault(&mut self) -> Fault {
        let [address, number] = [self.random.word(), self.random.below(40)];
        match self.random.below(4) {
            0 => Fault::Vm { address, fetch: number & 1 != 0, code: number },
            1 => Fault::UnknownSyscall { number: address },
            2 => Fault::Exception { number, code: address },
            _ => Fault::Cap { address, receiving: true, failure: LookupFailure::InvalidRoot },
        }
    }

    /// Threads and objects for messages, so that not all of it must come about by chance. Each thread's
    /// faults go to the endpoint, at first.
    pub(crate) fn populate(&mut self) {
        let first = self.machine.first_empty();
        let machine = &mut self.machine;
        let untyped = machine.largest_untyped();
        let (endpoint, notification) = (first + THREADS, first + THREADS + 1);
        let mut made = vec![
            machine.retype(untyped, Kind::Tcb, 0, first, THREADS),
            machine.retype(untyped, Kind::Endpoint, 0, endpoint, 1),
            machine.retype(untyped, Kind::Notification, 0, notification, 1),
        ];
        let is_mcs = self.is_mcs();
        made.push(match is_mcs {
            true => {
                let caps = [endpoint, SLOT_CNODE, SLOT_VSPACE];
                self.machine.invoke(SLOT_TCB, I::TcbSetSpace, &[0, 0], &caps)
            }
            false => {
                let caps = [SLOT_CNODE, SLOT_VSPACE];
                self.machine.invoke(SLOT_TCB, I::TcbSetSpace, &[endpoint, 0, 0], &caps)
            }
        });
        let words = self.configuration(endpoint, 255, 0, IPC_BUFFER);
        let contexts = notification + 1;
        if is_mcs {
            made.push(self.machine.retype(untyped, Kind::SchedContext, 8, contexts, THREADS));
            made.push(self.machine.retype(untyped, Kind::Reply, 0, contexts + THREADS, 3));
        }
        for thread in first..endpoint {
            let caps = [SLOT_CNODE, SLOT_VSPACE, SLOT_IPC_BUFFER];
            made.push(self.machine.invoke(thread, I::TcbConfigure, &words, &caps));
            let sc = contexts + (thread - first);
            // Some have a scheduling context of their own, the others wait for one.
            if is_mcs && !self.random.one_in(3) {
                let period = self.random.pick(&[2_000, 10_000]);
                let control = self.find(|cap| cap == Cap::SchedControl);
                let machine = &mut self.machine;
                let times = [2_000, period, 0, 7, 0];
                made.push(machine.invoke(control, I::SchedControlConfigureFlags, &times, &[sc]));
                let caps = [SLOT_TCB, sc, endpoint];
                made.push(machine.invoke(thread, I::TcbSetSchedParams, &[255, 255], &caps));
            }
            made.push(self.machine.invoke(thread, I::TcbResume, &[], &[]));
        }
        assert!(made.iter().all(|reply| reply.label == 0), "{made:?}");
    }

    /// Something happens; what it was, and what is to be done then.
    pub(crate) fn step(&mut self) -> (String, Next) {
        let message = match self.random.below(100) {
            0..4 => {
                self.machine.kernel.host().time += self.random.below(3_000_000);
                return ("a tick".into(), self.machine.kernel.tick());
            }
            4..6 => {
                self.disturb();
                self.machine.kernel.host().time += self.random.below(20_000_000);
                self.machine.kernel.host().input.push_back(b'x');
                return ("an interrupt".into(), self.machine.kernel.interrupt());
            }
            6 if self.has_company() || self.random.one_in(20) => {
                let fault = self.fault();
                return (format!("{fault:?}"), self.machine.kernel.fault(fault));
            }
            98.. if self.has_company() || self.random.one_in(20) => self.nonsense(),
            78..98 => self.transfer(),
            _ => self.invocation(),
        };
        self.choose_receive_slot();
        let Message { call, cap, label, words, caps } = &message;
        let thread = self.machine.kernel.current();
        self.machine.kernel.host().time += self.random.below(3_000);
        if self.is_mcs() {
            // What it answers through, and what it sends to first.
            let reply = self.find(|cap| matches!(cap, Cap::ReplyObject { .. }));
            let target = self.find(|cap| matches!(cap, Cap::Endpoint { .. } | Cap::ReplyObject { .. }));
            let (memory, odd) = (self.machine.memory(), self.random.one_in(20));
            thread.set_register(&memory, Register::R12, if odd { target } else { reply });
            thread.set_register(&memory, Register::R13, target);
        }
        let next = self.machine.syscall(*call, *cap, *label, words, caps);
        if *call == self.machine.number(Syscall::Call)
            && next == Next::Run(thread)
            && self.machine.message(thread).label == 0
            && let Some(invocation) = self.machine.kernel.table().invocation(*label)
        {
            self.succeeded[invocation as usize] += 1;
        }
        (format!("{message:x?}"), next)
    }

    /// What a root task does to the rings that it shares with the console, and what a host may lack.
    fn disturb(&mut self) {
        let memory = self.machine.memory();
        let region = BASE + (IMAGE.end - IMAGE.start) + 0x2200;
        let index = self.random.pick(&[0, 64, 128, 192]);
        let value = if self.random.one_in(8) { self.random.word() } else { self.random.below(3000) };
        // Without devices there is no such page, and this would be another one.
        if memory.get(region - 0x200) == DEVICES_CHUNK {
            memory.set(region + index, value);
        }
        self.machine.kernel.host().full = self.random.one_in(4);
    }

    /// Where the current thread takes capabilities that it is sent.
    fn choose_receive_slot(&mut self) {
        let slot = self.empty();
        let memory = self.machine.memory();
        if let Some(buffer) = self.machine.buffer(self.machine.kernel.current()) {
            for (offset, word) in [(1000, SLOT_CNODE), (1008, slot), (1016, 64)] {
                memory.set(buffer - 8 + offset, word);
            }
        }
    }

    /// Lets time pass until somebody runs; whether that helped.
    pub(crate) fn wait(&mut self) -> bool {
        (0..4).any(|_| {
            self.machine.kernel.host().time += 60_000_000;
            matches!(self.machine.kernel.interrupt(), Next::Run(_))
        })
    }

    /// Whether the thread that runs sees the initial CNode: if not, few calls do anything.
    pub(crate) fn is_lively(&self) -> bool {
        let thread = self.machine.kernel.current();
        let Cap::CNode { address, .. } = self.machine.kernel.root_cnode() else { return false };
        let space = thread.cspace().cap(&self.machine.memory());
        matches!(space, Cap::CNode { address: own, .. } if own == address)
    }
}

//! Capability addresses that lead nowhere, in CSpaces of every shape.

use crate::{
    actor::{Actor, NOTES, calm, rest},
    kernel,
    notification::badged,
    tap::Tap,
};
use selkie::{
    cap::{CNode, Capability, Pml4, Reply, Rights, Slot, Space, Tcb},
    memory::Objects,
    prelude::*,
};
use selkie_sys::{MessageInfo, Word, fault, lookup_failure, stub, syscall};

/// A small CSpace: 60 bits of guard, then 4 bits of index. The handler's endpoint is in slot 1, an endpoint to
/// use in slot 2.
struct Bench {
    node: Objects<CNode>,
    handler: Objects<Endpoint>,
    /// The handler's endpoint once more, in a slot of the function's own.
    outside: Endpoint,
    endpoint: Objects<Endpoint>,
    /// Where the actor waits when all is done.
    end: Objects<Notification>,
    actor: Actor,
    guard_bits: u8,
}

/// The guard of the small CSpace.
const GUARD: Word = 0xa;
/// The badge of the handler's endpoint there.
const BADGE: Word = 0x55;

/// The address of a slot of the small CSpace, with a guard of so many bits.
fn at(slot: Word, guard_bits: u8) -> Word {
    (GUARD << 4 | slot) << (60 - guard_bits)
}

impl Bench {
    /// A CSpace whose guard has so many bits.
    fn new(sys: &mut System, guard_bits: u8) -> Result<Self> {
        let node = sys.memory.create_cnode(4)?;
        let (handler, endpoint) = (sys.memory.create::<Endpoint>()?, sys.memory.create::<Endpoint>()?);
        node.cap().place(1, 4).mint(handler.cap().place(), Rights::ALL, BADGE)?;
        node.cap().place(2, 4).copy(endpoint.cap().place(), Rights::ALL)?;
        let end = sys.memory.create::<Notification>()?;
        node.cap().place(15, 4).copy(end.cap().place(), Rights::ALL)?;
        let guard = CNode::guard(GUARD, guard_bits);
        // With MCS the fault endpoint is looked up at once, in the CSpace of whoever sets it.
        let outside = badged(sys, handler.cap(), Rights::ALL, BADGE)?;
        let fault_endpoint = kernel::on_mcs(outside.slot(), Slot(at(1, guard_bits)));
        let space = Space { fault_endpoint, cnode: node.cap(), guard, vspace: Pml4::OWN };
        let actor = Actor::in_space(sys, space)?;
        Ok(Self { node, handler, outside, endpoint, end, actor, guard_bits })
    }

    /// The fault after a system call `number` on the address `cap`.
    fn fault(&self, number: i64, cap: Word) -> Result<Option<(Word, Word, Vec<Word>)>> {
        NOTES.clear();
        NOTES.set(8, number as Word);
        NOTES.set(9, cap);
        NOTES.set(10, at(15, self.guard_bits));
        self.actor.start(body, 0)?;
        let received = self.handler.cap().try_recv();
        Ok(received
            .map(|received| (received.badge, received.message.label(), received.message.words().to_vec())))
    }

    fn end(self, sys: &mut System) -> Result<()> {
        self.actor.end(sys)?;
        sys.memory.destroy(self.end)?;
        sys.memory.destroy(self.endpoint)?;
        crate::notification::drop_cap(sys, self.outside)?;
        sys.memory.destroy(self.handler)?;
        sys.memory.destroy(self.node)
    }
}

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    calm(sys, |sys| {
        guarded(tap, sys)?;
        deeper(tap, sys)?;
        unhandled(tap, sys)
    })
}

/// Makes the system call in note 8 on the address in note 9, and notes 1 once it is over.
extern "C" fn body(_: Word) -> ! {
    let (number, cap) = (NOTES.get(8) as i64, NOTES.get(9));
    // SAFETY: a message or signal changes nothing but registers and IPC buffers.
    unsafe {
        match number {
            syscall::SEND | syscall::NB_SEND => stub::send(cap, 0, number, &[0; 4]),
            syscall::RECV | syscall::NB_RECV => drop(stub::recv(cap, 0, number, &mut [0; 4])),
            _ => drop(stub::send_recv(cap, 0, number, &mut [0; 4])),
        }
    }
    NOTES.set(0, 1);
    // The thread has no capability of its own TCB: it waits for ever.
    loop {
        // SAFETY: as above.
        unsafe { stub::recv(NOTES.get(10), 0, syscall::RECV, &mut [0; 4]) };
    }
}

/// The details of a fault without its instruction: address, phase, look-up failure.
fn details(fault: Option<(Word, Word, Vec<Word>)>) -> Option<(Word, Word, Vec<Word>)> {
    fault.map(|(badge, label, words)| (badge, label, words.into_iter().skip(1).collect()))
}

fn want(cap: Word, receiving: bool, failure: &[Word]) -> Option<(Word, Word, Vec<Word>)> {
    Some((BADGE, fault::CAP_FAULT, [&[cap, Word::from(receiving)], kernel::told_words(failure)].concat()))
}

fn guarded(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let bench = Bench::new(sys, 60)?;
    let wrong = 0xb1;
    let mismatch = [lookup_failure::GUARD_MISMATCH, 64, GUARD, 60];
    let sends = [("a send", syscall::SEND), ("a call", syscall::CALL)];
    for (what, number) in sends {
        let fault = details(bench.fault(number, wrong)?);
        tap.is(&format!("{what} with a guard that does not match"), fault, want(wrong, false, &mismatch));
    }
    let receives = [
        ("a receive", syscall::RECV),
        ("a receive that does not wait", syscall::NB_RECV),
        ("a reply and receive", syscall::REPLY_RECV),
    ];
    for (what, number) in receives {
        let fault = details(bench.fault(number, wrong)?);
        tap.is(&format!("{what} with a guard that does not match"), fault, want(wrong, true, &mismatch));
    }
    tap.is("a send that does not wait is no fault", bench.fault(syscall::NB_SEND, wrong)?, None);
    tap.is("it is over", NOTES.get(0), 1);
    let empty = GUARD << 4 | 3;
    tap.is("a send to an empty slot is no fault", bench.fault(syscall::SEND, empty)?, None);
    tap.is("it is over too", NOTES.get(0), 1);
    let fault = details(bench.fault(syscall::RECV, empty)?);
    tap.is(
        "a receive from an empty slot is one",
        fault,
        want(empty, true, &[lookup_failure::MISSING_CAPABILITY, 0]),
    );
    let fault = details(bench.fault(syscall::SEND, Word::MAX)?);
    tap.is("the greatest address", fault, want(Word::MAX, false, &mismatch));
    // Instruction: that of the system call, three bytes into the stub's site.
    let ip = bench.fault(syscall::RECV, wrong)?.and_then(|(_, _, words)| words.first().copied());
    let start = stub::recv as *const () as Word;
    tap.yes("the instruction lies in the stub", ip.is_some_and(|ip| (start..start + 16).contains(&ip)));
    tap.is("it can be read as well", bench.actor.registers().map(|read| Some(read.rip)), Ok(ip));
    Reply::to_caller(&Message::new(0));
    let again = bench.handler.cap().try_recv().map(|received| received.message.label());
    tap.is("a reply repeats the system call", again, Some(fault::CAP_FAULT));
    tap.is("a send through the small CSpace", bench.fault(syscall::NB_SEND, GUARD << 4 | 2)?, None);
    bench.end(sys)
}

fn deeper(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let bench = Bench::new(sys, 56)?;
    let inner = sys.memory.create_cnode(8)?;
    bench.node.cap().place(3, 4).copy(inner.cap().slot().place(), Rights::ALL)?;
    let at = |slot: Word, rest: Word| (GUARD << 4 | slot) << 4 | rest;
    let fault = details(bench.fault(syscall::SEND, at(3, 1))?);
    tap.is(
        "a CNode of more bits than are left",
        fault,
        want(at(3, 1), false, &[lookup_failure::DEPTH_MISMATCH, 4, 8]),
    );
    bench.node.cap().place(4, 4).mint(inner.cap().slot().place(), Rights::ALL, CNode::guard(7, 5))?;
    let fault = details(bench.fault(syscall::RECV, at(4, 1))?);
    tap.is(
        "a guard of more bits than are left",
        fault,
        want(at(4, 1), true, &[lookup_failure::GUARD_MISMATCH, 4, 7, 5]),
    );
    let endpoint = bench.endpoint.cap();
    let receiver = sys.spawn(move || endpoint.recv().badge)?;
    tap.is("bits that are left at an endpoint", bench.fault(syscall::SEND, at(2, 0xf))?, None);
    tap.is("do not matter", receiver.join(sys), Ok(0));
    bench.end(sys)?;
    sys.memory.destroy(inner)
}

/// A thread whose fault nobody hears of stops.
fn unhandled(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let endpoint = sys.memory.create::<Endpoint>()?;
    let mean = badged(sys, endpoint.cap(), Rights::READ_WRITE, 1)?;
    for (what, handler) in
        [("without a fault endpoint", Slot::NULL), ("with one that may not grant", mean.slot())]
    {
        if kernel::MCS && handler != Slot::NULL {
            // There it is refused when it is set.
            let space = Space { fault_endpoint: handler, cnode: CNode::OWN, guard: 0, vspace: Pml4::OWN };
            let tcb = sys.memory.create::<Tcb>()?;
            // SAFETY: the thread never runs.
            let set = unsafe { tcb.cap().set_space(space) };
            tap.is("a fault endpoint that may not grant", set, Err(Error::InvalidCapability { number: 1 }));
            sys.memory.destroy(tcb)?;
            continue;
        }
        let actor = Actor::new(sys, handler)?;
        NOTES.clear();
        NOTES.set(8, syscall::RECV as Word);
        NOTES.set(9, Slot::NULL.0);
        actor.start(body, 0)?;
        tap.yes(&format!("a fault {what} reaches nobody"), endpoint.cap().try_recv().is_none());
        let ip = actor.registers()?.rip;
        let start = stub::recv as *const () as Word;
        tap.yes(&format!("a thread that faults {what} stops there"), (start..start + 16).contains(&ip));
        actor.start(leave, actor.tcb().slot().0)?;
        tap.is(&format!("a thread that faulted {what} can be started again"), NOTES.get(0), 5);
        actor.end(sys)?;
    }
    crate::notification::drop_cap(sys, mean)?;
    sys.memory.destroy(endpoint)
}

/// Notes 5.
extern "C" fn leave(tcb: Word) -> ! {
    NOTES.set(0, 5);
    rest(Slot(tcb))
}

/// The tag of an empty message is 0, which `body` sends.
const _: () = assert!(MessageInfo::new(0, 0, 0, 0).0 == 0);

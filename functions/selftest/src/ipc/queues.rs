//! Who waits at an endpoint, in which order, and how threads leave it.

use crate::{
    actor::{NOTES, calm},
    kernel,
    notification::{badged, drop_cap},
    raw::{ask, capability},
    tap::Tap,
};
use selkie::{
    LookupFailure,
    cap::{Capability, ObjectType, Rights, Slot, Untyped},
    fault::Fault,
    memory::Objects,
    prelude::*,
    thread::{Builder, JoinHandle},
};

/// Priorities of three threads that come one after the other.
const PRIORITIES: [u8; 3] = [150, 254, 120];

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    calm(sys, |sys| {
        senders(tap, sys)?;
        receivers(tap, sys)?;
        leaving(tap, sys)?;
        badges(tap, sys)?;
        deleted_endpoint(tap, sys)
    })
}

/// Three threads send 1, 2 and 3.
fn three(sys: &mut System, endpoint: Endpoint) -> Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::new();
    for (priority, number) in PRIORITIES.into_iter().zip(1..) {
        let body = move || endpoint.send(&Message::with(0, &[number]));
        threads.push(Builder::new().priority(priority).spawn(sys, body)?);
    }
    Ok(threads)
}

/// What comes as long as something waits, as the digits of a decimal number.
fn drain(endpoint: Endpoint) -> u64 {
    core::iter::from_fn(|| endpoint.try_recv_any()).fold(0, |digits, word| digits * 10 + word)
}

/// Takes the first word of a message, whatever its badge and label.
trait TryRecvAny {
    fn try_recv_any(self) -> Option<u64>;
}

impl TryRecvAny for Endpoint {
    fn try_recv_any(self) -> Option<u64> {
        self.try_recv().map(|received| received.message.get(0))
    }
}

fn senders(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let object = sys.memory.create::<Endpoint>()?;
    let endpoint = object.cap();
    let threads = three(sys, endpoint)?;
    let order = kernel::on_mcs(213, 123);
    tap.is(
        "senders of several priorities are served as they came, with MCS by priority",
        drain(endpoint),
        order,
    );
    for thread in threads {
        thread.join(sys)?;
    }
    let threads = three(sys, endpoint)?;
    threads[2].tcb().set_priority(PRIORITIES[2] - 1)?;
    threads[0].tcb().set_priority(PRIORITIES[0] - 1)?;
    tap.is("a change of priority that changes no order", drain(endpoint), order);
    for thread in threads {
        thread.join(sys)?;
    }
    let threads = three(sys, endpoint)?;
    threads[2].tcb().set_priority(PRIORITIES[0] + 1)?;
    tap.is("a change of priority moves a sender with MCS only", drain(endpoint), kernel::on_mcs(231, 123));
    for thread in threads {
        thread.join(sys)?;
    }
    sys.memory.destroy(object)
}

fn receivers(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let object = sys.memory.create::<Endpoint>()?;
    let endpoint = object.cap();
    let mut threads = Vec::new();
    for priority in PRIORITIES {
        let body = move || endpoint.recv().message.get(0);
        threads.push(Builder::new().priority(priority).spawn(sys, body)?);
    }
    tap.yes("a receive that does not wait gets nothing from receivers", endpoint.try_recv().is_none());
    for number in 1..=3 {
        endpoint.try_send(&Message::with(0, &[number]));
    }
    let got: Vec<_> = threads.into_iter().map(|thread| thread.join(sys)).collect();
    let want = kernel::on_mcs([2, 1, 3], [1, 2, 3]).map(Ok).to_vec();
    tap.is("receivers of several priorities are served as they came, with MCS by priority", got, want);
    endpoint.try_send(&Message::with(0, &[4]));
    tap.yes("what nobody waits for is gone", endpoint.try_recv().is_none());
    sys.memory.destroy(object)
}

fn leaving(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let object = sys.memory.create::<Endpoint>()?;
    let endpoint = object.cap();
    let threads = three(sys, endpoint)?;
    threads[1].tcb().suspend()?;
    tap.is("a suspended sender leaves the queue", drain(endpoint), 13);
    tap.is("resume", threads[1].tcb().resume(), Ok(()));
    tap.is("a resumed sender sends again", drain(endpoint), 2);
    for thread in threads {
        thread.join(sys)?;
    }
    let threads = three(sys, endpoint)?;
    tap.is("resume of a sender that waits", threads[0].tcb().resume(), Ok(()));
    tap.is("puts it at the end, with MCS of its priority", drain(endpoint), kernel::on_mcs(213, 231));
    for thread in threads {
        thread.join(sys)?;
    }
    let mut threads = three(sys, endpoint)?;
    // SAFETY: the thread waits at the endpoint and holds no lock.
    unsafe { threads.remove(0).kill(sys)? };
    tap.is("a deleted sender leaves the queue", drain(endpoint), 23);
    for thread in threads {
        thread.join(sys)?;
    }
    let waiting = sys.spawn(move || endpoint.recv().message.get(0))?;
    waiting.tcb().suspend()?;
    endpoint.try_send(&Message::with(0, &[8]));
    tap.yes("a suspended receiver gets nothing", !waiting.is_finished());
    waiting.tcb().resume()?;
    endpoint.try_send(&Message::with(0, &[9]));
    tap.is("a resumed one receives again", waiting.join(sys), Ok(9));
    sys.memory.destroy(object)
}

/// Sends with one badge are cancelled: those threads send again, behind the others.
fn badges(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let object = sys.memory.create::<Endpoint>()?;
    let one = badged(sys, object.cap(), Rights::ALL, 1)?;
    let other = badged(sys, object.cap(), Rights::ALL, 2)?;
    let weak = badged(sys, object.cap(), Rights::READ_WRITE, 1)?;
    let endpoint = object.cap();
    let start = |sys: &mut System| -> Result<Vec<JoinHandle<()>>> {
        let bodies = [(one, 1), (other, 2), (one, 3), (endpoint, 4)];
        let spawn =
            |(cap, number): (Endpoint, u64)| sys.spawn(move || cap.send(&Message::with(0, &[number])));
        bodies.into_iter().map(spawn).collect()
    };
    let threads = start(sys)?;
    tap.is(
        "cancel sends without the right to grant",
        weak.place().cancel_badged_sends(),
        Err(Error::IllegalOperation),
    );
    tap.is("cancel sends with no badge", endpoint.place().cancel_badged_sends(), Ok(()));
    tap.is("changes nothing", drain(endpoint), 1234);
    for thread in threads {
        thread.join(sys)?;
    }
    let threads = start(sys)?;
    tap.is("cancel sends with a badge", one.place().cancel_badged_sends(), Ok(()));
    let order = drain(endpoint);
    tap.is("the others are first now", order / 100, 24);
    tap.yes("those with the badge have sent again", [13, 31].contains(&(order % 100)));
    for thread in threads {
        thread.join(sys)?;
    }
    tap.is("cancel sends where nobody waits", one.place().cancel_badged_sends(), Ok(()));
    let waiting = sys.spawn(move || endpoint.recv().message.get(0))?;
    tap.is("cancel sends where a receiver waits", one.place().cancel_badged_sends(), Ok(()));
    one.try_send(&Message::with(0, &[7]));
    tap.is("does not disturb it", waiting.join(sys), Ok(7));
    drop_cap(sys, weak)?;
    drop_cap(sys, other)?;
    drop_cap(sys, one)?;
    sys.memory.destroy(object)
}

/// An endpoint is deleted while threads wait there: they repeat their system calls, on an empty slot.
fn deleted_endpoint(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let memory = sys.memory.create_untyped(4)?;
    let slot = sys.memory.slot()?;
    let handler = sys.memory.create::<Endpoint>()?;
    let endpoint = Endpoint::at(slot);
    let make = || memory.cap().retype(ObjectType::Endpoint, selkie::cap::CNode::OWN.place(0, 0), slot.0, 1);
    make()?;
    NOTES.clear();
    let sender = sys.spawn(move || endpoint.send(&Message::new(0)))?;
    let caller = sys.spawn(move || ask(slot, 0, &[], &[]))?;
    tap.is("an endpoint is deleted where threads send", slot.place().delete(), Ok(()));
    tap.is("a sender goes on", sender.join(sys), Ok(()));
    tap.is("a caller is told", caller.join(sys), Ok(capability(0)));
    make()?;
    let receiver = Builder::new().fault_endpoint(handler.cap()).spawn(sys, move || endpoint.recv().badge)?;
    tap.is("an endpoint is deleted where a thread receives", slot.place().delete(), Ok(()));
    tap.yes("the receiver faults", faulted(&handler, slot));
    // SAFETY: the thread waits for a reply that never comes, and holds no lock.
    unsafe { receiver.kill(sys)? };
    make()?;
    let caller = sys.spawn(move || endpoint.call(&Message::new(0)).label())?;
    let _ = endpoint.recv();
    slot.place().delete()?;
    tap.yes("a caller that was heard does not notice", !caller.is_finished());
    selkie::cap::Reply::to_caller(&Message::new(3));
    tap.is("and gets its reply", caller.join(sys), Ok(3));
    make()?;
    revoked(tap, sys, &memory, slot)?;
    sys.memory.release_slots(slot, 1);
    sys.memory.destroy(handler)?;
    sys.memory.destroy(memory)
}

fn faulted(handler: &Objects<Endpoint>, slot: Slot) -> bool {
    let failure = kernel::told(LookupFailure::MissingCapability { bits_left: 0 });
    handler.cap().try_recv().is_some_and(|received| {
        matches!(Fault::decode(&received.message), Fault::Cap { address, receiving: true, failure: why, .. }
            if address == slot.0 && why == failure)
    })
}

/// The same by a revoke of the memory.
fn revoked(tap: &mut Tap, sys: &mut System, memory: &Objects<Untyped>, slot: Slot) -> Result<()> {
    let endpoint = Endpoint::at(slot);
    let copy = badged(sys, endpoint, Rights::ALL, 4)?;
    let one = sys.spawn(move || ask(slot, 0, &[], &[]))?;
    let other = sys.spawn(move || ask(copy.slot(), 0, &[], &[]))?;
    tap.is("revoke of an endpoint's memory", memory.cap().place().revoke(), Ok(()));
    tap.is("a caller through the first capability is told", one.join(sys), Ok(capability(0)));
    tap.is("a caller through another capability is told", other.join(sys), Ok(capability(0)));
    sys.memory.release_slots(copy.slot(), 1);
    Ok(())
}

//! Reply objects, on a kernel with MCS: the way back to a caller, kept, moved, lost.

use crate::{
    actor::calm,
    raw::{ask, capability, done},
    tap::Tap,
};
use selkie::{
    cap::{CNode, Capability, ObjectType, Reply, Rights, Slot, Untyped},
    memory::Objects,
    prelude::*,
    thread::JoinHandle,
};
use selkie_sys::portable;

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    calm(sys, |sys| {
        let bench = Bench::new(sys)?;
        once(tap, sys, &bench)?;
        kept(tap, sys, &bench)?;
        moved(tap, sys, &bench)?;
        lost(tap, sys, &bench)?;
        gone(tap, sys, &bench)?;
        receivers(tap, sys, &bench)?;
        bench.end(sys)
    })
}

/// An endpoint, and two reply objects beside the thread's own.
struct Bench {
    object: Objects<Endpoint>,
    replies: Objects<Reply>,
    slot: Slot,
}

impl Bench {
    fn new(sys: &mut System) -> Result<Self> {
        let (object, replies) = (sys.memory.create()?, sys.memory.create_many(2)?);
        Ok(Self { object, replies, slot: sys.memory.slot()? })
    }

    fn endpoint(&self) -> Endpoint {
        self.object.cap()
    }

    fn reply(&self, index: usize) -> Slot {
        self.replies.cap().slot().offset(index)
    }

    /// Receives with a reply object: the message's label.
    fn recv(&self, reply: Slot) -> u64 {
        // SAFETY: a receive changes nothing but registers and the IPC buffer.
        unsafe { portable::recv(self.endpoint().slot().0, reply.0, &mut [0; 4]) }.0.label()
    }

    /// The same without waiting.
    fn try_recv(&self, reply: Slot) -> Option<u64> {
        // SAFETY: as in `recv`.
        let (info, badge) = unsafe { portable::nb_recv(self.endpoint().slot().0, reply.0, &mut [0; 4]) };
        (badge != 0 || info.0 != 0).then(|| info.label())
    }

    /// A thread that calls, and returns the answer's label.
    fn caller(&self, sys: &mut System, label: u64) -> Result<JoinHandle<u64>> {
        let endpoint = self.endpoint();
        sys.spawn(move || endpoint.call(&Message::new(label)).label())
    }

    fn end(self, sys: &mut System) -> Result<()> {
        sys.memory.release_slots(self.slot, 1);
        sys.memory.destroy(self.replies)?;
        sys.memory.destroy(self.object)
    }
}

fn send(reply: Slot, label: u64) {
    Reply::at(reply).send(&Message::new(label));
}

fn once(tap: &mut Tap, sys: &mut System, bench: &Bench) -> Result<()> {
    let endpoint = bench.endpoint();
    Reply::to_caller(&Message::new(1));
    tap.yes("a reply without a caller does nothing", endpoint.try_recv().is_none());
    tap.is("a call of a reply object without a caller", ask(bench.reply(0), 0, &[], &[]), done());
    let caller = bench.caller(sys, 0)?;
    let _ = endpoint.recv();
    Reply::to_caller(&Message::new(5));
    Reply::to_caller(&Message::new(6));
    tap.is("the first reply counts", caller.join(sys), Ok(5));
    let sender = sys.spawn(move || endpoint.send(&Message::new(7)))?;
    let received = endpoint.reply_recv(&Message::new(8)).message.label();
    tap.is("reply and receive without a caller receives", received, 7);
    sender.join(sys)?;
    let caller = bench.caller(sys, 9)?;
    tap.is("a receive without a reply object", receive_without(endpoint), 9);
    tap.yes("leaves nobody to reply to", !caller.is_finished());
    caller.tcb().resume()?;
    tap.is("the caller, resumed, calls again", endpoint.recv().message.label(), 9);
    Reply::to_caller(&Message::new(10));
    tap.is("and is answered then", caller.join(sys), Ok(10));
    Ok(())
}

/// Waits for a message, and for nobody to reply to.
fn receive_without(endpoint: Endpoint) -> u64 {
    // SAFETY: as in `Bench::recv`.
    unsafe { portable::wait(endpoint.slot().0, &mut [0; 4]) }.0.label()
}

/// Several callers are kept and answered in any order.
fn kept(tap: &mut Tap, sys: &mut System, bench: &Bench) -> Result<()> {
    let (one, other) = (bench.caller(sys, 1)?, bench.caller(sys, 2)?);
    let labels = [bench.recv(bench.reply(0)), bench.recv(bench.reply(1))];
    tap.is("two calls through two reply objects", labels, [1, 2]);
    send(bench.reply(1), 20);
    tap.is("the second is answered first", other.join(sys), Ok(20));
    tap.yes("the first goes on waiting", !one.is_finished());
    let answer = ask(bench.reply(0), 10, &[1, 2, 3], &[]);
    tap.is("a call of the reply object has an empty answer", answer, done());
    tap.is("and replies", one.join(sys), Ok(10));
    let caller = bench.caller(sys, 3)?;
    bench.recv(bench.reply(0));
    Endpoint::at(bench.reply(0)).try_send(&Message::new(30));
    tap.is("a send that does not wait replies too", caller.join(sys), Ok(30));
    let (one, other) = (bench.caller(sys, 4)?, bench.caller(sys, 5)?);
    bench.recv(bench.reply(0));
    tap.is("a second call with the same reply object", bench.recv(bench.reply(0)), 5);
    send(bench.reply(0), 50);
    tap.is("takes the place of the first", other.join(sys), Ok(50));
    tap.yes("the first caller is forgotten", !one.is_finished());
    one.tcb().resume()?;
    tap.is("resumed, it calls again", bench.recv(bench.reply(0)), 4);
    send(bench.reply(0), 40);
    tap.is("and is answered", one.join(sys), Ok(40));
    Ok(())
}

fn moved(tap: &mut Tap, sys: &mut System, bench: &Bench) -> Result<()> {
    let (place, slot) = (bench.reply(0).place(), bench.slot);
    let caller = bench.caller(sys, 1)?;
    bench.recv(bench.reply(0));
    tap.is("move of a reply object", slot.place().take(place), Ok(()));
    let long = (0..120).fold(Message::new(2), Message::word);
    Reply::at(slot).send(&long);
    tap.is("a long reply through what was moved", caller.join(sys), Ok(2));
    place.take(slot.place())?;
    let caller = bench.caller(sys, 1)?;
    bench.recv(bench.reply(0));
    tap.is("copy of a reply object", slot.place().copy(place, Rights::ALL), Ok(()));
    send(slot, 3);
    tap.is("a reply through the copy", caller.join(sys), Ok(3));
    send(bench.reply(0), 4);
    tap.yes("uses up the original too", bench.endpoint().try_recv().is_none());
    let caller = bench.caller(sys, 1)?;
    bench.recv(bench.reply(0));
    tap.is("delete of the copy", slot.place().delete(), Ok(()));
    send(bench.reply(0), 5);
    tap.is("leaves the original as it is", caller.join(sys), Ok(5));
    tap.is("mint with a badge is a copy", slot.place().mint(place, Rights::ALL, 7), Ok(()));
    slot.place().delete()
}

/// Callers that do not wait any more.
fn lost(tap: &mut Tap, sys: &mut System, bench: &Bench) -> Result<()> {
    let reply = bench.reply(0);
    let caller = bench.caller(sys, 1)?;
    bench.recv(reply);
    tap.yes("a receive that does not wait", bench.try_recv(reply).is_none());
    send(reply, 2);
    tap.yes("forgets a caller", !caller.is_finished());
    caller.tcb().resume()?;
    bench.recv(reply);
    caller.tcb().suspend()?;
    send(reply, 3);
    tap.yes("a suspended caller gets no reply", !caller.is_finished());
    caller.tcb().resume()?;
    tap.is("and calls again when it is resumed", bench.recv(reply), 1);
    // SAFETY: the thread waits for a reply and holds no lock.
    unsafe { caller.kill(sys)? };
    tap.is("a deleted caller leaves the reply object", ask(reply, 0, &[], &[]), done());
    let caller = bench.caller(sys, 4)?;
    tap.is("for another one", bench.recv(reply), 4);
    send(reply, 5);
    tap.is("which is answered", caller.join(sys), Ok(5));
    Ok(())
}

/// Reply objects that are deleted while a caller waits.
fn gone(tap: &mut Tap, sys: &mut System, bench: &Bench) -> Result<()> {
    let memory = sys.memory.create_untyped(ObjectType::Reply.bits())?;
    let slot = bench.slot;
    let make = |memory: Untyped| memory.retype(ObjectType::Reply, CNode::OWN.place(0, 0), slot.0, 1);
    make(memory.cap())?;
    let caller = bench.caller(sys, 1)?;
    bench.recv(slot);
    tap.is("delete of a reply object", slot.place().delete(), Ok(()));
    tap.yes("leaves the caller waiting", !caller.is_finished());
    tap.is("nothing is there any more", ask(slot, 0, &[], &[]), capability(0));
    caller.tcb().resume()?;
    make(memory.cap())?;
    tap.is("the caller, resumed, calls again", bench.recv(slot), 1);
    tap.is("revoke of a reply object's memory", memory.cap().place().revoke(), Ok(()));
    tap.yes("leaves the caller waiting too", !caller.is_finished());
    caller.tcb().resume()?;
    bench.recv(bench.reply(0));
    tap.is("revoke of a reply object", bench.reply(0).place().revoke(), Ok(()));
    send(bench.reply(0), 6);
    tap.is("changes nothing", caller.join(sys), Ok(6));
    sys.memory.destroy(memory)
}

/// A reply object belongs to one receiver at a time.
fn receivers(tap: &mut Tap, sys: &mut System, bench: &Bench) -> Result<()> {
    let (endpoint, reply) = (bench.endpoint().slot().0, bench.reply(0));
    let receiver = sys.spawn(move || {
        // SAFETY: as in `Bench::recv`.
        unsafe { portable::recv(endpoint, reply.0, &mut [0; 4]) }.0.label()
    })?;
    tap.yes("another thread receives with the same reply object", bench.try_recv(reply).is_none());
    bench.endpoint().try_send(&Message::new(1));
    tap.yes("then the first one waits no more", !receiver.is_finished());
    receiver.tcb().resume()?;
    bench.endpoint().try_send(&Message::new(2));
    tap.is("resumed, it receives again", receiver.join(sys), Ok(2));
    Ok(())
}

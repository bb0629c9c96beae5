//! System calls that send and receive in one step, and receives without a reply object.

use crate::{
    actor::{Actor, NOTES, calm, rest},
    fault::Handler,
    notification::{badged, drop_cap},
    tap::Tap,
};
use selkie::{
    cap::{Capability, Reply, Rights, Slot},
    memory::Objects,
    prelude::*,
};
use selkie_sys::{self as sys, MessageInfo, Word, fault, lookup_failure};

/// Endpoints and a notification, and a reply object beside the thread's own.
struct Bench {
    target: Objects<Endpoint>,
    source: Objects<Endpoint>,
    signal: Objects<Notification>,
    reply: Objects<Reply>,
}

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    calm(sys, |sys| {
        let bench = Bench {
            target: sys.memory.create()?,
            source: sys.memory.create()?,
            signal: sys.memory.create()?,
            reply: sys.memory.create()?,
        };
        send_and_wait(tap, sys, &bench)?;
        send_and_receive(tap, sys, &bench)?;
        waits(tap, sys, &bench)?;
        without_reply_object(tap, sys, &bench)?;
        sys.memory.destroy(bench.reply)?;
        sys.memory.destroy(bench.signal)?;
        sys.memory.destroy(bench.source)?;
        sys.memory.destroy(bench.target)
    })
}

/// Sends label and word to `dest`, then waits at `source`: the badge, the label and the first word of what comes.
fn nb_send_wait(dest: Slot, source: Slot, word: Word) -> (Word, Word, Word) {
    let mut words = [word, 0, 0, 0];
    // SAFETY: a message changes nothing but registers and IPC buffers.
    let (info, badge) =
        unsafe { sys::nb_send_wait(dest.0, MessageInfo::new(4, 0, 0, 1), source.0, &mut words) };
    (badge, info.label(), words[0])
}

/// The same with a receive.
fn nb_send_recv(dest: Slot, source: Slot, reply: Slot, word: Word) -> (Word, Word, Word) {
    let (mut words, info) = ([word, 0, 0, 0], MessageInfo::new(4, 0, 0, 1));
    // SAFETY: as in `nb_send_wait`.
    let (info, badge) = unsafe { sys::nb_send_recv(dest.0, info, source.0, reply.0, &mut words) };
    (badge, info.label(), words[0])
}

fn send_and_wait(tap: &mut Tap, sys: &mut System, bench: &Bench) -> Result<()> {
    let (target, signal) = (bench.target.cap(), badged(sys, bench.signal.cap(), Rights::WRITE, 8)?);
    let receiver = sys.spawn(move || target.recv().message.get(0))?;
    signal.signal();
    let (badge, ..) = nb_send_wait(target.slot(), bench.signal.cap().slot(), 40);
    tap.is("a send and a wait: the signal", badge, 8);
    tap.is("the message", receiver.join(sys), Ok(40));
    signal.signal();
    let (badge, ..) = nb_send_wait(target.slot(), bench.signal.cap().slot(), 41);
    tap.is("a send to nobody and a wait", badge, 8);
    tap.yes("the message is lost", target.try_recv().is_none());
    let (badge, ..) = nb_send_wait(signal.slot(), bench.signal.cap().slot(), 0);
    tap.is("a signal and a wait for the same", badge, 8);
    signal.signal();
    let (badge, ..) = nb_send_wait(Slot::NULL, bench.signal.cap().slot(), 0);
    tap.is("a send to nothing and a wait", badge, 8);
    drop_cap(sys, signal)
}

fn send_and_receive(tap: &mut Tap, sys: &mut System, bench: &Bench) -> Result<()> {
    let (target, source, reply) = (bench.target.cap(), bench.source.cap(), bench.reply.cap().slot());
    let receiver = sys.spawn(move || target.recv().message.get(0))?;
    let caller = sys.spawn(move || source.call(&Message::with(7, &[70])).label())?;
    let came = nb_send_recv(target.slot(), source.slot(), reply, 42);
    tap.is("a send and a receive: what comes", came, (0, 7, 70));
    tap.is("what went", receiver.join(sys), Ok(42));
    Reply::at(reply).send(&Message::new(71));
    tap.is("the caller is replied to", caller.join(sys), Ok(71));
    // A reply by the same step.
    let caller = sys.spawn(move || source.call(&Message::with(7, &[72])).label())?;
    nb_send_recv(Slot::NULL, source.slot(), reply, 0);
    let sender = sys.spawn(move || source.send(&Message::with(9, &[90])))?;
    let came = nb_send_recv(reply, source.slot(), own_reply(), 43);
    tap.is("a reply and a receive with another reply object", came, (0, 9, 90));
    tap.is("the reply arrives", caller.join(sys), Ok(4));
    sender.join(sys)
}

/// The calling thread's own reply object.
fn own_reply() -> Slot {
    selkie::thread::current().reply().slot()
}

/// A wait at an endpoint gets messages, but nobody to reply to.
fn waits(tap: &mut Tap, sys: &mut System, bench: &Bench) -> Result<()> {
    let source = bench.source.cap();
    let mut words = [0; 4];
    let sender = sys.spawn(move || source.send(&Message::with(3, &[30])))?;
    // SAFETY: as in `nb_send_wait`.
    let (info, _) = unsafe { sys::nb_wait(source.slot().0, &mut words) };
    tap.is("a wait that does not block, at an endpoint", (info.label(), words[0]), (3, 30));
    sender.join(sys)?;
    // SAFETY: as above.
    let (info, badge) = unsafe { sys::nb_wait(source.slot().0, &mut words) };
    tap.is("where nobody sends", (info.length(), badge), (0, 0));
    Ok(())
}

/// Receives from the endpoint in note 8 with the capability in note 9 for a reply object.
extern "C" fn receive(tcb: Word) -> ! {
    // SAFETY: a receive changes nothing but registers and the IPC buffer.
    unsafe { sys::recv(NOTES.get(8), NOTES.get(9), &mut [0; 4]) };
    NOTES.set(0, 1);
    rest(Slot(tcb))
}

fn without_reply_object(tap: &mut Tap, sys: &mut System, bench: &Bench) -> Result<()> {
    let handler = Handler::new(sys)?;
    let actor = Actor::new(sys, handler.slot())?;
    let source = bench.source.cap().slot();
    for (what, reply) in [("nothing", Slot::NULL), ("an endpoint", source)] {
        NOTES.clear();
        NOTES.set(8, source.0);
        NOTES.set(9, reply.0);
        actor.start(receive, actor.tcb().slot().0)?;
        let fault = handler.try_take().map(|(_, label, words)| (label, words.into_iter().skip(1).collect()));
        let failure = crate::kernel::told_words(&[lookup_failure::MISSING_CAPABILITY, 0]);
        let want: Vec<_> = [&[reply.0, 1], failure].concat();
        tap.is(&format!("a receive with {what} for a reply object"), fault, Some((fault::CAP_FAULT, want)));
    }
    NOTES.set(8, bench.signal.cap().slot().0);
    actor.start(receive, actor.tcb().slot().0)?;
    bench.signal.cap().signal();
    tap.is("a receive from a notification needs none", NOTES.get(0), 1);
    actor.end(sys)?;
    handler.end(sys)
}

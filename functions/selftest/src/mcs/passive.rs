//! Threads without time of their own, which run on their callers' or on a notification's.

use super::time_of;
use crate::{
    actor::{Actor, NOTES, calm},
    tap::Tap,
};
use selkie::{
    cap::{Caller, Capability, Slot},
    prelude::*,
};
use selkie_sys::{MessageInfo, Word, portable};

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    calm(sys, |sys| {
        calls(tap, sys)?;
        sends(tap, sys)?;
        signals(tap, sys)
    })
}

/// Answers every call to the endpoint in note 8, with the reply object in note 9: the first word plus 1.
extern "C" fn serve(_: Word) -> ! {
    let (endpoint, reply) = (NOTES.get(8), NOTES.get(9));
    let mut words = [0; 4];
    // SAFETY: a message changes nothing but registers.
    unsafe {
        portable::recv(endpoint, reply, &mut words);
        loop {
            NOTES.log(1);
            words[0] += 1;
            portable::reply_recv(endpoint, reply, MessageInfo::new(0, 0, 0, 1), &mut words);
        }
    }
}

/// Waits for signals through note 8 and logs 3 for each.
extern "C" fn listen(_: Word) -> ! {
    loop {
        Notification::at(Slot(NOTES.get(8))).wait();
        NOTES.log(3);
    }
}

/// A thread that waits in `body`, and then has no time any more.
fn passive(sys: &mut System, body: crate::actor::Body, notes: [Word; 2]) -> Result<Actor> {
    let actor = Actor::new(sys, Slot::NULL)?;
    NOTES.clear();
    NOTES.set(8, notes[0]);
    NOTES.set(9, notes[1]);
    actor.start(body, 0)?;
    time_of(&actor)?.unbind()?;
    Ok(actor)
}

fn calls(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let (object, reply) = (sys.memory.create::<Endpoint>()?, Caller::new(&mut sys.memory)?);
    let endpoint = object.cap();
    let server = passive(sys, serve, [endpoint.slot().0, reply.slot().0])?;
    let answers: Vec<_> = (5..8).map(|word| endpoint.call(&Message::with(0, &[word])).get(0)).collect();
    tap.is("a server without time runs on its caller's", answers, vec![6, 7, 8]);
    tap.is("once for each call", NOTES.get(0), 111);
    let caller = sys.spawn(move || endpoint.call(&Message::with(0, &[20])).get(0))?;
    tap.is("also on that of another thread", caller.join(sys), Ok(21));
    // A server that is stopped with its caller's time leaves the caller without.
    let time = time_of(&server)?;
    time.bind(server.tcb())?;
    tap.is(
        "a server with time of its own serves as well",
        endpoint.call(&Message::with(0, &[30])).get(0),
        31,
    );
    tap.is("its time is its own", time.unbind_thread(server.tcb()), Ok(()));
    server.end(sys)?;
    reply.destroy(&mut sys.memory)?;
    sys.memory.destroy(object)
}

/// What is only sent comes without time.
fn sends(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let (object, reply) = (sys.memory.create::<Endpoint>()?, Caller::new(&mut sys.memory)?);
    let endpoint = object.cap();
    let server = passive(sys, serve, [endpoint.slot().0, reply.slot().0])?;
    endpoint.try_send(&Message::with(0, &[1]));
    tap.is("a thread without time gets a message, and does not run", NOTES.get(0), 0);
    tap.yes("it does not wait at the endpoint any more", {
        endpoint.try_send(&Message::with(0, &[2]));
        NOTES.get(0) == 0
    });
    time_of(&server)?.bind(server.tcb())?;
    tap.is("with time it goes on, with the first one", NOTES.get(0), 1);
    server.end(sys)?;
    reply.destroy(&mut sys.memory)?;
    sys.memory.destroy(object)
}

/// A notification has time for whoever it wakes.
fn signals(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let object = sys.memory.create::<Notification>()?;
    let listener = passive(sys, listen, [object.cap().slot().0, 0])?;
    let time = time_of(&listener)?;
    time.bind_notification(object.cap())?;
    object.cap().signal();
    tap.is("a thread without time is woken by a notification that has some", NOTES.get(0), 3);
    object.cap().signal();
    tap.is("and gives it back when it waits again", NOTES.get(0), 33);
    time.unbind()?;
    object.cap().signal();
    tap.is("without that it does not run", NOTES.get(0), 33);
    time.bind(listener.tcb())?;
    tap.is("with time of its own it goes on", NOTES.get(0), 333);
    listener.end(sys)?;
    sys.memory.destroy(object)
}

//! The way back to a caller: used once, saved, moved, lost.

use crate::{
    actor::calm,
    raw::{ask, capability},
    tap::Tap,
};
use selkie::{
    cap::{Capability, Reply, Rights, Slot},
    prelude::*,
};

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    calm(sys, |sys| {
        let object = sys.memory.create::<Endpoint>()?;
        let slot = sys.memory.slots(2)?;
        once(tap, sys, object.cap(), slot)?;
        saved(tap, sys, object.cap(), slot)?;
        lost(tap, sys, object.cap(), slot)?;
        sys.memory.release_slots(slot, 2);
        sys.memory.destroy(object)
    })
}

fn once(tap: &mut Tap, sys: &mut System, endpoint: Endpoint, slot: Slot) -> Result<()> {
    Reply::to_caller(&Message::new(1));
    tap.yes("a reply without a caller does nothing", endpoint.try_recv().is_none());
    tap.is("save the caller when there is none", slot.place().save_caller(), Ok(()));
    tap.is("saves nothing", ask(slot, 0, &[], &[]), capability(0));
    let caller = sys.spawn(move || endpoint.call(&Message::new(0)).label())?;
    let _ = endpoint.recv();
    Reply::to_caller(&Message::new(5));
    Reply::to_caller(&Message::new(6));
    tap.is("the first reply counts", caller.join(sys), Ok(5));
    let sender = sys.spawn(move || endpoint.send(&Message::new(7)))?;
    let received = endpoint.reply_recv(&Message::new(8)).message.label();
    tap.is("reply and receive without a caller receives", received, 7);
    sender.join(sys)?;
    let sender = sys.spawn(move || endpoint.send(&Message::new(0)))?;
    let _ = endpoint.recv();
    sender.join(sys)?;
    tap.is("a send leaves no caller", slot.place().save_caller(), Ok(()));
    tap.is("so there is nothing to save", ask(slot, 0, &[], &[]), capability(0));
    Ok(())
}

fn saved(tap: &mut Tap, sys: &mut System, endpoint: Endpoint, slot: Slot) -> Result<()> {
    let second = slot.offset(1);
    let caller = sys.spawn(move || {
        let answer = endpoint.call(&Message::new(0));
        (answer.label(), answer.words().iter().sum::<u64>())
    })?;
    let _ = endpoint.recv();
    slot.place().save_caller()?;
    Reply::to_caller(&Message::new(1));
    tap.yes("a saved caller is not the one that is replied to", !caller.is_finished());
    tap.is(
        "copy of the way back",
        second.place().copy(slot.place(), Rights::ALL),
        Err(Error::IllegalOperation),
    );
    tap.is("mint of it", second.place().mint(slot.place(), Rights::ALL, 1), Err(Error::IllegalOperation));
    tap.is("move of it", second.place().take(slot.place()), Ok(()));
    let long = (0..120).fold(Message::new(2), Message::word);
    Reply::at(second).send(&long);
    tap.is("a long reply through what was moved", caller.join(sys), Ok((2, 7140)));
    tap.is("it is used up", ask(second, 0, &[], &[]), capability(0));
    // A way back can be called: the caller gets the message, and whoever called gets an empty answer.
    let caller = sys.spawn(move || endpoint.call(&Message::new(0)).label())?;
    let _ = endpoint.recv();
    slot.place().save_caller()?;
    let answer = ask(slot, 9, &[], &[]);
    tap.is("a call through the way back", answer, crate::raw::done());
    tap.is("replies", caller.join(sys), Ok(9));
    let caller = sys.spawn(move || endpoint.call(&Message::new(0)).label())?;
    let _ = endpoint.recv();
    slot.place().save_caller()?;
    Endpoint::at(slot).try_send(&Message::new(10));
    tap.is("a send that does not wait replies too", caller.join(sys), Ok(10));
    Ok(())
}

fn lost(tap: &mut Tap, sys: &mut System, endpoint: Endpoint, slot: Slot) -> Result<()> {
    let first = sys.spawn(move || endpoint.call(&Message::new(1)).label())?;
    let second = sys.spawn(move || endpoint.call(&Message::new(2)).label())?;
    let _ = endpoint.recv();
    let _ = endpoint.recv();
    Reply::to_caller(&Message::new(20));
    tap.is("a second call takes the place of the first", second.join(sys), Ok(20));
    tap.yes("the first caller is forgotten", !first.is_finished());
    first.tcb().resume()?;
    tap.is("resumed, it calls again", endpoint.recv().message.label(), 1);
    tap.yes("a receive that does not wait", endpoint.try_recv().is_none());
    Reply::to_caller(&Message::new(21));
    tap.yes("forgets a caller as well", !first.is_finished());
    first.tcb().resume()?;
    let _ = endpoint.recv();
    slot.place().save_caller()?;
    tap.is("delete of a saved way back", slot.place().delete(), Ok(()));
    tap.yes("leaves the caller waiting", !first.is_finished());
    first.tcb().resume()?;
    let _ = endpoint.recv();
    slot.place().save_caller()?;
    first.tcb().suspend()?;
    tap.is("a suspended caller takes the way back with it", ask(slot, 0, &[], &[]), capability(0));
    first.tcb().resume()?;
    tap.is("and calls again when it is resumed", endpoint.recv().message.label(), 1);
    slot.place().save_caller()?;
    // SAFETY: the thread waits for a reply and holds no lock.
    unsafe { first.kill(sys)? };
    tap.is("a deleted caller takes it too", ask(slot, 0, &[], &[]), capability(0));
    // The server goes, not the caller.
    let server = sys.spawn(move || {
        let received = endpoint.recv().message.label();
        endpoint.recv();
        received
    })?;
    let caller = sys.spawn(move || endpoint.call(&Message::new(4)).label())?;
    // SAFETY: the thread waits at the endpoint and holds no lock.
    unsafe { server.kill(sys)? };
    tap.yes("a caller whose server is deleted goes on waiting", !caller.is_finished());
    caller.tcb().resume()?;
    let _ = endpoint.recv();
    Reply::to_caller(&Message::new(22));
    tap.is("it can ask somebody else", caller.join(sys), Ok(22));
    Ok(())
}

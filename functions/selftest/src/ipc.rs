//! Messages between threads: words, badges, capabilities, replies.

mod lengths;
mod queues;
mod rights;
mod transfer;

selkie_sys::when!(mcs {
    #[path = "ipc/reply_objects.rs"]
    mod replies;
} else { mod replies; });

use crate::{
    actor::give_way,
    kernel,
    notification::{badged, drop_cap},
    tap::Tap,
};
use core::sync::atomic::{AtomicU64, Ordering};
use selkie::{
    cap::{Caller, Capability, Reply, Rights, Slot},
    message::{MAX_CAPS, MAX_WORDS, set_receive_place},
    prelude::*,
};

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    one_way(tap, sys)?;
    calls(tap, sys)?;
    if !kernel::MCS {
        saved_replies(tap, sys)?;
    }
    kept_callers(tap, sys)?;
    capabilities(tap, sys)?;
    order(tap, sys)?;
    rights::run(tap, sys)?;
    lengths::run(tap, sys)?;
    transfer::run(tap, sys)?;
    queues::run(tap, sys)?;
    replies::run(tap, sys)
}

fn one_way(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let object = sys.memory.create::<Endpoint>()?;
    let sender = badged(sys, object.cap(), Rights::ALL, 21)?;
    tap.yes("nothing to receive", object.cap().try_recv().is_none());
    sender.try_send(&Message::with(1, &[1]));
    tap.yes("a message that nobody waits for is lost", object.cap().try_recv().is_none());

    let thread = sys.spawn(move || sender.send(&Message::with(5, &[10, 20, 30, 40, 50])))?;
    let received = object.cap().recv();
    tap.is("the sender's badge", received.badge, 21);
    tap.is("the label", received.message.label(), 5);
    tap.is("words in registers and in the IPC buffer", received.message.words(), &[10, 20, 30, 40, 50]);
    thread.join(sys)?;

    let thread = sys.spawn(move || {
        let message =
            (0..MAX_WORDS as u64).fold(Message::new(0xf_ffff), |message, word| message.word(word * word));
        sender.send(&message);
    })?;
    let received = object.cap().recv().message;
    tap.is("the longest message", received.words().len(), MAX_WORDS);
    tap.yes("all of its words", received.words().iter().zip(0..).all(|(word, index)| *word == index * index));
    tap.is("the greatest label", received.label(), 0xf_ffff);
    thread.join(sys)?;

    let endpoint = object.cap();
    let thread = sys.spawn(move || endpoint.recv().message.get(0))?;
    give_way();
    sender.try_send(&Message::with(0, &[99]));
    tap.is("a message that somebody waits for arrives", thread.join(sys), Ok(99));
    drop_cap(sys, sender)?;
    sys.memory.destroy(object)
}

fn calls(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let object = sys.memory.create::<Endpoint>()?;
    let (server, client) = (object.cap(), badged(sys, object.cap(), Rights::ALL, 3)?);
    let thread = sys.spawn(move || {
        let mut request = server.recv();
        for _ in 0..4 {
            let sum = request.message.words().iter().sum();
            request = server.reply_recv(&Message::with(request.badge, &[sum]));
        }
        Reply::to_caller(&Message::with(0, &[request.badge]));
    })?;
    let answer = client.call(&Message::with(0, &[1, 2, 3]));
    tap.is("a call's reply", (answer.label(), answer.words()), (3, &[6][..]));
    let long: u64 = (0..MAX_WORDS as u64).sum();
    let message = (0..MAX_WORDS as u64).fold(Message::new(0), Message::word);
    tap.is("a call with the longest message", client.call(&message).get(0), long);
    tap.is("a call without words", client.call(&Message::new(0)).get(0), 0);
    tap.is("a call through a capability without badge", server.call(&Message::with(0, &[4])).label(), 0);
    tap.is("a reply without receiving again", client.call(&Message::new(0)).get(0), 3);
    thread.join(sys)?;
    drop_cap(sys, client)?;
    sys.memory.destroy(object)
}

/// A server keeps one caller waiting, answers another, then the first.
fn saved_replies(tap: &mut Tap, sys: &mut System) -> Result<()> {
    static TURN: AtomicU64 = AtomicU64::new(0);
    TURN.store(0, Ordering::SeqCst);
    let object = sys.memory.create::<Endpoint>()?;
    let kept = sys.memory.slot()?;
    let endpoint = object.cap();
    let ask = move |word| {
        let answer = endpoint.call(&Message::with(0, &[word])).get(0);
        (answer, TURN.fetch_add(1, Ordering::SeqCst))
    };
    let first = sys.spawn(move || ask(1))?;
    give_way();
    let second = sys.spawn(move || ask(2))?;
    let request = endpoint.recv();
    tap.is("save the caller", kept.place().save_caller(), Ok(()));
    tap.is("save to an occupied slot", kept.place().save_caller(), Err(Error::DeleteFirst));
    let next = endpoint.recv();
    Reply::to_caller(&Message::with(0, &[next.message.get(0) * 100]));
    give_way();
    Reply::at(kept).send(&Message::with(0, &[request.message.get(0) * 100]));
    tap.is("the saved caller is answered", first.join(sys), Ok((100, 1)));
    tap.is("the other was answered before", second.join(sys), Ok((200, 0)));
    tap.yes("a reply capability works once", kept.place().copy(endpoint.place(), Rights::ALL).is_ok());
    kept.place().delete()?;
    sys.memory.release_slots(kept, 1);
    sys.memory.destroy(object)
}

/// The same on every kernel, with a place that keeps a caller.
fn kept_callers(tap: &mut Tap, sys: &mut System) -> Result<()> {
    static TURN: AtomicU64 = AtomicU64::new(0);
    TURN.store(0, Ordering::SeqCst);
    let object = sys.memory.create::<Endpoint>()?;
    let kept = Caller::new(&mut sys.memory)?;
    let endpoint = object.cap();
    let ask = move |word| {
        let answer = endpoint.call(&Message::with(0, &[word])).get(0);
        (answer, TURN.fetch_add(1, Ordering::SeqCst))
    };
    let first = sys.spawn(move || ask(1))?;
    give_way();
    let second = sys.spawn(move || ask(2))?;
    let request = kept.recv(endpoint)?;
    let next = endpoint.recv();
    Reply::to_caller(&Message::with(0, &[next.message.get(0) * 100]));
    give_way();
    kept.reply(&Message::with(0, &[request.message.get(0) * 100]));
    tap.is("a caller that was kept is answered", first.join(sys), Ok((100, 1)));
    tap.is("another was answered before", second.join(sys), Ok((200, 0)));
    kept.reply(&Message::new(0));
    let third = sys.spawn(move || ask(3))?;
    let request = kept.recv(endpoint)?;
    // Any thread can answer.
    let answer = move |kept: Caller| {
        kept.reply(&Message::with(0, &[request.message.get(0) * 100]));
        kept
    };
    let kept = sys.spawn(move || answer(kept))?.join(sys)?;
    tap.is("a place keeps one caller after the other", third.join(sys), Ok((300, 2)));
    kept.destroy(&mut sys.memory)?;
    sys.memory.destroy(object)
}

fn capabilities(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let object = sys.memory.create::<Endpoint>()?;
    let gift = sys.memory.create::<Notification>()?;
    let sender = badged(sys, object.cap(), Rights::ALL, 6)?;
    let mean = badged(sys, object.cap(), Rights::READ_WRITE, 7)?;
    let receive = sys.memory.slot()?;
    set_receive_place(receive.place());

    let given = gift.cap().slot();
    let thread = sys.spawn(move || sender.send(&Message::with(1, &[11]).cap(given)))?;
    let message = object.cap().recv().message;
    tap.is("a capability comes with the message", message.caps(), 1);
    thread.join(sys)?;
    let copy = badged(sys, Notification::at(receive), Rights::ALL, 0x20)?;
    copy.signal();
    tap.is("what came can be used", gift.cap().poll(), Some(0x20));
    drop_cap(sys, copy)?;

    let message = send_caps(sys, object.cap(), sender, &[given])?;
    tap.is("nothing comes while the receive slot is occupied", message.caps(), 0);
    tap.is("the words arrive all the same", message.words(), &[11]);
    receive.place().delete()?;
    let message = send_caps(sys, object.cap(), mean, &[given])?;
    tap.is("nothing comes without the right to grant", message.caps(), 0);
    let message = send_caps(sys, object.cap(), sender, &[sender.slot(), mean.slot()])?;
    tap.is("capabilities of the endpoint itself arrive as badges", message.caps(), MAX_CAPS - 1);
    tap.is("the first badge", message.unwrapped(0), Some(6));
    tap.is("the second badge", message.unwrapped(1), Some(7));
    let message = send_caps(sys, object.cap(), sender, &[sender.slot(), given])?;
    tap.is("a badge and a capability in one message", (message.caps(), message.unwrapped(1)), (2, None));
    tap.is("revoke takes back what was given", gift.cap().place().revoke(), Ok(()));
    tap.is("the receive slot is empty again", receive.place().copy(given.place(), Rights::ALL), Ok(()));
    receive.place().delete()?;

    set_receive_place(Slot::NULL.place());
    sys.memory.release_slots(receive, 1);
    drop_cap(sys, mean)?;
    drop_cap(sys, sender)?;
    sys.memory.destroy(gift)?;
    sys.memory.destroy(object)
}

/// Sends `caps` from another thread and returns what arrives.
fn send_caps(sys: &mut System, to: Endpoint, through: Endpoint, caps: &[Slot]) -> Result<Message> {
    let message = caps.iter().fold(Message::with(1, &[11]), |message, cap| message.cap(*cap));
    let thread = sys.spawn(move || through.send(&message))?;
    let received = to.recv().message;
    thread.join(sys)?;
    Ok(received)
}

fn order(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let object = sys.memory.create::<Endpoint>()?;
    let endpoint = object.cap();
    let mut threads = Vec::new();
    for number in 1..=4 {
        threads.push(sys.spawn(move || endpoint.send(&Message::with(0, &[number])))?);
        give_way();
    }
    let came: Vec<_> = threads.iter().map(|_| endpoint.recv().message.get(0)).collect();
    tap.is("senders are served in the order they came", came, vec![1, 2, 3, 4]);
    for thread in threads {
        thread.join(sys)?;
    }
    sys.memory.destroy(object)
}

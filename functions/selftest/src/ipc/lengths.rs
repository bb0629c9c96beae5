//! How long a message is, and what of it arrives: tags of every kind, threads without an IPC buffer.

use crate::{
    actor::{Actor, NOTES, calm, rest},
    notification::{badged, drop_cap},
    tap::Tap,
};
use selkie::{
    cap::{CNode, Capability, Page, Rights, Slot},
    prelude::*,
    thread::current,
};
use selkie_sys::{MessageInfo, Word, error, ipc_buffer, label, portable, when};

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    calm(sys, |sys| {
        every_length(tap, sys)?;
        tags(tap, sys)?;
        calls(tap, sys)?;
        without_buffer(tap, sys)?;
        invocations_without_buffer(tap, sys)?;
        read_only_buffer(tap, sys)
    })
}

/// Messages of 0 to 120 words arrive as they are.
fn every_length(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let object = sys.memory.create::<Endpoint>()?;
    let endpoint = object.cap();
    let message = |length: Word| {
        (0..length).fold(Message::new(length), |so_far, index| so_far.word(length * 1000 + index))
    };
    let thread = sys.spawn(move || (0..=120).for_each(|length| endpoint.send(&message(length))))?;
    let good = (0..=120).all(|length| {
        let received = endpoint.recv().message;
        received.label() == length && received.words() == message(length).words()
    });
    tap.yes("messages of 0 to 120 words", good);
    thread.join(sys)?;
    sys.memory.destroy(object)
}

/// The reply object of the calling thread, which is one of the runtime's.
fn own_reply() -> Word {
    current().reply().slot().0
}

/// Sends with the tag `tag` from another thread, and returns tag and badge as they arrive.
fn pass(sys: &mut System, endpoint: Endpoint, through: Endpoint, tag: Word) -> Result<(Word, Word)> {
    let thread = sys.spawn(move || {
        // SAFETY: a message changes nothing but the receiver's registers and IPC buffer.
        unsafe { selkie_sys::send(through.slot().0, MessageInfo(tag), &[1, 2, 3, 4]) }
    })?;
    // SAFETY: as above.
    let (info, badge) = unsafe { portable::recv(endpoint.slot().0, own_reply(), &mut [0; 4]) };
    thread.join(sys)?;
    Ok((info.0, badge))
}

/// An endpoint's badge has 28 bits.
fn tags(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let object = sys.memory.create::<Endpoint>()?;
    let sender = badged(sys, object.cap(), Rights::ALL, 0xfed_cba9)?;
    let plain = MessageInfo::new(0x12345, 0, 0, 3).0;
    let mut arrives = |what: &str, tag: Word, want: Word| -> Result<()> {
        let (info, badge) = pass(sys, object.cap(), sender, tag)?;
        tap.is(what, info, want);
        tap.is(&format!("{what}: the badge of 28 bits"), badge, 0xfed_cba9);
        Ok(())
    };
    arrives("a tag arrives as it is", plain, plain)?;
    let cut = MessageInfo::new(7, 0, 0, 120).0;
    arrives("a length of 127 words becomes 120", MessageInfo::new(7, 0, 0, 127).0, cut)?;
    arrives("a length of 121 words becomes 120", MessageInfo::new(7, 0, 0, 121).0, cut)?;
    arrives("marks of unwrapped capabilities are cleared", plain | 7 << 9, plain)?;
    // SAFETY: the first thread has an IPC buffer.
    unsafe { (0..3).for_each(|index| ipc_buffer::set_cap(index, 0)) };
    arrives("a tag with the greatest label", MessageInfo::new(0xf_ffff, 0, 0, 0).0, 0xf_ffff << 12)?;
    let endpoint = object.cap();
    let thread = sys.spawn(move || endpoint.recv().badge)?;
    sender.try_send(&Message::new(0));
    tap.is("the badge of 28 bits when the receiver waits", thread.join(sys), Ok(0xfed_cba9));
    drop_cap(sys, sender)?;
    sys.memory.destroy(object)
}

/// The same for calls and replies, which the kernel passes on in another way when it can.
fn calls(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let object = sys.memory.create::<Endpoint>()?;
    let endpoint = object.cap();
    let server = sys.spawn(move || {
        let (cap, mut mrs) = (endpoint.slot().0, [0; 4]);
        let mut tags = Vec::new();
        for reply in
            [MessageInfo::new(9, 7, 0, 2), MessageInfo::new(9, 0, 0, 127), MessageInfo::new(9, 0, 0, 4)]
        {
            // SAFETY: a message changes nothing but the receiver's registers and IPC buffer.
            let (info, _) = unsafe { portable::recv(cap, own_reply(), &mut mrs) };
            tags.push(info.0);
            // SAFETY: as above.
            unsafe { portable::reply(own_reply(), reply, &mrs) };
        }
        tags
    })?;
    let mut answers = Vec::new();
    for tag in [MessageInfo::new(5, 7, 0, 1), MessageInfo::new(5, 0, 0, 127), MessageInfo::new(5, 0, 0, 4)] {
        // SAFETY: as above.
        answers.push(unsafe { selkie_sys::call(endpoint.slot().0, tag, &mut [1, 2, 3, 4]) }.0);
    }
    let tags = server.join(sys)?;
    tap.is("a call's marks of unwrapped capabilities are cleared", tags[0], MessageInfo::new(5, 0, 0, 1).0);
    tap.is("a call of 127 words becomes one of 120", tags[1], MessageInfo::new(5, 0, 0, 120).0);
    tap.is("a call of 4 words", tags[2], MessageInfo::new(5, 0, 0, 4).0);
    tap.is(
        "a reply's marks of unwrapped capabilities are cleared",
        answers[0],
        MessageInfo::new(9, 0, 0, 2).0,
    );
    tap.is("a reply of 127 words becomes one of 120", answers[1], MessageInfo::new(9, 0, 0, 120).0);
    tap.is("a reply of 4 words", answers[2], MessageInfo::new(9, 0, 0, 4).0);
    sys.memory.destroy(object)
}

/// Receives from the endpoint in note 8 and notes the tag, the badge and four words.
extern "C" fn receive(tcb: Word) -> ! {
    let mut mrs = [0; 4];
    // SAFETY: a receive changes nothing but registers when there is no IPC buffer.
    let (info, badge) = unsafe { portable::wait(NOTES.get(8), &mut mrs) };
    NOTES.set(0, info.0);
    NOTES.set(1, badge);
    (2..).zip(mrs).for_each(|(note, word)| NOTES.set(note, word));
    rest(Slot(tcb))
}

/// Sends ten words and a capability to the endpoint in note 8.
extern "C" fn send(tcb: Word) -> ! {
    // SAFETY: as in `receive`.
    unsafe { selkie_sys::send(NOTES.get(8), MessageInfo::new(6, 0, 1, 10), &[61, 62, 63, 64]) };
    rest(Slot(tcb))
}

fn noted() -> (Word, [Word; 4]) {
    (NOTES.get(0), core::array::from_fn(|index| NOTES.get(index + 2)))
}

fn without_buffer(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let object = sys.memory.create::<Endpoint>()?;
    let actor = Actor::new(sys, Slot::NULL)?;
    let tcb = actor.tcb().slot().0;
    // SAFETY: its bodies use no IPC buffer.
    let taken = unsafe { actor.tcb().set_ipc_buffer(0, None) };
    tap.is("take a thread's IPC buffer away", taken, Ok(()));
    NOTES.clear();
    NOTES.set(8, object.cap().slot().0);
    actor.start(receive, tcb)?;
    let words: Vec<_> = (51..=60).collect();
    object.cap().try_send(&Message::with(5, &words));
    let want = (MessageInfo::new(5, 0, 0, 4).0, [51, 52, 53, 54]);
    tap.is("a receiver without IPC buffer gets four words", noted(), want);
    NOTES.clear();
    NOTES.set(8, object.cap().slot().0);
    actor.start(receive, tcb)?;
    object.cap().try_send(&Message::with(5, &[71]).cap(CNode::OWN.slot()));
    tap.is("and no capability", noted().0, MessageInfo::new(5, 0, 0, 1).0);
    actor.start(send, tcb)?;
    let received = object.cap().recv().message;
    tap.is("a sender without IPC buffer sends four words", received.words(), &[61, 62, 63, 64]);
    tap.is("and no capability either", received.caps(), 0);
    actor.end(sys)?;
    sys.memory.destroy(object)
}

/// Makes two invocations without an IPC buffer and notes their answers.
extern "C" fn invoke(tcb: Word) -> ! {
    let mut mrs = [NOTES.get(9), 0, 0, 0];
    // SAFETY: the answers change nothing but registers.
    unsafe {
        let retype = MessageInfo::new(label::UNTYPED_RETYPE, 0, 1, 6);
        NOTES.set(0, selkie_sys::call(NOTES.get(9), retype, &mut [0, 4, 0, 0]).0);
        let delete = MessageInfo::new(label::CNODE_DELETE, 0, 0, 2);
        NOTES.set(1, selkie_sys::call(NOTES.get(10), delete, &mut mrs).0);
        (2..).zip(mrs).for_each(|(note, word)| NOTES.set(note, word));
        let one_word = when!(set_tls_base { label::TCB_SET_TLS_BASE } else { label::TCB_SET_PRIORITY });
        NOTES.set(6, selkie_sys::call(tcb, MessageInfo::new(one_word, 0, 0, 1), &mut [190, 0, 0, 0]).0);
    }
    rest(Slot(tcb))
}

fn invocations_without_buffer(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let node = sys.memory.create_cnode(4)?;
    let untyped = sys.memory.create_untyped(12)?;
    let slot = sys.memory.slot()?;
    slot.place().mint(node.cap().slot().place(), Rights::ALL, CNode::guard(3, 2))?;
    let actor = Actor::new(sys, Slot::NULL)?;
    // SAFETY: its body uses no IPC buffer.
    unsafe { actor.tcb().set_ipc_buffer(0, None)? };
    NOTES.clear();
    NOTES.set(9, untyped.cap().slot().0);
    NOTES.set(10, slot.0);
    actor.start(invoke, actor.tcb().slot().0)?;
    let short = MessageInfo::new(error::TRUNCATED_MESSAGE, 0, 0, 0).0;
    tap.is("an invocation of 6 words without IPC buffer is too short", NOTES.get(0), short);
    let range = MessageInfo::new(error::RANGE_ERROR, 0, 0, 2).0;
    tap.is("an error of two words arrives whole", NOTES.get(1), range);
    tap.is("with both words", (NOTES.get(2), NOTES.get(3)), (1, 64));
    // Where priorities need an authority, and nothing else takes one word alone, it lacks a capability.
    let want = when!(set_tls_base { 0 } else { crate::kernel::from(10, short, 0) });
    tap.is("an invocation of one word works", NOTES.get(6), want);
    actor.end(sys)?;
    slot.place().delete()?;
    sys.memory.release_slots(slot, 1);
    sys.memory.destroy(untyped)?;
    sys.memory.destroy(node)
}

/// A buffer that may only be read is enough to send from, not to receive to.
fn read_only_buffer(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let object = sys.memory.create::<Endpoint>()?;
    let actor = Actor::new(sys, Slot::NULL)?;
    let slot = sys.memory.slot()?;
    if let Some(page) = actor.buffer_page() {
        slot.place().copy(page.place(), Rights::READ)?;
    }
    // SAFETY: it is the actor's own page.
    let set = unsafe { actor.tcb().set_ipc_buffer(actor.buffer(), Some(Page::at(slot))) };
    tap.is("an IPC buffer that may only be read", set, Ok(()));
    NOTES.clear();
    NOTES.set(8, object.cap().slot().0);
    actor.start(receive, actor.tcb().slot().0)?;
    let words: Vec<_> = (51..=60).collect();
    object.cap().try_send(&Message::with(5, &words));
    tap.is("four words arrive there", noted().0, MessageInfo::new(5, 0, 0, 4).0);
    let buffer = actor.buffer() as *mut Word;
    for index in 4..10 {
        // SAFETY: the page is mapped, belongs to the actor, and the actor is suspended.
        unsafe { buffer.add(1 + index).write_volatile(index as Word * 11) };
    }
    actor.start(send, actor.tcb().slot().0)?;
    let received = object.cap().recv().message;
    tap.is("ten words leave from there", received.words(), &[61, 62, 63, 64, 44, 55, 66, 77, 88, 99]);
    // seL4 5.0.0 unmaps a page with its last capability: the mapped one must be the last.
    slot.place().delete()?;
    sys.memory.release_slots(slot, 1);
    actor.end(sys)?;
    sys.memory.destroy(object)
}

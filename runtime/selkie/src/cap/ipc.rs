use super::{Capability, ObjectType, Slot, capability};
use crate::{
    error::Result,
    memory::{Memory, Objects},
    message::Message,
    on_mcs::OnMcs,
    thread,
};
use selkie_sys::{self as sys, Word, portable};

/// A message that was received, and from whom.
#[derive(Debug, Clone)]
pub struct Received {
    /// The badge of the capability that was sent to; for a signal of a bound notification, the badges of
    /// all signals since the last one, put together bit by bit.
    pub badge: Word,
    /// What was sent.
    pub message: Message,
}

capability! {
    /// Where threads meet to pass messages: sender and receiver wait for each other.
    Endpoint = ObjectType::Endpoint
}

impl Endpoint {
    /// Sends `message` and waits until somebody has received it.
    pub fn send(self, message: &Message) {
        let (info, registers) = message.load();
        // SAFETY: a message changes nothing but the receiver's registers and IPC buffer.
        unsafe { sys::send(self.0.0, info, &registers) }
    }

    /// Sends `message` if somebody waits for one; otherwise it is lost.
    pub fn try_send(self, message: &Message) {
        let (info, registers) = message.load();
        // SAFETY: as for `send`.
        unsafe { sys::nb_send(self.0.0, info, &registers) }
    }

    /// Waits for a message.
    pub fn recv(self) -> Received {
        let (registers, info, badge) = receive(self.0.0, portable::recv, portable::wait);
        Received { badge, message: Message::store(info, registers) }
    }

    /// Takes a message if somebody waits to send one. An empty message with label 0 from a capability
    /// without badge cannot be told from none.
    pub fn try_recv(self) -> Option<Received> {
        let (registers, info, badge) = receive(self.0.0, portable::nb_recv, portable::nb_wait);
        (badge != 0 || info.0 != 0).then(|| Received { badge, message: Message::store(info, registers) })
    }

    /// Sends `message` and waits for the receiver's reply. The capability needs the right to grant, or
    /// to grant a reply where the kernel has that ([`Rights::GRANT_REPLY`](super::Rights::GRANT_REPLY)).
    pub fn call(self, message: &Message) -> Message {
        let (info, mut registers) = message.load();
        // SAFETY: as for `send`.
        let info = unsafe { sys::call(self.0.0, info, &mut registers) };
        Message::store(info, registers)
    }

    /// Replies to the last call that was received, then waits for a message, in one step.
    pub fn reply_recv(self, message: &Message) -> Received {
        let (info, mut registers) = message.load();
        // SAFETY: as for `send`.
        let (info, badge) = unsafe { portable::reply_recv(self.0.0, own_reply(), info, &mut registers) };
        Received { badge, message: Message::store(info, registers) }
    }
}

/// The calling thread's reply object, on a kernel with MCS; 0 without one.
fn own_reply() -> Word {
    if portable::MCS { thread::own_reply().slot().0 } else { 0 }
}

/// Receives as `with` does, with the calling thread's reply object; as `without` does where it needs one and has
/// none: who calls then gets no reply.
fn receive(
    source: Word,
    with: unsafe fn(Word, Word, &mut [Word; 4]) -> (sys::MessageInfo, Word),
    without: unsafe fn(Word, &mut [Word; 4]) -> (sys::MessageInfo, Word),
) -> ([Word; 4], sys::MessageInfo, Word) {
    let (mut registers, reply) = ([0; 4], own_reply());
    // SAFETY: a message changes nothing but the receiver's registers and IPC buffer.
    let (info, badge) = unsafe {
        if portable::MCS && reply == 0 {
            without(source, &mut registers)
        } else {
            with(source, reply, &mut registers)
        }
    };
    (registers, info, badge)
}

capability! {
    /// The way back to a caller: a reply object on a kernel with MCS, elsewhere what
    /// [`Place::save_caller`](super::Place::save_caller) makes. A [`Caller`] is one of both.
    Reply = ObjectType::Reply
}

impl Reply {
    /// Replies. Without MCS the capability is used up by it.
    pub fn send(self, message: &Message) {
        Endpoint(self.0).send(message);
    }

    /// Replies to the last call that this thread has received, if there was one.
    pub fn to_caller(message: &Message) {
        let (info, registers) = message.load();
        // SAFETY: as for `Endpoint::send`.
        unsafe { portable::reply(own_reply(), info, &registers) }
    }
}

/// A place that keeps the way back to a caller, for a reply at any time and from any thread.
///
/// Dropping it forgets the place; [`Caller::destroy`] gives it back.
#[derive(Debug)]
#[must_use = "the place can only be given back through this value"]
pub struct Caller {
    slot: Slot,
    /// The reply object in the slot, on a kernel with MCS.
    object: OnMcs<Objects<Reply>>,
}

impl Caller {
    /// A place without a caller.
    pub fn new(memory: &mut Memory) -> Result<Self> {
        let object = OnMcs::new(|| memory.create::<Reply>())?;
        let slot = object.get().map_or_else(|| memory.slot(), |object| Ok(object.cap().slot()))?;
        Ok(Self { slot, object })
    }

    /// Where the way back is kept: a reply object on a kernel with MCS, elsewhere what was saved.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// Waits for a message at `endpoint` and keeps the way back to its caller, if it is one: whoever was kept before
    /// is forgotten.
    pub fn recv(&self, endpoint: Endpoint) -> Result<Received> {
        if !portable::MCS {
            self.slot.place().delete()?;
            let received = endpoint.recv();
            return self.slot.place().save_caller().map(|()| received);
        }
        let mut registers = [0; 4];
        // SAFETY: as for `Endpoint::send`.
        let (info, badge) = unsafe { portable::recv(endpoint.0.0, self.slot.0, &mut registers) };
        Ok(Received { badge, message: Message::store(info, registers) })
    }

    /// Replies to the caller. It has no effect when there is none.
    pub fn reply(&self, message: &Message) {
        Reply::at(self.slot).send(message);
    }

    /// Gives the place back. A caller waits for ever then.
    pub fn destroy(self, memory: &mut Memory) -> Result<()> {
        match self.object.into_inner() {
            Some(object) => memory.destroy(object),
            None => {
                self.slot.place().delete()?;
                memory.release_slots(self.slot, 1);
                Ok(())
            }
        }
    }
}

capability! {
    /// A word of bits that signals set and a wait takes, all at once.
    Notification = ObjectType::Notification
}

impl Notification {
    /// Sets the bits of this capability's badge and wakes a waiting thread.
    pub fn signal(self) {
        // SAFETY: as for `Endpoint::send`.
        unsafe { sys::send(self.0.0, sys::MessageInfo::new(0, 0, 0, 0), &[0; 4]) }
    }

    /// Waits for a signal and takes the bits.
    pub fn wait(self) -> Word {
        // SAFETY: as for `Endpoint::send`.
        unsafe { portable::wait(self.0.0, &mut [0; 4]).1 }
    }

    /// Takes the bits if there was a signal. One without a badge cannot be told from none.
    pub fn poll(self) -> Option<Word> {
        // SAFETY: as for `Endpoint::send`.
        let badge = unsafe { portable::nb_wait(self.0.0, &mut [0; 4]).1 };
        (badge != 0).then_some(badge)
    }
}

impl From<Endpoint> for Slot {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.slot()
    }
}

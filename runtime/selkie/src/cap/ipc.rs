use super::{Capability, ObjectType, Slot, capability};
use crate::message::Message;
use selkie_sys::{self as sys, Word};

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
        let mut registers = [0; 4];
        // SAFETY: as for `send`.
        let (info, badge) = unsafe { sys::recv(self.0.0, &mut registers) };
        Received { badge, message: Message::store(info, registers) }
    }

    /// Takes a message if somebody waits to send one. An empty message with label 0 from a capability
    /// without badge cannot be told from none.
    pub fn try_recv(self) -> Option<Received> {
        let mut registers = [0; 4];
        // SAFETY: as for `send`.
        let (info, badge) = unsafe { sys::nb_recv(self.0.0, &mut registers) };
        (badge != 0 || info.0 != 0).then(|| Received { badge, message: Message::store(info, registers) })
    }

    /// Sends `message` and waits for the receiver's reply. The capability needs the right to grant.
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
        let (info, badge) = unsafe { sys::reply_recv(self.0.0, info, &mut registers) };
        Received { badge, message: Message::store(info, registers) }
    }
}

capability! {
    /// The way back to a caller, saved by [`Place::save_caller`](super::Place::save_caller).
    Reply
}

impl Reply {
    /// Replies. The capability is used up by it.
    pub fn send(self, message: &Message) {
        Endpoint(self.0).send(message);
    }

    /// Replies to the last call that this thread has received, if there was one.
    pub fn to_caller(message: &Message) {
        let (info, registers) = message.load();
        // SAFETY: as for `Endpoint::send`.
        unsafe { sys::reply(info, &registers) }
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
        unsafe { sys::recv(self.0.0, &mut [0; 4]).1 }
    }

    /// Takes the bits if there was a signal. One without a badge cannot be told from none.
    pub fn poll(self) -> Option<Word> {
        // SAFETY: as for `Endpoint::send`.
        let badge = unsafe { sys::nb_recv(self.0.0, &mut [0; 4]).1 };
        (badge != 0).then_some(badge)
    }
}

impl From<Endpoint> for Slot {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.slot()
    }
}

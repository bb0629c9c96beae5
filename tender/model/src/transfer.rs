//! Handing a message from one thread to another.

use crate::{
    Cap, Host, Kernel, LookupFailure, Mdb, SchedContext, Slot, Tcb, ThreadState,
    message::{CAP_REGISTER, MESSAGE_REGISTERS, TAG_REGISTER, Tag},
    reply::Reply,
};
use selkie_tender_table::Number;

/// The slots of a message's capabilities, filled from the first on.
pub(crate) type ExtraCaps = [Option<Slot>; 3];

/// What a message is sent through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Through {
    /// The endpoint; 0 for an answer.
    pub(crate) endpoint: u64,
    /// What the receiver sees.
    pub(crate) badge: u64,
    /// Capabilities may be sent.
    pub(crate) grant: bool,
    /// The sender may be answered even so.
    pub(crate) grant_reply: bool,
}

impl Through {
    /// Of an answer, which may have capabilities or not.
    fn answer(grant: bool) -> Self {
        Self { endpoint: 0, badge: 0, grant, grant_reply: false }
    }

    /// Whether the sender can be answered.
    pub(crate) fn can_call(&self) -> bool {
        self.grant || self.grant_reply
    }
}

/// What a message is received through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Receiving {
    /// The endpoint.
    pub(crate) address: u64,
    /// An answer may have capabilities.
    pub(crate) grant: bool,
}

impl<H: Host> Kernel<'_, H> {
    /// Hands the message of `sender`, or the fault that it waits with, to `receiver`.
    pub(crate) fn transfer(&mut self, sender: Tcb, receiver: Tcb, through: Through) {
        let tag = if sender.fault_label(&self.memory) != 0 {
            self.write_fault(sender, receiver)
        } else {
            self.transfer_message(sender, receiver, through)
        };
        receiver.set_register(&self.memory, TAG_REGISTER, tag.word());
        receiver.set_register(&self.memory, CAP_REGISTER, through.badge);
    }

    fn transfer_message(&mut self, sender: Tcb, receiver: Tcb, through: Through) -> Tag {
        let tag = self.tag(sender);
        let wants_caps = through.grant && tag.caps() != 0;
        if tag.length() <= MESSAGE_REGISTERS.len() as u64 && !wants_caps {
            let length = self.copy_words((sender, None), (receiver, None), tag.length());
            return tag.arrived(length, 0, 0);
        }
        let (source, dest) = (self.message_buffer(sender), self.writable_buffer(receiver));
        let extra = match wants_caps {
            true => self.extra_caps(sender, source, tag).unwrap_or_default(),
            false => [None; 3],
        };
        let length = self.copy_words((sender, source), (receiver, dest), tag.length());
        let (caps, badges) = match dest {
            Some(dest) if extra[0].is_some() => self.transfer_caps(extra, receiver, dest, through),
            _ => (0, 0),
        };
        tag.arrived(length, caps, badges)
    }

    /// The slots of the capabilities that a message names; the address that leads nowhere when one does.
    pub(crate) fn extra_caps(
        &self,
        thread: Tcb,
        buffer: Option<u64>,
        tag: Tag,
    ) -> Result<ExtraCaps, (u64, LookupFailure)> {
        let mut slots = [None; 3];
        let Some(buffer) = buffer else { return Ok(slots) };
        let addresses = buffer + self.table.number(Number::IpcBufferCapsOrBadges);
        for (index, slot) in (0..tag.caps()).zip(&mut slots) {
            let address = self.memory.get(addresses + index * 8);
            *slot = Some(self.lookup_cap(thread, address).map_err(|failure| (address, failure))?);
        }
        Ok(slots)
    }

    /// Hands capabilities over: those to the endpoint itself as badges, one other into the slot that the
    /// receiver has named. Returns how many have arrived, and a bit for each that is a badge.
    fn transfer_caps(
        &mut self,
        extra: ExtraCaps,
        receiver: Tcb,
        buffer: u64,
        through: Through,
    ) -> (u64, u64) {
        let mut dest = self.receive_slot(receiver, buffer);
        let badges_at = buffer + self.table.number(Number::IpcBufferCapsOrBadges);
        let (mut caps, mut badges) = (0, 0);
        for slot in extra.into_iter().flatten() {
            let cap = slot.cap(&self.memory);
            match cap {
                Cap::Endpoint { address, badge, .. } if address == through.endpoint => {
                    self.memory.set(badges_at + caps * 8, badge);
                    badges |= 1 << caps;
                }
                _ => {
                    let Some(empty) = dest.take() else { break };
                    match self.derive(slot, cap) {
                        Ok(Cap::Null) | Err(_) => break,
                        Ok(derived) => self.insert(derived, slot, empty),
                    }
                }
            }
            caps += 1;
        }
        (caps, badges)
    }

    /// The empty slot that the thread receives a capability in, if it names one.
    fn receive_slot(&self, thread: Tcb, buffer: u64) -> Option<Slot> {
        let word = |field| self.memory.get(buffer + self.table.number(field));
        let root = self.lookup_cap(thread, word(Number::IpcBufferReceiveCNode)).ok()?;
        let (index, depth) = (word(Number::IpcBufferReceiveIndex), word(Number::IpcBufferReceiveDepth));
        let slot = self.lookup_slot(root.cap(&self.memory), index, depth, false).ok()?;
        slot.is_empty(&self.memory).then_some(slot)
    }

    /// `receiver` waits for the answer of `sender`, and gets it through the reply capability in `slot`,
    /// which is gone then. After a fault the answer says how to go on.
    pub(crate) fn reply_to(&mut self, sender: Tcb, receiver: Tcb, slot: Slot, grant: bool) {
        if receiver.fault_label(&self.memory) == 0 {
            self.transfer(sender, receiver, Through::answer(grant));
            self.delete_reply(slot);
            self.set_state(receiver, ThreadState::Running);
            self.switch_to(receiver, true);
            return;
        }
        self.delete_reply(slot);
        let restart = self.read_fault_answer(sender, receiver);
        receiver.set_fault_label(&self.memory, 0);
        if restart {
            self.set_state(receiver, ThreadState::Restart);
            self.switch_to(receiver, true);
        } else {
            self.set_state(receiver, ThreadState::Inactive);
        }
    }

    /// Answers whoever waits for that at the reply object, if somebody does.
    #[cold]
    pub(crate) fn reply_through(&mut self, sender: Tcb, reply: Reply, grant: bool) {
        let memory = self.memory;
        let receiver = Tcb(reply.thread(&memory));
        if receiver.0 == 0 || receiver.state(&memory) != ThreadState::BlockedOnReply {
            return;
        }
        self.remove_reply(reply, receiver);
        self.unblock_budget(SchedContext(receiver.sched_context(&memory)));
        let fault = receiver.fault_label(&memory);
        if fault == 0 {
            self.transfer(sender, receiver, Through::answer(grant));
            self.set_state(receiver, ThreadState::Running);
        } else {
            let restart = self.read_fault_answer(sender, receiver);
            receiver.set_fault_label(&memory, 0);
            self.set_state(receiver, if restart { ThreadState::Restart } else { ThreadState::Inactive });
        }
        let sc = SchedContext(receiver.sched_context(&memory));
        if !sc.is_some() || !self.is_runnable(receiver) {
            return;
        }
        let at = self.moment();
        if sc.is_ready(&memory, at) && sc.suffices(&memory, 0, at) {
            self.switch_to(receiver, true);
        } else if self.has_timeout_handler(receiver) && fault != self.table.number(Number::FaultTimeout) {
            self.raise_timeout(receiver, sc);
        } else {
            self.postpone(sc);
        }
    }

    /// `sender` waits for an answer of `receiver`, which gets the capability for it.
    pub(crate) fn setup_caller(&mut self, sender: Tcb, receiver: Tcb, grant: bool) {
        self.set_state(sender, ThreadState::BlockedOnReply);
        let (master, caller) = (sender.reply(), receiver.caller());
        caller.set_cap(&self.memory, Cap::Reply { tcb: sender.0, master: false, grant });
        caller.set_mdb(&self.memory, Mdb { prev: master.0, ..Mdb::default() });
        master.set_mdb(&self.memory, Mdb { prev: 0, next: caller.0, revocable: true, first_badged: true });
    }

    /// Deletes the reply capability in the slot, if one is there. Reply capabilities cannot be copied: the
    /// derivation list has but the master and this one.
    pub(crate) fn delete_reply(&self, slot: Slot) {
        let memory = &self.memory;
        if slot.is_empty(memory) {
            return;
        }
        let master = Slot(slot.mdb(memory).prev);
        slot.set_cap(memory, Cap::Null);
        slot.set_mdb(memory, Mdb::default());
        if master.0 != 0 {
            master.set_mdb(memory, Mdb { next: 0, ..master.mdb(memory) });
        }
    }
}

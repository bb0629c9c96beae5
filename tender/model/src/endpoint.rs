//! Endpoints: sending, receiving, waiting for either.

use crate::{
    Cap, Host, Kernel, Tcb, ThreadState, message::CAP_REGISTER, queue::WaitQueue, transfer::Through,
};

/// Threads wait for a receiver.
const SENDING: u64 = 1;
/// Threads wait for a message.
const RECEIVING: u64 = 2;

/// Bits of [`Tcb::send_flags`].
const GRANT: u64 = 1;
const CALL: u64 = 2;

/// How a message is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Send {
    /// The sender waits for a receiver.
    pub(crate) blocking: bool,
    /// The sender waits for an answer.
    pub(crate) call: bool,
}

impl<H: Host> Kernel<'_, H> {
    /// Sends the thread's message, or the fault that it waits with.
    pub(crate) fn send(&mut self, thread: Tcb, through: Through, how: Send) {
        let memory = self.memory;
        let queue = WaitQueue(through.endpoint);
        if queue.state(&memory) != RECEIVING {
            if how.blocking {
                thread.set_blocked_on(&memory, through.endpoint);
                thread.set_send_badge(&memory, through.badge);
                let flags = if through.grant { GRANT } else { 0 } | if how.call { CALL } else { 0 };
                thread.set_send_flags(&memory, flags);
                self.set_state(thread, ThreadState::BlockedOnSend);
                queue.append(&memory, thread, SENDING);
            }
            return;
        }
        let Some(receiver) = queue.first(&memory) else { return };
        queue.remove(&memory, receiver);
        self.transfer(thread, receiver, through);
        self.set_state(receiver, ThreadState::Running);
        self.switch_to(receiver, true);
        if how.call || thread.fault_label(&memory) != 0 {
            self.await_answer(thread, receiver, through.grant);
        }
    }

    /// Receives a message at an endpoint, or the signal of the notification that is bound to the thread.
    pub(crate) fn receive(&mut self, thread: Tcb, endpoint: u64, blocking: bool) {
        let memory = self.memory;
        if self.take_bound_signal(thread) {
            return;
        }
        let queue = WaitQueue(endpoint);
        if queue.state(&memory) != SENDING {
            if blocking {
                thread.set_blocked_on(&memory, endpoint);
                self.set_state(thread, ThreadState::BlockedOnReceive);
                queue.append(&memory, thread, RECEIVING);
            } else {
                thread.set_register(&memory, CAP_REGISTER, 0);
            }
            return;
        }
        let Some(sender) = queue.first(&memory) else { return };
        queue.remove(&memory, sender);
        let flags = sender.send_flags(&memory);
        let through = Through { endpoint, badge: sender.send_badge(&memory), grant: flags & GRANT != 0 };
        self.transfer(sender, thread, through);
        if flags & CALL != 0 || sender.fault_label(&memory) != 0 {
            self.await_answer(sender, thread, through.grant);
        } else {
            self.set_state(sender, ThreadState::Running);
            self.switch_to(sender, false);
        }
    }

    /// A sender that wants an answer gets none when it may not grant the right to give it.
    fn await_answer(&mut self, sender: Tcb, receiver: Tcb, grant: bool) {
        if grant {
            self.setup_caller(sender, receiver);
        } else {
            self.set_state(sender, ThreadState::Inactive);
        }
    }

    /// Ends what the thread waits for; it is inactive then if it waited.
    pub(crate) fn cancel_waiting(&mut self, thread: Tcb) {
        let memory = self.memory;
        match thread.state(&memory) {
            ThreadState::BlockedOnSend | ThreadState::BlockedOnReceive => {
                WaitQueue(thread.blocked_on(&memory)).remove(&memory, thread);
                self.set_state(thread, ThreadState::Inactive);
            }
            ThreadState::BlockedOnNotification => self.cancel_wait(thread),
            ThreadState::BlockedOnReply => {
                thread.set_fault_label(&memory, 0);
                let answer = thread.reply().mdb(&memory).next;
                if answer != 0 {
                    self.delete_reply(crate::Slot(answer));
                }
            }
            ThreadState::Inactive | ThreadState::Running | ThreadState::Restart => {}
        }
    }

    /// Ends the waiting of everybody at an endpoint that goes away.
    pub(crate) fn cancel_all_messages(&mut self, endpoint: u64) {
        self.restart_waiting(WaitQueue(endpoint), |_| true);
    }

    /// Ends the waiting of those who send with this badge.
    pub(crate) fn cancel_badged_sends(&mut self, endpoint: u64, badge: u64) {
        let (memory, queue) = (self.memory, WaitQueue(endpoint));
        if queue.state(&memory) == SENDING {
            self.restart_waiting(queue, |thread| thread.send_badge(&memory) == badge);
        }
    }

    /// Those of the queue who are `meant` try again.
    pub(crate) fn restart_waiting(&mut self, queue: WaitQueue, meant: impl Fn(Tcb) -> bool) {
        let memory = self.memory;
        if queue.state(&memory) == WaitQueue::IDLE {
            return;
        }
        let mut next = queue.first(&memory);
        while let Some(thread) = next {
            let after = thread.wait_next(&memory);
            next = (after != 0).then_some(Tcb(after));
            if meant(thread) {
                queue.remove(&memory, thread);
                self.set_state(thread, ThreadState::Restart);
                self.enqueue(thread);
            }
        }
        self.reschedule();
    }

    /// The right to send, and what through, of a capability to an endpoint.
    pub(crate) fn through(cap: Cap) -> Option<Through> {
        match cap {
            Cap::Endpoint { address, badge, rights } if rights.write => {
                Some(Through { endpoint: address, badge, grant: rights.grant })
            }
            _ => None,
        }
    }
}

//! Endpoints: sending, receiving, waiting for either.

use crate::{
    Cap, Host, Kernel, SchedContext, Tcb, ThreadState,
    message::CAP_REGISTER,
    queue::WaitQueue,
    reply::Reply,
    transfer::{Receiving, Through},
};
use selkie_tender_table::Number;

/// Threads wait for a receiver.
const SENDING: u64 = 1;
/// Threads wait for a message.
const RECEIVING: u64 = 2;

/// Bits of [`Tcb::send_flags`].
const GRANT: u64 = 1;
const CALL: u64 = 2;
const GRANT_REPLY: u64 = 4;

/// How a message is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Send {
    /// The sender waits for a receiver.
    pub(crate) blocking: bool,
    /// The sender waits for an answer.
    pub(crate) call: bool,
    /// A receiver without scheduling context gets the sender's.
    pub(crate) donate: bool,
}

impl Send {
    /// Nobody waits for an answer, and nothing is handed on.
    pub(crate) const fn plain(blocking: bool) -> Self {
        Self { blocking, call: false, donate: false }
    }
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
                let flag = |set, flag| if set { flag } else { 0 };
                let flags = flag(through.grant, GRANT)
                    | flag(how.call, CALL)
                    | flag(through.grant_reply, GRANT_REPLY);
                thread.set_send_flags(&memory, flags);
                self.set_state(thread, ThreadState::BlockedOnSend);
                self.wait_in(queue, thread, SENDING);
            }
            return;
        }
        let Some(receiver) = queue.first(&memory) else { return };
        queue.remove(&memory, receiver);
        self.transfer(thread, receiver, through);
        if self.is_mcs() {
            return self.hand_over(thread, receiver, through, how);
        }
        let answer_grant = receiver.send_flags(&memory) & GRANT != 0;
        self.set_state(receiver, ThreadState::Running);
        self.switch_to(receiver, true);
        if how.call || thread.fault_label(&memory) != 0 {
            self.await_answer(thread, receiver, through, answer_grant);
        }
    }

    /// After a message has been sent, where time is given by scheduling contexts: who waits for what, and who
    /// runs on whose time.
    #[cold]
    fn hand_over(&mut self, thread: Tcb, receiver: Tcb, through: Through, how: Send) {
        let memory = self.memory;
        let reply = Reply(receiver.reply_object(&memory));
        if reply.0 != 0 {
            self.unlink_reply(reply, receiver);
        }
        if how.call || thread.fault_label(&memory) != 0 {
            if reply.0 != 0 && through.can_call() {
                self.push_reply(thread, receiver, reply, how.donate);
            } else {
                self.set_state(thread, ThreadState::Inactive);
            }
        } else if how.donate && receiver.sched_context(&memory) == 0 {
            let sc = SchedContext(thread.sched_context(&memory));
            if sc.is_some() {
                self.donate(sc, receiver);
            }
        }
        self.set_state(receiver, ThreadState::Running);
        self.unblock_budget(SchedContext(receiver.sched_context(&memory)));
        self.switch_to(receiver, true);
    }

    /// Receives a message through the capability `endpoint`, or the signal of the notification that is bound to
    /// the thread. `reply` is the reply object to answer through; none where there are none.
    pub(crate) fn receive(&mut self, thread: Tcb, endpoint: Receiving, blocking: bool, reply: Reply) {
        let memory = self.memory;
        if reply.0 != 0 {
            // A call that has not been answered never will be.
            let waits = Tcb(reply.thread(&memory));
            if waits.0 != 0 && waits != thread {
                self.cancel_waiting(waits);
            }
        }
        if self.take_bound_signal(thread) {
            return;
        }
        if blocking && self.is_mcs() {
            self.return_budget(thread.bound_notification(&memory), thread);
        }
        let queue = WaitQueue(endpoint.address);
        if queue.state(&memory) != SENDING {
            if blocking {
                thread.set_blocked_on(&memory, endpoint.address);
                thread.set_send_flags(&memory, if endpoint.grant { GRANT } else { 0 });
                self.set_state(thread, ThreadState::BlockedOnReceive);
                if reply.0 != 0 {
                    thread.set_reply_object(&memory, reply.0);
                    reply.set_thread(&memory, thread.0);
                }
                self.wait_in(queue, thread, RECEIVING);
            } else {
                thread.set_register(&memory, CAP_REGISTER, 0);
            }
            return;
        }
        let Some(sender) = queue.first(&memory) else { return };
        queue.remove(&memory, sender);
        let flags = sender.send_flags(&memory);
        let through = Through {
            endpoint: endpoint.address,
            badge: sender.send_badge(&memory),
            grant: flags & GRANT != 0,
            grant_reply: flags & GRANT_REPLY != 0,
        };
        self.transfer(sender, thread, through);
        if self.is_mcs() {
            self.unblock_budget(SchedContext(sender.sched_context(&memory)));
        }
        let faulted = sender.fault_label(&memory) != 0;
        if flags & CALL == 0 && !faulted {
            self.set_state(sender, ThreadState::Running);
            self.switch_to(sender, false);
        } else if !self.is_mcs() {
            self.await_answer(sender, thread, through, endpoint.grant);
        } else if reply.0 != 0 && through.can_call() {
            let timed_out = sender.fault_label(&memory) == self.table.number(Number::FaultTimeout);
            self.push_reply(sender, thread, reply, !(faulted && timed_out));
        } else {
            self.set_state(sender, ThreadState::Inactive);
        }
    }

    /// A sender that wants an answer gets none when it may not grant the right to give it.
    fn await_answer(&mut self, sender: Tcb, receiver: Tcb, through: Through, grant: bool) {
        if through.can_call() {
            self.setup_caller(sender, receiver, grant);
        } else {
            self.set_state(sender, ThreadState::Inactive);
        }
    }

    /// Ends what the thread waits for; it is inactive then if it waited.
    pub(crate) fn cancel_waiting(&mut self, thread: Tcb) {
        let memory = self.memory;
        if self.is_mcs() {
            thread.set_fault_label(&memory, 0);
        }
        match thread.state(&memory) {
            ThreadState::BlockedOnSend => {
                WaitQueue(thread.blocked_on(&memory)).remove(&memory, thread);
                self.set_state(thread, ThreadState::Inactive);
            }
            ThreadState::BlockedOnReceive => {
                WaitQueue(thread.blocked_on(&memory)).remove(&memory, thread);
                self.forget_receiving(thread);
                self.set_state(thread, ThreadState::Inactive);
            }
            ThreadState::BlockedOnNotification => self.cancel_wait(thread),
            ThreadState::BlockedOnReply if self.is_mcs() => self.forget_reply(thread),
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

    /// The reply object that the thread receives with is free again.
    fn forget_receiving(&mut self, thread: Tcb) {
        let reply = Reply(thread.reply_object(&self.memory));
        if self.is_mcs() && reply.0 != 0 {
            self.unlink_reply(reply, thread);
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
                self.try_again(thread);
            }
        }
        self.reschedule();
    }

    /// The thread, which waited and is in no queue any more, tries again.
    fn try_again(&mut self, thread: Tcb) {
        if !self.is_mcs() {
            self.set_state(thread, ThreadState::Restart);
            return self.enqueue(thread);
        }
        if thread.state(&self.memory) == ThreadState::BlockedOnReceive {
            self.forget_receiving(thread);
        }
        // A message about a fault is not sent again.
        if thread.fault_label(&self.memory) != 0 {
            return self.set_state(thread, ThreadState::Inactive);
        }
        self.set_state(thread, ThreadState::Restart);
        self.unblock_budget(SchedContext(thread.sched_context(&self.memory)));
        self.switch_to(thread, false);
    }

    /// The right to send, and what through, of a capability to an endpoint.
    pub(crate) fn through(cap: Cap) -> Option<Through> {
        match cap {
            Cap::Endpoint { address, badge, rights } if rights.write => Some(Through {
                endpoint: address,
                badge,
                grant: rights.grant,
                grant_reply: rights.grant_reply,
            }),
            _ => None,
        }
    }
}

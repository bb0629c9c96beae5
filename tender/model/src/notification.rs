//! Notifications. An object is four words: the thread that is bound to it, the badges that have been
//! signalled, and the queue of those who wait. Where time is given by scheduling contexts there is a fifth: the
//! one that is bound to it.

use crate::{Host, Kernel, SchedContext, Tcb, ThreadState, message::CAP_REGISTER, queue::WaitQueue};

/// Threads wait for a signal.
const WAITING: u64 = 1;
/// A signal waits for a thread.
const ACTIVE: u64 = 2;

const BADGE: u64 = 8;
/// Where the queue begins, in bytes after the object's begin.
pub(crate) const QUEUE: u64 = 16;
/// The scheduling context, where there are such.
pub(crate) const BUDGET: u64 = 32;

impl<H: Host> Kernel<'_, H> {
    /// Adds a signal with this badge.
    pub(crate) fn signal(&mut self, notification: u64, badge: u64) {
        let memory = self.memory;
        let queue = WaitQueue(notification + QUEUE);
        match queue.state(&memory) {
            ACTIVE => memory.set(notification + BADGE, memory.get(notification + BADGE) | badge),
            WAITING => {
                let Some(thread) = queue.first(&memory) else { return };
                queue.remove(&memory, thread);
                self.wake(thread, notification, badge);
            }
            _ => {
                let bound = self.bound_thread(notification);
                if bound.0 != 0 && bound.state(&memory) == ThreadState::BlockedOnReceive {
                    self.cancel_waiting(bound);
                    self.wake(bound, notification, badge);
                } else {
                    memory.set(notification + BADGE, badge);
                    queue.set_state(&memory, ACTIVE);
                }
            }
        }
    }

    fn wake(&mut self, thread: Tcb, notification: u64, badge: u64) {
        self.set_state(thread, ThreadState::Running);
        thread.set_register(&self.memory, CAP_REGISTER, badge);
        if !self.is_mcs() {
            return self.switch_to(thread, false);
        }
        self.lend_budget(notification, thread);
        if self.is_schedulable(thread) {
            self.switch_to(thread, false);
        }
        self.unblock_budget(SchedContext(thread.sched_context(&self.memory)));
    }

    /// A thread without scheduling context gets the one of the notification, if nobody else has it.
    #[cold]
    fn lend_budget(&mut self, notification: u64, thread: Tcb) {
        let memory = self.memory;
        let sc = self.notification_budget(notification);
        if thread.sched_context(&memory) == 0 && sc.is_some() && sc.thread(&memory) == 0 {
            self.donate(sc, thread);
            self.resume_budget(sc);
        }
    }

    /// A thread that waits gives the scheduling context of the notification back, if it runs on that.
    #[cold]
    pub(crate) fn return_budget(&mut self, notification: u64, thread: Tcb) {
        let memory = self.memory;
        if notification == 0 {
            return;
        }
        let sc = self.notification_budget(notification);
        if sc.is_some() && sc.0 == thread.sched_context(&memory) {
            thread.set_sched_context(&memory, 0);
            sc.set_thread(&memory, 0);
            if thread == self.current {
                self.reschedule();
            }
        }
    }

    /// The scheduling context of a notification.
    pub(crate) fn notification_budget(&self, notification: u64) -> SchedContext {
        SchedContext(self.memory.get(notification + BUDGET))
    }

    /// Binds the scheduling context and the notification, neither of which is bound.
    pub(crate) fn bind_budget_notification(&self, sc: SchedContext, notification: u64) {
        self.memory.set(notification + BUDGET, sc.0);
        sc.set_notification(&self.memory, notification);
    }

    /// Takes the scheduling context and its notification apart, if it has one.
    pub(crate) fn unbind_budget_notification(&self, sc: SchedContext) {
        let notification = sc.notification(&self.memory);
        if notification != 0 {
            self.memory.set(notification + BUDGET, 0);
            sc.set_notification(&self.memory, 0);
        }
    }

    /// Takes a notification that goes away and its scheduling context apart.
    #[cold]
    pub(crate) fn unbind_notification_budget(&self, notification: u64) {
        let sc = self.notification_budget(notification);
        if sc.is_some() {
            self.unbind_budget_notification(sc);
        }
    }

    /// Waits for a signal, or looks whether there is one.
    pub(crate) fn wait(&mut self, thread: Tcb, notification: u64, blocking: bool) {
        let memory = self.memory;
        if self.take_signal(thread, notification) {
            return;
        }
        if blocking {
            thread.set_blocked_on(&memory, notification);
            self.set_state(thread, ThreadState::BlockedOnNotification);
            self.wait_in(WaitQueue(notification + QUEUE), thread, WAITING);
            if self.is_mcs() {
                self.return_budget(notification, thread);
            }
        } else {
            thread.set_register(&memory, CAP_REGISTER, 0);
        }
    }

    /// Gives the thread the signal that waits, if one does.
    fn take_signal(&mut self, thread: Tcb, notification: u64) -> bool {
        let queue = WaitQueue(notification + QUEUE);
        let active = queue.state(&self.memory) == ACTIVE;
        if active {
            let badge = self.memory.get(notification + BADGE);
            thread.set_register(&self.memory, CAP_REGISTER, badge);
            queue.set_state(&self.memory, WaitQueue::IDLE);
            if self.is_mcs() {
                self.lend_budget(notification, thread);
                self.unblock_budget(SchedContext(thread.sched_context(&self.memory)));
            }
        }
        active
    }

    /// Gives the thread the signal that waits at the notification that is bound to it, if one does.
    pub(crate) fn take_bound_signal(&mut self, thread: Tcb) -> bool {
        let notification = thread.bound_notification(&self.memory);
        notification != 0 && self.take_signal(thread, notification)
    }

    /// Ends the thread's waiting for a signal.
    pub(crate) fn cancel_wait(&mut self, thread: Tcb) {
        WaitQueue(thread.blocked_on(&self.memory) + QUEUE).remove(&self.memory, thread);
        self.set_state(thread, ThreadState::Inactive);
    }

    /// Ends the waiting of everybody at a notification that goes away.
    pub(crate) fn cancel_all_signals(&mut self, notification: u64) {
        let queue = WaitQueue(notification + QUEUE);
        if queue.state(&self.memory) == WAITING {
            self.restart_waiting(queue, |_| true);
        }
    }

    /// Whether nobody is bound to the notification and nobody waits for it.
    pub(crate) fn can_bind(&self, notification: u64) -> bool {
        let waits = WaitQueue(notification + QUEUE).first(&self.memory).is_some();
        !waits && self.bound_thread(notification).0 == 0
    }

    /// Binds the notification to the thread.
    pub(crate) fn bind(&self, thread: Tcb, notification: u64) {
        self.memory.set(notification, thread.0);
        thread.set_bound_notification(&self.memory, notification);
    }

    /// The thread that is bound to the notification, or none.
    pub(crate) fn bound_thread(&self, notification: u64) -> Tcb {
        Tcb(self.memory.get(notification))
    }

    /// Takes the notification and the thread that is bound to it apart, if there is one.
    pub(crate) fn unbind_notification(&mut self, notification: u64) {
        let thread = self.bound_thread(notification);
        if thread.0 != 0 {
            self.memory.set(notification, 0);
            thread.set_bound_notification(&self.memory, 0);
        }
    }

    /// Takes the thread and the notification that is bound to it apart, if there is one.
    pub(crate) fn unbind_thread(&mut self, thread: Tcb) {
        let notification = thread.bound_notification(&self.memory);
        if notification != 0 {
            self.unbind_notification(notification);
        }
    }
}

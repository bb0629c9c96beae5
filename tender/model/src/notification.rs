//! Notifications. An object is four words: the thread that is bound to it, the badges that have been
//! signalled, and the queue of those who wait.

use crate::{Host, Kernel, Tcb, ThreadState, message::CAP_REGISTER, queue::WaitQueue};

/// Threads wait for a signal.
const WAITING: u64 = 1;
/// A signal waits for a thread.
const ACTIVE: u64 = 2;

const BADGE: u64 = 8;
/// Where the queue begins, in bytes after the object's begin.
pub(crate) const QUEUE: u64 = 16;

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
                self.wake(thread, badge);
            }
            _ => {
                let bound = self.bound_thread(notification);
                if bound.0 != 0 && bound.state(&memory) == ThreadState::BlockedOnReceive {
                    self.cancel_waiting(bound);
                    self.wake(bound, badge);
                } else {
                    memory.set(notification + BADGE, badge);
                    queue.set_state(&memory, ACTIVE);
                }
            }
        }
    }

    fn wake(&mut self, thread: Tcb, badge: u64) {
        self.set_state(thread, ThreadState::Running);
        thread.set_register(&self.memory, CAP_REGISTER, badge);
        self.switch_to(thread, false);
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
            WaitQueue(notification + QUEUE).append(&memory, thread, WAITING);
        } else {
            thread.set_register(&memory, CAP_REGISTER, 0);
        }
    }

    /// Gives the thread the signal that waits, if one does.
    fn take_signal(&self, thread: Tcb, notification: u64) -> bool {
        let queue = WaitQueue(notification + QUEUE);
        let active = queue.state(&self.memory) == ACTIVE;
        if active {
            let badge = self.memory.get(notification + BADGE);
            thread.set_register(&self.memory, CAP_REGISTER, badge);
            queue.set_state(&self.memory, WaitQueue::IDLE);
        }
        active
    }

    /// Gives the thread the signal that waits at the notification that is bound to it, if one does.
    pub(crate) fn take_bound_signal(&self, thread: Tcb) -> bool {
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

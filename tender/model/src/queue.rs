//! Queues of threads that wait for an endpoint or notification: first come, first served.

use crate::{Memory, Tcb};

/// A queue, by the physical address of its two words: the first thread; the last one, whose two lowest bits
/// say what the queue is for ([`IDLE`](Self::IDLE) and others that its owner defines).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WaitQueue(pub(crate) u64);

impl WaitQueue {
    /// Nobody waits.
    pub(crate) const IDLE: u64 = 0;
    const USE: u64 = 3;

    /// The thread that waits longest.
    #[inline]
    pub(crate) fn first(self, memory: &Memory<'_>) -> Option<Tcb> {
        let first = memory.get(self.0);
        (first != 0).then_some(Tcb(first))
    }

    /// What the queue is for.
    #[inline]
    pub(crate) fn state(self, memory: &Memory<'_>) -> u64 {
        memory.get(self.0 + 8) & Self::USE
    }

    /// Sets what the queue is for.
    #[inline]
    pub(crate) fn set_state(self, memory: &Memory<'_>, state: u64) {
        self.set_last(memory, self.last(memory), state);
    }

    /// Puts the thread last.
    #[inline]
    pub(crate) fn append(self, memory: &Memory<'_>, thread: Tcb, state: u64) {
        let last = self.last(memory);
        if last == 0 {
            memory.set(self.0, thread.0);
        } else {
            Tcb(last).set_wait_next(memory, thread.0);
        }
        thread.set_wait_prev(memory, last);
        thread.set_wait_next(memory, 0);
        self.set_last(memory, thread.0, state);
    }

    /// Puts the thread before the first one of a lower priority.
    pub(crate) fn insert(self, memory: &Memory<'_>, thread: Tcb, state: u64) {
        let priority = thread.priority(memory);
        let mut before = self.last(memory);
        while before != 0 && Tcb(before).priority(memory) < priority {
            before = Tcb(before).wait_prev(memory);
        }
        let next = if before == 0 { memory.get(self.0) } else { Tcb(before).wait_next(memory) };
        thread.set_wait_prev(memory, before);
        thread.set_wait_next(memory, next);
        if before == 0 {
            memory.set(self.0, thread.0);
        } else {
            Tcb(before).set_wait_next(memory, thread.0);
        }
        if next == 0 {
            self.set_last(memory, thread.0, state);
        } else {
            Tcb(next).set_wait_prev(memory, thread.0);
            self.set_state(memory, state);
        }
    }

    /// Takes the thread out; a queue without threads is idle.
    #[inline]
    pub(crate) fn remove(self, memory: &Memory<'_>, thread: Tcb) {
        let (prev, next) = (thread.wait_prev(memory), thread.wait_next(memory));
        if prev == 0 {
            memory.set(self.0, next);
        } else {
            Tcb(prev).set_wait_next(memory, next);
        }
        if next == 0 {
            let state = if prev == 0 { Self::IDLE } else { self.state(memory) };
            self.set_last(memory, prev, state);
        } else {
            Tcb(next).set_wait_prev(memory, prev);
        }
    }

    fn last(self, memory: &Memory<'_>) -> u64 {
        memory.get(self.0 + 8) & !Self::USE
    }

    fn set_last(self, memory: &Memory<'_>, last: u64, state: u64) {
        memory.set(self.0 + 8, last | state);
    }
}

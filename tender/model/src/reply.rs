//! Reply objects: who waits for an answer, and through which calls a scheduling context was handed on.
//!
//! An object is three words: the thread that waits for an answer, or that waits for a message to be answered
//! through it; then, in the stack of calls that a scheduling context has gone through, the reply object before
//! it; then the one after it, or the scheduling context itself with bit 0 set when it is the last one.

use crate::{Host, Kernel, Memory, SchedContext, Tcb, ThreadState, words::words};

/// A reply object, by its physical address; 0 where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reply(pub(crate) u64);

words! { pub(crate) Reply:
    /// The thread that waits; 0 without one.
    0x00 thread set_thread;
    /// The reply object before it in the stack of calls; 0 without one.
    0x08 before set_before;
    /// What comes after it: see [`ReplyNext`].
    0x10 next_word set_next_word;
}

/// What comes after a reply object in the stack of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplyNext {
    /// It is in no stack, or the stack has come apart there.
    Nothing,
    /// Another one.
    Reply(Reply),
    /// The scheduling context.
    Head(SchedContext),
}

impl Reply {
    pub(crate) fn next(self, memory: &Memory<'_>) -> ReplyNext {
        match self.next_word(memory) {
            0 => ReplyNext::Nothing,
            word if word & 1 != 0 => ReplyNext::Head(SchedContext(word & !1)),
            word => ReplyNext::Reply(Self(word)),
        }
    }

    pub(crate) fn set_next(self, memory: &Memory<'_>, next: ReplyNext) {
        let word = match next {
            ReplyNext::Nothing => 0,
            ReplyNext::Reply(reply) => reply.0,
            ReplyNext::Head(sc) => sc.0 | 1,
        };
        self.set_next_word(memory, word);
    }
}

impl<H: Host> Kernel<'_, H> {
    /// `caller` waits for an answer through the reply object from here on. `callee` gets its scheduling
    /// context when that may be and it has none.
    pub(crate) fn push_reply(&mut self, caller: Tcb, callee: Tcb, reply: Reply, donate: bool) {
        let memory = self.memory;
        let sc = SchedContext(caller.sched_context(&memory));
        reply.set_thread(&memory, caller.0);
        caller.set_reply_object(&memory, reply.0);
        self.set_state(caller, ThreadState::BlockedOnReply);
        if !donate || !sc.is_some() || callee.sched_context(&memory) != 0 {
            return;
        }
        let before = Reply(sc.reply(&memory));
        if before.0 != 0 {
            before.set_next(&memory, ReplyNext::Reply(reply));
        }
        reply.set_before(&memory, before.0);
        sc.set_reply(&memory, reply.0);
        reply.set_next(&memory, ReplyNext::Head(sc));
        self.donate(sc, callee);
    }

    /// The thread that waits for an answer through the reply object does so no more, and is inactive. It gets
    /// the scheduling context back when that was handed on last through this very object.
    pub(crate) fn remove_reply(&mut self, reply: Reply, thread: Tcb) {
        let memory = self.memory;
        if let ReplyNext::Head(sc) = reply.next(&memory) {
            let before = Reply(reply.before(&memory));
            sc.set_reply(&memory, before.0);
            if before.0 != 0 {
                before.set_next(&memory, ReplyNext::Head(sc));
            }
            reply.set_next(&memory, ReplyNext::Nothing);
            // Unless it has got another one meanwhile.
            if thread.sched_context(&memory) == 0 {
                self.donate(sc, thread);
            }
            reply.set_before(&memory, 0);
        } else {
            self.take_out(reply);
        }
        self.unlink_reply(reply, thread);
    }

    /// The thread, which waits for an answer, does so no more, and is inactive; nothing is handed back.
    pub(crate) fn forget_reply(&mut self, thread: Tcb) {
        let reply = Reply(thread.reply_object(&self.memory));
        if reply.0 != 0 {
            self.take_out(reply);
            self.unlink_reply(reply, thread);
        }
    }

    /// Takes the reply object from its stack, which comes apart there.
    fn take_out(&self, reply: Reply) {
        let memory = &self.memory;
        match reply.next(memory) {
            ReplyNext::Nothing => {}
            ReplyNext::Reply(next) => next.set_before(memory, 0),
            ReplyNext::Head(sc) => sc.set_reply(memory, 0),
        }
        let before = Reply(reply.before(memory));
        if before.0 != 0 {
            before.set_next(memory, ReplyNext::Nothing);
        }
        reply.set_before(memory, 0);
        reply.set_next(memory, ReplyNext::Nothing);
    }

    /// Takes the reply object and the thread that waits apart; that is inactive then.
    pub(crate) fn unlink_reply(&mut self, reply: Reply, thread: Tcb) {
        reply.set_thread(&self.memory, 0);
        thread.set_reply_object(&self.memory, 0);
        self.set_state(thread, ThreadState::Inactive);
    }

    /// The last capability to the reply object is gone.
    pub(crate) fn finalise_reply(&mut self, reply: Reply) {
        let thread = Tcb(reply.thread(&self.memory));
        if thread.0 == 0 {
            return;
        }
        match thread.state(&self.memory) {
            ThreadState::BlockedOnReply => self.remove_reply(reply, thread),
            ThreadState::BlockedOnReceive => self.cancel_waiting(thread),
            _ => {}
        }
    }
}

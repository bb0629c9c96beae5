//! Time that is given by scheduling contexts (MCS): who has some, who pays, who waits for more.
//!
//! Time passes from one entry into the kernel to the next, as the host's clock tells it; whoever ran pays. A
//! budget ends when the kernel is entered after its end: by an alarm for what has a period, by a tick of the
//! processor's time for round robin, as the host makes these.

use crate::{Cap, Fault, Host, Kernel, SchedContext, Tcb, ThreadState, sched_context::Moment};
use selkie_tender_table::Number;

/// Nanoseconds of a microsecond, which the interface counts in.
pub(crate) const MICROSECOND: u64 = 1000;
/// The time that the kernel itself may take, in microseconds, as on PCs.
const WORST_CASE_US: u64 = 10;
/// No entry comes later after another while the process runs. Who was stopped does not pay for that.
const LONGEST: u64 = 1_000_000 * MICROSECOND;

/// What the kernel knows of time.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    /// The time of the last entry.
    now: u64,
    /// Time that nobody has paid yet.
    unpaid: u64,
    /// The scheduling context that pays; none while no thread can run.
    pub(crate) payer: SchedContext,
    /// The first thread of those that wait for their budget, in the order of its time.
    pub(crate) waiting: Tcb,
    /// The next alarm may be another one.
    changed: bool,
}

impl<H: Host> Kernel<'_, H> {
    /// The least budget, in microseconds.
    pub(crate) fn least_budget_us(&self) -> u64 {
        2 * WORST_CASE_US * self.table.number(Number::ConfigWcetScale).max(1)
    }

    /// Now.
    pub(crate) fn moment(&self) -> Moment {
        Moment { now: self.budget.now, least: self.least_budget_us() * MICROSECOND }
    }

    /// The kernel is entered: time has passed. Whether the running thread has enough left to be served;
    /// otherwise it has paid, and does again later what it wanted.
    pub(crate) fn begin_entry(&mut self) -> bool {
        self.pass_time();
        let served = self.check_budget();
        let thread = self.current;
        if !served && self.is_runnable(thread) {
            self.set_state(thread, ThreadState::Restart);
        }
        served
    }

    /// Time has passed since the last entry.
    pub(crate) fn pass_time(&mut self) {
        let now = self.host.now().max(self.budget.now);
        self.budget.unpaid += (now - self.budget.now).min(LONGEST);
        self.budget.now = now;
    }

    /// Whether the running thread has enough left; otherwise it pays.
    pub(crate) fn check_budget(&mut self) -> bool {
        let (payer, unpaid) = (self.budget.payer, self.budget.unpaid);
        if !payer.is_some() || payer.suffices(&self.memory, unpaid, self.moment()) {
            return true;
        }
        self.charge(unpaid, true);
        false
    }

    /// The running thread pays so much, and makes way.
    fn charge(&mut self, used: u64, can_time_out: bool) {
        let (memory, payer) = (self.memory, self.budget.payer);
        if payer.is_some() && payer.is_active(&memory) {
            if payer.is_round_robin(&memory) {
                payer.restore(&memory);
            } else {
                payer.charge(&memory, used, self.moment());
            }
            payer.set_consumed(&memory, payer.consumed(&memory) + used);
        }
        self.budget.unpaid = 0;
        if self.is_schedulable(self.current) {
            self.end_turn(can_time_out);
            self.reschedule();
            self.budget.changed = true;
        }
    }

    /// The running thread has used up what it can use now.
    fn end_turn(&mut self, can_time_out: bool) {
        let (memory, payer, thread) = (self.memory, self.budget.payer, self.current);
        let at = self.moment();
        if can_time_out && !payer.is_round_robin(&memory) && self.has_timeout_handler(thread) {
            self.raise_timeout(thread, payer);
        } else if payer.is_ready(&memory, at) && payer.suffices(&memory, 0, at) {
            self.append(thread);
        } else {
            self.postpone(payer);
        }
    }

    /// Whether somebody hears of the thread's timeouts.
    pub(crate) fn has_timeout_handler(&self, thread: Tcb) -> bool {
        matches!(thread.timeout_handler().cap(&self.memory), Cap::Endpoint { .. })
    }

    /// The thread's handler of timeouts gets a message: the budget of `sc` is used up.
    pub(crate) fn raise_timeout(&mut self, thread: Tcb, sc: SchedContext) {
        let badge = sc.badge(&self.memory);
        let handler = thread.timeout_handler().cap(&self.memory);
        self.send_fault(thread, handler, Fault::Timeout { badge }, false);
    }

    /// The running thread gives up what is left of its budget for now.
    pub(crate) fn yield_budget(&mut self) {
        let (memory, payer) = (self.memory, self.budget.payer);
        if !payer.is_some() {
            return;
        }
        // Only what was used counts as such.
        let consumed = payer.consumed(&memory) + self.budget.unpaid;
        self.charge(payer.first(&memory).amount, false);
        payer.set_consumed(&memory, consumed);
    }

    /// Whoever has run pays what is unpaid. It is less than what is left, or the entry would have ended.
    pub(crate) fn commit_time(&mut self) {
        let (memory, payer, used) = (self.memory, self.budget.payer, self.budget.unpaid);
        if payer.is_some() && payer.is_active(&memory) {
            if used > 0 {
                if payer.is_round_robin(&memory) {
                    payer.count(&memory, used);
                } else {
                    payer.charge(&memory, used, self.moment());
                }
            }
            payer.set_consumed(&memory, payer.consumed(&memory) + used);
        }
        self.budget.unpaid = 0;
    }

    /// The current thread's scheduling context pays from now on.
    pub(crate) fn switch_payer(&mut self) {
        let memory = self.memory;
        let next = match self.current.0 {
            0 => SchedContext(0),
            _ => SchedContext(self.current.sched_context(&memory)),
        };
        if next != self.budget.payer {
            self.budget.changed = true;
            if next.is_some() && !next.is_sporadic(&memory) {
                next.put_off(&memory, self.moment());
            }
        }
        if self.budget.changed {
            self.commit_time();
        }
        self.budget.payer = next;
    }

    /// Asks the host for an alarm when something about time has changed.
    pub(crate) fn update_alarm(&mut self) {
        if core::mem::take(&mut self.budget.changed) {
            self.set_next_alarm(self.budget.now);
        }
    }

    /// When the next budget comes back, or that of the running thread ends.
    pub(crate) fn budget_alarm(&self) -> Option<u64> {
        let (memory, payer, waiting) = (&self.memory, self.budget.payer, self.budget.waiting);
        let sc = |thread: Tcb| SchedContext(thread.sched_context(memory));
        let back = (waiting.0 != 0).then(|| sc(waiting).first(memory).time);
        let runs_out = payer.is_some() && payer.is_active(memory) && !payer.is_round_robin(memory);
        let end = runs_out.then(|| self.budget.now.saturating_add(payer.first(memory).amount));
        match (back, end) {
            (Some(back), Some(end)) => Some(back.min(end)),
            (back, end) => back.or(end),
        }
    }

    /// What is left of its budget is put off, when its thread can run now and it is not what pays already.
    pub(crate) fn unblock_budget(&mut self, sc: SchedContext) {
        if sc.is_sporadic(&self.memory) && sc != self.budget.payer && sc.put_off(&self.memory, self.moment())
        {
            self.budget.changed = true;
        }
    }

    /// The thread of the scheduling context waits for its budget, unless that can be used now.
    pub(crate) fn resume_budget(&mut self, sc: SchedContext) {
        let memory = self.memory;
        if !sc.is_some() || !self.is_schedulable(Tcb(sc.thread(&memory))) {
            return;
        }
        let at = self.moment();
        if !(sc.is_ready(&memory, at) && sc.suffices(&memory, 0, at)) {
            self.postpone(sc);
        }
    }

    /// The thread of the scheduling context waits for its budget.
    pub(crate) fn postpone(&mut self, sc: SchedContext) {
        let memory = self.memory;
        let thread = Tcb(sc.thread(&memory));
        if thread.0 == 0 {
            return;
        }
        self.dequeue(thread);
        self.budget.changed = true;
        if thread.in_release(&memory) != 0 {
            return;
        }
        let time = |thread: Tcb| SchedContext(thread.sched_context(&memory)).first(&memory).time;
        let mine = time(thread);
        let (mut before, mut next) = (Tcb(0), self.budget.waiting);
        while next.0 != 0 && time(next) <= mine {
            (before, next) = (next, Tcb(next.release_next(&memory)));
        }
        thread.set_release_prev(&memory, before.0);
        thread.set_release_next(&memory, next.0);
        if before.0 == 0 {
            self.budget.waiting = thread;
        } else {
            before.set_release_next(&memory, thread.0);
        }
        if next.0 != 0 {
            next.set_release_prev(&memory, thread.0);
        }
        thread.set_in_release(&memory, 1);
    }

    /// The thread waits for its budget no more.
    pub(crate) fn take_from_waiting(&mut self, thread: Tcb) {
        let memory = self.memory;
        if thread.in_release(&memory) == 0 {
            return;
        }
        let (before, next) = (Tcb(thread.release_prev(&memory)), Tcb(thread.release_next(&memory)));
        if before.0 == 0 {
            self.budget.waiting = next;
            self.budget.changed = true;
        } else {
            before.set_release_next(&memory, next.0);
        }
        if next.0 != 0 {
            next.set_release_prev(&memory, before.0);
        }
        thread.set_in_release(&memory, 0);
    }

    /// Whose budget has come back can run again.
    pub(crate) fn awaken(&mut self) {
        loop {
            let first = self.budget.waiting;
            let memory = &self.memory;
            if first.0 == 0 || !SchedContext(first.sched_context(memory)).is_ready(memory, self.moment()) {
                return;
            }
            self.take_from_waiting(first);
            self.switch_to(first, false);
        }
    }

    /// Whether somebody waits for the budget.
    pub(crate) fn awaits_budget(&self) -> bool {
        self.budget.waiting.0 != 0
    }

    /// Hands the scheduling context on to a thread that has none; whoever had it has none then.
    pub(crate) fn donate(&mut self, sc: SchedContext, to: Tcb) {
        let memory = self.memory;
        let from = Tcb(sc.thread(&memory));
        if from.0 != 0 {
            self.dequeue(from);
            self.take_from_waiting(from);
            from.set_sched_context(&memory, 0);
            if from == self.current || self.is_next(from) {
                self.reschedule();
            }
        }
        sc.set_thread(&memory, to.0);
        to.set_sched_context(&memory, sc.0);
    }

    /// Binds the scheduling context and the thread, neither of which is bound.
    pub(crate) fn bind_budget(&mut self, sc: SchedContext, thread: Tcb) {
        let memory = self.memory;
        thread.set_sched_context(&memory, sc.0);
        sc.set_thread(&memory, thread.0);
        if sc.is_active(&memory) {
            self.unblock_budget(sc);
        }
        self.resume_budget(sc);
        if self.is_schedulable(thread) {
            self.enqueue(thread);
            self.reschedule();
        }
    }

    /// Takes the scheduling context and its thread apart.
    pub(crate) fn unbind_budget(&mut self, sc: SchedContext) {
        let memory = self.memory;
        let thread = Tcb(sc.thread(&memory));
        if thread.0 == 0 {
            return;
        }
        if thread == self.current {
            self.reschedule();
        }
        self.dequeue(thread);
        self.take_from_waiting(thread);
        thread.set_sched_context(&memory, 0);
        sc.set_thread(&memory, 0);
    }

    /// The thread goes away: nobody runs on its scheduling context.
    pub(crate) fn leave_budget(&mut self, thread: Tcb) {
        let sc = SchedContext(thread.sched_context(&self.memory));
        if sc.is_some() {
            self.unbind_budget(sc);
            self.end_yield_to(sc);
        }
    }

    /// Whoever has yielded to the scheduling context waits no more to run again.
    pub(crate) fn end_yield_to(&mut self, sc: SchedContext) {
        let yielder = Tcb(sc.yield_from(&self.memory));
        if yielder.0 != 0 {
            self.complete_yield(yielder);
        }
    }

    /// Nobody can run on the scheduling context any more, whose last capability is gone.
    pub(crate) fn finalise_budget(&mut self, sc: SchedContext) {
        self.unbind_budget(sc);
        self.unbind_budget_notification(sc);
        self.unbind_budget_reply(sc);
        self.end_yield_to(sc);
        sc.set_refill_max(&self.memory, 0);
        sc.set_sporadic(&self.memory, 0);
        // Its memory may become something else before somebody else pays.
        if self.budget.payer == sc {
            (self.budget.payer, self.budget.unpaid) = (SchedContext(0), 0);
        }
    }

    /// Takes the scheduling context and the reply object through which it was handed on last apart.
    pub(crate) fn unbind_budget_reply(&self, sc: SchedContext) {
        let reply = crate::reply::Reply(sc.reply(&self.memory));
        if reply.0 != 0 {
            reply.set_next(&self.memory, crate::reply::ReplyNext::Nothing);
            sc.set_reply(&self.memory, 0);
        }
    }

    /// Microseconds that have been used since this was asked last.
    pub(crate) fn take_consumed(&self, sc: SchedContext) -> u64 {
        let consumed = sc.consumed(&self.memory);
        sc.set_consumed(&self.memory, 0);
        consumed / MICROSECOND
    }

    /// The thread runs again after it has yielded to a scheduling context: it is told what that has used.
    pub(crate) fn complete_yield(&mut self, thread: Tcb) {
        let sc = SchedContext(thread.yield_to(&self.memory));
        if sc.is_some() {
            let consumed = self.take_consumed(sc);
            self.tell_consumed(thread, consumed);
            self.cancel_yield(thread);
        }
    }

    /// The thread waits no more to run again.
    pub(crate) fn cancel_yield(&self, thread: Tcb) {
        let sc = SchedContext(thread.yield_to(&self.memory));
        if sc.is_some() {
            sc.set_yield_from(&self.memory, 0);
            thread.set_yield_to(&self.memory, 0);
        }
    }
}

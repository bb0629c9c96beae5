//! Invocations of scheduling contexts and of the capability to configure them.

use crate::{
    Cap, Error, Host, Kernel, Register, SchedContext, Tcb,
    budget::MICROSECOND,
    message::Tag,
    request::{Answer, Request},
};
use selkie_tender_table::{Invocation, Number, param};

/// Bit of the flags of a configuration: what is left of a budget is put off when the thread can run.
const SPORADIC: u64 = 1;

impl<H: Host> Kernel<'_, H> {
    /// Serves an invocation of a scheduling context.
    #[cold]
    pub(crate) fn invoke_sched_context(&mut self, request: &Request) -> Result<Answer, Error> {
        let Cap::SchedContext { address, .. } = request.cap else { return Err(Error::InvalidCapability(0)) };
        let (sc, memory) = (SchedContext(address), self.memory);
        match request.invocation {
            Some(Invocation::SchedContextConsumed) => {
                let consumed = self.take_consumed(sc);
                Ok(self.answer_consumed(request, consumed))
            }
            Some(Invocation::SchedContextBind) => self.bind_sched_context(sc, request),
            Some(Invocation::SchedContextUnbindObject) => self.unbind_object(sc, request),
            Some(Invocation::SchedContextUnbind) => {
                if Tcb(sc.thread(&memory)) == request.thread {
                    return Err(Error::IllegalOperation);
                }
                self.unbind_budget(sc);
                self.unbind_budget_notification(sc);
                self.unbind_budget_reply(sc);
                Ok(Answer::Empty)
            }
            Some(Invocation::SchedContextYieldTo) => self.yield_to(sc, request),
            _ => Err(Error::IllegalOperation),
        }
    }

    fn bind_sched_context(&mut self, sc: SchedContext, request: &Request) -> Result<Answer, Error> {
        let memory = self.memory;
        let slot = request.extra[0].ok_or(Error::TruncatedMessage)?;
        match slot.cap(&memory) {
            Cap::Thread { tcb } => {
                let thread = Tcb(tcb);
                let bound = sc.thread(&memory) != 0 || thread.sched_context(&memory) != 0;
                if bound || self.is_blocked(thread) && !sc.is_released(&memory, self.moment()) {
                    return Err(Error::IllegalOperation);
                }
                self.bind_budget(sc, thread);
            }
            Cap::Notification { address, .. } => {
                if sc.notification(&memory) != 0 || self.notification_budget(address).is_some() {
                    return Err(Error::IllegalOperation);
                }
                self.bind_budget_notification(sc, address);
            }
            _ => return Err(Error::InvalidCapability(1)),
        }
        Ok(Answer::Empty)
    }

    fn unbind_object(&mut self, sc: SchedContext, request: &Request) -> Result<Answer, Error> {
        let memory = self.memory;
        let slot = request.extra[0].ok_or(Error::TruncatedMessage)?;
        match slot.cap(&memory) {
            Cap::Thread { tcb } => {
                if sc.thread(&memory) != tcb || Tcb(tcb) == request.thread {
                    return Err(Error::IllegalOperation);
                }
                self.unbind_budget(sc);
            }
            Cap::Notification { address, .. } => {
                if sc.notification(&memory) != address {
                    return Err(Error::IllegalOperation);
                }
                self.unbind_budget_notification(sc);
            }
            _ => return Err(Error::InvalidCapability(1)),
        }
        Ok(Answer::Empty)
    }

    /// Serves YieldTo: the thread of the scheduling context runs next, if it can and has a priority for it,
    /// and the invoking thread is answered when it runs again.
    fn yield_to(&mut self, sc: SchedContext, request: &Request) -> Result<Answer, Error> {
        let (memory, current) = (self.memory, request.thread);
        let thread = Tcb(sc.thread(&memory));
        if thread.0 == 0 || thread == current || thread.priority(&memory) > current.max_priority(&memory) {
            return Err(Error::IllegalOperation);
        }
        self.end_yield_to(sc);
        self.resume_budget(sc);
        if self.is_schedulable(thread) && thread.priority(&memory) >= current.priority(&memory) {
            current.set_yield_to(&memory, sc.0);
            sc.set_yield_from(&memory, current.0);
            self.dequeue(thread);
            self.enqueue(current);
            self.enqueue(thread);
            self.reschedule();
            return Ok(Answer::Empty);
        }
        if self.is_schedulable(thread) {
            self.dequeue(thread);
            self.enqueue(thread);
        }
        let consumed = self.take_consumed(sc);
        Ok(self.answer_consumed(request, consumed))
    }

    /// Answers with the time that has been used. Before seL4 14 the word is there, and the tag of a caller says
    /// that there is none.
    fn answer_consumed(&self, request: &Request, consumed: u64) -> Answer {
        self.answer_word(request, consumed, self.since(14, 0))
    }

    /// Tells a thread that runs again what the scheduling context that it has yielded to has used.
    pub(crate) fn tell_consumed(&self, thread: Tcb, consumed: u64) {
        if self.since(14, 0) {
            thread.set_register(&self.memory, Register::Rdi, 0);
        }
        thread.set_register(&self.memory, Register::R10, consumed);
        thread.set_register(&self.memory, Register::Rsi, Tag::new(0, 1).word());
    }

    /// Serves an invocation of the capability to configure scheduling contexts.
    #[cold]
    pub(crate) fn invoke_sched_control(&mut self, request: &Request) -> Result<Answer, Error> {
        use param::sched_control_configure_flags as at;
        if request.invocation != Some(Invocation::SchedControlConfigureFlags) {
            return Err(Error::IllegalOperation);
        }
        request.complete(self)?;
        let target = request.extra[0].ok_or(Error::TruncatedMessage)?.cap(&self.memory);
        let checked = |target| match target {
            Cap::SchedContext { address, bits } => Ok((SchedContext(address), bits)),
            _ => Err(Error::InvalidCapability(1)),
        };
        // Before seL4 15 the capability is looked at first.
        if !self.since(15, 0) {
            checked(target)?;
        }
        let (least, most) = (self.least_budget_us(), self.longest_period_us());
        let (budget, period) = (request.value(self, at::BUDGET), request.value(self, at::PERIOD));
        if [budget, period].iter().any(|time| !(least..=most).contains(time)) {
            return Err(Error::Range { min: least, max: most });
        }
        if budget > period {
            return Err(Error::Range { min: least, max: period });
        }
        let (sc, bits) = checked(target)?;
        let extra = request.value(self, at::EXTRA_REFILLS);
        let max = SchedContext::room(bits) - SchedContext::MIN_REFILLS;
        // Before seL4 15 the sum is not kept from overflowing; then there are too few to do without the least.
        let extra = match extra.checked_add(SchedContext::MIN_REFILLS) {
            None if !self.since(15, 0) => 0,
            _ => extra,
        };
        if extra > max {
            return Err(Error::Range { min: 0, max });
        }
        let (badge, flags) = (request.value(self, at::BADGE), request.value(self, at::FLAGS));
        self.configure_budget(sc, extra + SchedContext::MIN_REFILLS, budget, period);
        sc.set_badge(&self.memory, badge);
        sc.set_sporadic(&self.memory, flags & SPORADIC);
        Ok(Answer::Empty)
    }

    /// The longest period, in microseconds. On a kernel without a limit of its own it is what its clock, whose
    /// frequency is the machine's, can count; here what a clock of nanoseconds can.
    fn longest_period_us(&self) -> u64 {
        match self.table.number(Number::ConfigMaxPeriodUs) {
            0 => u64::MAX / MICROSECOND / 8,
            limit => limit,
        }
    }

    /// Gives the scheduling context a budget, in microseconds.
    fn configure_budget(&mut self, sc: SchedContext, refills: u64, budget: u64, period: u64) {
        let memory = self.memory;
        let thread = Tcb(sc.thread(&memory));
        if thread.0 != 0 {
            self.take_from_waiting(thread);
            self.dequeue(thread);
            if self.budget.payer == sc {
                self.commit_time();
            }
        }
        let (budget, period) = (budget * MICROSECOND, period * MICROSECOND);
        let at = self.moment();
        if budget == period {
            sc.configure(&memory, SchedContext::MIN_REFILLS, budget, 0, at);
        } else if sc.is_active(&memory) && self.is_runnable(thread) {
            sc.reconfigure(&memory, refills, budget, period, at);
        } else {
            sc.configure(&memory, refills, budget, period, at);
        }
        if thread.0 != 0 {
            self.resume_budget(sc);
            if thread == self.current {
                self.reschedule();
            } else if self.is_runnable(thread) {
                self.switch_to(thread, false);
            }
        }
    }
}

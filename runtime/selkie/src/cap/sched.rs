use super::{Capability, Endpoint, Notification, ObjectType, Slot, Tcb, capability, check};
use crate::error::Result;
use core::time::Duration;
use selkie_sys::{Word, portable};

capability! {
    /// Time for a thread, on a kernel with MCS: a budget in each period. Elsewhere there is none, and whatever it is
    /// asked for is refused ([`Error::IllegalOperation`](crate::Error::IllegalOperation)).
    SchedContext = ObjectType::SchedContext { bits: portable::object::SCHED_CONTEXT_BITS as u8 }
}

impl SchedContext {
    /// Gives the time to `thread`, which has none yet: it can run then.
    pub fn bind(self, thread: Tcb) -> Result<()> {
        // SAFETY: scheduling is no matter of memory safety.
        check(unsafe { portable::bind_sched_context(self.0.0, thread.slot().0) })
    }

    /// Gives the time to `notification`: a thread without time of its own that a signal of it wakes runs on this.
    pub fn bind_notification(self, notification: Notification) -> Result<()> {
        // SAFETY: as for `bind`.
        check(unsafe { portable::bind_sched_context(self.0.0, notification.slot().0) })
    }

    /// Takes the time back from whatever has it, which is not the calling thread.
    pub fn unbind(self) -> Result<()> {
        // SAFETY: as for `bind`.
        check(unsafe { portable::unbind_sched_context(self.0.0) })
    }

    /// Takes the time back from `thread`, which has it and is not the calling one.
    pub fn unbind_thread(self, thread: Tcb) -> Result<()> {
        // SAFETY: as for `bind`.
        check(unsafe { portable::unbind_sched_context_from(self.0.0, thread.slot().0) })
    }

    /// The time that was used since this was asked the last time.
    pub fn consumed(self) -> Result<Duration> {
        // SAFETY: as for `bind`.
        let (error, micros) = unsafe { portable::sched_context_consumed(self.0.0) };
        check(error).map(|()| Duration::from_micros(micros))
    }

    /// Lets the thread that has the time run instead of the calling one, where its priority is not lower. Returns
    /// what it has used since this was asked the last time.
    pub fn yield_to(self) -> Result<Duration> {
        // SAFETY: as for `bind`.
        let (error, micros) = unsafe { portable::yield_to(self.0.0) };
        check(error).map(|()| Duration::from_micros(micros))
    }
}

capability! {
    /// The right to say how much time scheduling contexts stand for, on a kernel with MCS.
    SchedControl
}

impl SchedControl {
    /// Lets `time` run for `budget` of each `period`, which are microseconds at least: with a budget of a whole period
    /// it takes turns with others of its priority. `refills` is in how many more pieces than two the budget may be
    /// used. A timeout fault tells `badge`.
    pub fn configure(
        self,
        time: SchedContext,
        budget: Duration,
        period: Duration,
        refills: usize,
        badge: Word,
    ) -> Result<()> {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let (budget, period) = (micros(budget), micros(period));
        // SAFETY: scheduling is no matter of memory safety.
        check(unsafe {
            portable::configure_sched_context(self.0.0, time.0.0, budget, period, refills as Word, badge)
        })
    }
}

impl Tcb {
    /// Sets the endpoint that hears when the thread has used up its budget, on a kernel with MCS; none with an
    /// endpoint in the null slot.
    pub fn set_timeout_endpoint(self, endpoint: Endpoint) -> Result<()> {
        let endpoint: Slot = endpoint.slot();
        // SAFETY: as for `SchedControl::configure`.
        check(unsafe { portable::set_timeout_endpoint(self.slot().0, endpoint.0) })
    }
}

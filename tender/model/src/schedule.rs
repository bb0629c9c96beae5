//! Who runs next.
//!
//! A fixed-priority scheduler with round robin, 256 priorities. The thread that runs is in no ready queue.
//! What a kernel entry does to other threads only notes what is to be done ([`Action`]); the choice falls
//! once, when the kernel is left. Where time is given by scheduling contexts only who has one can be ready.

use crate::{
    Cap, Host, Kernel, Mdb, Next, Register, SchedContext, Tcb, ThreadState, fault::Fault, notification,
    queue::WaitQueue,
};
use selkie_tender_table::Number;

/// Priorities; 255 is the highest.
const PRIORITIES: u64 = 256;
/// The domain that runs: the schedule of domains has but this one.
const DOMAIN: u64 = 0;

/// Who is ready to run.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    /// Where the ready queues lie: per priority a word, the first thread of the ring; 0 when it is empty.
    queues: u64,
    /// A bit for each priority whose queue is not empty.
    ready: [u64; 4],
    /// What is to be done when the kernel is left.
    action: Action,
    /// The thread that the root task begins with.
    initial: Option<Tcb>,
    /// The thread that stopped last because nobody handles faults of it, and why.
    pub(crate) unheard: Option<(Tcb, Fault)>,
}

/// What is to be done when the kernel is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Action {
    /// The current thread runs on.
    #[default]
    Resume,
    /// The first thread of the highest priority runs.
    Choose,
    /// This thread runs; it is in no ready queue.
    Switch(Tcb),
}

impl Schedule {
    /// Bytes of the ready queues.
    pub(crate) const QUEUES_SIZE: u64 = PRIORITIES * 8;

    /// The highest priority that a thread is ready at.
    #[inline]
    fn highest(&self) -> Option<u64> {
        let word = self.ready.iter().rposition(|word| *word != 0)?;
        Some(word as u64 * 64 + 63 - u64::from(self.ready[word].leading_zeros()))
    }

    /// Whether a thread is ready at the priority.
    #[cfg(feature = "testing")]
    pub(crate) fn is_ready(&self, priority: u64) -> bool {
        self.ready[(priority % PRIORITIES / 64) as usize] >> (priority % 64) & 1 != 0
    }

    fn set_ready(&mut self, priority: u64, ready: bool) {
        let word = &mut self.ready[(priority % PRIORITIES / 64) as usize];
        *word = *word & !(1 << (priority % 64)) | u64::from(ready) << (priority % 64);
    }
}

impl<H: Host> Kernel<'_, H> {
    /// Where the ready queues lie: [`Schedule::QUEUES_SIZE`] bytes of physical memory, zeroed, are the
    /// kernel's own from boot on.
    pub(crate) fn init_schedule(&mut self, address: u64) {
        self.schedule.queues = address;
        self.schedule.initial = Some(self.current);
    }

    /// Goes on after [`Next::Unhandled`], which has stopped but one thread, as it does on a kernel. `None`
    /// when that was the initial thread, or when nobody else can ever run.
    pub fn go_on(&mut self) -> Option<Next> {
        let stopped = self.schedule.unheard.map(|(thread, _)| thread);
        if stopped == self.schedule.initial {
            return None;
        }
        match self.leave() {
            Next::Unhandled(thread) if Some(thread) == stopped => None,
            next => Some(next),
        }
    }

    /// Somebody looks after a thread that has stopped with a fault.
    fn forget_fault(&mut self, thread: Tcb) {
        self.schedule.unheard = self.schedule.unheard.filter(|(stopped, _)| *stopped != thread);
    }

    /// Whether all waits for a thread that has stopped because nobody handles faults of it.
    fn waits_in_vain(&self) -> Option<Tcb> {
        let (thread, _) = self.schedule.unheard?;
        let stopped = thread.state(&self.memory) == ThreadState::Inactive;
        (stopped && !self.can_wake()).then_some(thread)
    }

    /// Whether a Yield of the current thread changes nothing: nobody else of its priority or a higher one is
    /// ready, it gives up no budget, and system calls are not traced.
    #[inline]
    pub fn yield_is_noop(&self) -> bool {
        if self.is_mcs() {
            return false;
        }
        let alone = match self.schedule.highest() {
            None => true,
            Some(highest) => highest < self.current_priority(),
        };
        alone && !self.tracing && self.current.0 != 0
    }

    /// Ends whatever the thread waits for, takes it from the ready queues and makes it inactive.
    pub(crate) fn suspend(&mut self, thread: Tcb) {
        self.cancel_waiting(thread);
        self.forget_fault(thread);
        // Whoever was interrupted goes on where that was, not where its last system call was.
        if self.since(11, 0) && thread.state(&self.memory) == ThreadState::Running {
            let ip = thread.register(&self.memory, Register::Rip);
            thread.set_register(&self.memory, Register::FaultIp, ip);
        }
        self.set_state(thread, ThreadState::Inactive);
        self.dequeue(thread);
        if self.is_mcs() {
            self.take_from_waiting(thread);
            self.cancel_yield(thread);
        }
    }

    /// Lets the thread run, with what it waits for given up.
    pub(crate) fn resume(&mut self, thread: Tcb) {
        if self.is_runnable(thread) {
            return;
        }
        self.cancel_waiting(thread);
        self.forget_fault(thread);
        if self.is_mcs() {
            let sc = SchedContext(thread.sched_context(&self.memory));
            self.set_state(thread, ThreadState::Restart);
            self.unblock_budget(sc);
            self.resume_budget(sc);
            if self.is_schedulable(thread) {
                self.switch_to(thread, false);
            }
            return;
        }
        self.setup_reply(thread);
        self.set_state(thread, ThreadState::Restart);
        self.enqueue(thread);
        self.switch_to(thread, false);
    }

    /// Gives the thread its master reply capability, unless it has it.
    pub(crate) fn setup_reply(&self, thread: Tcb) {
        let slot = thread.reply();
        if slot.is_empty(&self.memory) {
            slot.set_cap(&self.memory, Cap::Reply { tcb: thread.0, master: true, grant: true });
            let mdb = Mdb { prev: 0, next: 0, revocable: true, first_badged: true };
            slot.set_mdb(&self.memory, mdb);
        }
    }

    /// Whether the thread can run; nobody cannot.
    #[inline]
    pub(crate) fn is_runnable(&self, thread: Tcb) -> bool {
        thread.0 != 0 && matches!(thread.state(&self.memory), ThreadState::Running | ThreadState::Restart)
    }

    /// Whether the thread can run and has time for it; nobody cannot.
    #[inline]
    pub(crate) fn is_schedulable(&self, thread: Tcb) -> bool {
        self.is_runnable(thread) && (!self.is_mcs() || self.has_time(thread))
    }

    /// Whether the thread has a scheduling context whose budget it does not wait for.
    fn has_time(&self, thread: Tcb) -> bool {
        let sc = SchedContext(thread.sched_context(&self.memory));
        sc.is_some() && sc.is_active(&self.memory) && thread.in_release(&self.memory) == 0
    }

    /// Whether the thread waits for another one.
    pub(crate) fn is_blocked(&self, thread: Tcb) -> bool {
        !self.is_runnable(thread) && thread.state(&self.memory) != ThreadState::Inactive
    }

    /// Whether the thread is to run next.
    pub(crate) fn is_next(&self, thread: Tcb) -> bool {
        self.schedule.action == Action::Switch(thread)
    }

    /// Sets what the thread does.
    #[inline]
    pub(crate) fn set_state(&mut self, thread: Tcb, state: ThreadState) {
        thread.set_state_word(&self.memory, state as u64);
        if thread == self.current && self.schedule.action == Action::Resume && !self.is_schedulable(thread) {
            self.schedule.action = Action::Choose;
        }
    }

    /// Sets the thread's priority.
    pub(crate) fn set_thread_priority(&mut self, thread: Tcb, priority: u64) {
        if self.is_mcs() {
            return self.set_priority_of_waiting(thread, priority);
        }
        if !self.since(10, 0) {
            return self.requeue(thread, |kernel| thread.set_priority(&kernel.memory, priority));
        }
        self.dequeue(thread);
        thread.set_priority(&self.memory, priority);
        if !self.is_runnable(thread) {
            return;
        }
        if !self.since(11, 0) {
            self.enqueue(thread);
            self.reschedule();
        } else if thread == self.current {
            self.reschedule();
        } else {
            self.switch_to(thread, false);
        }
    }

    /// Sets a thread's priority where it also decides about its place among those that wait for an object.
    #[cold]
    fn set_priority_of_waiting(&mut self, thread: Tcb, priority: u64) {
        let memory = self.memory;
        match thread.state(&memory) {
            ThreadState::Running | ThreadState::Restart => {
                let ready = thread.queued(&memory) != 0 || thread == self.current;
                self.dequeue(thread);
                thread.set_priority(&memory, priority);
                if ready {
                    self.enqueue(thread);
                    self.reschedule();
                }
            }
            ThreadState::BlockedOnReceive | ThreadState::BlockedOnSend => {
                thread.set_priority(&memory, priority);
                self.reorder(WaitQueue(thread.blocked_on(&memory)), thread);
            }
            ThreadState::BlockedOnNotification => {
                thread.set_priority(&memory, priority);
                self.reorder(WaitQueue(thread.blocked_on(&memory) + notification::QUEUE), thread);
            }
            ThreadState::Inactive | ThreadState::BlockedOnReply => thread.set_priority(&memory, priority),
        }
    }

    /// The thread's place in the queue is decided afresh.
    fn reorder(&mut self, queue: WaitQueue, thread: Tcb) {
        let state = queue.state(&self.memory);
        queue.remove(&self.memory, thread);
        self.wait_in(queue, thread, state);
    }

    /// Puts the thread into a queue: last, or where priorities count before those of lower ones.
    #[inline]
    pub(crate) fn wait_in(&self, queue: WaitQueue, thread: Tcb, state: u64) {
        if self.is_mcs() {
            queue.insert(&self.memory, thread, state);
        } else {
            queue.append(&self.memory, thread, state);
        }
    }

    /// Sets the thread's domain.
    pub(crate) fn set_thread_domain(&mut self, thread: Tcb, domain: u64) {
        self.requeue(thread, |kernel| thread.set_domain(&kernel.memory, domain));
    }

    /// Changes what decides about the thread's ready queue.
    fn requeue(&mut self, thread: Tcb, change: impl FnOnce(&Self)) {
        self.dequeue(thread);
        change(self);
        if self.is_schedulable(thread) {
            self.enqueue(thread);
        }
        if thread == self.current {
            self.reschedule();
        }
    }

    /// The thread can run now. Up to seL4 5 it does so next when its priority is higher than that of the current
    /// thread, or as high and `equal`, and nobody else is to run next already; else it is queued first. Later
    /// that falls when the kernel is left.
    #[inline]
    pub(crate) fn switch_to(&mut self, thread: Tcb, equal: bool) {
        if self.since(10, 0) {
            return self.run_next(thread);
        }
        if thread.domain(&self.memory) != DOMAIN {
            return;
        }
        let (mine, other) = (self.current_priority(), thread.priority(&self.memory));
        let action = self.schedule.action;
        if action == Action::Resume && (other > mine || equal && other == mine) {
            self.schedule.action = Action::Switch(thread);
        } else {
            self.enqueue(thread);
        }
        if let Action::Switch(_) = action {
            self.reschedule();
        }
    }

    /// The thread, which is in no ready queue, may run next.
    fn run_next(&mut self, thread: Tcb) {
        if self.is_mcs() && (thread.sched_context(&self.memory) == 0 || thread.in_release(&self.memory) != 0)
        {
            return;
        }
        if thread.domain(&self.memory) != DOMAIN {
            return;
        }
        if self.schedule.action == Action::Resume {
            self.schedule.action = Action::Switch(thread);
        } else {
            self.reschedule();
            self.enqueue(thread);
        }
    }

    /// The choice of the next thread is made afresh.
    pub(crate) fn reschedule(&mut self) {
        if let Action::Switch(thread) = self.schedule.action
            && (!self.is_mcs() || self.is_schedulable(thread))
        {
            self.enqueue(thread);
        }
        self.schedule.action = Action::Choose;
    }

    /// The current thread makes way for others of its priority.
    pub(crate) fn yield_current(&mut self) {
        self.dequeue(self.current);
        self.append(self.current);
        self.reschedule();
    }

    /// Takes a tick from the current thread's time slice.
    pub(crate) fn tick_current(&mut self) {
        let thread = self.current;
        if thread.0 == 0 || thread.state(&self.memory) != ThreadState::Running {
            return;
        }
        let left = thread.time_slice(&self.memory);
        if left > 1 {
            thread.set_time_slice(&self.memory, left - 1);
        } else {
            thread.set_time_slice(&self.memory, self.table.number(Number::ConfigTimeSlice));
            self.append(thread);
            self.reschedule();
        }
    }

    /// Leaves the kernel: decides who runs, and makes that thread ready to run.
    #[inline]
    pub(crate) fn leave(&mut self) -> Next {
        if self.is_mcs() {
            self.awaken();
            self.settle();
        }
        while self.schedule.action != Action::Resume && self.ended.is_none() {
            self.choose();
        }
        if let Some(next) = self.ended.take() {
            return next;
        }
        if self.is_mcs() {
            self.update_alarm();
        }
        if self.current.0 == 0 {
            return self.waits_in_vain().map_or(Next::Idle, Next::Unhandled);
        }
        self.activate(self.current);
        Next::Run(self.current)
    }

    /// Whoever runs on pays for it.
    fn settle(&mut self) {
        if self.schedule.action == Action::Resume {
            self.switch_payer();
        }
    }

    /// A thread that is to restart begins with the instruction that it has not finished.
    #[inline]
    fn activate(&mut self, thread: Tcb) {
        if self.is_mcs() {
            self.complete_yield(thread);
        }
        if thread.state(&self.memory) == ThreadState::Restart {
            let ip = thread.register(&self.memory, Register::FaultIp);
            thread.set_register(&self.memory, Register::Rip, ip);
            thread.set_state_word(&self.memory, ThreadState::Running as u64);
        }
    }

    fn choose(&mut self) {
        let runs_on = self.is_schedulable(self.current);
        if runs_on {
            self.enqueue(self.current);
        }
        let next = match self.schedule.action {
            Action::Switch(thread) => self.preferred(thread, runs_on),
            _ => self.first_ready(),
        };
        if next.0 != 0 {
            self.dequeue(next);
        }
        self.current = next;
        self.schedule.action = Action::Resume;
        if self.is_mcs() {
            self.switch_payer();
        }
        if next.0 != 0 && !self.is_vspace(next.vspace().cap(&self.memory)) {
            self.fetch_nothing(next);
        }
    }

    /// The first thread of the highest priority that has one; nobody when there is none.
    fn first_ready(&self) -> Tcb {
        self.schedule.highest().map_or(Tcb(0), |priority| self.first_of(priority))
    }

    /// Who runs when `thread` is to run next; `runs_on` when the current thread, which is queued, could go on.
    fn preferred(&mut self, thread: Tcb, runs_on: bool) -> Tcb {
        if !self.since(10, 0) {
            return thread;
        }
        let (current, priority) = (self.current, thread.priority(&self.memory));
        let lower = current.0 == 0 || priority < current.priority(&self.memory);
        if lower && self.schedule.highest().is_some_and(|highest| priority < highest) {
            self.enqueue(thread);
            self.first_ready()
        } else if runs_on && priority == current.priority(&self.memory) {
            self.append(thread);
            self.first_ready()
        } else {
            thread
        }
    }

    /// A thread without an address space faults where it begins.
    fn fetch_nothing(&mut self, thread: Tcb) {
        /// The error code of an instruction fetch, by the user, from a page that is not there.
        const FETCH: u64 = 0x14;
        self.activate(thread);
        let address = thread.register(&self.memory, Register::Rip);
        thread.set_register(&self.memory, Register::FaultIp, address);
        self.raise(thread, Fault::Vm { address, fetch: true, code: FETCH });
    }

    /// Nobody's is 0.
    #[inline]
    fn current_priority(&self) -> u64 {
        if self.current.0 == 0 { 0 } else { self.current.priority(&self.memory) }
    }

    /// Puts the thread first in its ready queue, unless it is in it.
    pub(crate) fn enqueue(&mut self, thread: Tcb) {
        if self.append_new(thread) {
            self.set_first(thread.priority(&self.memory), thread);
        }
    }

    /// Puts the thread last in its ready queue, unless it is in it.
    pub(crate) fn append(&mut self, thread: Tcb) {
        self.append_new(thread);
    }

    /// Inserts the thread between the last and the first one of its ready queue; whether it was in none.
    fn append_new(&mut self, thread: Tcb) -> bool {
        let memory = self.memory;
        if thread.queued(&memory) != 0 || thread.domain(&memory) != DOMAIN {
            return false;
        }
        let priority = thread.priority(&memory);
        let first = self.first_of(priority);
        let (last, next) = if first.0 == 0 {
            self.set_first(priority, thread);
            self.schedule.set_ready(priority, true);
            (thread, thread)
        } else {
            (Tcb(first.ready_prev(&memory)), first)
        };
        thread.set_ready_prev(&memory, last.0);
        thread.set_ready_next(&memory, next.0);
        last.set_ready_next(&memory, thread.0);
        next.set_ready_prev(&memory, thread.0);
        thread.set_queued(&memory, 1);
        true
    }

    /// Takes the thread from its ready queue, if it is in it.
    pub(crate) fn dequeue(&mut self, thread: Tcb) {
        let memory = self.memory;
        if thread.queued(&memory) == 0 {
            return;
        }
        let priority = thread.priority(&memory);
        let (prev, next) = (Tcb(thread.ready_prev(&memory)), Tcb(thread.ready_next(&memory)));
        if next == thread {
            self.set_first(priority, Tcb(0));
            self.schedule.set_ready(priority, false);
        } else {
            prev.set_ready_next(&memory, next.0);
            next.set_ready_prev(&memory, prev.0);
            if self.first_of(priority) == thread {
                self.set_first(priority, next);
            }
        }
        thread.set_queued(&memory, 0);
    }

    /// The first thread of a ready queue.
    pub(crate) fn first_of(&self, priority: u64) -> Tcb {
        Tcb(self.memory.get(self.schedule.queues + priority % PRIORITIES * 8))
    }

    fn set_first(&self, priority: u64, thread: Tcb) {
        self.memory.set(self.schedule.queues + priority % PRIORITIES * 8, thread.0);
    }
}

//! What scheduling contexts can be given to, and every way to be refused.

use super::time_of;
use crate::{
    actor::{Actor, calm},
    kernel,
    raw::{Answer, answer, ask, capability, done, illegal, range, too_short, truncated},
    tap::Tap,
};
use selkie::{
    cap::{CNode, Capability, Notification, Rights, SchedContext, Slot, Tcb},
    memory::Objects,
    prelude::*,
    thread::{Builder, current},
};
use selkie_sys::{Word, label};

/// The first thread's scheduling context.
const OWN: Slot = Slot(selkie_sys::slot::SCHED_CONTEXT);

/// Two of each kind of object; none of the threads ever runs.
struct Bench {
    times: Objects<SchedContext>,
    tcbs: Objects<Tcb>,
    signals: Objects<Notification>,
    endpoint: Objects<Endpoint>,
}

impl Bench {
    fn new(sys: &mut System) -> Result<Self> {
        Ok(Self {
            times: sys.memory.create_many(2)?,
            tcbs: sys.memory.create_many(2)?,
            signals: sys.memory.create_many(2)?,
            endpoint: sys.memory.create()?,
        })
    }

    fn time(&self, index: usize) -> Slot {
        self.times.cap().slot().offset(index)
    }

    fn tcb(&self, index: usize) -> Slot {
        self.tcbs.cap().slot().offset(index)
    }

    fn signal(&self, index: usize) -> Slot {
        self.signals.cap().slot().offset(index)
    }

    fn end(self, sys: &mut System) -> Result<()> {
        sys.memory.destroy(self.tcbs)?;
        sys.memory.destroy(self.times)?;
        sys.memory.destroy(self.signals)?;
        sys.memory.destroy(self.endpoint)
    }
}

fn bind(time: Slot, what: Slot) -> Answer {
    ask(time, label::SCHED_CONTEXT_BIND, &[], &[what])
}

fn unbind_object(time: Slot, what: Slot) -> Answer {
    ask(time, label::SCHED_CONTEXT_UNBIND_OBJECT, &[], &[what])
}

fn unbind(time: Slot) -> Answer {
    ask(time, label::SCHED_CONTEXT_UNBIND, &[], &[])
}

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let bench = Bench::new(sys)?;
    bindings(tap, &bench);
    notifications(tap, &bench);
    own(tap);
    questions(tap, sys, &bench)?;
    parameters(tap, &bench);
    endpoints(tap, sys, &bench)?;
    bench.end(sys)
}

fn bindings(tap: &mut Tap, bench: &Bench) {
    let (time, tcb, endpoint) = (bench.time(0), bench.tcb(0), bench.endpoint.cap().slot());
    tap.is("a scheduling context: the label 0", ask(time, 0, &[], &[]), illegal());
    tap.is("a scheduling context: the greatest label", ask(time, 0xf_ffff, &[], &[]), illegal());
    too_short(tap, "a gift of time", time, label::SCHED_CONTEXT_BIND, &[], &[tcb]);
    tap.is("time for an endpoint", bind(time, endpoint), capability(1));
    tap.is("time for nothing", bind(time, Slot::NULL), capability(1));
    tap.is("time for a scheduling context", bind(time, bench.time(1)), capability(1));
    tap.is("unbind where nothing is bound", unbind(time), done());
    tap.is("time for a thread", bind(time, tcb), done());
    tap.is("the same again", bind(time, tcb), illegal());
    tap.is("the same time for a second thread", bind(time, bench.tcb(1)), illegal());
    tap.is("more time for the same thread", bind(bench.time(1), tcb), illegal());
    too_short(tap, "a taking of time", time, label::SCHED_CONTEXT_UNBIND_OBJECT, &[], &[tcb]);
    tap.is("take time from an endpoint", unbind_object(time, endpoint), capability(1));
    tap.is("take time from a thread that has none", unbind_object(time, bench.tcb(1)), illegal());
    tap.is("take other time than the thread has", unbind_object(bench.time(1), tcb), illegal());
    tap.is("take time from the thread", unbind_object(time, tcb), done());
    tap.is("once more", unbind_object(time, tcb), illegal());
    tap.is("then a second thread can have it", bind(time, bench.tcb(1)), done());
    tap.is("unbind", unbind(time), done());
    tap.is("and the first one again", bind(time, tcb), done());
    tap.is("take it away for good", unbind(time), done());
}

fn notifications(tap: &mut Tap, bench: &Bench) {
    let (time, one, other) = (bench.time(0), bench.signal(0), bench.signal(1));
    tap.is("time for a notification", bind(time, one), done());
    tap.is("the same time for a second one", bind(time, other), illegal());
    tap.is("more time for the same one", bind(bench.time(1), one), illegal());
    tap.is("time for a thread beside", bind(time, bench.tcb(0)), done());
    tap.is("take time from the other one", unbind_object(time, other), illegal());
    tap.is("take time from the notification", unbind_object(time, one), done());
    tap.is("the thread keeps it", bind(time, bench.tcb(1)), illegal());
    bind(time, one);
    tap.is("unbind takes it from both", unbind(time), done());
    tap.is("so that others can have it", [bind(time, other), bind(time, bench.tcb(1))], [done(), done()]);
    unbind(time);
}

/// An answer that tells that no time was used: on seL4 13 only in a register.
fn told() -> Answer {
    if kernel::since(14) { answer(0, &[0]) } else { done() }
}

/// The time that the caller runs on.
fn own(tap: &mut Tap) {
    let me = current().tcb().slot();
    tap.is("unbind of one's own time", unbind(OWN), illegal());
    tap.is("take one's own time from oneself", unbind_object(OWN, me), illegal());
    tap.is("bind of one's own time to oneself", bind(OWN, me), illegal());
    tap.is("yield to oneself", ask(OWN, label::SCHED_CONTEXT_YIELD_TO, &[], &[]), illegal());
    let consumed = ask(OWN, label::SCHED_CONTEXT_CONSUMED, &[], &[]);
    tap.is("one's own consumption is told", (consumed.label, consumed.words.len()), (0, told().words.len()));
}

fn questions(tap: &mut Tap, sys: &mut System, bench: &Bench) -> Result<()> {
    let (time, tcb) = (bench.time(0), bench.tcb(0));
    let yield_to = |time: Slot| ask(time, label::SCHED_CONTEXT_YIELD_TO, &[], &[]);
    tap.is("consumption of what nobody used", ask(time, label::SCHED_CONTEXT_CONSUMED, &[], &[]), told());
    tap.is("yield to nobody", yield_to(time), illegal());
    bind(time, tcb);
    tap.is("yield to a thread that never ran", yield_to(time), told());
    let limited = Builder::new().priority(150).max_priority(150).spawn(sys, move || {
        let refused = yield_to(time);
        (refused, ask(time, label::SCHED_CONTEXT_CONSUMED, &[], &[]))
    })?;
    let (refused, consumed) = {
        Tcb::at(tcb).set_priority(151)?;
        limited.join(sys)?
    };
    tap.is("yield to a thread above one's greatest priority", refused, illegal());
    tap.is("its consumption can be asked for all the same", consumed, told());
    unbind(time);
    Ok(())
}

/// Priorities, time and fault endpoint of a thread, all at once.
fn parameters(tap: &mut Tap, bench: &Bench) {
    let (tcb, time, me) = (bench.tcb(0), bench.time(0), current().tcb().slot());
    let set = |words: [Word; 2], caps: [Slot; 3]| ask(tcb, label::TCB_SET_SCHED_PARAMS, &words, &caps);
    let none = Slot::NULL;
    too_short(tap, "all parameters", tcb, label::TCB_SET_SCHED_PARAMS, &[100, 100], &[me, time, none]);
    tap.is("all parameters", set([100, 100], [me, time, none]), done());
    // seL4 13 refuses any time for a thread that has some.
    let has_some = |answer: Answer| kernel::from(14, answer, illegal());
    tap.is("the same again", set([100, 100], [me, time, none]), has_some(done()));
    tap.is("other time", set([100, 100], [me, bench.time(1), none]), illegal());
    tap.is("the authority of a CNode", set([100, 100], [CNode::OWN.slot(), time, none]), capability(1));
    tap.is("a greatest priority of 256", set([256, 100], [me, time, none]), range(0, 255));
    tap.is("a priority of 256", set([100, 256], [me, time, none]), range(0, 255));
    tap.is("an endpoint for time", set([100, 100], [me, bench.endpoint.cap().slot(), none]), capability(2));
    tap.is("time for a fault endpoint", set([100, 100], [me, time, bench.time(1)]), has_some(capability(3)));
    tap.is("a fault endpoint", set([100, 100], [me, time, bench.endpoint.cap().slot()]), has_some(done()));
    tap.is("the authority before the priority", set([256, 256], [none, none, none]), capability(1));
    tap.is("the priority before the time", set([100, 256], [me, me, none]), range(0, 255));
    tap.is("the time before the fault endpoint", set([100, 100], [me, me, time]), capability(2));
    let twice = ask(bench.tcb(1), label::TCB_SET_SCHED_PARAMS, &[100, 100], &[me, time, none]);
    tap.is("the same time for a second thread, by its parameters", twice, illegal());
    tap.is("no time", set([100, 100], [me, none, none]), done());
    tap.is("then a second thread can have it, by its parameters", bind(time, bench.tcb(1)), done());
    unbind(time);
    let mine = ask(me, label::TCB_SET_SCHED_PARAMS, &[255, 255], &[me, none, none]);
    tap.is("no time for oneself", mine, illegal());
}

/// Endpoints that hear of timeouts and faults.
fn endpoints(tap: &mut Tap, sys: &mut System, bench: &Bench) -> Result<()> {
    let (tcb, endpoint) = (bench.tcb(0), bench.endpoint.cap());
    let set = |cap: Slot| ask(tcb, label::TCB_SET_TIMEOUT_ENDPOINT, &[], &[cap]);
    let short = ask(tcb, label::TCB_SET_TIMEOUT_ENDPOINT, &[], &[]);
    tap.is("a timeout endpoint: a capability too few", short, kernel::from(14, truncated(), illegal()));
    tap.is("a timeout endpoint", set(endpoint.slot()), done());
    tap.is("a notification for timeouts", set(bench.signal(0)), capability(1));
    tap.is("no timeout endpoint", set(Slot::NULL), done());
    let slot = sys.memory.slot()?;
    for (what, rights, want) in [
        ("a timeout endpoint that may not be written", Rights::READ.and(Rights::GRANT), capability(1)),
        ("one that may not grant", Rights::READ_WRITE, capability(1)),
        ("one that may only grant replies", Rights::WRITE.and(Rights::GRANT_REPLY), done()),
    ] {
        slot.place().mint(endpoint.place(), rights, 9)?;
        tap.is(what, set(slot), want);
        slot.place().delete()?;
    }
    sys.memory.release_slots(slot, 1);
    calm(sys, |sys| deleted(tap, sys))
}

/// A scheduling context goes, and the thread stays.
fn deleted(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let actor = Actor::new(sys, Slot::NULL)?;
    let time = time_of(&actor)?;
    let signal = sys.memory.create::<Notification>()?;
    crate::actor::NOTES.clear();
    crate::actor::NOTES.set(8, signal.cap().slot().0);
    actor.start(super::wait, actor.tcb().slot().0)?;
    tap.is("delete of a thread's time", time.place().delete(), Ok(()));
    signal.cap().signal();
    tap.is("the thread does not run any more", crate::actor::NOTES.get(0), 1);
    let other = selkie::thread::Share::new(sys)?;
    other.bind(actor.tcb())?;
    tap.is("with other time it goes on", crate::actor::NOTES.get(0), 12);
    actor.end(sys)?;
    other.destroy(&mut sys.memory)?;
    sys.memory.destroy(signal)
}

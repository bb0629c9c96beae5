//! A notification that is bound to a thread: its signals end a receive from any endpoint.

use crate::{
    actor::calm,
    kernel,
    notification::{badged, drop_cap},
    raw::{ask, done, illegal, too_short},
    tap::Tap,
};
use selkie::{
    LookupFailure,
    cap::{Capability, Rights, Slot, Tcb},
    fault::Fault,
    prelude::*,
    thread::{Builder, current},
};
use selkie_sys::label;

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    calm(sys, |sys| {
        refusals(tap, sys)?;
        lifetimes(tap, sys)?;
        receives(tap, sys)?;
        waits(tap, sys)?;
        of_the_first_thread(tap, sys)
    })
}

fn bind(tcb: Tcb, what: Slot) -> crate::raw::Answer {
    ask(tcb.slot(), label::TCB_BIND_NOTIFICATION, &[], &[what])
}

fn refusals(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let tcbs = sys.memory.create_many::<Tcb>(2)?;
    let (one, other) = (tcbs.cap(), Tcb::at(tcbs.cap().slot().offset(1)));
    let object = sys.memory.create::<Notification>()?;
    let endpoint = sys.memory.create::<Endpoint>()?;
    let signal = object.cap().slot();
    let deaf = badged(sys, object.cap(), Rights::WRITE, 1)?;
    too_short(tap, "a binding", one.slot(), label::TCB_BIND_NOTIFICATION, &[], &[signal]);
    tap.is("bind without the right to read", bind(one, deaf.slot()), illegal());
    tap.is("bind of an endpoint", bind(one, endpoint.cap().slot()), illegal());
    tap.is("bind of the null slot", bind(one, Slot::NULL), illegal());
    tap.is("bind", bind(one, signal), done());
    tap.is("bind to the same thread again", bind(one, signal), illegal());
    tap.is("bind to a second thread", bind(other, signal), illegal());
    let unbind = |tcb: Tcb| ask(tcb.slot(), label::TCB_UNBIND_NOTIFICATION, &[], &[]);
    tap.is("unbind of the other thread", unbind(other), illegal());
    tap.is("unbind of the bound one", unbind(one), done());
    tap.is("unbind once more", unbind(one), illegal());
    let waiting = sys.spawn({
        let signal = object.cap();
        move || signal.wait()
    })?;
    tap.is("bind while a thread waits", bind(one, signal), illegal());
    object.cap().signal();
    waiting.join(sys)?;
    tap.is("bind once nobody waits", bind(other, signal), done());
    object.cap().signal();
    tap.is("unbind while a signal is there", unbind(other), done());
    tap.is("bind while a signal is there", bind(one, signal), done());
    tap.is("the signal stays", unbind(one), done());
    tap.is("and can be taken", object.cap().wait(), 0);
    drop_cap(sys, deaf)?;
    sys.memory.destroy(endpoint)?;
    sys.memory.destroy(object)?;
    sys.memory.destroy(tcbs)
}

/// A binding ends with either side.
fn lifetimes(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let tcb = sys.memory.create::<Tcb>()?;
    let object = sys.memory.create::<Notification>()?;
    let other = sys.memory.create::<Notification>()?;
    tcb.cap().bind_notification(object.cap())?;
    sys.memory.destroy(object)?;
    tap.is(
        "a deleted notification is unbound",
        tcb.cap().unbind_notification(),
        Err(Error::IllegalOperation),
    );
    tap.is("another can be bound", tcb.cap().bind_notification(other.cap()), Ok(()));
    sys.memory.destroy(tcb)?;
    let tcb = sys.memory.create::<Tcb>()?;
    tap.is("a deleted thread is unbound", tcb.cap().bind_notification(other.cap()), Ok(()));
    sys.memory.destroy(tcb)?;
    sys.memory.destroy(other)
}

fn receives(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let object = sys.memory.create::<Notification>()?;
    let meeting = sys.memory.create::<Endpoint>()?;
    let signal = badged(sys, object.cap(), Rights::ALL, 0x80)?;
    let (own, endpoint) = (object.cap(), meeting.cap());
    let receiver = sys.spawn(move || {
        let bound = current().tcb().bind_notification(own);
        let got: Vec<_> = (0..4).map(|_| endpoint.recv().badge).collect();
        (bound, got)
    })?;
    signal.signal();
    tap.yes("a signal ends a receive", endpoint.try_recv().is_none());
    let sender = badged(sys, endpoint, Rights::ALL, 5)?;
    // The receiver waits at the endpoint again, where a message reaches it just as well.
    sender.send(&Message::new(0));
    receiver.tcb().suspend()?;
    signal.signal();
    let late = sys.spawn(move || sender.send(&Message::new(0)))?;
    receiver.tcb().resume()?;
    let got = receiver.join(sys)?;
    late.join(sys)?;
    tap.is("bind one's own TCB", got.0, Ok(()));
    tap.is("a signal comes before a message that waits", got.1, vec![0x80, 5, 0x80, 5]);
    drop_cap(sys, sender)?;
    drop_cap(sys, signal)?;
    sys.memory.destroy(meeting)?;
    sys.memory.destroy(object)
}

/// Nobody but the bound thread may wait for a bound notification.
fn waits(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let object = sys.memory.create::<Notification>()?;
    let handler = sys.memory.create::<Endpoint>()?;
    let tcb = sys.memory.create::<Tcb>()?;
    let signal = object.cap();
    tcb.cap().bind_notification(signal)?;
    let failure = kernel::told(LookupFailure::MissingCapability { bits_left: 0 });
    for (what, polls) in [("a wait of another thread is a fault", false), ("so is its poll", true)] {
        let body = move || if polls { signal.poll() } else { Some(signal.wait()) };
        let thread = Builder::new().fault_endpoint(handler.cap()).spawn(sys, body)?;
        let fault = Fault::decode(&handler.cap().recv().message);
        tap.yes(
            what,
            matches!(fault, Fault::Cap { address, receiving: true, failure: why, .. }
            if address == signal.slot().0 && why == failure),
        );
        // SAFETY: the thread waits for a reply that never comes, and holds no lock.
        unsafe { thread.kill(sys)? };
    }
    tcb.cap().unbind_notification()?;
    let thread = sys.spawn(move || {
        let bound = current().tcb().bind_notification(signal);
        (bound, signal.wait(), signal.poll())
    })?;
    badged_signal(sys, signal, 0x11)?;
    tap.is("the bound thread may wait", thread.join(sys), Ok((Ok(()), 0x11, None)));
    sys.memory.destroy(tcb)?;
    sys.memory.destroy(handler)?;
    sys.memory.destroy(object)
}

fn badged_signal(sys: &mut System, signal: Notification, badge: u64) -> Result<()> {
    let cap = badged(sys, signal, Rights::WRITE, badge)?;
    cap.signal();
    drop_cap(sys, cap)
}

/// A signal that is there already, for the first thread itself.
fn of_the_first_thread(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let object = sys.memory.create::<Notification>()?;
    let meeting = sys.memory.create::<Endpoint>()?;
    let me = current().tcb();
    me.bind_notification(object.cap())?;
    badged_signal(sys, object.cap(), 0x21)?;
    tap.is("a receive takes a signal that came before", meeting.cap().recv().badge, 0x21);
    badged_signal(sys, object.cap(), 0x22)?;
    badged_signal(sys, object.cap(), 0x44)?;
    let got = meeting.cap().reply_recv(&Message::new(0)).badge;
    tap.is("so does a reply with a receive, and takes all of them", got, 0x66);
    badged_signal(sys, object.cap(), 0x23)?;
    let got = meeting.cap().try_recv().map(|received| received.badge);
    tap.is("a receive that does not wait takes one too", got, Some(0x23));
    tap.yes("then there is none", meeting.cap().try_recv().is_none());
    tap.is("unbind one's own TCB", me.unbind_notification(), Ok(()));
    sys.memory.destroy(meeting)?;
    sys.memory.destroy(object)
}

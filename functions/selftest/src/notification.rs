//! Notifications: bits that are set, taken, and waited for.

mod bound;
mod waiters;

use crate::{actor::give_way, tap::Tap};
use core::sync::atomic::{AtomicU32, Ordering};
use selkie::{
    cap::{Capability, Rights, Slot, Tcb},
    prelude::*,
    thread::Builder,
};

/// A capability of `source` with a badge, in a slot of its own.
pub fn badged<C: Capability>(sys: &mut System, source: C, rights: Rights, badge: u64) -> Result<C> {
    let slot = sys.memory.slot()?;
    slot.place().mint(source.place(), rights, badge)?;
    Ok(C::at(slot))
}

/// Deletes a capability and gives its slot back.
pub fn drop_cap(sys: &mut System, cap: impl Capability) -> Result<()> {
    let slot: Slot = cap.slot();
    slot.place().delete()?;
    sys.memory.release_slots(slot, 1);
    Ok(())
}

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    signals(tap, sys)?;
    waiting(tap, sys)?;
    binding(tap, sys)?;
    waiters::run(tap, sys)?;
    bound::run(tap, sys)
}

fn signals(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let object = sys.memory.create::<Notification>()?;
    let one = badged(sys, object.cap(), Rights::WRITE, 1)?;
    let four = badged(sys, object.cap(), Rights::WRITE, 4)?;
    tap.is("poll without a signal", object.cap().poll(), None);
    one.signal();
    tap.is("poll takes the badge", object.cap().poll(), Some(1));
    tap.is("poll takes it once", object.cap().poll(), None);
    one.signal();
    four.signal();
    one.signal();
    tap.is("badges of several signals are put together", object.cap().poll(), Some(5));
    four.signal();
    tap.is("wait after a signal does not block", object.cap().wait(), 4);
    drop_cap(sys, one)?;
    drop_cap(sys, four)?;
    sys.memory.destroy(object)
}

fn waiting(tap: &mut Tap, sys: &mut System) -> Result<()> {
    static AWAKE: AtomicU32 = AtomicU32::new(0);
    AWAKE.store(0, Ordering::SeqCst);
    let object = sys.memory.create::<Notification>()?;
    let go = badged(sys, object.cap(), Rights::WRITE, 8)?;
    let cap = object.cap();
    let first = sys.spawn(move || wake(cap, &AWAKE))?;
    let second = sys.spawn(move || wake(cap, &AWAKE))?;
    give_way();
    tap.is("threads sleep until a signal comes", AWAKE.load(Ordering::SeqCst), 0);
    go.signal();
    give_way();
    tap.is("one signal wakes one thread", AWAKE.load(Ordering::SeqCst), 1);
    go.signal();
    tap.is("the first thread got the badge", first.join(sys), Ok(8));
    tap.is("the second thread got the badge", second.join(sys), Ok(8));
    drop_cap(sys, go)?;
    sys.memory.destroy(object)
}

fn wake(notification: Notification, awake: &AtomicU32) -> u64 {
    let badge = notification.wait();
    awake.fetch_add(1, Ordering::SeqCst);
    badge
}

fn binding(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let tcb = sys.memory.create::<Tcb>()?;
    let object = sys.memory.create::<Notification>()?;
    let other = sys.memory.create::<Notification>()?;
    tap.is("bind to a thread", tcb.cap().bind_notification(object.cap()), Ok(()));
    tap.is("bind a second one", tcb.cap().bind_notification(other.cap()), Err(Error::IllegalOperation));
    tap.is("unbind", tcb.cap().unbind_notification(), Ok(()));
    tap.is("unbind without a bound one", tcb.cap().unbind_notification(), Err(Error::IllegalOperation));
    let endpoint = sys.memory.create::<Endpoint>()?;
    tap.yes(
        "bind an endpoint",
        tcb.cap().bind_notification(Notification::at(endpoint.cap().slot())).is_err(),
    );
    // A thread that receives from an endpoint gets signals of its bound notification too.
    let go = badged(sys, object.cap(), Rights::WRITE, 0x40)?;
    let (ep, notification) = (endpoint.cap(), object.cap());
    let receiver = Builder::new().spawn(sys, move || {
        let me = selkie::thread::current().tcb();
        me.bind_notification(notification).map(|()| ep.recv().badge)
    })?;
    give_way();
    go.signal();
    tap.is("a signal arrives at an endpoint", receiver.join(sys)?, Ok(0x40));
    drop_cap(sys, go)?;
    sys.memory.destroy(endpoint)?;
    sys.memory.destroy(other)?;
    sys.memory.destroy(object)?;
    sys.memory.destroy(tcb)
}

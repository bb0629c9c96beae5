//! Threads that wait for signals: who is woken, with what, and what happens to those that leave.

use crate::{
    actor::calm,
    kernel,
    notification::{badged, drop_cap},
    tap::Tap,
};
use selkie::{
    LookupFailure,
    cap::{CNode, Capability, ObjectType, Rights},
    fault::Fault,
    prelude::*,
    thread::{Builder, JoinHandle},
};
use selkie_sys::MessageInfo;

const PRIORITIES: [u8; 3] = [150, 254, 120];

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    calm(sys, |sys| {
        order(tap, sys)?;
        without_badge(tap, sys)?;
        leaving(tap, sys)?;
        deleted(tap, sys)
    })
}

/// Three threads of several priorities wait.
fn three(sys: &mut System, signal: Notification) -> Result<Vec<JoinHandle<u64>>> {
    let spawn = |priority| Builder::new().priority(priority).spawn(sys, move || signal.wait());
    PRIORITIES.into_iter().map(spawn).collect()
}

fn order(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let object = sys.memory.create::<Notification>()?;
    let caps: Vec<_> =
        [1, 2, 1 << 63].into_iter().map(|badge| badged(sys, object.cap(), Rights::WRITE, badge)).collect();
    let threads = three(sys, object.cap())?;
    tap.is("a poll takes nothing from waiting threads", object.cap().poll(), None);
    for cap in &caps {
        cap.as_ref().map_err(|error| *error)?.signal();
    }
    let got: Vec<_> = threads.into_iter().map(|thread| thread.join(sys)).collect();
    let want = kernel::on_mcs([2, 1, 1 << 63], [1, 2, 1 << 63]).map(Ok).to_vec();
    tap.is("waiting threads are woken as they came, with MCS by their priorities", got, want);
    tap.is("what woke a thread is taken", object.cap().poll(), None);
    for cap in &caps {
        cap.as_ref().map_err(|error| *error)?.signal();
    }
    tap.is("signals that nobody waits for are put together", object.cap().wait(), 1 << 63 | 3);
    // A message to a notification is a signal, whatever is in it.
    if let Some(Ok(cap)) = caps.first() {
        Endpoint::at(cap.slot()).send(&Message::with(9, &[8, 7]));
        let (info, badge) = receive(object.cap());
        tap.is("a message to a notification is a signal", badge, 1);
        tap.yes("nothing of the message arrives", info.label() != 9);
        let answer = Endpoint::at(cap.slot()).call(&Message::with(9, &[8, 7]));
        tap.is("a call of a notification", (answer.label(), answer.words().len()), (0, 0));
        tap.is("is a signal too", object.cap().poll(), Some(1));
        Endpoint::at(cap.slot()).try_send(&Message::new(3));
        tap.is("so is a send that does not wait", object.cap().poll(), Some(1));
    }
    for cap in caps {
        drop_cap(sys, cap?)?;
    }
    sys.memory.destroy(object)
}

/// Receives from a notification as from an endpoint.
fn receive(signal: Notification) -> (MessageInfo, u64) {
    // SAFETY: a receive changes nothing but registers and the IPC buffer.
    unsafe { selkie_sys::portable::wait(signal.slot().0, &mut [0; 4]) }
}

/// A signal through a capability without badge.
fn without_badge(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let object = sys.memory.create::<Notification>()?;
    let signal = object.cap();
    signal.signal();
    tap.is("a signal without badge ends a wait", signal.wait(), 0);
    let thread = sys.spawn(move || signal.wait())?;
    signal.signal();
    tap.is("and wakes a thread", thread.join(sys), Ok(0));
    let four = badged(sys, signal, Rights::ALL, 4)?;
    signal.signal();
    four.signal();
    tap.is("it adds nothing to a badge", signal.wait(), 4);
    drop_cap(sys, four)?;
    sys.memory.destroy(object)
}

fn leaving(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let object = sys.memory.create::<Notification>()?;
    let signal = badged(sys, object.cap(), Rights::ALL, 2)?;
    let mut threads = three(sys, object.cap())?;
    threads[0].tcb().suspend()?;
    signal.signal();
    tap.is(
        "a suspended thread does not take a signal",
        threads.iter().map(JoinHandle::is_finished).collect::<Vec<_>>(),
        vec![false, true, false],
    );
    threads[0].tcb().resume()?;
    signal.signal();
    tap.is(
        "a resumed one waits behind the others, with MCS behind those of its priority",
        threads.iter().map(JoinHandle::is_finished).collect::<Vec<_>>(),
        kernel::on_mcs([true, true, false], [false, true, true]).to_vec(),
    );
    let waits = kernel::on_mcs(2, 0);
    // SAFETY: the thread waits for a signal and holds no lock.
    unsafe { threads.remove(waits).kill(sys)? };
    signal.signal();
    tap.is("a deleted thread takes no signal", object.cap().poll(), Some(2));
    for thread in threads {
        thread.join(sys)?;
    }
    signal.signal();
    let thread = sys.spawn(move || signal.wait())?;
    tap.is("a thread that comes after the signal does not wait", thread.join(sys), Ok(2));
    let thread = sys.spawn(move || signal.wait())?;
    thread.tcb().suspend()?;
    signal.signal();
    thread.tcb().resume()?;
    tap.is("a signal that comes while a thread is suspended waits for it", thread.join(sys), Ok(2));
    drop_cap(sys, signal)?;
    sys.memory.destroy(object)
}

/// A notification is deleted while threads wait for it: they repeat their system calls on an empty slot.
fn deleted(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let memory = sys.memory.create_untyped(ObjectType::Notification.bits())?;
    let handler = sys.memory.create::<Endpoint>()?;
    let slot = sys.memory.slot()?;
    memory.cap().retype(ObjectType::Notification, CNode::OWN.place(0, 0), slot.0, 1)?;
    let body = move || Notification::at(slot).wait();
    let one = Builder::new().fault_endpoint(handler.cap()).spawn(sys, body)?;
    let other = Builder::new().fault_endpoint(handler.cap()).spawn(sys, body)?;
    tap.is("a notification is deleted where threads wait", slot.place().delete(), Ok(()));
    let failure = kernel::told(LookupFailure::MissingCapability { bits_left: 0 });
    let faults = core::iter::from_fn(|| handler.cap().try_recv())
        .map(|received| Fault::decode(&received.message))
        .filter(|fault| {
            matches!(*fault, Fault::Cap { address, receiving: true, failure: why, .. }
                if address == slot.0 && why == failure)
        });
    tap.is("all of them fault", faults.count(), 2);
    for thread in [one, other] {
        // SAFETY: the thread waits for a reply that never comes, and holds no lock.
        unsafe { thread.kill(sys)? };
    }
    Notification::at(slot).signal();
    tap.is("a signal to nowhere does nothing", memory.cap().place().revoke(), Ok(()));
    sys.memory.release_slots(slot, 1);
    sys.memory.destroy(handler)?;
    sys.memory.destroy(memory)
}

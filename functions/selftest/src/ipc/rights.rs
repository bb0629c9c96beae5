//! What a capability of an endpoint allows, and what comes of using one that does not.

use crate::{
    actor::calm,
    kernel,
    notification::{badged, drop_cap},
    raw::{ask, capability},
    tap::Tap,
};
use selkie::{
    LookupFailure,
    cap::{Capability, Reply, Rights, Slot, Tcb},
    fault::Fault,
    memory::Objects,
    message::set_receive_place,
    prelude::*,
    thread::Builder,
};
use selkie_sys::rule;

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    calm(sys, |sys| {
        let object = sys.memory.create::<Endpoint>()?;
        sending(tap, sys, object.cap())?;
        calling(tap, sys, object.cap())?;
        granting_replies(tap, sys, object.cap())?;
        receiving(tap, sys, object.cap())?;
        mended(tap, sys, object.cap())?;
        sys.memory.destroy(object)
    })
}

fn sending(tap: &mut Tap, sys: &mut System, endpoint: Endpoint) -> Result<()> {
    let only_read = badged(sys, endpoint, Rights::READ, 1)?;
    let only_grant = badged(sys, endpoint, Rights::GRANT, 2)?;
    let only_write = badged(sys, endpoint, Rights::WRITE, 3)?;
    tap.is("a call without the right to write", ask(only_read.slot(), 5, &[1, 2], &[]), capability(0));
    tap.is("a call with the right to grant alone", ask(only_grant.slot(), 5, &[], &[]), capability(0));
    let thread = sys.spawn(move || {
        let received = endpoint.recv();
        (received.badge, received.message.get(0))
    })?;
    only_read.send(&Message::with(0, &[10]));
    tap.yes("a send without the right to write does nothing", !thread.is_finished());
    only_read.try_send(&Message::with(0, &[11]));
    tap.yes("nor does a send that does not wait", !thread.is_finished());
    only_write.try_send(&Message::with(0, &[12]));
    tap.is("the right to write suffices to send", thread.join(sys), Ok((3, 12)));
    drop_cap(sys, only_write)?;
    drop_cap(sys, only_grant)?;
    drop_cap(sys, only_read)
}

/// seL4 5.0.0 lets a thread call without the right to grant, and then never wakes it.
fn calling(tap: &mut Tap, sys: &mut System, endpoint: Endpoint) -> Result<()> {
    let mean = badged(sys, endpoint, Rights::READ_WRITE, 4)?;
    let thread = sys.spawn(move || mean.call(&Message::with(1, &[13])).get(0))?;
    let received = endpoint.recv();
    let came = (received.badge, received.message.label(), received.message.get(0));
    tap.is("a call without the right to grant arrives", came, (4, 1, 13));
    Reply::to_caller(&Message::with(0, &[14]));
    tap.yes("there is nobody to reply to", !thread.is_finished());
    tap.yes("the caller does not wait at the endpoint", endpoint.try_recv().is_none());
    tap.is("the caller is resumed", thread.tcb().resume(), Ok(()));
    tap.is("and calls again", endpoint.try_recv().map(|received| received.message.get(0)), Some(13));
    // SAFETY: the thread waits for ever and holds no lock.
    unsafe { thread.kill(sys)? };
    // The same while the receiver waits already.
    let server = sys.spawn(move || {
        let received = endpoint.recv();
        Reply::to_caller(&Message::with(0, &[99]));
        received.badge
    })?;
    let thread = sys.spawn(move || mean.call(&Message::new(0)).get(0))?;
    tap.is("a receiver that waits gets it too", server.join(sys), Ok(4));
    tap.yes("and the caller stays as it is", !thread.is_finished());
    // SAFETY: as above.
    unsafe { thread.kill(sys)? };
    drop_cap(sys, mean)
}

/// The right to be replied to, where the kernel has it: capabilities do not come with such a call.
fn granting_replies(tap: &mut Tap, sys: &mut System, endpoint: Endpoint) -> Result<()> {
    let caller = badged(sys, endpoint, Rights::WRITE.and(Rights::GRANT_REPLY), 5)?;
    let gift = sys.memory.create::<Notification>()?;
    let (slot, given) = (sys.memory.slot()?, gift.cap().slot());
    set_receive_place(slot.place());
    let thread = sys.spawn(move || caller.call(&Message::with(1, &[15]).cap(given)).get(0))?;
    let message = endpoint.recv().message;
    tap.is("a call with the right to grant a reply alone", (message.get(0), message.caps()), (15, 0));
    Reply::to_caller(&Message::with(0, &[16]));
    tap.is("is replied to where there is such a right", thread.is_finished(), !rule::CALL_NEEDS_GRANT);
    if rule::CALL_NEEDS_GRANT {
        // SAFETY: the thread waits for ever and holds no lock.
        unsafe { thread.kill(sys)? };
    } else {
        tap.is("with what was sent", thread.join(sys), Ok(16));
    }
    set_receive_place(Slot::NULL.place());
    sys.memory.release_slots(slot, 1);
    sys.memory.destroy(gift)?;
    drop_cap(sys, caller)
}

/// Runs `body` in a thread and returns the fault that it ends in.
fn fault_of(
    sys: &mut System,
    handler: &Objects<Endpoint>,
    body: impl FnOnce() + Send + 'static,
) -> Result<Fault> {
    let thread = Builder::new().fault_endpoint(handler.cap()).spawn(sys, body)?;
    let fault = Fault::decode(&handler.cap().recv().message);
    // SAFETY: the thread waits for a reply that never comes, and holds no lock.
    unsafe { thread.kill(sys)? };
    Ok(fault)
}

fn is_missing(fault: &Fault, slot: Slot) -> bool {
    matches!(
        *fault,
        Fault::Cap { address, receiving: true, failure, .. }
            if address == slot.0 && failure == kernel::told(LookupFailure::MissingCapability { bits_left: 0 })
    )
}

fn receiving(tap: &mut Tap, sys: &mut System, endpoint: Endpoint) -> Result<()> {
    let handler = sys.memory.create::<Endpoint>()?;
    let signal = sys.memory.create::<Notification>()?;
    let tcb = sys.memory.create::<Tcb>()?;
    let empty = sys.memory.slot()?;
    let only_write = badged(sys, endpoint, Rights::WRITE.and(Rights::GRANT), 5)?;
    let only_signal = badged(sys, signal.cap(), Rights::WRITE, 6)?;
    let fault = fault_of(sys, &handler, move || {
        let _ = only_write.recv();
    })?;
    tap.yes("a receive without the right to read is a fault", is_missing(&fault, only_write.slot()));
    let fault = fault_of(sys, &handler, move || {
        let _ = only_write.try_recv();
    })?;
    tap.yes("so is one that does not wait", is_missing(&fault, only_write.slot()));
    let fault = fault_of(sys, &handler, move || {
        let _ = only_write.reply_recv(&Message::new(0));
    })?;
    tap.yes("so is a reply with a receive", is_missing(&fault, only_write.slot()));
    let fault = fault_of(sys, &handler, move || {
        only_signal.wait();
    })?;
    tap.yes("a wait without the right to read is a fault", is_missing(&fault, only_signal.slot()));
    let fault = fault_of(sys, &handler, move || {
        only_signal.poll();
    })?;
    tap.yes("so is a poll", is_missing(&fault, only_signal.slot()));
    let thread = tcb.cap().slot();
    let fault = fault_of(sys, &handler, move || {
        let _ = Endpoint::at(thread).recv();
    })?;
    tap.yes("a receive from a TCB is a fault", is_missing(&fault, thread));
    let fault = fault_of(sys, &handler, move || {
        let _ = Endpoint::at(empty).recv();
    })?;
    tap.yes("a receive from an empty slot is a fault", is_missing(&fault, empty));
    let fault = fault_of(sys, &handler, || {
        let _ = Endpoint::at(Slot::NULL).try_recv();
    })?;
    tap.yes("a receive from the null slot is a fault", is_missing(&fault, Slot::NULL));
    drop_cap(sys, only_signal)?;
    drop_cap(sys, only_write)?;
    sys.memory.release_slots(empty, 1);
    sys.memory.destroy(tcb)?;
    sys.memory.destroy(signal)?;
    sys.memory.destroy(handler)
}

/// A reply to such a fault repeats the receive.
fn mended(tap: &mut Tap, sys: &mut System, endpoint: Endpoint) -> Result<()> {
    let handler = sys.memory.create::<Endpoint>()?;
    let slot = sys.memory.slot()?;
    let thread = Builder::new()
        .fault_endpoint(handler.cap())
        .spawn(sys, move || Endpoint::at(slot).recv().message.get(0))?;
    tap.yes("a receive from nowhere", is_missing(&Fault::decode(&handler.cap().recv().message), slot));
    Reply::to_caller(&Message::new(0));
    let again = handler.cap().try_recv().map(|received| Fault::decode(&received.message));
    tap.yes("is repeated by a reply", again.is_some_and(|fault| is_missing(&fault, slot)));
    slot.place().copy(endpoint.place(), Rights::ALL)?;
    Reply::to_caller(&Message::new(77));
    tap.yes("whatever its label says", handler.cap().try_recv().is_none());
    endpoint.try_send(&Message::with(0, &[55]));
    tap.is("once there is an endpoint it receives", thread.join(sys), Ok(55));
    slot.place().delete()?;
    sys.memory.release_slots(slot, 1);
    sys.memory.destroy(handler)
}

//! Who runs next: by priority, by turns, after each kind of system call.

use crate::{
    actor::{Actor, CALM, NOTES, calm, give_way, rest},
    kernel,
    tap::Tap,
};
use core::time::Duration;
use selkie::{
    cap::{Caller, Capability, Slot, Tcb},
    clock,
    prelude::*,
    thread::yield_now,
};
use selkie_sys::{MessageInfo, Word, portable};

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    turns(tap, sys)?;
    by_priority(tap, sys)?;
    changes(tap, sys)?;
    slices(tap, sys)?;
    calm(sys, |sys| equals(tap, sys))
}

/// The digit to log, and the TCB.
fn parts(argument: Word) -> (Word, Slot) {
    (argument & 0xf, Slot(argument >> 4))
}

fn argument(actor: &Actor, digit: Word) -> Word {
    actor.tcb().slot().0 << 4 | digit
}

/// Logs its digit three times and gives way in between.
extern "C" fn thrice(argument: Word) -> ! {
    let (digit, tcb) = parts(argument);
    for _ in 0..3 {
        NOTES.log(digit);
        yield_now();
    }
    rest(tcb)
}

/// Three threads with these priorities, started by a thread above them, which then lets them run.
fn three(sys: &mut System, priorities: [u8; 3], body: crate::actor::Body) -> Result<Word> {
    NOTES.clear();
    let mut actors = Vec::new();
    for (priority, digit) in priorities.into_iter().zip(1..) {
        let actor = Actor::new(sys, Slot::NULL)?;
        actor.tcb().set_priority(priority)?;
        actor.start(body, argument(&actor, digit))?;
        actors.push(actor);
    }
    let before = NOTES.get(0);
    calm(sys, |_| Ok(()))?;
    let log = NOTES.get(0);
    for actor in actors {
        actor.end(sys)?;
    }
    Ok(if before == 0 { log } else { 0 })
}

/// A thread that becomes ready goes to the head of its queue, one that gives way to the end.
fn turns(tap: &mut Tap, sys: &mut System) -> Result<()> {
    tap.is("threads of one priority take turns", three(sys, [200, 200, 200], thrice)?, 321_321_321);
    tap.is("two of one priority, one below", three(sys, [150, 200, 200], thrice)?, 323_232_111);
    tap.is("each with a priority of its own", three(sys, [150, 201, 180], thrice)?, 222_333_111);
    Ok(())
}

/// Logs its digit, lowers its own priority to 120, and logs it again.
extern "C" fn sink(argument: Word) -> ! {
    let (digit, tcb) = parts(argument);
    NOTES.log(digit);
    // What fails shows in the log.
    let _ = Tcb::at(tcb).set_priority(120);
    NOTES.log(digit);
    rest(tcb)
}

fn by_priority(tap: &mut Tap, sys: &mut System) -> Result<()> {
    tap.is("a thread that sinks lets others go first", three(sys, [150, 200, 180], sink)?, 231_132);
    Ok(())
}

/// Logs its digit.
extern "C" fn log(argument: Word) -> ! {
    let (digit, tcb) = parts(argument);
    NOTES.log(digit);
    rest(tcb)
}

/// Computes for several time slices, then logs its digit.
extern "C" fn compute(argument: Word) -> ! {
    let (digit, tcb) = parts(argument);
    // Without a clock it does not compute, and the log is the same.
    let _ = clock::spin(Duration::from_millis(40));
    NOTES.log(digit);
    rest(tcb)
}

/// Time slices are shared within a priority only.
fn slices(tap: &mut Tap, sys: &mut System) -> Result<()> {
    tap.is("a thread below waits while one above computes", three(sys, [150, 200, 120], compute)?, 213);
    Ok(())
}

/// Priorities of threads that are ready.
fn changes(tap: &mut Tap, sys: &mut System) -> Result<()> {
    NOTES.clear();
    let actors = [Actor::new(sys, Slot::NULL)?, Actor::new(sys, Slot::NULL)?, Actor::new(sys, Slot::NULL)?];
    for (actor, digit) in actors.iter().zip(1..) {
        actor.tcb().set_priority(150)?;
        actor.start(log, argument(actor, digit))?;
    }
    actors[0].tcb().set_priority(160)?;
    actors[2].tcb().set_priority(140)?;
    calm(sys, |_| Ok(()))?;
    tap.is("ready threads that are raised and lowered", NOTES.get(0), 123);
    NOTES.clear();
    for (actor, digit) in actors.iter().zip(1..) {
        actor.tcb().set_priority(150)?;
        actor.start(log, argument(actor, digit))?;
    }
    actors[0].tcb().set_priority(150)?;
    actors[1].tcb().suspend()?;
    calm(sys, |_| Ok(()))?;
    tap.is("setting the same priority puts a thread first, a suspended one does not run", NOTES.get(0), 13);
    actors[1].tcb().resume()?;
    calm(sys, |_| Ok(()))?;
    tap.is("once it is resumed it does", NOTES.get(0), 132);
    for actor in actors {
        actor.end(sys)?;
    }
    Ok(())
}

/// Waits for signals through note 8 and logs 1 for each.
extern "C" fn listen(_: Word) -> ! {
    loop {
        Notification::at(Slot(NOTES.get(8))).wait();
        NOTES.log(1);
    }
}

/// Receives from the endpoint in note 9 with the reply object in note 10, logs 2 and replies, for ever.
extern "C" fn serve(_: Word) -> ! {
    let (endpoint, reply) = (NOTES.get(9), NOTES.get(10));
    loop {
        // SAFETY: a message changes nothing but registers.
        let (info, _) = unsafe { portable::recv(endpoint, reply, &mut [0; 4]) };
        NOTES.log(2);
        if info.label() == 1 {
            // SAFETY: as above.
            unsafe { portable::reply(reply, MessageInfo::new(0, 0, 0, 0), &[0; 4]) };
            NOTES.log(3);
        }
    }
}

/// What holds in most of five attempts: the timer may interfere with one.
fn mostly(mut attempt: impl FnMut() -> bool) -> bool {
    (0..5).filter(|_| attempt()).count() >= 3
}

/// Between threads of one priority, a call passes the processor on; a signal does not. A message that leaves its
/// sender running does so on seL4 5.0.0 only.
fn equals(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let (object, meeting) = (sys.memory.create::<Notification>()?, sys.memory.create::<Endpoint>()?);
    let (listener, server) = (Actor::new(sys, Slot::NULL)?, Actor::new(sys, Slot::NULL)?);
    let (signal, endpoint) = (object.cap(), meeting.cap());
    NOTES.clear();
    NOTES.set(8, signal.slot().0);
    NOTES.set(9, endpoint.slot().0);
    let reply = Caller::new(&mut sys.memory)?;
    NOTES.set(10, reply.slot().0);
    listener.start(listen, 0)?;
    server.start(serve, 0)?;
    let settle = || {
        give_way();
        NOTES.set(0, 0);
    };
    signal.signal();
    tap.is("a signal to a thread above: it runs at once", NOTES.get(0), 1);
    listener.tcb().set_priority(CALM)?;
    server.tcb().set_priority(CALM)?;
    let at_once = mostly(|| {
        settle();
        signal.signal();
        NOTES.get(0) == 0
    });
    tap.yes("a signal to a thread of the same priority: it does not run yet", at_once);
    give_way();
    tap.is("it runs when the other gives way", NOTES.get(0), 1);
    let passes = mostly(|| {
        settle();
        endpoint.try_send(&Message::new(0));
        let at_once = NOTES.get(0);
        give_way();
        (at_once, NOTES.get(0)) == (kernel::from(10, 0, 2), 2)
    });
    tap.yes("a message to a thread of the same priority: when it runs", passes);
    let returns = mostly(|| {
        settle();
        let _ = endpoint.call(&Message::new(1));
        NOTES.get(0) == kernel::from(10, 23, 2)
    });
    tap.yes("a reply to a thread of the same priority: when the caller runs", returns);
    give_way();
    tap.is("the server goes on when the caller gives way", NOTES.get(0), 23);
    server.tcb().set_priority(CALM - 1)?;
    NOTES.set(0, 0);
    endpoint.try_send(&Message::new(0));
    give_way();
    tap.is("a message to a thread below: it does not run", NOTES.get(0), 0);
    let _ = endpoint.call(&Message::new(1));
    tap.is("until the other waits", NOTES.get(0), 22);
    server.tcb().suspend()?;
    listener.end(sys)?;
    server.end(sys)?;
    reply.destroy(&mut sys.memory)?;
    sys.memory.destroy(meeting)?;
    sys.memory.destroy(object)
}

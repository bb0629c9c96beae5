//! Time that is given, taken and used up.

use super::{count, sched_control, seven, time_of, wait};
use crate::{
    actor::{Actor, CALM, NOTES, calm},
    fault::Handler,
    tap::Tap,
};
use core::time::Duration;
use selkie::{
    cap::{Capability, Endpoint, Slot},
    clock,
    prelude::*,
};
use selkie_sys::fault;

/// A period that no check lives to see the end of.
const LONG: Duration = Duration::from_secs(3600);

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    calm(sys, |sys| {
        given_and_taken(tap, sys)?;
        used_up(tap, sys)?;
        timeouts(tap, sys)?;
        yields(tap, sys)
    })
}

fn given_and_taken(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let signal = sys.memory.create::<Notification>()?;
    let actor = Actor::new(sys, Slot::NULL)?;
    let time = time_of(&actor)?;
    NOTES.clear();
    NOTES.set(8, signal.cap().slot().0);
    time.unbind()?;
    actor.start(wait, actor.tcb().slot().0)?;
    tap.is("a thread without time does not run", NOTES.get(0), 0);
    time.bind(actor.tcb())?;
    tap.is("once it has some it does", NOTES.get(0), 1);
    time.unbind_thread(actor.tcb())?;
    signal.cap().signal();
    tap.is("a signal to a thread without time", NOTES.get(0), 1);
    tap.is("is taken by it", signal.cap().poll(), None);
    time.bind(actor.tcb())?;
    tap.is("which goes on when it has time again", NOTES.get(0), 12);
    let consumed = time.consumed();
    tap.yes("it has used some", consumed.is_ok());
    actor.end(sys)?;
    sys.memory.destroy(signal)
}

/// A budget.
const BUDGET: Duration = Duration::from_millis(4);

/// An actor that counts, with the budget of each period, until the time is over: a budget that the host of an
/// emulated processor has left unused is given again.
fn counting(sys: &mut System, badge: u64, handler: Option<&Handler>) -> Result<Actor> {
    let mut attempts = 10;
    loop {
        let actor = Actor::new(sys, Slot::NULL)?;
        sched_control(sys)?.configure(time_of(&actor)?, BUDGET, LONG, 0, badge)?;
        let timeout = handler.map_or(Slot::NULL, Handler::slot);
        actor.tcb().set_timeout_endpoint(Endpoint::at(timeout))?;
        NOTES.clear();
        // The thread is above this one: it runs until it cannot any more.
        actor.start(count, 0)?;
        attempts -= 1;
        if NOTES.get(5) > 0 || attempts == 0 {
            return Ok(actor);
        }
        handler.map(Handler::try_take);
        actor.end(sys)?;
    }
}

fn used_up(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let actor = counting(sys, 0, None)?;
    let counted = NOTES.get(5);
    tap.yes("a thread runs on its budget", counted > 0);
    clock::spin(BUDGET + BUDGET / 2)?;
    tap.is("then not before the next period", NOTES.get(5), counted);
    let consumed = time_of(&actor)?.consumed()?;
    tap.yes("it has used the budget", consumed >= Duration::from_millis(1));
    tap.is("which is told once", time_of(&actor)?.consumed(), Ok(Duration::ZERO));
    // A budget of the whole period is ready at once.
    actor.tcb().set_priority(CALM - 1)?;
    sched_control(sys)?.configure(time_of(&actor)?, LONG, LONG, 0, 0)?;
    actor.tcb().suspend()?;
    actor.start(seven, actor.tcb().slot().0)?;
    actor.tcb().set_priority(crate::actor::PRIORITY)?;
    tap.is("with a new budget it runs again", NOTES.get(0), 7);
    actor.end(sys)
}

fn timeouts(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let handler = Handler::new(sys)?;
    let actor = counting(sys, 0xbadc_0ffe, Some(&handler))?;
    let counted = NOTES.get(5);
    tap.yes("a thread with a timeout endpoint runs on its budget too", counted > 0);
    let Some((badge, label, words)) = handler.try_take() else {
        tap.yes("a timeout fault arrives", false);
        actor.end(sys)?;
        return handler.end(sys);
    };
    tap.is("a timeout fault of two words", (label, words.len()), (fault::TIMEOUT, 2));
    tap.is("through the timeout endpoint", badge, Handler::BADGE);
    tap.is("it tells the badge of the time", words.first().copied(), Some(0xbadc_0ffe));
    tap.yes("and what was used", words.get(1).is_some_and(|micros| *micros >= 1000));
    handler.reply(0, &[]);
    clock::spin(BUDGET + BUDGET / 2)?;
    tap.is("after a reply it waits for the next period", NOTES.get(5), counted);
    actor.end(sys)?;
    handler.end(sys)
}

/// Who yields to a thread lets it run as long as it can.
fn yields(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let actor = Actor::new(sys, Slot::NULL)?;
    let time = time_of(&actor)?;
    let ready = |priority: u8| -> Result<()> {
        NOTES.clear();
        actor.tcb().set_priority(CALM - 10)?;
        actor.start(seven, actor.tcb().slot().0)?;
        if priority != CALM - 10 { actor.tcb().set_priority(priority) } else { Ok(()) }
    };
    ready(CALM - 10)?;
    tap.yes("yield to a thread below", time.yield_to().is_ok());
    tap.is("it does not run", NOTES.get(0), 0);
    actor.tcb().suspend()?;
    ready(CALM)?;
    let yielded = time.yield_to();
    tap.is("yield to a thread of the same priority: it runs", (yielded.is_ok(), NOTES.get(0)), (true, 7));
    tap.yes("yield to a thread that rests", time.yield_to().is_ok());
    actor.end(sys)
}

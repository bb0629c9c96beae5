//! Scheduling contexts, on a kernel with MCS: who has time, how much, and who hears when it is used up.

mod calls;
mod contexts;
mod control;
mod passive;
mod time;

use crate::{
    actor::{Actor, NOTES, rest},
    tap::Tap,
};
use selkie::{
    cap::{Capability, SchedContext, SchedControl, Slot},
    prelude::*,
};

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    control::run(tap, sys)?;
    contexts::run(tap, sys)?;
    time::run(tap, sys)?;
    passive::run(tap, sys)?;
    calls::run(tap, sys)
}

/// The right to configure scheduling contexts.
fn sched_control(sys: &System) -> Result<SchedControl> {
    sys.boot_info().sched_control().ok_or(Error::NoTime)
}

/// The actor's scheduling context.
fn time_of(actor: &Actor) -> Result<SchedContext> {
    actor.share.cap().ok_or(Error::NoTime)
}

/// Logs 1, then 2 once it runs again after a signal through note 8.
extern "C" fn wait(tcb: u64) -> ! {
    NOTES.log(1);
    Notification::at(Slot(NOTES.get(8))).wait();
    NOTES.log(2);
    rest(Slot(tcb))
}

/// Logs 7.
extern "C" fn seven(tcb: u64) -> ! {
    NOTES.log(7);
    rest(Slot(tcb))
}

/// Counts in note 5, for ever.
extern "C" fn count(_: u64) -> ! {
    loop {
        NOTES.set(5, NOTES.get(5) + 1);
    }
}

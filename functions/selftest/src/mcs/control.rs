//! How much time a scheduling context stands for: every argument.

use super::sched_control;
use crate::{
    kernel,
    raw::{ask, capability, done, illegal, range, too_short},
    tap::Tap,
};
use selkie::{
    cap::{CNode, Capability, ObjectType, SchedContext, Slot},
    prelude::*,
};
use selkie_sys::{Word, error, label};

/// The least budget and period in microseconds: twice what the kernel needs at worst.
const LEAST: Word = 20;

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    sizes(tap, sys)?;
    let object = sys.memory.create::<SchedContext>()?;
    let control = sched_control(sys)?.slot();
    let (time, wrong) = (object.cap().slot(), CNode::OWN.slot());
    let set =
        |words: [Word; 5], cap: Slot| ask(control, label::SCHED_CONTROL_CONFIGURE_FLAGS, &words, &[cap]);
    let budget = |budget: Word, period: Word| set([budget, period, 0, 0, 0], time);
    tap.is("the control of time: the label 0", ask(control, 0, &[], &[]), illegal());
    tap.is("the control of time: the greatest label", ask(control, 0xf_ffff, &[], &[]), illegal());
    let words = [1000, 1000, 0, 0, 0];
    too_short(tap, "a budget", control, label::SCHED_CONTROL_CONFIGURE_FLAGS, &words, &[time]);
    tap.is("a budget of the whole period", budget(1000, 1000), done());
    tap.is("a budget of a part of it", budget(1000, 10_000), done());
    tap.is("the least budget", budget(LEAST, LEAST), done());
    let refused = |budget: Word, period: Word| {
        let answer = ask(control, label::SCHED_CONTROL_CONFIGURE_FLAGS, &[budget, period, 0, 0, 0], &[time]);
        (answer.label, answer.words.first().copied())
    };
    // The greatest period depends on the processor's clock.
    let out_of_range = (error::RANGE_ERROR, Some(LEAST));
    tap.is("less than the least budget", refused(LEAST - 1, 1000), out_of_range);
    tap.is("no budget", refused(0, 1000), out_of_range);
    tap.is("less than the least period", refused(LEAST, LEAST - 1), out_of_range);
    tap.is("the greatest number as the budget", refused(Word::MAX, Word::MAX), out_of_range);
    tap.is("the greatest number as the period", refused(1000, Word::MAX), out_of_range);
    tap.is("a budget of more than the period", budget(1001, 1000), range(LEAST, 1000));
    tap.is("a budget for a CNode", set(words, wrong), capability(1));
    tap.is("a budget for nothing", set(words, Slot::NULL), capability(1));
    let both = set([1001, 1000, 0, 0, 0], wrong);
    tap.is("a wrong budget for a CNode", both, kernel::from(15, range(LEAST, 1000), capability(1)));
    tap.is("more refills than fit", set([1000, 2000, 1, 0, 0], time), range(0, 0));
    tap.is("a badge", set([1000, 2000, 0, Word::MAX, 0], time), done());
    tap.is("a sporadic one", set([1000, 2000, 0, 0, 1], time), done());
    tap.is("flags that say nothing", set([1000, 2000, 0, 0, Word::MAX - 1], time), done());
    sys.memory.destroy(object)
}

/// A larger scheduling context has room for more refills.
fn sizes(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let memory = sys.memory.create_untyped(12)?;
    let slot = sys.memory.slot()?;
    let control = sched_control(sys)?.slot();
    let root = CNode::OWN.place(0, 0);
    let make = |bits: u8| memory.cap().retype(ObjectType::SchedContext { bits }, root, slot.0, 1);
    tap.is("a scheduling context of 2^6 bytes", make(6), Err(Error::InvalidArgument { number: 1 }));
    tap.is("a scheduling context of 2^8 bytes", make(8), Ok(()));
    let set = |refills: Word| {
        ask(control, label::SCHED_CONTROL_CONFIGURE_FLAGS, &[1000, 9000, refills, 0, 0], &[slot])
    };
    tap.is("as many refills as fit", set(8), done());
    tap.is("one refill too many", set(9), range(0, 8));
    // Up to seL4 14 the number of all refills is not kept from overflowing.
    tap.is("very many", set(Word::MAX), kernel::from(15, range(0, 8), done()));
    let copy = sys.memory.slot()?;
    tap.is("copy of a scheduling context", copy.place().copy(slot.place(), selkie::cap::Rights::ALL), Ok(()));
    memory.cap().place().revoke()?;
    sys.memory.release_slots(copy, 1);
    sys.memory.release_slots(slot, 1);
    sys.memory.destroy(memory)
}

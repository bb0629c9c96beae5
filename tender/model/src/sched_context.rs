//! Scheduling contexts: what they hold, and how their budget is used up and comes back.
//!
//! A budget is a queue of refills, each an amount of time and the moment from which on it can be used. What is
//! used of the first one comes back a period later, as a refill behind the others. A scheduling context whose
//! period is 0 (round robin) has its budget at any time: its second refill counts what of it has been used.
//!
//! All times are in nanoseconds.

use crate::{Memory, words::words};

/// A scheduling context, by its physical address; 0 where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct SchedContext(pub u64);

words! { pub SchedContext:
    /// The period; 0 for round robin.
    0x00 period set_period;
    /// Time that has been used since somebody asked for it last.
    0x08 consumed set_consumed;
    /// The thread that runs on it; 0 without one.
    0x10 thread set_thread;
    /// The reply object through which it was handed on last; 0 without one.
    0x18 reply set_reply;
    /// The notification that it is bound to; 0 without one.
    0x20 notification set_notification;
    /// What messages about its timeouts carry.
    0x28 badge set_badge;
    /// The thread that has yielded to it and waits to run again; 0 without one.
    0x30 yield_from set_yield_from;
    /// The most refills; 0 while nobody can run on it.
    0x38 refill_max set_refill_max;
    /// The number of the first refill.
    0x40 head set_head;
    /// The number of the last refill.
    0x48 tail set_tail;
    /// 1 when what is left is put off once its thread can run, 0 when once it does.
    0x50 sporadic set_sporadic;
}

/// Time that can be used from a moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refill {
    pub(crate) time: u64,
    pub(crate) amount: u64,
}

/// A moment, as refills see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// The time.
    pub(crate) now: u64,
    /// The least amount of a refill.
    pub(crate) least: u64,
}

impl Moment {
    /// No refill is put off to a later time.
    const LATEST: u64 = u64::MAX / 2;
}

impl SchedContext {
    /// Bytes before the refills.
    pub const HEADER: u64 = 96;
    /// Bytes of a refill.
    const REFILL: u64 = 16;
    /// Each scheduling context has room for so many refills.
    pub(crate) const MIN_REFILLS: u64 = 2;

    /// How many refills a scheduling context of `2^bits` bytes has room for.
    pub(crate) fn room(bits: u8) -> u64 {
        ((1 << bits) - Self::HEADER) / Self::REFILL
    }

    /// Whether it is one, rather than none.
    pub(crate) fn is_some(self) -> bool {
        self.0 != 0
    }

    /// Whether a thread can run on it.
    pub(crate) fn is_active(self, memory: &Memory<'_>) -> bool {
        self.refill_max(memory) != 0
    }

    /// Whether its budget is there at any time.
    pub(crate) fn is_round_robin(self, memory: &Memory<'_>) -> bool {
        self.period(memory) == 0
    }

    /// Whether it is one whose budget is put off as soon as its thread can run.
    pub(crate) fn is_sporadic(self, memory: &Memory<'_>) -> bool {
        self.is_some() && self.sporadic(memory) != 0
    }

    /// Whether the first refill can be used now.
    pub(crate) fn is_ready(self, memory: &Memory<'_>, at: Moment) -> bool {
        self.first(memory).time <= at.now
    }

    /// Whether the first refill is worth running for when `used` has been taken from it.
    pub(crate) fn suffices(self, memory: &Memory<'_>, used: u64, at: Moment) -> bool {
        self.first(memory).amount.saturating_sub(used) >= at.least
    }

    /// Whether a thread could run on it now.
    pub(crate) fn is_released(self, memory: &Memory<'_>, at: Moment) -> bool {
        self.is_active(memory) && self.is_ready(memory, at)
    }

    /// The first refill.
    pub(crate) fn first(self, memory: &Memory<'_>) -> Refill {
        self.refill(memory, self.head(memory))
    }

    fn set_first(self, memory: &Memory<'_>, refill: Refill) {
        self.set_refill(memory, self.head(memory), refill);
    }

    fn last(self, memory: &Memory<'_>) -> Refill {
        self.refill(memory, self.tail(memory))
    }

    fn set_last(self, memory: &Memory<'_>, refill: Refill) {
        self.set_refill(memory, self.tail(memory), refill);
    }

    fn refill(self, memory: &Memory<'_>, index: u64) -> Refill {
        let at = self.place(index);
        Refill { time: memory.get(at), amount: memory.get(at + 8) }
    }

    fn set_refill(self, memory: &Memory<'_>, index: u64, refill: Refill) {
        let at = self.place(index);
        memory.set(at, refill.time);
        memory.set(at + 8, refill.amount);
    }

    fn place(self, index: u64) -> u64 {
        self.0 + Self::HEADER + index * Self::REFILL
    }

    fn after(self, memory: &Memory<'_>, index: u64) -> u64 {
        if index + 1 >= self.refill_max(memory) { 0 } else { index + 1 }
    }

    fn has_one(self, memory: &Memory<'_>) -> bool {
        self.head(memory) == self.tail(memory)
    }

    fn is_full(self, memory: &Memory<'_>) -> bool {
        self.after(memory, self.tail(memory)) == self.head(memory)
    }

    fn pop(self, memory: &Memory<'_>) -> Refill {
        let first = self.first(memory);
        self.set_head(memory, self.after(memory, self.head(memory)));
        first
    }

    fn push(self, memory: &Memory<'_>, refill: Refill) {
        self.set_tail(memory, self.after(memory, self.tail(memory)));
        self.set_last(memory, refill);
    }

    /// Where the use of the first refill is counted, with round robin.
    fn push_count(self, memory: &Memory<'_>) {
        if self.is_round_robin(memory) {
            self.push(memory, Refill { time: self.first(memory).time, amount: 0 });
        }
    }

    /// Gives it a budget that can be used from now on.
    pub(crate) fn configure(self, memory: &Memory<'_>, most: u64, budget: u64, period: u64, at: Moment) {
        self.set_period(memory, period);
        self.set_head(memory, 0);
        self.set_tail(memory, 0);
        self.set_refill_max(memory, most);
        self.set_first(memory, Refill { time: at.now, amount: budget });
        self.push_count(memory);
    }

    /// Gives it another budget while its thread can run: in no period has it more than either.
    pub(crate) fn reconfigure(self, memory: &Memory<'_>, most: u64, budget: u64, period: u64, at: Moment) {
        let mut first = self.first(memory);
        self.set_head(memory, 0);
        self.set_tail(memory, 0);
        self.set_refill_max(memory, most);
        self.set_period(memory, period);
        if first.time <= at.now {
            first.time = at.now;
        }
        let now = first.amount.min(budget);
        self.set_first(memory, Refill { time: first.time, amount: now });
        if now == budget {
            self.push_count(memory);
        } else {
            self.push(memory, Refill { time: first.time + period, amount: budget - now });
        }
    }

    /// Round robin: counts what has been used of the budget.
    pub(crate) fn count(self, memory: &Memory<'_>, used: u64) {
        let (first, last) = (self.first(memory), self.last(memory));
        let used = used.min(first.amount);
        self.set_first(memory, Refill { amount: first.amount - used, ..first });
        self.set_last(memory, Refill { amount: last.amount + used, ..last });
    }

    /// Round robin: the whole budget is there again.
    pub(crate) fn restore(self, memory: &Memory<'_>) {
        let (first, last) = (self.first(memory), self.last(memory));
        self.set_first(memory, Refill { amount: first.amount + last.amount, ..first });
        self.set_last(memory, Refill { amount: 0, ..last });
    }

    /// Not round robin: takes what has been used from the budget; it comes back a period later.
    pub(crate) fn charge(self, memory: &Memory<'_>, mut used: u64, at: Moment) {
        let period = self.period(memory);
        let overrun = |first: Refill, used| first.amount <= used && first.time < Moment::LATEST;
        while overrun(self.first(memory), used) {
            let first = self.first(memory);
            used -= first.amount;
            let later = Refill { time: first.time + period, ..first };
            if self.has_one(memory) {
                self.set_first(memory, later);
            } else {
                self.pop(memory);
                self.give_back(memory, later);
            }
        }
        let first = self.first(memory);
        if used > 0 && first.time < Moment::LATEST {
            self.set_first(memory, Refill { time: first.time + used, amount: first.amount - used });
            self.give_back(memory, Refill { time: first.time + period, amount: used });
        }
        // What is not worth running for waits for more, and so that it ends no later.
        while self.first(memory).amount < at.least && !self.has_one(memory) {
            let short = self.pop(memory);
            let first = self.first(memory);
            let time = first.time.saturating_sub(short.amount);
            self.set_first(memory, Refill { time, amount: first.amount + short.amount });
        }
    }

    /// Adds what has been used, as a refill of its own where there is room and a gap before it.
    fn give_back(self, memory: &Memory<'_>, new: Refill) {
        let last = self.last(memory);
        let amount = last.amount + new.amount;
        if last.time + last.amount >= new.time {
            self.set_last(memory, Refill { amount, ..last });
        } else if !self.is_full(memory) {
            self.push(memory, new);
        } else {
            self.set_last(memory, Refill { time: new.time - last.amount, amount });
        }
    }

    /// Not round robin: what could have been used before now can be used from now on; whether there was any.
    pub(crate) fn put_off(self, memory: &Memory<'_>, at: Moment) -> bool {
        if self.is_round_robin(memory) || !self.is_ready(memory, at) {
            return false;
        }
        self.set_first(memory, Refill { time: at.now, ..self.first(memory) });
        while !self.has_one(memory) {
            let first = self.first(memory);
            let second = self.refill(memory, self.after(memory, self.head(memory)));
            if second.time > first.time + first.amount {
                break;
            }
            self.pop(memory);
            self.set_first(memory, Refill { time: first.time, amount: first.amount + second.amount });
        }
        true
    }

    /// All refills, from the first one on.
    #[cfg(feature = "testing")]
    pub(crate) fn refills(self, memory: &Memory<'_>) -> std::vec::Vec<Refill> {
        let mut refills = std::vec::Vec::new();
        let mut index = self.head(memory);
        loop {
            refills.push(self.refill(memory, index));
            // A ring that has come apart has an end nevertheless.
            if index == self.tail(memory) || refills.len() as u64 > self.refill_max(memory) {
                return refills;
            }
            index = self.after(memory, index);
        }
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::testing::{BASE, memory};

    const LEAST: u64 = 20;

    fn at(now: u64) -> Moment {
        Moment { now, least: LEAST }
    }

    /// Time and amount of each refill.
    fn refills(sc: SchedContext, memory: &Memory<'_>) -> std::vec::Vec<(u64, u64)> {
        sc.refills(memory).iter().map(|refill| (refill.time, refill.amount)).collect()
    }

    #[test]
    fn what_is_used_comes_back_a_period_later() {
        let (memory, sc) = (memory(4096), SchedContext(BASE));
        sc.configure(&memory, 4, 100, 1000, at(50));
        assert_eq!(refills(sc, &memory), [(50, 100)]);
        sc.charge(&memory, 30, at(80));
        assert_eq!(refills(sc, &memory), [(80, 70), (1050, 30)]);
        sc.charge(&memory, 40, at(120));
        // One refill still: it goes on where the one before ended.
        assert_eq!(refills(sc, &memory), [(120, 30), (1050, 70)]);
        // Too little to run for waits for the next.
        sc.charge(&memory, 15, at(135));
        assert_eq!(refills(sc, &memory), [(1035, 100)]);
        assert!(!sc.is_ready(&memory, at(1034)) && sc.is_ready(&memory, at(1035)));
    }

    #[test]
    fn more_than_there_is_is_paid_later() {
        let (memory, sc) = (memory(4096), SchedContext(BASE));
        sc.configure(&memory, 2, 100, 1000, at(0));
        sc.charge(&memory, 250, at(250));
        assert_eq!(refills(sc, &memory), [(2050, 50), (3000, 50)]);
    }

    #[test]
    fn what_could_have_been_used_before_is_put_off() {
        let (memory, sc) = (memory(4096), SchedContext(BASE));
        sc.configure(&memory, 4, 100, 1000, at(0));
        sc.charge(&memory, 30, at(30));
        assert!(sc.put_off(&memory, at(990)));
        // The rest of the first would not be used up when the second begins.
        assert_eq!(refills(sc, &memory), [(990, 100)]);
        assert!(!sc.put_off(&memory, at(980)));
    }

    #[test]
    fn round_robin_counts_and_restores() {
        let (memory, sc) = (memory(4096), SchedContext(BASE));
        sc.configure(&memory, 2, 100, 0, at(0));
        sc.count(&memory, 60);
        assert_eq!(refills(sc, &memory), [(0, 40), (0, 60)]);
        assert!(sc.suffices(&memory, 20, at(60)) && !sc.suffices(&memory, 21, at(60)));
        assert!(!sc.put_off(&memory, at(60)));
        sc.restore(&memory);
        assert_eq!(refills(sc, &memory), [(0, 100), (0, 0)]);
    }

    #[test]
    fn a_new_budget_keeps_what_was_used() {
        let (memory, sc) = (memory(4096), SchedContext(BASE));
        sc.configure(&memory, 4, 100, 1000, at(0));
        sc.charge(&memory, 70, at(70));
        sc.reconfigure(&memory, 3, 200, 500, at(80));
        assert_eq!(refills(sc, &memory), [(80, 30), (580, 170)]);
        sc.reconfigure(&memory, 3, 25, 500, at(90));
        assert_eq!(refills(sc, &memory), [(90, 25)]);
        assert_eq!(SchedContext::room(7), 2);
        assert_eq!(SchedContext::room(10), 58);
    }
}

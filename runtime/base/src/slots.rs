//! Which slots of a CNode are free: one bit each.

/// Words of bits that lie in [`Slots`] itself: enough for what start-up takes, so that the memory of the other
/// words stays as it is.
const NEAR: usize = 16;

/// A set of free slots, first to last.
///
/// A slot above the capacity, 64 for each word, is never handed out.
#[derive(Debug)]
pub struct Slots {
    first: u32,
    count: u32,
    used: u32,
    /// Where the search starts: no slot below it is free unless one was given back, which lowers it.
    hint: u32,
    near: [u64; NEAR],
    far: &'static mut [u64],
}

impl Slots {
    /// The slots `first..end`, all of them free. `far` is zero.
    pub fn new(first: u32, end: u32, far: &'static mut [u64]) -> Self {
        let count = end.saturating_sub(first).min(64 * (NEAR + far.len()) as u32);
        Self { first, count, used: 0, hint: 0, near: [0; NEAR], far }
    }

    /// How many slots are taken.
    pub fn used(&self) -> u32 {
        self.used
    }

    /// How many slots are free.
    pub fn free(&self) -> u32 {
        self.count - self.used
    }

    /// Takes `count` neighbouring slots and returns the first, or none when there is no such run.
    pub fn take(&mut self, count: u32) -> Option<u32> {
        if count == 0 || count > self.free() {
            return None;
        }
        let start = self.find(count)?;
        for slot in start..start + count {
            *self.word(slot)? |= 1 << (slot % 64);
        }
        self.used += count;
        if start == self.hint {
            self.hint = start + count;
        }
        Some(self.first + start)
    }

    /// Gives `count` slots from `slot` on back. Slots that were not taken are left alone.
    pub fn give(&mut self, slot: u32, count: u32) {
        for slot in slot..slot.saturating_add(count) {
            let Some(index) = slot.checked_sub(self.first).filter(|index| *index < self.count) else {
                continue;
            };
            let bit = 1 << (index % 64);
            if let Some(word) = self.word(index).filter(|word| **word & bit != 0) {
                *word &= !bit;
                self.used -= 1;
                self.hint = self.hint.min(index);
            }
        }
    }

    /// The first run of `count` free slots, as an index.
    fn find(&mut self, count: u32) -> Option<u32> {
        let (mut index, mut run) = (self.hint, 0);
        while index < self.count {
            let word = *self.word(index)?;
            if index.is_multiple_of(64) && word == u64::MAX {
                (index, run) = (index + 64, 0);
                continue;
            }
            run = if word & 1 << (index % 64) == 0 { run + 1 } else { 0 };
            index += 1;
            if run == count {
                return Some(index - count);
            }
        }
        None
    }

    /// The word with the bit of the slot with this index.
    fn word(&mut self, index: u32) -> Option<&mut u64> {
        let word = (index / 64) as usize;
        match word.checked_sub(NEAR) {
            None => self.near.get_mut(word),
            Some(word) => self.far.get_mut(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(first: u32, end: u32) -> Slots {
        Slots::new(first, end, Box::leak(Box::new([0; 4])))
    }

    #[test]
    fn hands_out_each_slot_once() {
        let mut slots = slots(100, 300);
        for expected in 100..300 {
            assert_eq!(slots.take(1), Some(expected));
        }
        assert_eq!(slots.take(1), None);
        assert_eq!((slots.used(), slots.free()), (200, 0));
    }

    #[test]
    fn finds_runs_across_words_and_reuses_what_was_given_back() {
        let mut slots = slots(0, 256);
        assert_eq!(slots.take(60), Some(0));
        assert_eq!(slots.take(70), Some(60));
        slots.give(62, 3);
        assert_eq!(slots.take(4), Some(130));
        assert_eq!(slots.take(3), Some(62));
        assert_eq!(slots.take(1), Some(134));
    }

    #[test]
    fn ignores_slots_that_are_not_its_own() {
        let mut slots = slots(10, 20);
        slots.give(0, 100);
        slots.give(u32::MAX, 5);
        assert_eq!(slots.free(), 10);
        assert_eq!(slots.take(11), None);
        assert_eq!(slots.take(0), None);
    }

    #[test]
    fn leaves_slots_above_its_capacity_alone() {
        let mut slots = slots(7, 10_000);
        assert_eq!(slots.free(), 64 * 20);
        assert_eq!((slots.take(1270), slots.take(10), slots.take(1)), (Some(7), Some(1277), None));
        slots.give(1020, 20);
        assert_eq!((slots.take(20), slots.take(1)), (Some(1020), None));
    }
}

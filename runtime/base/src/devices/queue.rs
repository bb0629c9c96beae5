//! A queue: entries that the function submits, and what the host answers to each of them.
//!
//! It is a pair of rings of the same size, one for each direction, and two lines of words, one that the function
//! writes and one that the host writes. `docs/devices.md` has the layout and the rules. Both sides use this code,
//! on memory that the other side may have filled with anything: all of it is atomic words, no pointer and no
//! length is taken from it, and an entry is copied before it is looked at.

use super::BrokenRing;
use core::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};

/// Bytes of an entry.
pub const ENTRY: u32 = 32;
/// Bytes of a queue's two lines.
pub const LINES: u32 = 128;
/// The most entries that a ring may have, in bits.
pub const MAX_BITS: u32 = 12;

const WORDS: usize = ENTRY as usize / 8;
/// Words of the function's line, then of the host's: its index, and whether it waits.
const SUBMITTED: usize = 0;
const FUNCTION_WAITS: usize = 1;
const ANSWERED: usize = 8;
const HOST_WAITS: usize = 9;

/// One thing that is asked for, or its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Entry {
    /// Where the data begins: bytes after the region's begin.
    pub offset: u32,
    /// How many bytes of data there are.
    pub length: u32,
    /// What is asked for; in an answer, how it went.
    pub code: u32,
    /// What an answer repeats of what was asked.
    pub id: u32,
    /// For a disk, the first sector.
    pub sector: u64,
}

impl Entry {
    fn read(words: &[AtomicU64]) -> Self {
        let word = |index: usize| words.get(index).map_or(0, |word| word.load(Relaxed));
        let (data, code, sector) = (word(0), word(1), word(2));
        let low = |word: u64| word as u32;
        Self { offset: low(data), length: low(data >> 32), code: low(code), id: low(code >> 32), sector }
    }

    fn write(self, words: &[AtomicU64]) {
        let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let values = [pair(self.offset, self.length), pair(self.code, self.id), self.sector, 0];
        for (word, value) in words.iter().zip(values) {
            word.store(value, Relaxed);
        }
    }
}

/// Where a queue lies in its region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueuePlace {
    /// Bytes from the region's begin to its lines, a multiple of 64.
    pub lines: u32,
    /// Bytes from the region's begin to its rings: what was submitted, then the answers. A multiple of 64.
    pub rings: u32,
    /// A ring has `2^bits` entries.
    pub bits: u32,
}

impl QueuePlace {
    /// Bytes of the rings of a queue with `2^bits` entries.
    pub const fn rings_size(bits: u32) -> u32 {
        (2 * ENTRY) << bits
    }

    /// The queue's own words of `region`; none when they lie outside.
    fn memory<'a>(&self, region: &'a [AtomicU64]) -> Option<Memory<'a>> {
        if self.bits > MAX_BITS {
            return None;
        }
        let size = WORDS << self.bits;
        let (lines, rings) = (self.lines as usize / 8, self.rings as usize / 8);
        let lines = region.get(lines..)?.get(..LINES as usize / 8)?;
        let (submitted, answers) = region.get(rings..)?.get(..2 * size)?.split_at(size);
        Some(Memory { lines, submitted, answers, bits: self.bits })
    }
}

/// The words that both sides see.
#[derive(Debug, Clone, Copy)]
struct Memory<'a> {
    lines: &'a [AtomicU64],
    submitted: &'a [AtomicU64],
    answers: &'a [AtomicU64],
    bits: u32,
}

impl<'a> Memory<'a> {
    fn size(&self) -> u64 {
        1 << self.bits
    }

    fn entry(&self, ring: &'a [AtomicU64], index: u64) -> &'a [AtomicU64] {
        let at = (index & (self.size() - 1)) as usize * WORDS;
        ring.get(at..at + WORDS).unwrap_or_default()
    }

    fn line(&self, word: usize) -> &'a AtomicU64 {
        // It is there: `QueuePlace::memory` has taken all of the lines.
        &self.lines[word]
    }
}

/// The function's side of a queue.
#[derive(Debug)]
pub struct FunctionSide<'a> {
    memory: Memory<'a>,
    submitted: u64,
    taken: u64,
}

impl<'a> FunctionSide<'a> {
    /// The side of a queue in which nothing was submitted yet; none where it is not inside `region`.
    pub fn new(region: &'a [AtomicU64], place: QueuePlace) -> Option<Self> {
        place.memory(region).map(|memory| Self { memory, submitted: 0, taken: 0 })
    }

    /// How many entries were submitted and have no answer that was taken.
    pub fn outstanding(&self) -> usize {
        (self.submitted - self.taken) as usize
    }

    /// How many more may be submitted.
    pub fn room(&self) -> usize {
        self.memory.size() as usize - self.outstanding()
    }

    /// Submits an entry. Returns whether there was room.
    pub fn submit(&mut self, entry: Entry) -> bool {
        if self.room() == 0 {
            return false;
        }
        entry.write(self.memory.entry(self.memory.submitted, self.submitted));
        self.submitted += 1;
        self.memory.line(SUBMITTED).store(self.submitted, Release);
        true
    }

    /// Whether the host waits to be told of what was submitted.
    pub fn host_waits(&self) -> bool {
        fence(SeqCst);
        self.memory.line(HOST_WAITS).load(Relaxed) != 0
    }

    /// Whether there is something to [`take`](Self::take), or to be told that the queue is broken.
    pub fn has_answers(&self) -> bool {
        self.memory.line(ANSWERED).load(Acquire) != self.taken
    }

    /// Takes an answer, if there is one. Fails when the host answers what was not asked: the queue is not used any
    /// more then.
    pub fn take(&mut self) -> Result<Option<Entry>, BrokenRing> {
        let there = self.memory.line(ANSWERED).load(Acquire).wrapping_sub(self.taken);
        if there > self.submitted - self.taken {
            return Err(BrokenRing);
        }
        if there == 0 {
            return Ok(None);
        }
        let entry = Entry::read(self.memory.entry(self.memory.answers, self.taken));
        self.taken += 1;
        Ok(Some(entry))
    }

    /// Says whether the function waits for answers. When it begins to, it looks for one once more before it sleeps.
    pub fn set_waits(&self, waits: bool) {
        self.memory.line(FUNCTION_WAITS).store(waits.into(), Relaxed);
        fence(SeqCst);
    }
}

/// The host's side of a queue.
#[derive(Debug)]
pub struct HostSide<'a> {
    memory: Memory<'a>,
    taken: u64,
    answered: u64,
}

impl<'a> HostSide<'a> {
    /// The side of a queue in which nothing was submitted yet; none where it is not inside `region`.
    pub fn new(region: &'a [AtomicU64], place: QueuePlace) -> Option<Self> {
        place.memory(region).map(|memory| Self { memory, taken: 0, answered: 0 })
    }

    /// Takes what was submitted next, if there is something. Fails when the function's index cannot be right: the
    /// queue is not used any more then.
    pub fn take(&mut self) -> Result<Option<Entry>, BrokenRing> {
        let submitted = self.memory.line(SUBMITTED).load(Acquire);
        // What has no answer yet fits into the ring, and an index does not go back.
        let (open, new) = (submitted.wrapping_sub(self.answered), submitted.wrapping_sub(self.taken));
        if open > self.memory.size() || new > open {
            return Err(BrokenRing);
        }
        if new == 0 {
            return Ok(None);
        }
        let entry = Entry::read(self.memory.entry(self.memory.submitted, self.taken));
        self.taken += 1;
        Ok(Some(entry))
    }

    /// How many entries were taken and have no answer yet.
    pub fn open(&self) -> usize {
        (self.taken - self.answered) as usize
    }

    /// Answers one of the entries that were taken, in any order. Returns whether there was one.
    pub fn answer(&mut self, entry: Entry) -> bool {
        if self.open() == 0 {
            return false;
        }
        entry.write(self.memory.entry(self.memory.answers, self.answered));
        self.answered += 1;
        self.memory.line(ANSWERED).store(self.answered, Release);
        true
    }

    /// Whether the function waits to be told of answers.
    pub fn function_waits(&self) -> bool {
        fence(SeqCst);
        self.memory.line(FUNCTION_WAITS).load(Relaxed) != 0
    }

    /// Says whether the host waits to be told of what is submitted. When it begins to, it looks once more before it
    /// sleeps.
    pub fn set_waits(&self, waits: bool) {
        self.memory.line(HOST_WAITS).store(waits.into(), Relaxed);
        fence(SeqCst);
    }
}

#[cfg(test)]
mod tests;

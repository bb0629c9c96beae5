//! Keys and values: what a function asks for.

use crate::{
    Block, Error, MAX_KEY, MAX_VALUE, SECTOR,
    index::{Entry, Index},
    log::{BLOCK, Head, MAX_BATCH},
};
use alloc::{borrow::ToOwned, boxed::Box, collections::VecDeque, rc::Rc, string::String, vec, vec::Vec};
use core::{
    cell::{Cell, RefCell},
    future::poll_fn,
    ops::Range,
    task::{Poll, Waker},
};

/// Bytes of the values that wait for the disk at most.
const WAITING: usize = 512 << 10;

/// Keys with values on a disk.
///
/// Writes are done by [`run`](Self::run), which something must poll as long as there are writes: all that wait are
/// written together, and share one flush.
#[derive(Debug)]
pub struct Store<B> {
    pub(crate) block: B,
    /// The sectors of both files.
    pub(crate) places: [Range<u64>; 2],
    pub(crate) state: RefCell<State>,
    pub(crate) queue: RefCell<Queue>,
    /// What no other boot has.
    pub(crate) random: u64,
    /// Bytes of the heap that keys may take.
    pub(crate) memory: usize,
    pub(crate) counts: Counts,
}

/// What is known of the disk.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) index: Index,
    /// The file that counts, and its head.
    pub(crate) active: usize,
    pub(crate) head: Head,
    /// The block and the number of the next batch.
    pub(crate) position: u64,
    pub(crate) sequence: u64,
    /// The version of the next value.
    pub(crate) version: u64,
    /// The data was moved to the other file, but not the word that this file counts; or whether that was written is not
    /// known.
    pub(crate) switch: Option<Switch>,
}

/// What the other file will be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Switch {
    pub(crate) head: Head,
    pub(crate) position: u64,
    pub(crate) sequence: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) writes: VecDeque<Rc<Write>>,
    /// Bytes of their values.
    pub(crate) bytes: usize,
    /// Who writes.
    pub(crate) writer: Option<Waker>,
}

/// A write that waits for the disk.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) key: Box<str>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) condition: Condition,
    pub(crate) outcome: Cell<Option<Result<Written, Error>>>,
    pub(crate) waker: RefCell<Option<Waker>>,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The version of the value that was written.
    pub version: u64,
    /// There was a value before.
    pub existed: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) writes: Cell<u64>,
    pub(crate) batches: Cell<u64>,
    pub(crate) moves: Cell<u64>,
    pub(crate) failures: Cell<u64>,
}

pub(crate) fn count(counter: &Cell<u64>, by: u64) {
    counter.set(counter.get().wrapping_add(by));
}

/// What must be so for a write to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Any,
    /// There is a value.
    Present,
    /// There is none.
    Absent,
    /// The value has this version.
    Version(u64),
}

/// A value as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// It.
    pub bytes: Vec<u8>,
    /// Its version: a number that no other value ever had on this disk.
    pub version: u64,
}

/// What there is, and what was done since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Keys.
    pub keys: u64,
    /// Bytes that keys and values take of the disk, and that they may take.
    pub bytes: u64,
    /// See [`bytes`](Self::bytes).
    pub capacity: u64,
    /// Writes that were done.
    pub writes: u64,
    /// Batches that were written, each with one flush.
    pub batches: u64,
    /// How often the data was moved to the other file.
    pub moves: u64,
    /// Requests of the disk that failed.
    pub failures: u64,
}

impl<B: Block> Store<B> {
    /// The value of a key.
    pub async fn get(&self, key: &str) -> Result<Option<Value>, Error> {
        loop {
            let (before, active) = self.look(key);
            let Some(entry) = before else { return Ok(None) };
            let bytes = self.read_value(active, entry).await?;
            if crc32fast::hash(&bytes) == entry.sum {
                return Ok(Some(Value { bytes, version: entry.version }));
            }
            // It may have been moved meanwhile, and other data be in its place.
            if self.look(key) == (before, active) {
                return Err(Error::Damaged);
            }
        }
    }

    /// The version of a key's value, without reading it.
    pub fn version(&self, key: &str) -> Option<u64> {
        self.look(key).0.map(|entry| entry.version)
    }

    /// Up to `count` keys that begin with `prefix`, in order, from the first one after `after` on.
    pub fn keys(&self, prefix: &str, after: &str, count: usize) -> Vec<String> {
        self.state.borrow().index.keys(prefix, after).take(count).map(ToOwned::to_owned).collect()
    }

    /// Writes a value. It lasts when this returns that it was written.
    pub async fn put(&self, key: &str, value: Vec<u8>, condition: Condition) -> Result<Written, Error> {
        if value.len() > MAX_VALUE {
            return Err(Error::TooLarge);
        }
        self.write(key, Some(value), condition).await
    }

    /// Deletes a key, if it is there. That lasts, likewise.
    pub async fn delete(&self, key: &str, condition: Condition) -> Result<Written, Error> {
        self.write(key, None, condition).await
    }

    /// What there is and was done.
    pub fn stats(&self) -> Stats {
        let (state, counts) = (self.state.borrow(), &self.counts);
        Stats {
            keys: state.index.len() as u64,
            bytes: state.index.usage().disk,
            capacity: self.capacity(),
            writes: counts.writes.get(),
            batches: counts.batches.get(),
            moves: counts.moves.get(),
            failures: counts.failures.get(),
        }
    }

    /// The bytes that keys and values may take of a file: when all of them were moved to it, there is room for another
    /// batch and more. A batch of a move has at least 64 KiB, but for the last, and less than 4128 bytes that are none of
    /// its records.
    pub(crate) fn capacity(&self) -> u64 {
        let room = (self.blocks() - 1) * BLOCK as u64;
        (room - MAX_BATCH.next_multiple_of(BLOCK) as u64) / 8 * 7
    }

    /// Blocks of a file: they may differ when somebody else has made the files.
    pub(crate) fn blocks(&self) -> u64 {
        let [one, other] = &self.places;
        (one.end - one.start).min(other.end - other.start) / (BLOCK / SECTOR) as u64
    }

    async fn write(&self, key: &str, value: Option<Vec<u8>>, condition: Condition) -> Result<Written, Error> {
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(Error::BadKey);
        }
        let bytes = value.as_ref().map_or(0, Vec::len);
        let (outcome, waker) = Default::default();
        let write = Rc::new(Write { key: key.into(), value, condition, outcome, waker });
        {
            let mut queue = self.queue.borrow_mut();
            if queue.bytes + bytes > WAITING {
                return Err(Error::Busy);
            }
            queue.bytes += bytes;
            queue.writes.push_back(write.clone());
            if let Some(waker) = queue.writer.take() {
                waker.wake();
            }
        }
        // Who does not wait any more does not know what became of it, but it is done all the same.
        poll_fn(|cx| match write.outcome.get() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                write.waker.replace(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }

    fn look(&self, key: &str) -> (Option<Entry>, usize) {
        let state = self.state.borrow();
        (state.index.get(key), state.active)
    }

    async fn read_value(&self, file: usize, entry: Entry) -> Result<Vec<u8>, Error> {
        let (offset, length) = (entry.offset as usize % SECTOR, entry.length as usize);
        let sector = self.places[file].start + entry.offset / SECTOR as u64;
        let mut bytes = vec![0; (offset + length).next_multiple_of(SECTOR)];
        if length > 0 {
            self.tried(self.block.read(sector, &mut bytes).await)?;
        }
        bytes.truncate(offset + length);
        bytes.drain(..offset);
        Ok(bytes)
    }

    /// The result of a request of the disk; a failure is counted.
    pub(crate) fn tried<T>(&self, result: Result<T, B::Error>) -> Result<T, Error> {
        result.map_err(|_| {
            count(&self.counts.failures, 1);
            Error::Disk
        })
    }
}

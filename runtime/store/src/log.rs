//! What the two files hold.
//!
//! A file is blocks of [`BLOCK`] bytes. The first is its head: which generation of the data it has, and a number that no
//! other has (its salt). Batches follow, each at the begin of a block, each the next in sequence; the first that is none
//! is the end. Of both files the one with the higher generation counts; the other one is what the data is written to,
//! without what was replaced or deleted, before it becomes the next generation.
//!
//! - A block with something acknowledged in it is never written again, so it does not matter how much of a block is lost
//!   when a write to it is torn.
//! - The sum of a batch covers all of it and the salt. So what an earlier generation left, or somebody's value that looks
//!   like a batch, is none.
//! - A batch is written after the one before it lasts. So one that is torn has no batch after it: where there is one,
//!   something that was acknowledged is damaged, and that is told.
//!
//! All numbers are little-endian.

use crate::index::{MAX_KEY, MAX_VALUE};
use alloc::{vec, vec::Vec};
use crc32fast::Hasher;

/// Bytes of a block.
pub const BLOCK: usize = 4096;
/// Bytes of a batch at most, all but the last value of it.
pub const BATCH: usize = 64 << 10;
/// Bytes of a batch before its records.
pub const BATCH_HEAD: usize = 32;
/// Bytes of a record before its key and value.
pub const RECORD_HEAD: usize = 16;

const HEAD_MAGIC: &[u8; 8] = b"SELKIEKV";
const FORMAT: u32 = 1;
const HEAD: usize = 48;
const BATCH_MAGIC: u32 = u32::from_le_bytes(*b"kvbt");

/// The largest batch, in bytes.
pub const MAX_BATCH: usize = BATCH_HEAD + BATCH + RECORD_HEAD + MAX_KEY + MAX_VALUE;

/// What a file begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Counts how often the data was moved from one file to the other.
    pub generation: u64,
    /// A random number.
    pub salt: u64,
    /// Versions of values in the file, and of those that were there before, are smaller than this or in the file.
    pub version: u64,
}

impl Head {
    /// Its block.
    pub fn encode(&self) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        let numbers = [self.generation, self.salt, self.version];
        block[..8].copy_from_slice(HEAD_MAGIC);
        block[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        for (place, number) in block[16..40].as_chunks_mut().0.iter_mut().zip(numbers) {
            *place = number.to_le_bytes();
        }
        let sum = crc32fast::hash(&block[..HEAD - 4]);
        block[HEAD - 4..HEAD].copy_from_slice(&sum.to_le_bytes());
        block
    }

    /// Reads a file's first block; none when it is no head.
    pub fn decode(block: &[u8]) -> Option<Self> {
        let head: &[u8; HEAD] = block.first_chunk()?;
        let good = head.starts_with(HEAD_MAGIC)
            && half(head, 8)? == FORMAT
            && half(head, HEAD - 4)? == crc32fast::hash(&head[..HEAD - 4]);
        let [generation, salt, version] = [word(head, 16)?, word(head, 24)?, word(head, 32)?];
        good.then_some(Self { generation, salt, version })
    }
}

/// What says which batch of which file one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Which {
    /// The file's.
    pub generation: u64,
    /// The file's.
    pub salt: u64,
    /// Counts the batches of a generation, from 0 on.
    pub sequence: u64,
}

/// A batch that is being put together.
#[derive(Debug, Clone)]
pub struct Batch(Vec<u8>);

impl Batch {
    /// One without records.
    pub fn new() -> Self {
        Self(vec![0; BATCH_HEAD])
    }

    /// Whether it has no records.
    pub fn is_empty(&self) -> bool {
        self.0.len() == BATCH_HEAD
    }

    /// Its bytes so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the next record belongs into another one.
    pub fn is_full(&self) -> bool {
        self.0.len() >= BATCH_HEAD + BATCH
    }

    /// Bytes of a record for this key with a value of `length` bytes.
    pub fn record(key: &str, length: usize) -> usize {
        RECORD_HEAD + key.len() + length
    }

    /// Adds a record: a value, or none where it is deleted. Returns where the value begins in the batch. Key and value
    /// are no longer than they may be.
    pub fn add(&mut self, key: &str, value: Option<&[u8]>, version: u64) -> usize {
        let content = value.unwrap_or_default();
        self.0.extend_from_slice(&[value.is_none().into(), key.len() as u8, 0, 0]);
        self.0.extend_from_slice(&(content.len() as u32).to_le_bytes());
        self.0.extend_from_slice(&version.to_le_bytes());
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(content);
        self.0.len() - content.len()
    }

    /// Its blocks.
    pub fn finish(mut self, which: Which) -> Vec<u8> {
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&BATCH_MAGIC.to_le_bytes());
        self.0[4..8].copy_from_slice(&length.to_le_bytes());
        self.0[8..16].copy_from_slice(&which.generation.to_le_bytes());
        self.0[16..24].copy_from_slice(&which.sequence.to_le_bytes());
        let sum = sum(which.salt, &self.0);
        self.0[24..28].copy_from_slice(&sum.to_le_bytes());
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self.0
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

/// The sum of a batch, all but the sum itself.
fn sum(salt: u64, batch: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(&batch[..24]);
    hasher.update(&batch[28..]);
    hasher.finalize()
}

/// The length in bytes and the sequence of the batch that `block` begins with, if its head says that it is one of this
/// generation.
pub fn begins(block: &[u8], generation: u64) -> Option<(usize, u64)> {
    let length = half(block, 4)? as usize;
    let good = half(block, 0)? == BATCH_MAGIC
        && word(block, 8)? == generation
        && (BATCH_HEAD..=MAX_BATCH).contains(&length);
    good.then_some((length, word(block, 16)?))
}

/// Whether `bytes`, as many as the batch's head says, are the batch that was written.
pub fn is_whole(bytes: &[u8], salt: u64) -> bool {
    bytes.len() >= BATCH_HEAD && half(bytes, 24) == Some(sum(salt, bytes))
}

/// A record of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The key.
    pub key: &'a str,
    /// The value; none where it is deleted.
    pub value: Option<&'a [u8]>,
    /// Where the value begins in the batch.
    pub offset: usize,
    /// The value's version.
    pub version: u64,
}

/// The records of a batch; an error where one is none.
pub fn records(bytes: &[u8]) -> impl Iterator<Item = Result<Record<'_>, ()>> {
    let mut at = BATCH_HEAD;
    core::iter::from_fn(move || {
        if at >= bytes.len() {
            return None;
        }
        let record = record(bytes, at).ok_or(());
        at = record.map_or(bytes.len(), |record| record.offset + record.value.unwrap_or_default().len());
        Some(record)
    })
}

fn record(bytes: &[u8], at: usize) -> Option<Record<'_>> {
    let head = bytes.get(at..at + RECORD_HEAD)?;
    let (deleted, key, value) = (head[0], usize::from(head[1]), half(head, 4)? as usize);
    let good = deleted <= 1 && key > 0 && value <= MAX_VALUE && (deleted == 0 || value == 0);
    let offset = at + RECORD_HEAD + key;
    let key = core::str::from_utf8(bytes.get(at + RECORD_HEAD..offset)?).ok()?;
    let content = bytes.get(offset..offset + value)?;
    good.then_some(Record { key, value: (deleted == 0).then_some(content), offset, version: word(head, 8)? })
}

fn half(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

//! Which keys there are, and where their values lie. It is all in memory.

use crate::log::RECORD_HEAD;
use alloc::{boxed::Box, collections::BTreeMap};

/// Bytes of a key at most.
pub const MAX_KEY: usize = 255;
/// Bytes of a value at most.
pub const MAX_VALUE: usize = 64 << 10;

/// What a key takes of the heap beside its text: its place in the tree, whose nodes are half full at worst, and the
/// allocator's own.
const KEY: usize = 160;

/// Where a value lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its first byte in the file that counts.
    pub(crate) offset: u64,
    /// Where it will be once the data was moved to the other file.
    pub(crate) moved: u64,
    /// Its bytes.
    pub(crate) length: u32,
    /// Their sum.
    pub(crate) sum: u32,
    /// Its version.
    pub(crate) version: u64,
}

/// All keys.
#[derive(Debug, Default)]
pub(crate) struct Index {
    entries: BTreeMap<Box<str>, Entry>,
    usage: Usage,
}

/// What keys and values take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Of a file, in bytes, when nothing else is in it.
    pub(crate) disk: u64,
    /// Of the heap, in bytes.
    pub(crate) memory: usize,
}

impl Usage {
    /// What one more key with a value of `length` bytes takes.
    pub(crate) fn plus(self, key: &str, length: usize) -> Self {
        Self {
            disk: self.disk + (RECORD_HEAD + key.len() + length) as u64,
            memory: self.memory + KEY + key.len(),
        }
    }

    /// What is left without it.
    pub(crate) fn minus(self, key: &str, length: usize) -> Self {
        let one = Self::default().plus(key, length);
        Self { disk: self.disk - one.disk, memory: self.memory - one.memory }
    }
}

impl Index {
    pub(crate) fn get(&self, key: &str) -> Option<Entry> {
        self.entries.get(key).copied()
    }

    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// A key's value lies elsewhere from now on, or is gone.
    pub(crate) fn set(&mut self, key: &str, entry: Option<Entry>) {
        let old = match entry {
            Some(entry) => {
                self.usage = self.usage.plus(key, entry.length as usize);
                match self.entries.get_mut(key) {
                    Some(place) => Some(core::mem::replace(place, entry)),
                    None => self.entries.insert(key.into(), entry),
                }
            }
            None => self.entries.remove(key),
        };
        if let Some(old) = old {
            self.usage = self.usage.minus(key, old.length as usize);
        }
    }

    /// The value of `key` at `offset`, if there is one, will be at `to`. Returns whether there is one.
    pub(crate) fn plan_move(&mut self, key: &str, offset: u64, to: u64) -> bool {
        let entry = self.entries.get_mut(key).filter(|entry| entry.offset == offset);
        entry.map(|entry| entry.moved = to).is_some()
    }

    /// All values are where they were to be moved.
    pub(crate) fn moved(&mut self) {
        self.entries.values_mut().for_each(|entry| entry.offset = entry.moved);
    }

    /// The keys that begin with `prefix`, in order, from the first one after `after` on.
    pub(crate) fn keys<'a>(&'a self, prefix: &'a str, after: &str) -> impl Iterator<Item = &'a str> {
        use core::ops::Bound::{Excluded, Included, Unbounded};
        let begin = if after >= prefix && !after.is_empty() { Excluded(after) } else { Included(prefix) };
        let range = self.entries.range::<str, _>((begin, Unbounded));
        range.map(|(key, _)| &**key).take_while(move |key| key.starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(length: u32) -> Option<Entry> {
        Some(Entry { offset: 0, moved: 0, length, sum: 0, version: 1 })
    }

    #[test]
    fn what_is_taken_is_given_back() {
        let mut index = Index::default();
        index.set("a", entry(10));
        let one = index.usage();
        index.set("b", entry(20));
        index.set("b", entry(5));
        assert_eq!(index.usage(), one.plus("b", 5));
        index.set("b", None);
        index.set("none", None);
        assert_eq!((index.usage(), index.len()), (one, 1));
        index.set("a", None);
        assert_eq!(index.usage(), Usage::default());
    }

    #[test]
    fn keys_are_listed_in_order_by_prefix_and_in_pages() {
        let mut index = Index::default();
        for key in ["a", "b/1", "b/2", "b/3", "c"] {
            index.set(key, entry(0));
        }
        let keys =
            |prefix: &str, after: &str| index.keys(prefix, after).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(keys("b/", ""), ["b/1", "b/2", "b/3"]);
        assert_eq!(keys("b/", "b/1"), ["b/2", "b/3"]);
        assert_eq!(keys("b/", "a"), ["b/1", "b/2", "b/3"]);
        assert_eq!(keys("b/", "z"), [""; 0]);
        assert_eq!(keys("", "").len(), 5);
        assert_eq!(keys("", "b/3"), ["c"]);
    }
}

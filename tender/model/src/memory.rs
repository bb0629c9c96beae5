//! The physical memory of the machine that the root task sees.

use core::cell::Cell;

/// Physical memory: addresses from [`base`](Self::base) on, in words that anybody may write at any time
/// between two calls into the model.
///
/// # Panics
/// All functions panic when an address is outside of the memory, or not at a multiple of 8 where words are
/// asked for. Tables that nobody else wrote to never lead there.
#[derive(Debug, Clone, Copy)]
pub struct Memory<'m> {
    base: u64,
    /// The words before those of `rest`.
    first: Option<&'m FirstWords<'m>>,
    /// The address of the first of `words`.
    rest: u64,
    words: &'m [Cell<u64>],
}

/// The first words of a memory. They can be seen at one place to begin with, and later at another.
#[derive(Debug, Clone)]
pub struct FirstWords<'m> {
    begin: &'m [Cell<u64>],
    later: &'m [Cell<u64>],
    moved: Cell<bool>,
}

impl<'m> FirstWords<'m> {
    /// Words at `begin`; as many at `later` can take their place.
    pub fn new(begin: &'m [Cell<u64>], later: &'m [Cell<u64>]) -> Self {
        Self { begin, later, moved: Cell::new(false) }
    }

    /// Bytes of them.
    pub fn size(&self) -> u64 {
        size_of_val(self.begin) as u64
    }

    /// Whether they are seen at the other place.
    pub fn has_moved(&self) -> bool {
        self.moved.get()
    }

    /// From now on they are seen at the other place, where they have been copied to.
    pub fn set_moved(&self) {
        self.moved.set(true);
    }

    /// Where they are now.
    pub fn words(&self) -> &'m [Cell<u64>] {
        if self.has_moved() { self.later } else { self.begin }
    }
}

impl<'m> Memory<'m> {
    /// Memory that begins at the physical address `base`.
    pub fn new(base: u64, words: &'m [Cell<u64>]) -> Self {
        Self { base, first: None, rest: base, words }
    }

    /// Memory that begins at the physical address `base` with `first`, followed by `words`.
    pub fn with_first(base: u64, first: &'m FirstWords<'m>, words: &'m [Cell<u64>]) -> Self {
        Self { base, first: Some(first), rest: base + first.size(), words }
    }

    /// The first physical address.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Bytes of it.
    pub fn size(&self) -> u64 {
        self.end() - self.base
    }

    /// The address after the last one.
    pub fn end(&self) -> u64 {
        self.rest + size_of_val(self.words) as u64
    }

    /// Whether the bytes from `address` to `address + size` are memory.
    pub fn contains(&self, address: u64, size: u64) -> bool {
        address >= self.base && address.checked_add(size).is_some_and(|end| end <= self.end())
    }

    /// The word at `address`.
    #[inline]
    pub fn get(&self, address: u64) -> u64 {
        self.word(address).get()
    }

    /// Sets the word at `address`.
    #[inline]
    pub fn set(&self, address: u64, value: u64) {
        self.word(address).set(value);
    }

    /// Sets `size` bytes to zero, a multiple of 8. Words that are zero already are not written, so that
    /// memory that was never used stays unused.
    pub fn zero(&self, address: u64, size: u64) {
        let (words, start) = self.place(address);
        for word in &words[start..start + (size / 8) as usize] {
            if word.get() != 0 {
                word.set(0);
            }
        }
    }

    /// Copies `size` bytes, a multiple of 8, between places that do not overlap.
    pub fn copy(&self, to: u64, from: u64, size: u64) {
        for offset in (0..size).step_by(8) {
            self.set(to + offset, self.get(from + offset));
        }
    }

    /// Writes bytes at any address.
    pub fn write(&self, address: u64, bytes: &[u8]) {
        for (address, bytes) in (address..).step_by(8).zip(bytes.chunks(8)) {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            let (at, shift) = (address & !7, 8 * (address & 7));
            // What is written may lie in two words.
            let value = u128::from(u64::from_le_bytes(word)) << shift;
            let mask = ((1 << (8 * bytes.len())) - 1_u128) << shift;
            for (at, half) in [(at, 0), (at + 8, 64)] {
                let (value, mask) = ((value >> half) as u64, (mask >> half) as u64);
                match mask {
                    0 => {}
                    // A page that is read first is brought in twice.
                    u64::MAX => self.set(at, value),
                    _ => self.set(at, self.get(at) & !mask | value),
                }
            }
        }
    }

    #[inline]
    fn word(&self, address: u64) -> &'m Cell<u64> {
        let (words, index) = self.place(address);
        &words[index]
    }

    /// Where the word at `address` is: among which words, and its number there.
    #[inline]
    fn place(&self, address: u64) -> (&'m [Cell<u64>], usize) {
        debug_assert!(address.is_multiple_of(8), "{address:#x} is no address of a word");
        let (words, start) = match self.first {
            Some(first) if address < self.rest => (first.words(), self.base),
            _ => (self.words, self.rest),
        };
        (words, (address.wrapping_sub(start) / 8) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{boxed::Box, vec::Vec};

    fn words(values: &[u64]) -> &'static [Cell<u64>] {
        Box::leak(values.iter().map(|value| Cell::new(*value)).collect())
    }

    #[test]
    fn bytes_are_written_where_they_belong() {
        for (start, size) in (0..16).flat_map(|start| (0..=16).map(move |size| (start, size))) {
            let memory = Memory::new(0x1000, words(&[u64::MAX; 5]));
            let bytes: Vec<u8> = (1..=size).collect();
            memory.write(0x1000 + start, &bytes);
            let mut expected = [0xff; 40];
            expected[start as usize..][..bytes.len()].copy_from_slice(&bytes);
            let got: Vec<u8> = (0..5).flat_map(|word| memory.get(0x1000 + 8 * word).to_le_bytes()).collect();
            assert_eq!(got, expected, "{size} bytes at {start}");
        }
    }

    #[test]
    fn the_first_words_move_and_the_rest_stays() {
        let (begin, later) = (words(&[1, 2]), words(&[0, 0]));
        let first = FirstWords::new(begin, later);
        let memory = Memory::with_first(0x1000, &first, words(&[3, 4]));
        assert_eq!((memory.base(), memory.size(), memory.end()), (0x1000, 32, 0x1020));
        let all = || [0x1000, 0x1008, 0x1010, 0x1018].map(|address| memory.get(address));
        assert_eq!(all(), [1, 2, 3, 4]);
        first.set_moved();
        assert_eq!(all(), [0, 0, 3, 4]);
        memory.set(0x1008, 5);
        memory.zero(0x1010, 16);
        assert_eq!((all(), later[1].get(), begin[1].get()), ([0, 5, 0, 0], 5, 2));
    }
}

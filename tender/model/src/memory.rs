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
    words: &'m [Cell<u64>],
}

impl<'m> Memory<'m> {
    /// Memory that begins at the physical address `base`.
    pub fn new(base: u64, words: &'m [Cell<u64>]) -> Self {
        Self { base, words }
    }

    /// The first physical address.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Bytes of it.
    pub fn size(&self) -> u64 {
        self.words.len() as u64 * 8
    }

    /// The address after the last one.
    pub fn end(&self) -> u64 {
        self.base + self.size()
    }

    /// Whether the bytes from `address` to `address + size` are memory.
    pub fn contains(&self, address: u64, size: u64) -> bool {
        address >= self.base && address.checked_add(size).is_some_and(|end| end <= self.end())
    }

    /// The word at `address`.
    #[inline]
    pub fn get(&self, address: u64) -> u64 {
        self.words[self.index(address)].get()
    }

    /// Sets the word at `address`.
    #[inline]
    pub fn set(&self, address: u64, value: u64) {
        self.words[self.index(address)].set(value);
    }

    /// Sets `size` bytes to zero, a multiple of 8. Words that are zero already are not written, so that
    /// memory that was never used stays unused.
    pub fn zero(&self, address: u64, size: u64) {
        let start = self.index(address);
        for word in &self.words[start..start + (size / 8) as usize] {
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
        for (address, byte) in (address..).zip(bytes) {
            let (at, shift) = (address & !7, 8 * (address & 7));
            self.set(at, self.get(at) & !(0xff << shift) | u64::from(*byte) << shift);
        }
    }

    #[inline]
    fn index(&self, address: u64) -> usize {
        debug_assert!(address.is_multiple_of(8), "{address:#x} is no address of a word");
        (address.wrapping_sub(self.base) / 8) as usize
    }
}

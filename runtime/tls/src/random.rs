//! Random bytes: ChaCha20 with a key from outside.
//!
//! The key is another one after every call, so that nobody who sees it learns what was given out before; and once in a
//! while bytes from outside go into it. Before [`begin`] there are none.

use chacha20::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng, TryCryptoRng, TryRng},
};
use core::{cell::RefCell, fmt};
use critical_section::Mutex;
use sha2::{Digest, Sha256};

/// What a generator begins with, and what is added to it.
pub type Seed = [u8; 32];

/// Gives random bytes from outside, where some are to be had at once.
pub type More = fn() -> Option<Seed>;

/// After so many calls bytes from outside are added.
const RENEWED_AFTER: u32 = 1024;

struct Generator {
    key: Seed,
    more: More,
    calls: u32,
}

static GENERATOR: Mutex<RefCell<Option<Generator>>> = Mutex::new(RefCell::new(None));

/// Begins with `seed`, which is random, secret and used for nothing else. `more` is asked for further bytes from then
/// on.
pub fn begin(seed: Seed, more: More) {
    critical_section::with(|section| {
        *GENERATOR.borrow_ref_mut(section) = Some(Generator { key: seed, more, calls: 0 });
    });
}

/// Fills `bytes`; none where [`begin`] was not called.
#[must_use]
pub fn fill(bytes: &mut [u8]) -> Option<()> {
    critical_section::with(|section| {
        GENERATOR.borrow_ref_mut(section).as_mut().map(|generator| generator.fill(bytes))
    })
}

impl Generator {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.calls += 1;
        if self.calls >= RENEWED_AFTER {
            self.calls = 0;
            if let Some(more) = (self.more)() {
                self.key = Sha256::new().chain_update(self.key).chain_update(more).finalize().into();
            }
        }
        let mut stream = ChaCha20Rng::from_seed(self.key);
        stream.fill_bytes(&mut self.key);
        stream.fill_bytes(bytes);
    }
}

/// The generator, for crates that ask for one.
#[derive(Debug, Clone, Copy)]
pub struct Source;

/// Nobody has called [`begin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotBegun;

impl fmt::Display for NotBegun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there are no random bytes")
    }
}

impl core::error::Error for NotBegun {}

impl TryRng for Source {
    type Error = NotBegun;

    fn try_next_u32(&mut self) -> Result<u32, NotBegun> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, NotBegun> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), NotBegun> {
        fill(bytes).ok_or(NotBegun)
    }
}

impl TryCryptoRng for Source {}

impl rustls::crypto::SecureRandom for Source {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), rustls::crypto::GetRandomFailed> {
        fill(bytes).ok_or(rustls::crypto::GetRandomFailed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generator(first: u8, more: More) -> Generator {
        Generator { key: [first; 32], more, calls: 0 }
    }

    fn next(generator: &mut Generator) -> [u8; 32] {
        let mut bytes = [0; 32];
        generator.fill(&mut bytes);
        bytes
    }

    #[test]
    fn the_key_is_the_streams_own_first_block_and_never_given_out() {
        let mut generator = generator(7, || None);
        let given = next(&mut generator);
        // The same by the stream cipher alone: 32 bytes for the next key, then those that were given.
        let mut stream = [0; 64];
        ChaCha20Rng::from_seed([7; 32]).fill_bytes(&mut stream);
        assert_eq!((generator.key.as_slice(), given.as_slice()), stream.split_at(32));
        assert_ne!(next(&mut generator), given);
    }

    #[test]
    fn other_seeds_give_other_bytes_and_bytes_from_outside_are_added() {
        let (mut one, mut other) = (generator(1, || None), generator(2, || None));
        assert_ne!(next(&mut one), next(&mut other));
        let (mut alone, mut renewed) = (generator(1, || None), generator(1, || Some([9; 32])));
        let same = (1..RENEWED_AFTER).all(|_| next(&mut alone) == next(&mut renewed));
        assert!(same && next(&mut alone) != next(&mut renewed));
    }

    #[test]
    fn long_requests_are_filled_to_the_end() {
        let mut generator = generator(3, || None);
        let mut bytes = vec![0; 10_000];
        generator.fill(&mut bytes);
        assert!(bytes.chunks(16).all(|chunk| chunk.iter().any(|byte| *byte != 0)));
    }
}

//! A generator of random bytes: ChaCha20, whose key is replaced after each use, so that what was given cannot be found out
//! later.

use chacha20::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

/// What a generator begins with, and what is added to it.
type Seed = [u8; 32];

/// The generator.
#[derive(Debug, Clone)]
pub struct Generator {
    key: Seed,
    given: u64,
}

impl Generator {
    /// A generator that begins with random bytes from outside.
    pub const fn new(seed: Seed) -> Self {
        Self { key: seed, given: 0 }
    }

    /// How many bytes it has given since it was given something.
    pub const fn given(&self) -> u64 {
        self.given
    }

    /// Adds further random bytes. What was random stays so, whatever they are.
    pub fn add(&mut self, seed: &Seed) {
        self.key.iter_mut().zip(seed).for_each(|(byte, other)| *byte ^= other);
        self.given = 0;
        self.fill(&mut []);
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        let mut stream = ChaCha20Rng::from_seed(self.key);
        stream.fill_bytes(&mut self.key);
        stream.fill_bytes(bytes);
        self.given += bytes.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn bytes_come_once_whatever_their_number_is() {
        let mut generator = Generator::new([7; 32]);
        let mut all = std::collections::BTreeSet::new();
        for length in [1, 31, 32, 33, 96, 97, 1000] {
            let mut bytes = vec![0; length];
            generator.fill(&mut bytes);
            for piece in bytes.chunks_exact(16) {
                assert!(all.insert(piece.to_vec()), "{length}");
            }
        }
        assert_eq!(generator.given(), 1290);
    }

    #[test]
    fn a_key_is_never_given() {
        let mut generator = Generator::new([7; 32]);
        let mut bytes = [0; 64];
        generator.fill(&mut bytes);
        let mut stream = [0; 96];
        ChaCha20Rng::from_seed([7; 32]).fill_bytes(&mut stream);
        assert_eq!((generator.key.as_slice(), bytes.as_slice()), stream.split_at(32));
    }

    #[test]
    fn what_is_added_changes_what_comes_and_a_seed_repeats_it() {
        let fill = |generator: &mut Generator| {
            let mut bytes = [0; 64];
            generator.fill(&mut bytes);
            bytes
        };
        let (mut one, mut two, mut three) =
            (Generator::new([1; 32]), Generator::new([1; 32]), Generator::new([1; 32]));
        three.add(&[9; 32]);
        let [first, second, third] = [&mut one, &mut two, &mut three].map(fill);
        assert_eq!(first, second);
        assert_ne!(first, third);
        assert_ne!(fill(&mut one), first);
        assert_eq!(three.given(), 64);
    }
}

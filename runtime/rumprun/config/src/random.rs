//! A generator of random bytes: ChaCha20 (RFC 8439), whose key is replaced after each use, so that what was given
//! cannot be found out later.

/// Words of a block of ChaCha20.
const WORDS: usize = 16;
/// Bytes of a key, the first half of what a block gives.
const KEY: usize = 32;
const BLOCK: usize = WORDS * 4;

/// The generator.
#[derive(Debug, Clone)]
pub struct Generator {
    key: [u8; KEY],
    given: u64,
}

impl Generator {
    /// A generator that begins with random bytes from outside.
    pub const fn new(seed: [u8; KEY]) -> Self {
        Self { key: seed, given: 0 }
    }

    /// How many bytes it has given since it was given something.
    pub const fn given(&self) -> u64 {
        self.given
    }

    /// Adds further random bytes. What was random stays so, whatever they are.
    pub fn add(&mut self, seed: &[u8; KEY]) {
        self.key.iter_mut().zip(seed).for_each(|(byte, other)| *byte ^= other);
        self.given = 0;
        self.fill(&mut []);
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        let key = self.key;
        let first = block(&key, 0);
        self.key.copy_from_slice(&first[..KEY]);
        self.given += bytes.len() as u64;
        let (rest, blocks) = bytes.split_at_mut(bytes.len().min(BLOCK - KEY));
        rest.copy_from_slice(&first[KEY..KEY + rest.len()]);
        for (number, chunk) in (1..).zip(blocks.chunks_mut(BLOCK)) {
            chunk.copy_from_slice(&block(&key, number)[..chunk.len()]);
        }
    }
}

/// Block `number` of the stream of `key`, whose nonce is 0: no key is used for a second stream.
fn block(key: &[u8; KEY], number: u64) -> [u8; BLOCK] {
    const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];
    let mut state = [0; WORDS];
    state[..4].copy_from_slice(&CONSTANTS);
    for (word, bytes) in state[4..12].iter_mut().zip(key.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    (state[12], state[13]) = (number as u32, (number >> 32) as u32);
    stream(state)
}

fn stream(state: [u32; WORDS]) -> [u8; BLOCK] {
    let mut words = state;
    for _ in 0..10 {
        for [a, b, c, d] in [
            [0, 4, 8, 12],
            [1, 5, 9, 13],
            [2, 6, 10, 14],
            [3, 7, 11, 15],
            [0, 5, 10, 15],
            [1, 6, 11, 12],
            [2, 7, 8, 13],
            [3, 4, 9, 14],
        ] {
            for (to, from, into, by) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)] {
                words[to] = words[to].wrapping_add(words[from]);
                words[into] = (words[into] ^ words[to]).rotate_left(by);
            }
        }
    }
    let mut bytes = [0; BLOCK];
    for ((place, word), first) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words).zip(state) {
        *place = word.wrapping_add(first).to_le_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    /// RFC 8439, 2.3.2.
    #[test]
    fn a_block_is_that_of_the_standard() {
        let mut state = [
            0x6170_7865,
            0x3320_646e,
            0x7962_2d32,
            0x6b20_6574,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            1,
            0x0900_0000,
            0x4a00_0000,
            0,
        ];
        for (number, word) in (0u32..).zip(&mut state[4..12]) {
            *word = u32::from_le_bytes([0, 1, 2, 3].map(|byte| (4 * number + byte) as u8));
        }
        let bytes = stream(state);
        assert_eq!(bytes[..8], [0x10, 0xf1, 0xe7, 0xe4, 0xd1, 0x3b, 0x59, 0x15]);
        assert_eq!(bytes[48..56], [0xb5, 0x12, 0x9c, 0xd1, 0xde, 0x16, 0x4e, 0xb9]);
    }

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

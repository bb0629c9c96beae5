//! Random bytes from outside, which are asked for once: who needs some takes a part, and nobody gets the same.

use crate::error::{Error, Result};
use selkie::{System, sync::Mutex};
use selkie_drivers::{Seed, Source};

static SEED: Mutex<Option<(Seed, Source)>> = Mutex::new(None);

/// What is left of them, and where they come from.
pub(crate) fn seed(sys: &mut System) -> Result<(Seed, Source)> {
    let mut known = SEED.lock();
    if known.is_none() {
        *known = selkie_drivers::seed(sys).map(|(seed, source)| (first_of(seed), source));
    }
    (*known).ok_or(Error::NoEntropy)
}

/// With TLS they become its generator's, which nobody else sees: what is left for others are its first numbers.
#[cfg(feature = "tls")]
fn first_of(mut seed: Seed) -> Seed {
    crate::tls::begin(&mut seed);
    seed
}

#[cfg(not(feature = "tls"))]
const fn first_of(seed: Seed) -> Seed {
    seed
}

/// A number that nobody can guess, for the one store of a function.
pub(crate) fn number(sys: &mut System) -> Result<u64> {
    let (mut seed, source) = self::seed(sys)?;
    let part = seed[8..].first_chunk_mut::<8>().ok_or(Error::NoEntropy)?;
    let number = u64::from_le_bytes(core::mem::take(part));
    *SEED.lock() = Some((seed, source));
    Ok(number)
}

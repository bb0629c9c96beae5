//! Random bytes from outside: what everything random in a function begins with.

use crate::{dma::Dma, hal::Selkie, virtio};
use core::{
    arch::x86_64::{__cpuid, _rdrand64_step},
    fmt, ptr, slice,
};
use selkie::{
    Result, System,
    device::{self, DeviceKind},
    vspace::PAGE,
};
use selkie_base::devices::request;
use virtio_drivers::{device::rng::VirtIORng, transport::DeviceType};

/// Random bytes, as many as a generator is seeded with.
pub type Seed = [u8; 32];

/// Where random bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A device that the function's surroundings offer.
    Host,
    /// A virtio device.
    Virtio,
    /// The processor's instruction RDRAND.
    Processor,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "the host",
            Self::Virtio => "virtio-rng",
            Self::Processor => "RDRAND",
        })
    }
}

/// Random bytes from the best source there is: the surroundings, a virtio device, the processor. None where there is no
/// source: nothing stands in for one.
pub fn seed(sys: &mut System) -> Option<(Seed, Source)> {
    let host = || Some((from_host()?, Source::Host));
    let mut virtio = || Some((from_virtio(sys).ok()?, Source::Virtio));
    host().or_else(&mut virtio).or_else(|| Some((from_processor()?, Source::Processor)))
}

/// Further random bytes, from a source that gives some at any time: the surroundings or the processor.
pub fn further() -> Option<Seed> {
    from_host().or_else(from_processor)
}

fn from_host() -> Option<Seed> {
    let entropy = device::find(DeviceKind::Entropy).ok()?;
    bytes(device::request(&entropy, request::ENTROPY_READ).ok()?)
}

/// The device's driver waits for the answer without sleeping. It is asked once, when the function starts.
fn from_virtio(sys: &mut System) -> Result<Seed> {
    let found = virtio::find(sys, DeviceType::EntropySource)?;
    let dma = Dma::new(sys, PAGE)?;
    let mut seed = [0; size_of::<Seed>()];
    let failed = |_| selkie::Error::NoDevice;
    let mut device = VirtIORng::<Selkie, _>::new(found.transport).map_err(failed)?;
    // SAFETY: the memory is mapped for ever and known to nobody else.
    let buffer =
        unsafe { slice::from_raw_parts_mut(ptr::with_exposed_provenance_mut(dma.address), seed.len()) };
    let mut filled = 0;
    while filled < seed.len() {
        let rest = &mut seed[filled..];
        let count = device.request_entropy(buffer).map_err(failed)?.min(rest.len());
        if count == 0 {
            return Err(selkie::Error::NoDevice);
        }
        rest[..count].copy_from_slice(&buffer[..count]);
        filled += count;
    }
    Ok(seed)
}

fn from_processor() -> Option<Seed> {
    /// In the third register of the first page of features.
    const HAS_RDRAND: u32 = 1 << 30;
    if __cpuid(1).ecx & HAS_RDRAND == 0 {
        return None;
    }
    let mut words = [0; 4];
    for word in &mut words {
        // The instruction may fail ten times in a row only when it is broken (Intel SDM 1, 7.3.17.1).
        // SAFETY: the processor has it.
        (0..10).find(|_| unsafe { _rdrand64_step(word) } == 1)?;
    }
    bytes(words)
}

/// The bytes of four words; none when they cannot be random: some processors say that they have numbers and return
/// nothing but zeros or ones.
fn bytes(words: [u64; 4]) -> Option<Seed> {
    if words.iter().any(|word| *word == 0 || *word == u64::MAX) || words.iter().all(|word| *word == words[0])
    {
        return None;
    }
    let mut seed = [0; size_of::<Seed>()];
    for (bytes, word) in seed.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    Some(seed)
}

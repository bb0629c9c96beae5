//! The manifest note of a root task: what the tender needs of it.

use serde::Deserialize;

/// The note's descriptor is never longer than this.
const MAX_DESCRIPTOR: usize = 64 << 10;
/// Objects and lists in the note, all together: the reader calls itself for those inside each other.
const MAX_NESTED: usize = 64;

/// What a root task says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note<'a> {
    /// The digest of the interface that it was built for.
    pub interface: [u8; 32],
    /// The name of the kernel config that it was built for.
    pub config: &'a str,
    /// The memory that it asks for, in bytes.
    pub memory: Option<u64>,
}

/// The part of the manifest's JSON that counts here.
#[derive(Deserialize)]
struct Manifest<'a> {
    format: u32,
    #[serde(borrow)]
    kernel: Kernel<'a>,
    #[serde(default)]
    memory: Memory,
}

#[derive(Deserialize)]
struct Kernel<'a> {
    config: &'a str,
    interface: &'a str,
}

#[derive(Deserialize, Default)]
struct Memory {
    #[serde(default)]
    process: Option<u64>,
}

impl<'a> Note<'a> {
    /// Reads the note's descriptor, canonical JSON; none when it is not such a text.
    pub(crate) fn decode(descriptor: &'a [u8]) -> Option<Self> {
        let nested = descriptor.iter().filter(|byte| matches!(byte, b'{' | b'[')).count();
        if descriptor.len() > MAX_DESCRIPTOR || nested > MAX_NESTED {
            return None;
        }
        let (manifest, _) = serde_json_core::from_slice::<Manifest<'a>>(descriptor).ok()?;
        let interface = digest(manifest.kernel.interface.as_bytes())?;
        (manifest.format == 1).then_some(Self {
            interface,
            config: manifest.kernel.config,
            memory: manifest.memory.process,
        })
    }
}

/// 64 hexadecimal digits.
fn digest(text: &[u8]) -> Option<[u8; 32]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != 32 || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

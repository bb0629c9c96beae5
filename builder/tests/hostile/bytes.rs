//! Reading and writing numbers in files.

/// The 64-bit number at `at`.
pub(crate) fn get64(bytes: &[u8], at: usize) -> usize {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize
}

/// The 32-bit number at `at`.
pub(crate) fn get32(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// The 16-bit number at `at`.
pub(crate) fn get16(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()))
}

/// `bytes` with `new` at `at`.
pub(crate) fn with(bytes: &[u8], at: usize, new: &[u8]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[at..at + new.len()].copy_from_slice(new);
    changed
}

/// `bytes` with one bit of the byte at `at` changed.
pub(crate) fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    with(bytes, at, &[bytes[at] ^ 1])
}

/// Where `part` first is in `bytes`.
pub(crate) fn find(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).position(|window| window == part).expect("the artifact has this part")
}

/// A message without digests and places in an archive, which are those of what a host built, and without the line and
/// column in a JSON text, which move when the text does; control characters escaped.
pub(crate) fn settled(text: &str) -> String {
    let text = text.split_once(" at line ").map_or(text, |(before, _)| before);
    let (mut settled, mut before) = (String::new(), "");
    for part in text.split_inclusive([' ', '/', '`', ',', ':']) {
        let end = part.find([' ', '/', '`', ',', ':']).unwrap_or(part.len());
        let digest = end == 64 && part.bytes().take(end).all(|byte| byte.is_ascii_hexdigit());
        let place = before == "byte " && part.bytes().take(end).all(|byte| byte.is_ascii_digit());
        settled.push_str(if digest || place { "…" } else { &part[..end] });
        settled.push_str(&part[end..]);
        before = part;
    }
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    settled.chars().map(shown).collect()
}

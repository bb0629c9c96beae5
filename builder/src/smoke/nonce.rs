//! The only randomness of the builder: what tells the exit line of this very run from any other text.

use std::{fs::File, io, io::Read};

/// A fresh nonce: 16 hexadecimal digits. It goes to the guest when it starts and lies in no image, so
/// that no output that was made up beforehand can pass for an exit line.
pub(crate) fn fresh() -> io::Result<String> {
    let mut bytes = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:016x}", u64::from_le_bytes(bytes)))
}

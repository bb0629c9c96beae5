//! Signatures of minisign: who has the public key can check with `verify`, or with minisign itself, who published.
//!
//! Files are as <https://jedisct1.github.io/minisign/> describes them. A signature has no time in it and no chance:
//! the same files and the same key give the same bytes.

use crate::files;
use base64::prelude::{BASE64_STANDARD, Engine};
use blake2::{Blake2b, Digest, digest::consts::U32};
use ed25519_compact::{KeyPair, SecretKey, Seed};
use std::path::{Path, PathBuf};

/// A file with a key is never longer than this, in bytes.
const MOST: u64 = 4096;
/// The whole secret key: algorithms, salt and limits of the password, number, key and sum.
const LENGTH: usize = 2 + 2 + 2 + 32 + 8 + 8 + SECRET;
/// What the password covers: number, key and sum.
const SECRET: usize = 8 + 64 + 32;
/// What minisign itself asks of memory and time for a password at most, as a power of two: 1 GiB.
const MOST_WORK: u8 = 20;

/// Nothing can be signed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a secret key.
    #[error("{}: this is not a secret key of minisign: {fault}\n  help: `minisign -G -s KEY -p KEY.pub` makes one; `-W` makes one without a password", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        fault: &'static str,
    },
    /// The password is not the key's.
    #[error("{}: the password is not that of this key", .0.display())]
    Password(PathBuf),
    /// No password can be asked for.
    #[error("{}: no password: {why}\n  help: set {PASSWORD}, or run this in a terminal", .path.display())]
    NoPassword {
        /// The key.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The file failed.
    #[error(transparent)]
    Files(#[from] files::Error),
}

crate::exit_code!(Error, |error| match error {
    Error::Files(error) => error.exit_code(),
    Error::Key { .. } | Error::Password(_) | Error::NoPassword { .. } => crate::ExitCode::Usage,
});

/// The environment variable with the password of the key.
pub const PASSWORD: &str = "SELKIE_SIGN_PASSWORD";

/// A secret key, ready to sign.
pub struct Key {
    number: [u8; 8],
    secret: SecretKey,
}

impl Key {
    /// Reads the secret key `path`; `password` is asked when the key has one.
    ///
    /// # Errors
    /// When it is none, or the password is wrong.
    pub fn read(path: &Path, password: impl FnOnce() -> Result<String, String>) -> Result<Self, Error> {
        let text = files::read_at_most(path, MOST)?;
        let wrong = |fault| Error::Key { path: path.to_owned(), fault };
        let line = std::str::from_utf8(&text).ok().and_then(|text| text.lines().nth(1));
        let line = line.ok_or_else(|| wrong("it has no second line"))?;
        let bytes = BASE64_STANDARD.decode(line.trim()).map_err(|_| wrong("its second line is no base64"))?;
        let bytes: [u8; LENGTH] = bytes.try_into().map_err(|_| wrong("it has another length"))?;
        let (head, mut secret) = split(&bytes);
        match (&head[..2], &head[2..4], &head[4..6]) {
            (b"Ed", b"\0\0", b"B2") => {}
            (b"Ed", b"Sc", b"B2") => {
                let no = |why| Error::NoPassword { path: path.to_owned(), why };
                let stream = stream(&password().map_err(no)?, head)
                    .ok_or_else(|| wrong("its password would take more work than minisign asks for"))?;
                secret.iter_mut().zip(stream).for_each(|(byte, mask)| *byte ^= mask);
            }
            _ => return Err(wrong("its algorithms are not Ed25519, BLAKE2b and, with a password, scrypt")),
        }
        let (key, sum) = secret.split_at(SECRET - 32);
        let expected = Blake2b::<U32>::new().chain_update(&head[..2]).chain_update(key).finalize();
        let plain = &head[2..4] != b"Sc";
        // minisign 0.11 leaves the sum of a key without password empty.
        if expected.as_slice() != sum && !(plain && sum.iter().all(|byte| *byte == 0)) {
            return Err(if plain { wrong("it is damaged") } else { Error::Password(path.to_owned()) });
        }
        let mut number = [0; 8];
        number.copy_from_slice(&key[..8]);
        let secret = SecretKey::from_slice(&key[8..]).map_err(|_| wrong("it is damaged"))?;
        // The second half is the public key; one that does not fit gives signatures away.
        let seed = Seed::from_slice(&key[8..40]).map_err(|_| wrong("it is damaged"))?;
        if KeyPair::from_seed(seed).sk != secret {
            return Err(wrong("its public half is not that of its secret half"));
        }
        Ok(Self { number, secret })
    }

    /// The content of a signature file for `content`, the content of the file `name`.
    pub fn sign(&self, name: &str, content: &[u8]) -> String {
        let digest = blake2::Blake2b512::digest(content);
        let signature = self.secret.sign(digest.as_slice(), None);
        let signed = [b"ED".as_slice(), &self.number, signature.as_slice()].concat();
        let comment = format!("file:{name}\thashed");
        let global = self.secret.sign([signature.as_slice(), comment.as_bytes()].concat(), None);
        format!(
            "untrusted comment: signature by cargo xtask publish\n{}\ntrusted comment: {comment}\n{}\n",
            BASE64_STANDARD.encode(signed),
            BASE64_STANDARD.encode(global.as_slice())
        )
    }
}

/// What a password does not cover, and what it does.
fn split(bytes: &[u8; LENGTH]) -> (&[u8], [u8; SECRET]) {
    let (head, tail) = bytes.split_at(LENGTH - SECRET);
    let mut secret = [0; SECRET];
    secret.copy_from_slice(tail);
    (head, secret)
}

/// What hides the secret part of a key with this head; none when it asks for too much.
fn stream(password: &str, head: &[u8]) -> Option<[u8; SECRET]> {
    let (salt, limits) = (&head[6..38], &head[38..54]);
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let (work, p) = parameters(number(&limits[..8]), number(&limits[8..]));
    let params = (work <= MOST_WORK).then(|| scrypt::Params::new(work, BLOCKS, p).ok())??;
    let mut stream = [0; SECRET];
    scrypt::scrypt(password.as_bytes(), salt, &params, &mut stream).ok()?;
    Some(stream)
}

/// The block size that libsodium takes.
const BLOCKS: u32 = 8;

/// From limits of operations and memory to log2 N and p, as libsodium's `pickparams` of
/// `crypto_pwhash_scryptsalsa208sha256` does it.
fn parameters(operations: u64, memory: u64) -> (u8, u32) {
    let operations = operations.max(32768);
    let blocks = u64::from(BLOCKS);
    let most = |limit: u64| (1..63).find(|log| 1u64 << log > limit / 2).unwrap_or(63);
    if operations < memory / 32 {
        return (most(operations / (blocks * 4)), 1);
    }
    let log = most(memory / (blocks * 128));
    let p = ((operations / 4) >> log).min(0x3fff_ffff) / blocks;
    (log, u32::try_from(p).unwrap_or(u32::MAX))
}

/// A signature that does not hold.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Not a signature.
    #[error("it is not a signature of minisign")]
    Signature,
    /// Another key, or another content.
    #[error("it is not the signature of this {name} by that key")]
    Other {
        /// What was signed.
        name: &'static str,
    },
}

/// A public key.
pub struct PublicKey(minisign_verify::PublicKey);

impl PublicKey {
    /// Reads a public key: the file `text`, or the key itself as minisign prints it.
    ///
    /// # Errors
    /// When it is neither.
    pub fn read(text: &str) -> Result<Self, Error> {
        let path = Path::new(text);
        if let Ok(key) = minisign_verify::PublicKey::from_base64(text)
            && !path.exists()
        {
            return Ok(Self(key));
        }
        let content = String::from_utf8(files::read_at_most(path, MOST)?).unwrap_or_default();
        let fault = "it is no public key, which has two lines";
        let key = minisign_verify::PublicKey::decode(content.trim_end());
        key.map(Self).map_err(|_| Error::Key { path: path.to_owned(), fault })
    }

    /// Checks the signature of `content`. Gives its trusted comment.
    ///
    /// # Errors
    /// When it is not by this key, or of something else.
    pub fn check(&self, name: &'static str, content: &[u8], signature: &str) -> Result<String, Fault> {
        let signature = minisign_verify::Signature::decode(signature).map_err(|_| Fault::Signature)?;
        match self.0.verify(content, &signature, true) {
            Ok(()) => Ok(signature.trusted_comment().to_owned()),
            Err(_) => Err(Fault::Other { name }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key file, with a password when it has limits.
    fn file(limits: Option<(u64, u64)>, damage: impl Fn(&mut [u8])) -> (tempfile::TempDir, PathBuf) {
        let pair = KeyPair::from_seed(Seed::new([7; 32]));
        let number = *b"12345678";
        let mut bytes = Vec::from(*b"EdScB2");
        bytes.extend([3; 32]);
        let (operations, memory) = limits.unwrap_or_default();
        bytes.extend(operations.to_le_bytes());
        bytes.extend(memory.to_le_bytes());
        let key = [number.as_slice(), pair.sk.as_slice()].concat();
        let sum = Blake2b::<U32>::new().chain_update(b"Ed").chain_update(&key).finalize();
        let mut secret = [key.as_slice(), sum.as_slice()].concat();
        match limits {
            None => bytes[2..4].copy_from_slice(&[0, 0]),
            Some(_) => {
                let stream = stream("seal", &bytes).unwrap();
                secret.iter_mut().zip(stream).for_each(|(byte, mask)| *byte ^= mask);
            }
        }
        bytes.extend(secret);
        damage(&mut bytes);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        files::write(&path, format!("untrusted comment: x\n{}\n", BASE64_STANDARD.encode(bytes))).unwrap();
        (dir, path)
    }

    fn public() -> PublicKey {
        let pair = KeyPair::from_seed(Seed::new([7; 32]));
        let bytes = [b"Ed12345678".as_slice(), pair.pk.as_slice()].concat();
        PublicKey::read(&BASE64_STANDARD.encode(bytes)).unwrap()
    }

    #[test]
    fn signatures_are_the_same_each_time_and_hold_for_this_content_alone() {
        let (_dir, path) = file(None, |_| {});
        let key = Key::read(&path, || unreachable!()).unwrap();
        let signature = key.sign("SHA256SUMS", b"text");
        assert_eq!(signature, key.sign("SHA256SUMS", b"text"));
        assert_eq!(public().check("x", b"text", &signature).unwrap(), "file:SHA256SUMS\thashed");
        assert!(matches!(public().check("x", b"tex", &signature), Err(Fault::Other { .. })));
        let comment = signature.replace("file:SHA256SUMS", "file:SHA256SUMs");
        assert!(matches!(public().check("x", b"text", &comment), Err(Fault::Other { .. })));
        for cut in 0..signature.len() - 1 {
            assert!(public().check("x", b"text", &signature[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_key_without_sum_is_known_by_its_public_half() {
        let (_dir, path) = file(None, |bytes| bytes[LENGTH - 32..].fill(0));
        assert!(Key::read(&path, || unreachable!()).is_ok());
        let (_dir, path) = file(None, |bytes| {
            bytes[LENGTH - 32..].fill(0);
            bytes[70] ^= 1;
        });
        let text = Key::read(&path, || unreachable!()).err().unwrap().to_string();
        assert!(text.contains("its public half"), "{text}");
    }

    #[test]
    fn a_password_opens_its_key_alone() {
        let (_dir, path) = file(Some((32768, 1 << 20)), |_| {});
        let (_plain_dir, plain) = file(None, |_| {});
        let key = Key::read(&path, || Ok("seal".into())).unwrap();
        let plain = Key::read(&plain, || unreachable!()).unwrap();
        assert_eq!(key.sign("x", b"x"), plain.sign("x", b"x"));
        assert!(matches!(Key::read(&path, || Ok("eel".into())), Err(Error::Password(_))));
        let none = Key::read(&path, || Err("no terminal".into())).err().unwrap().to_string();
        assert!(none.contains("no password: no terminal\n  help: set SELKIE_SIGN_PASSWORD"), "{none}");
    }

    #[test]
    fn what_is_no_key_is_told() {
        let message = |damage: &dyn Fn(&mut [u8])| {
            let (_dir, path) = file(None, damage);
            Key::read(&path, || Ok(String::new())).err().unwrap().to_string()
        };
        for (damage, part) in [
            (&(|bytes: &mut [u8]| bytes[0] = 0) as &dyn Fn(&mut [u8]), "its algorithms"),
            (&|bytes| bytes[60] ^= 1, "it is damaged"),
            (&|bytes| bytes[157] ^= 1, "it is damaged"),
            (
                &|bytes| {
                    bytes[2..4].copy_from_slice(b"Sc");
                    bytes[38..54].fill(0xff);
                },
                "more work",
            ),
        ] {
            let text = message(damage);
            assert!(text.contains(part), "{text}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for text in ["", "x", "x\n*\n", "x\nRWQ=\n"] {
            files::write(&path, text).unwrap();
            assert!(matches!(Key::read(&path, || unreachable!()), Err(Error::Key { .. })), "{text:?}");
            assert!(matches!(PublicKey::read(path.to_str().unwrap()), Err(Error::Key { .. })), "{text:?}");
        }
        assert!(matches!(PublicKey::read("no-such-file"), Err(Error::Files(_))));
    }

    #[test]
    fn limits_are_turned_into_parameters_as_libsodium_does() {
        // SENSITIVE, what minisign takes, and INTERACTIVE.
        assert_eq!(parameters(33_554_432, 1_073_741_824), (20, 1));
        assert_eq!(parameters(524_288, 16_777_216), (14, 1));
        assert_eq!(parameters(0, 0), (1, 512));
    }
}

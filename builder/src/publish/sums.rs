//! `SHA256SUMS`: digests and paths, as `sha256sum -c` reads them.

use crate::Digest;
use std::collections::BTreeMap;

/// The name of the file.
pub const NAME: &str = "SHA256SUMS";
/// The name of its signature.
pub const SIGNATURE: &str = "SHA256SUMS.minisig";
/// It is never longer than this, in bytes.
pub const MOST: u64 = 4 << 20;

/// Digests by path.
pub type Sums = BTreeMap<String, Digest>;

/// The text: a line for each file, sorted by path.
pub fn text(sums: &Sums) -> String {
    sums.iter().map(|(path, digest)| format!("{digest}  {path}\n")).collect()
}

/// What is wrong with a text that should be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not UTF-8.
    #[error("it is no text")]
    Text,
    /// A line of another form.
    #[error("line {0} is not 64 hexadecimal digits, two spaces and a path")]
    Line(usize),
    /// A path that does not stay below the folder, or that a terminal would not show as it is.
    #[error("line {0} names a path that is not plain: folders and a file, below the folder of {NAME}")]
    Path(usize),
    /// A line out of order.
    #[error("line {0} is out of order: each path stands once, sorted")]
    Order(usize),
    /// No line at all.
    #[error("it names no file")]
    Empty,
}

/// Reads a text that somebody else may have made.
///
/// # Errors
/// When it is not exactly what [`text`] writes.
pub fn parse(text: &[u8]) -> Result<Sums, Error> {
    let text = std::str::from_utf8(text).map_err(|_| Error::Text)?;
    let mut sums = Sums::new();
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let number = index + 1;
        let parts = line.strip_suffix('\n').and_then(|line| line.split_once("  "));
        let (digest, path) = parts.ok_or(Error::Line(number))?;
        let lower = !digest.bytes().any(|byte| byte.is_ascii_uppercase());
        let digest = digest.parse().ok().filter(|_| lower).ok_or(Error::Line(number))?;
        if !is_plain(path) {
            return Err(Error::Path(number));
        }
        if sums.last_key_value().is_some_and(|(last, _)| last.as_str() >= path) {
            return Err(Error::Order(number));
        }
        sums.insert(path.to_owned(), digest);
    }
    if sums.is_empty() { Err(Error::Empty) } else { Ok(sums) }
}

/// Whether a path is folders and a file below where it counts from, of characters that mean nothing to a terminal,
/// a shell or `sha256sum`.
pub fn is_plain(path: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+-@=,~".contains(c);
    let parts = path.split('/').all(|part| !["", ".", ".."].contains(&part) && part.chars().all(plain));
    path.len() <= 4096 && parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let sums: Sums =
            [("b/c.tar.gz".to_owned(), Digest::of("1")), ("a".to_owned(), Digest::of("2"))].into();
        let text = text(&sums);
        assert!(text.starts_with(&format!("{}  a\n", Digest::of("2"))), "{text}");
        assert_eq!(parse(text.as_bytes()), Ok(sums));
    }

    #[test]
    fn what_is_not_exactly_that_is_refused() {
        let digest = Digest::of("x").to_string();
        for (text, error) in [
            (String::new(), Error::Empty),
            (format!("{digest}  a"), Error::Line(1)),
            (format!("{digest} *a\n"), Error::Line(1)),
            (format!("{}  a\n", digest.to_uppercase()), Error::Line(1)),
            (format!("{}  a\n", &digest[1..]), Error::Line(1)),
            (format!("{digest}  a\n\n"), Error::Line(2)),
            (format!("{digest}  ../a\n"), Error::Path(1)),
            (format!("{digest}  /a\n"), Error::Path(1)),
            (format!("{digest}  a/./b\n"), Error::Path(1)),
            (format!("{digest}  a//b\n"), Error::Path(1)),
            (format!("{digest}  a\r\n"), Error::Path(1)),
            (format!("{digest}  \x1b[2J\n"), Error::Path(1)),
            (format!("{digest}  a\n{digest}  a\n"), Error::Order(2)),
            (format!("{digest}  b\n{digest}  a\n"), Error::Order(2)),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(error), "{text:?}");
        }
        assert_eq!(parse(b"\xff"), Err(Error::Text));
    }
}

//! The text of a console, and the exit line that the runtime ends it with.

use regex::bytes::Regex;
use std::{ops::Range, sync::LazyLock};

/// Appends what a serial port brought, with line ends as plain `\n`: a kernel and a function may both
/// have put a `\r` before it. Works across any split of the bytes.
pub(crate) fn append(text: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        if byte == b'\n' {
            while text.last() == Some(&b'\r') {
                text.pop();
            }
        }
        text.push(byte);
    }
}

/// An exit line, whoever has written it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The status it names; none when it is no status.
    pub(crate) status: Option<u8>,
    /// The nonce it names.
    pub(crate) nonce: String,
    /// Where it lies in the text.
    pub(crate) span: Range<usize>,
}

/// The highest status that an exit port can bring through QEMU.
const MAX_STATUS: u8 = 111;

static FRAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?m-u)^\[selkie:exit status=([0-9]+) nonce=([0-9A-Za-z]*)\]\r*$")
        .expect("a fixed expression")
});

/// All exit lines in `text`, which has plain line ends. Each must be alone on its line.
pub(crate) fn find(text: &[u8]) -> Vec<Frame> {
    let field = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    FRAME
        .captures_iter(text)
        .map(|captures| Frame {
            status: field(&captures[1]).parse().ok().filter(|status| *status <= MAX_STATUS),
            nonce: field(&captures[2]),
            span: captures.get_match().range(),
        })
        .collect()
}

/// The beginning of an exit line that does not end, or is not alone on its line.
pub(crate) const BEGINNING: &[u8] = b"[selkie:exit ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_are_plain_however_the_bytes_are_split() {
        let bytes = b"one\r\ntwo\r\r\n\rthree\nfour\r";
        for size in 1..bytes.len() {
            let mut text = Vec::new();
            bytes.chunks(size).for_each(|chunk| append(&mut text, chunk));
            assert_eq!(text, b"one\ntwo\n\rthree\nfour\r");
        }
    }

    #[test]
    fn a_frame_is_a_whole_line() {
        let frames = find(b"hi\n[selkie:exit status=7 nonce=0123456789abcdef]\n");
        assert_eq!(frames.len(), 1);
        assert_eq!((frames[0].status, frames[0].nonce.as_str()), (Some(7), "0123456789abcdef"));
        for text in [
            "x[selkie:exit status=7 nonce=00]\n",
            "[selkie:exit status=7 nonce=00] x\n",
            "[selkie:exit status=-7 nonce=00]\n",
            "[selkie:exit status= nonce=00]\n",
            "[selkie:exit status=7 nonce=00",
        ] {
            assert!(find(text.as_bytes()).is_empty(), "{text}");
        }
        assert_eq!(find(b"[selkie:exit status=112 nonce=00]\n")[0].status, None);
        assert_eq!(find(b"[selkie:exit status=99999999999 nonce=00]\n")[0].status, None);
    }
}

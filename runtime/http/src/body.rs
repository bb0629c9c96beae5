//! The body of a request, as it arrives.

use crate::Refusal;
use alloc::vec::Vec;

/// The longest line with the size of a chunk, with all that may follow the size.
const MAX_SIZE_LINE: usize = 256;
/// The most bytes of fields after the last chunk. They are left out.
const MAX_TRAILER: usize = 4096;

/// What is still to come of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    state: State,
    /// How many more bytes it may have.
    left: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// This many bytes.
    Sized(usize),
    /// The line with a chunk's size.
    Size,
    /// This many bytes of a chunk.
    Chunk(usize),
    /// The end of the line after a chunk.
    ChunkEnd,
    /// Fields after the last chunk, of which so many bytes were seen.
    Trailer(usize),
    Done,
}

/// What became of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How many of them belong to the body and were used.
    pub used: usize,
    /// All of the body is there.
    pub done: bool,
}

impl Body {
    /// A body of `length` bytes.
    pub(crate) fn sized(length: usize) -> Self {
        Self { state: if length == 0 { State::Done } else { State::Sized(length) }, left: length }
    }

    /// A body in chunks, of at most `limit` bytes.
    pub(crate) fn chunked(limit: usize) -> Self {
        Self { state: State::Size, left: limit }
    }

    /// How many more bytes it has, or may have at most.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Whether all of it was there.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes what is there of the body from the begin of `bytes` and appends it to `content`. Bytes that are not used are
    /// given again, with what comes after them, or belong to the next request.
    pub fn take(&mut self, bytes: &[u8], content: &mut Vec<u8>) -> Result<Progress, Refusal> {
        let mut used = 0;
        while self.state != State::Done {
            let rest = &bytes[used..];
            let step = match self.state {
                State::Sized(length) | State::Chunk(length) => self.data(length, rest, content)?,
                State::Size => self.size(rest)?,
                State::ChunkEnd => self.line_end(rest)?,
                State::Trailer(seen) => self.trailer(seen, rest)?,
                State::Done => 0,
            };
            if step == 0 {
                break;
            }
            used += step;
        }
        Ok(Progress { used, done: self.is_done() })
    }

    fn data(&mut self, length: usize, rest: &[u8], content: &mut Vec<u8>) -> Result<usize, Refusal> {
        let count = length.min(rest.len());
        content.try_reserve(count).map_err(|_| Refusal::Busy)?;
        content.extend_from_slice(&rest[..count]);
        self.left -= count;
        self.state = match (self.state, length - count) {
            (State::Sized(_), 0) => State::Done,
            (State::Sized(_), length) => State::Sized(length),
            (_, 0) => State::ChunkEnd,
            (_, length) => State::Chunk(length),
        };
        Ok(count)
    }

    fn size(&mut self, rest: &[u8]) -> Result<usize, Refusal> {
        // `httparse` takes a line without a digit for 0, and anything after a `;`: other servers would see another end.
        let line = rest.iter().position(|byte| *byte == b'\n').map_or(rest, |end| &rest[..=end]);
        let digit = line.first().is_none_or(u8::is_ascii_hexdigit);
        if !digit || line.ends_with(b"\n") && !line.ends_with(b"\r\n") {
            return Err(Refusal::Malformed);
        }
        match httparse::parse_chunk_size(&rest[..rest.len().min(MAX_SIZE_LINE)]) {
            Ok(httparse::Status::Complete((line, 0))) => {
                self.state = State::Trailer(0);
                Ok(line)
            }
            Ok(httparse::Status::Complete((line, size))) => {
                let size = usize::try_from(size).ok().filter(|size| *size <= self.left);
                self.state = State::Chunk(size.ok_or(Refusal::BodyTooLarge)?);
                Ok(line)
            }
            Ok(httparse::Status::Partial) if rest.len() < MAX_SIZE_LINE => Ok(0),
            _ => Err(Refusal::Malformed),
        }
    }

    fn line_end(&mut self, rest: &[u8]) -> Result<usize, Refusal> {
        match rest {
            [b'\r', b'\n', ..] => {
                self.state = State::Size;
                Ok(2)
            }
            [] | [b'\r'] => Ok(0),
            _ => Err(Refusal::Malformed),
        }
    }

    /// Skips a line; an empty one is the end.
    fn trailer(&mut self, seen: usize, rest: &[u8]) -> Result<usize, Refusal> {
        let Some(line) = rest.iter().position(|byte| *byte == b'\n').map(|end| &rest[..=end]) else {
            return if seen + rest.len() > MAX_TRAILER { Err(Refusal::HeadTooLarge) } else { Ok(0) };
        };
        let seen = seen + line.len();
        self.state = match line {
            b"\r\n" => State::Done,
            [.., b'\r', b'\n'] if seen <= MAX_TRAILER => State::Trailer(seen),
            [.., b'\r', b'\n'] => return Err(Refusal::HeadTooLarge),
            _ => return Err(Refusal::Malformed),
        };
        Ok(line.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `text` in pieces of `piece` bytes; returns the content and what was not used.
    fn take(mut body: Body, text: &[u8], piece: usize) -> Result<(Vec<u8>, usize), Refusal> {
        let (mut content, mut buffer, mut rest) = (Vec::new(), Vec::new(), text);
        loop {
            let progress = body.take(&buffer, &mut content)?;
            buffer.drain(..progress.used);
            if progress.done {
                return Ok((content, buffer.len() + rest.len()));
            }
            assert!(!rest.is_empty(), "the end is missing");
            let (now, later) = rest.split_at(piece.min(rest.len()));
            buffer.extend_from_slice(now);
            rest = later;
        }
    }

    #[test]
    fn a_body_is_the_same_in_whatever_pieces_it_comes() {
        let text = b"4;name=value\r\nWiki\r\n5\r\npedia\r\nE\r\n in\r\n\r\nchunks.\r\n0\r\nA: b\r\nC: d\r\n\r\nGET /";
        for piece in 1..text.len() {
            let (content, rest) = take(Body::chunked(100), text, piece).unwrap();
            assert_eq!((content.as_slice(), rest), (&b"Wikipedia in\r\n\r\nchunks."[..], 5), "{piece}");
            let (content, rest) = take(Body::sized(7), b"1234567GET", piece).unwrap();
            assert_eq!((content.as_slice(), rest), (&b"1234567"[..], 3));
        }
        assert!(Body::sized(0).is_done());
    }

    #[test]
    fn a_body_that_is_too_long_or_malformed_is_refused() {
        for (text, refusal) in [
            (&b"b\r\n"[..], Refusal::BodyTooLarge),
            (b"a\r\n0123456789\r\n1\r\n", Refusal::BodyTooLarge),
            (b"ffffffffffffffff\r\n", Refusal::BodyTooLarge),
            (b"fffffffffffffffff\r\n", Refusal::Malformed),
            (b"\r\n", Refusal::Malformed),
            (b"-1\r\n", Refusal::Malformed),
            (b"1\r\nab", Refusal::Malformed),
            (b"1\r\na\n", Refusal::Malformed),
            (b"0\r\nA: b\n", Refusal::Malformed),
            (b"1\n", Refusal::Malformed),
            (b"1;a\nb\r\n", Refusal::Malformed),
            (b";a\r\n", Refusal::Malformed),
        ] {
            assert_eq!(take(Body::chunked(10), text, text.len()), Err(refusal), "{text:?}");
            assert_eq!(take(Body::chunked(10), text, 1), Err(refusal), "{text:?}");
        }
        let mut long = b"1;".to_vec();
        long.extend([b'x'; MAX_SIZE_LINE]);
        assert_eq!(take(Body::chunked(10), &long, 10), Err(Refusal::Malformed));
        let mut trailer = b"0\r\n".to_vec();
        trailer.extend(b"A: b\r\n".repeat(MAX_TRAILER / 6 + 1));
        assert_eq!(take(Body::chunked(10), &trailer, 10), Err(Refusal::HeadTooLarge));
        assert_eq!(
            take(Body::chunked(10), &[&b"0\r\n"[..], &[b'x'; 5000]].concat(), 10),
            Err(Refusal::HeadTooLarge)
        );
    }

    #[test]
    fn no_byte_makes_it_panic_or_take_more_than_it_may() {
        let text = b"4\r\nWiki\r\n5\r\npedia\r\n0\r\nA: b\r\n\r\n";
        for index in 0..text.len() {
            for byte in 0..=u8::MAX {
                let mut bytes = text.to_vec();
                bytes[index] = byte;
                let (mut body, mut content) = (Body::chunked(12), Vec::new());
                if let Ok(progress) = body.take(&bytes, &mut content) {
                    assert!(progress.used <= bytes.len());
                }
                assert!(content.len() <= 12);
            }
        }
    }
}

//! HTTP/1.1 as a server needs it: requests from bytes that may be anything, with limits, and answers to bytes.
//!
//! Nothing here knows of a network, and nothing but the ends of a streamed body waits: whoever has bytes asks what they
//! are. Source: RFC 9110 (semantics) and RFC 9112 (messages); lines and header fields are taken apart by the crate
//! `httparse`.

#![cfg_attr(not(test), no_std)]

extern crate alloc;

mod body;
mod event;
mod head;
mod response;
mod stream;

pub use body::{Body, Progress};
pub use event::{BadEvent, Event};
pub use head::{Head, MAX_HEAD, Method};
pub use response::{Connection, Producer, Response};
pub use stream::{BodyReader, BodyWriter, Cut, Framing, pipe};

use core::fmt;

/// Why a request is refused. The connection is closed after the answer: where the next request begins is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is no HTTP request, or one that two servers could understand differently.
    Malformed,
    /// Its head is too long, or has too many fields.
    HeadTooLarge,
    /// Its body is longer than the function takes.
    BodyTooLarge,
    /// Its body comes in a way that is not understood.
    UnknownCoding,
    /// It expects something that is not known.
    UnknownExpectation,
    /// It is of another version of HTTP.
    Version,
    /// It did not arrive in time.
    TooSlow,
    /// There is no memory for it now.
    Busy,
}

impl Refusal {
    /// The status of the answer.
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::TooSlow => 408,
            Self::BodyTooLarge => 413,
            Self::UnknownExpectation => 417,
            Self::HeadTooLarge => 431,
            Self::UnknownCoding => 501,
            Self::Busy => 503,
            Self::Version => 505,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the request is malformed",
            Self::HeadTooLarge => "the request's head is too large",
            Self::BodyTooLarge => "the request's body is too large",
            Self::UnknownCoding => "the request's transfer coding is not known",
            Self::UnknownExpectation => "the request's expectation is not known",
            Self::Version => "the request's HTTP version is not served",
            Self::TooSlow => "the request did not arrive in time",
            Self::Busy => "there is no memory for the request now",
        })
    }
}

impl core::error::Error for Refusal {}

/// The texts of a list in a field's value, which commas part.
fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty())
}

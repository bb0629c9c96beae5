//! The answer of a server of HTTP/1.0.

use alloc::vec::Vec;
use core::fmt;
use selkie_native::{
    net::{self, Read},
    tls::TlsStream,
};

extern crate alloc;

/// The longest answer that is taken.
const MOST: usize = 256 << 10;
/// The most fields of its head.
const FIELDS: usize = 64;

/// What the server says is no answer, or none that is taken.
#[derive(Debug)]
pub enum BadAnswer {
    /// It did not come, or not whole.
    Connection(net::Error),
    /// It is none of HTTP, or is not there whole.
    Malformed,
    /// It is longer than [`MOST`].
    TooLong,
}

impl fmt::Display for BadAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => error.fmt(f),
            Self::Malformed => f.write_str("the server's answer is none of HTTP, or not whole"),
            Self::TooLong => write!(f, "the server's answer is longer than {MOST} bytes"),
        }
    }
}

/// Reads an answer to its end: its status and its body.
pub async fn read(server: &mut TlsStream) -> Result<(u16, Vec<u8>), BadAnswer> {
    let mut bytes = Vec::new();
    let mut piece = [0; 2048];
    // That the server cuts it off is an error of the connection: an end in TLS is one that the server has meant.
    loop {
        match server.read(&mut piece).await.map_err(BadAnswer::Connection)? {
            0 => break,
            count if bytes.len() + count > MOST => return Err(BadAnswer::TooLong),
            count => bytes.extend_from_slice(&piece[..count]),
        }
    }
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(length)) = head.parse(&bytes) else { return Err(BadAnswer::Malformed) };
    let status = head.code.ok_or(BadAnswer::Malformed)?;
    let mut said = head.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("content-length"));
    let said = said.next().map(|field| core::str::from_utf8(field.value).ok()?.trim().parse::<usize>().ok());
    match said {
        Some(said) if said != Some(bytes.len() - length) => Err(BadAnswer::Malformed),
        _ => Ok((status, bytes.split_off(length))),
    }
}

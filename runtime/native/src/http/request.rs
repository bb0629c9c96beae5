//! A request, as a handler gets it.

use crate::net::Network;
use alloc::vec::Vec;
use core::{fmt, ops::Deref, str};
use selkie_http::{BodyReader, Head};

/// A request with its whole body, or with a stream of it. What its head says is read through it: `request.path()`,
/// `request.field("accept")`.
#[derive(Debug)]
pub struct Request {
    head: Head,
    body: Vec<u8>,
    stream: Option<BodyReader>,
    id: Id,
    network: Network,
}

impl Request {
    pub(super) fn new(head: Head, body: Vec<u8>, id: Id, network: Network) -> Self {
        Self { head, body, stream: None, id, network }
    }

    pub(super) fn streamed(head: Head, stream: BodyReader, id: Id, network: Network) -> Self {
        Self { head, body: Vec::new(), stream: Some(stream), id, network }
    }

    /// The network that it came over, for connections to others.
    pub fn network(&self) -> Network {
        self.network
    }

    /// Its body; nothing when it is a stream.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Takes the stream of its body, where [`Server::streams`](super::Server::streams) has asked for one. A stream that is
    /// dropped is not read any further, and the connection ends after the answer.
    pub fn take_stream(&mut self) -> Option<BodyReader> {
        self.stream.take()
    }

    /// Its body as a text, when it is one.
    pub fn text(&self) -> Option<&str> {
        str::from_utf8(&self.body).ok()
    }

    /// What it is called in the log, and in the field `x-request-id` of the answer: another text for each request, of
    /// all boots.
    pub fn id(&self) -> impl fmt::Display + use<> {
        self.id
    }
}

impl Deref for Request {
    type Target = Head;

    fn deref(&self) -> &Head {
        &self.head
    }
}

/// A request's name: some random bits of the boot, and a number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Id {
    pub(super) boot: u64,
    pub(super) number: u32,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:08x}", self.boot, self.number)
    }
}

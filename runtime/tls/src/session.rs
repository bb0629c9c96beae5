//! One side of a connection, as a thing that bytes go in and out of.

use crate::Error;
use alloc::vec::Vec;
use core::fmt;
use rustls::{
    client::UnbufferedClientConnection,
    server::UnbufferedServerConnection,
    unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic},
};

/// The most of what came that waits to be understood: a message of the handshake has to be there whole, with a chain of
/// certificates in it. A record is a quarter as long at most.
const MOST: usize = 64 << 10;
/// The most of the plain text that goes into one record: what both sides keep of it is less then.
const RECORD: usize = 4 << 10;
/// What encryption adds to a record: head, type and tag, and a message that announces new keys, once in a while.
const OVERHEAD: usize = 128;

pub(crate) enum Side {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

impl Side {
    fn has_something_to_send(&self) -> bool {
        match self {
            Self::Client(client) => client.wants_write(),
            Self::Server(server) => server.wants_write(),
        }
    }
}

/// One side of a connection: what came is put into it, what it has to say is taken out and sent.
///
/// [`advance`](Self::advance) says how it goes on, whenever something came or was taken. What is to be sent is sent
/// even when it fails: it tells the other side why.
pub struct Session {
    side: Side,
    /// What came and is not understood yet.
    incoming: Vec<u8>,
    /// What is to be sent.
    outgoing: Vec<u8>,
    /// What the other side has said.
    plain: Vec<u8>,
    /// The other side has said that it will say nothing more.
    ended: bool,
    /// Why there is no way on.
    failed: Option<Error>,
}

/// How a session goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Not before something comes.
    Handshake,
    /// What is to be said can be said, and what the other side says will be understood.
    Open,
    /// The other side will say nothing more; what is to be said can be said.
    Ended,
}

impl fmt::Debug for Session {
    /// None of what is said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// What one step of rustls has come to.
enum Did {
    Something,
    Waits,
    Open,
    Ended,
    Closed,
}

impl Session {
    pub(crate) fn new(side: Side) -> Self {
        let (incoming, outgoing, plain) = (Vec::new(), Vec::new(), Vec::new());
        Self { side, incoming, outgoing, plain, ended: false, failed: None }
    }

    /// Takes what came.
    pub fn received(&mut self, bytes: &[u8]) {
        self.incoming.extend_from_slice(bytes);
    }

    /// What the other side has said. Whoever has taken something drains it.
    pub fn plain(&mut self) -> &mut Vec<u8> {
        &mut self.plain
    }

    /// What is to be sent. Whoever has sent something drains it.
    pub fn outgoing(&mut self) -> &mut Vec<u8> {
        &mut self.outgoing
    }

    /// Understands what came, up to the next text that the other side says.
    ///
    /// # Errors
    /// When the two do not come to terms, or the other side breaks the rules. There is no way on then.
    pub fn advance(&mut self) -> Result<Step, Error> {
        loop {
            match self.step(|_, _| Ok(()))? {
                Did::Something if self.plain.is_empty() => {}
                Did::Waits if self.incoming.len() > MOST => return Err(self.fail(Error::TooLong)),
                Did::Waits => return Ok(Step::Handshake),
                _ if self.ended => return Ok(Step::Ended),
                _ => return Ok(Step::Open),
            }
        }
    }

    /// Says some of `bytes`, and how many of them. The session has to be open.
    ///
    /// # Errors
    /// When it is not.
    pub fn say(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let bytes = &bytes[..bytes.len().min(RECORD)];
        self.speak(|traffic, out| traffic.encrypt(bytes, out))?;
        Ok(bytes.len())
    }

    /// Says that nothing more will be said.
    ///
    /// # Errors
    /// When the session is not open.
    pub fn finish(&mut self) -> Result<(), Error> {
        self.speak(|traffic, out| traffic.queue_close_notify(out))
    }

    fn speak(
        &mut self,
        mut with: impl FnMut(&mut dyn Speak, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<(), Error> {
        let mut said = false;
        loop {
            let did = self.step(|traffic, outgoing| {
                let begin = outgoing.len();
                outgoing.resize(begin + RECORD + OVERHEAD, 0);
                let written = with(traffic, &mut outgoing[begin..]);
                outgoing.truncate(begin + written.as_ref().map_or(0, |count| *count));
                said = written.is_ok();
                written.map(drop)
            })?;
            match did {
                _ if said => return Ok(()),
                Did::Something | Did::Ended => {}
                _ => return Err(rustls::Error::HandshakeNotComplete.into()),
            }
        }
    }

    /// Does what comes next. `open` is called when something can be said.
    fn step(
        &mut self,
        open: impl FnOnce(&mut dyn Speak, &mut Vec<u8>) -> Result<(), EncryptError>,
    ) -> Result<Did, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let did = self.try_step(open);
        did.map_err(|error| self.fail(error))
    }

    /// From now on nothing goes on. What tells the other side why is still to be sent.
    fn fail(&mut self, error: Error) -> Error {
        self.failed = Some(error.clone());
        // rustls must not see again what it has failed at: it would panic.
        while self.side.has_something_to_send() && self.try_step(|_, _| Ok(())).is_ok() {}
        self.incoming = Vec::new();
        error
    }

    fn try_step(
        &mut self,
        open: impl FnOnce(&mut dyn Speak, &mut Vec<u8>) -> Result<(), EncryptError>,
    ) -> Result<Did, Error> {
        let Self { side, incoming, outgoing, plain, ended, .. } = self;
        let (discard, did) = match side {
            Side::Client(client) => after(client.process_tls_records(incoming), outgoing, plain, open),
            Side::Server(server) => after(server.process_tls_records(incoming), outgoing, plain, open),
        };
        *ended |= matches!(did, Ok(Did::Ended));
        incoming.drain(..discard);
        if incoming.is_empty() && incoming.capacity() > RECORD * 2 {
            // What a long message took is given back.
            *incoming = Vec::new();
        }
        did
    }
}

/// How much of what came is done with, and what was done.
fn after<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    outgoing: &mut Vec<u8>,
    plain: &mut Vec<u8>,
    open: impl FnOnce(&mut dyn Speak, &mut Vec<u8>) -> Result<(), EncryptError>,
) -> (usize, Result<Did, Error>) {
    let mut discard = status.discard;
    let did = match status.state {
        Err(error) => Err(error.into()),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                None => break Ok(Did::Something),
                Some(Err(error)) => break Err(error.into()),
                Some(Ok(record)) => {
                    discard += record.discard;
                    plain.extend_from_slice(record.payload);
                }
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            let needed = match data.encode(&mut []) {
                Err(EncodeError::InsufficientSize(needed)) => needed.required_size,
                _ => 0,
            };
            let begin = outgoing.len();
            outgoing.resize(begin + needed, 0);
            let written = data.encode(&mut outgoing[begin..]).unwrap_or(0);
            outgoing.truncate(begin + written);
            Ok(Did::Something)
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            // It is sent before anything else that is sent.
            data.done();
            Ok(Did::Something)
        }
        Ok(ConnectionState::WriteTraffic(mut traffic)) => match open(&mut traffic, outgoing) {
            Ok(()) => Ok(Did::Open),
            Err(_) => Err(rustls::Error::EncryptError.into()),
        },
        Ok(ConnectionState::BlockedHandshake) => Ok(Did::Waits),
        Ok(ConnectionState::PeerClosed) => Ok(Did::Ended),
        Ok(ConnectionState::Closed) => Ok(Did::Closed),
        // Early data, which is not offered.
        Ok(_) => Err(rustls::Error::General("a state that was not asked for".into()).into()),
    };
    (discard, did)
}

/// [`WriteTraffic`] of either side.
trait Speak {
    fn encrypt(&mut self, bytes: &[u8], out: &mut [u8]) -> Result<usize, EncryptError>;
    fn queue_close_notify(&mut self, out: &mut [u8]) -> Result<usize, EncryptError>;
}

impl<Data> Speak for WriteTraffic<'_, Data> {
    fn encrypt(&mut self, bytes: &[u8], out: &mut [u8]) -> Result<usize, EncryptError> {
        WriteTraffic::encrypt(self, bytes, out)
    }

    fn queue_close_notify(&mut self, out: &mut [u8]) -> Result<usize, EncryptError> {
        WriteTraffic::queue_close_notify(self, out)
    }
}

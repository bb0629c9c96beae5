//! TLS 1.3: connections that nobody else reads or changes, to somebody who has shown who they are.

use crate::{
    net::{Error, TcpStream},
    wall,
};
use core::fmt;
use embedded_io_async::{ErrorType, Read, Write};
use selkie_drivers::Seed;
use selkie_tls::{Session, Step, random};

pub use selkie_tls::Error as TlsError;

/// Everything random comes from these bytes from outside from now on. What uses them too gets others.
pub(crate) fn begin(seed: &mut Seed) {
    random::begin(core::mem::take(seed), selkie_drivers::further);
    // It was begun a moment ago.
    let _ = random::fill(seed);
}

/// Random bytes that nobody can guess.
///
/// # Errors
/// Before the network has started: it is what looks for a source of them.
pub fn random(bytes: &mut [u8]) -> Result<(), TlsError> {
    random::fill(bytes).ok_or(TlsError::NoRandom)
}

/// Whom a function believes when it connects to servers.
#[derive(Debug, Clone)]
pub struct Client(selkie_tls::Client);

impl Client {
    /// A client that believes servers with certificates which lead to one of `roots`: certificates in PEM, one after the
    /// other, or a single one in DER.
    ///
    /// # Errors
    /// When there is no certificate in `roots`, or something else.
    pub fn new(roots: &[u8]) -> Result<Self, TlsError> {
        selkie_tls::Client::new(roots, wall).map(Self)
    }

    /// Comes to terms with the server at the other end of `stream`, whose certificate has to call it `name`: the name of
    /// a host, or an address.
    ///
    /// # Errors
    /// When it is somebody else, its certificate is not valid now or leads to no root, or it does not answer in time.
    pub async fn connect(&self, name: &str, stream: TcpStream) -> Result<TlsStream, Error> {
        let mut stream = TlsStream { session: self.0.session(name)?, stream };
        match stream.handshake().await {
            Ok(()) => Ok(stream),
            Err(error) => {
                // The server is told why, if it listens.
                let _ = stream.stream.close().await;
                Err(error)
            }
        }
    }
}

/// A connection in TLS. It is read and written by the traits [`Read`] and [`Write`]; its time-outs are those of the
/// connection below.
///
/// [`Read::read`] gives 0 bytes only after the other side has said that it has said all: a connection that somebody cuts
/// off is the error [`Error::Ended`].
pub struct TlsStream {
    session: Session,
    stream: TcpStream,
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// Bytes that are read at once.
const PIECE: usize = 4 << 10;

impl TlsStream {
    async fn handshake(&mut self) -> Result<(), Error> {
        while self.advance().await? == Step::Handshake {
            self.receive().await?;
        }
        Ok(())
    }

    /// Goes on with what came, and sends what is to be sent.
    async fn advance(&mut self) -> Result<Step, Error> {
        let step = self.session.advance();
        let sent = self.send().await;
        // That the two do not come to terms says more than that the other side has gone because of it.
        let step = step?;
        sent?;
        Ok(step)
    }

    async fn send(&mut self) -> Result<(), Error> {
        let outgoing = core::mem::take(self.session.outgoing());
        self.stream.write_all(&outgoing).await
    }

    async fn receive(&mut self) -> Result<(), Error> {
        let mut piece = [0; PIECE];
        match self.stream.read(&mut piece).await? {
            0 => Err(Error::Ended),
            count => {
                self.session.received(&piece[..count]);
                Ok(())
            }
        }
    }

    /// Says that nothing more will come, waits until the other side has all that was written, and ends the connection.
    ///
    /// # Errors
    /// When the other side does not take it.
    pub async fn close(mut self) -> Result<(), Error> {
        self.session.finish()?;
        self.send().await?;
        self.stream.close().await
    }
}

impl ErrorType for TlsStream {
    type Error = Error;
}

impl Read for TlsStream {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Error> {
        loop {
            let plain = self.session.plain();
            if !plain.is_empty() || bytes.is_empty() {
                let count = plain.len().min(bytes.len());
                bytes[..count].copy_from_slice(&plain[..count]);
                plain.drain(..count);
                return Ok(count);
            }
            let step = self.advance().await?;
            if !self.session.plain().is_empty() {
                continue;
            }
            if step == Step::Ended {
                return Ok(0);
            }
            self.receive().await?;
        }
    }
}

impl Write for TlsStream {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let count = self.session.say(bytes)?;
        self.send().await?;
        Ok(count)
    }

    async fn flush(&mut self) -> Result<(), Error> {
        self.stream.flush().await
    }
}

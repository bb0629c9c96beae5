//! Connections.

use super::{CONNECT, Error, Network, PATIENCE, Place, buffer::Buffer, in_time};
use core::{fmt, net::SocketAddr, time::Duration};
use embassy_net::tcp::{self, ConnectError, TcpSocket};
use embedded_io_async::{ErrorType, Read, Write};

/// Bytes of a connection that may be under way in each direction.
const RECEIVE_BUFFER: usize = 16 << 10;
const SEND_BUFFER: usize = 8 << 10;

/// A connection to somebody. It is read and written by the traits [`Read`] and [`Write`].
///
/// [`close`](Self::close) ends it so that the other side gets all that was written. When it is only dropped, what was
/// not sent yet is lost, and the other side is not told.
pub struct TcpStream {
    // The socket goes first.
    socket: TcpSocket<'static>,
    _receive: Buffer<u8>,
    _send: Buffer<u8>,
    _place: Place,
    patience: Duration,
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpStream").field("peer", &self.socket.remote_endpoint()).finish_non_exhaustive()
    }
}

impl TcpStream {
    pub(super) async fn connect(network: Network, address: SocketAddr) -> Result<Self, Error> {
        let place = Place::take(network)?;
        let (receive, send) = (Buffer::new(0, RECEIVE_BUFFER), Buffer::new(0, SEND_BUFFER));
        // SAFETY: each is lent once, and the stream drops the socket before them; so does this function when it ends
        // early, as the socket is the later variable.
        let mut socket = unsafe { TcpSocket::new(network.stack, receive.lend(), send.lend()) };
        // What is written is a whole message mostly: nothing is won by waiting for more.
        socket.set_nagle_enabled(false);
        in_time(CONNECT, async {
            network.stack.wait_config_up().await;
            if !network.reaches(address.ip()) {
                return Err(ConnectError::NoRoute);
            }
            socket.connect(address).await
        })
        .await?
        .map_err(|error| match error {
            ConnectError::NoRoute | ConnectError::InvalidState => Error::NoRoute,
            ConnectError::ConnectionReset => Error::Refused,
            ConnectError::TimedOut => Error::TimedOut,
        })?;
        Ok(Self { socket, _receive: receive, _send: send, _place: place, patience: PATIENCE })
    }

    /// How long the other side may let the function wait, 30 seconds at first.
    pub fn set_timeout(&mut self, time: Duration) {
        self.patience = time;
    }

    /// Waits until the other side has all that was written, and ends the connection.
    ///
    /// # Errors
    /// When the other side does not take it.
    pub async fn close(mut self) -> Result<(), Error> {
        self.socket.close();
        let flushed = in_time(self.patience, self.socket.flush()).await;
        if flushed != Ok(Ok(())) {
            self.socket.abort();
            // The word that it is over is sent, if it can be.
            let _ = in_time(Duration::from_millis(100), self.socket.flush()).await;
        }
        flushed?.map_err(of_stack)
    }
}

fn of_stack(tcp::Error::ConnectionReset: tcp::Error) -> Error {
    Error::Reset
}

impl ErrorType for TcpStream {
    type Error = Error;
}

impl Read for TcpStream {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Error> {
        in_time(self.patience, self.socket.read(bytes)).await?.map_err(of_stack)
    }
}

impl Write for TcpStream {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        match in_time(self.patience, self.socket.write(bytes)).await? {
            Ok(0) if !bytes.is_empty() => Err(Error::Ended),
            written => written.map_err(of_stack),
        }
    }

    async fn flush(&mut self) -> Result<(), Error> {
        in_time(self.patience, self.socket.flush()).await?.map_err(of_stack)
    }
}

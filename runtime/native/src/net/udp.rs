//! Datagrams.

use super::{Error, MAX_SOCKETS, Network, PATIENCE, Place, buffer::Buffer, in_time};
use core::{
    cell::RefCell,
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use embassy_net::udp::{self, BindError, PacketMetadata, RecvError, SendError};

/// How many datagrams, and how many bytes of them, may wait in each direction.
const DATAGRAMS: usize = 16;
const BYTES: usize = 16 << 10;
/// The longest packet, and the headers of it before the datagram. Longer ones are not cut into pieces.
const PACKET: usize = 1500;
const HEADERS_V4: usize = 20 + 8;
const HEADERS_V6: usize = 40 + 8;

/// The ports of all sockets: the network stack gives one to as many as ask for it. Only the thread that runs the tasks has
/// any.
struct Ports(RefCell<heapless::Vec<u16, MAX_SOCKETS>>);

// SAFETY: a `Network` is needed to get at it, and that stays in the thread that runs the tasks.
unsafe impl Sync for Ports {}

static PORTS: Ports = Ports(RefCell::new(heapless::Vec::new()));

/// A port that nobody else has.
struct Port(u16);

impl Port {
    /// None where somebody has it.
    fn take(_: Network, port: u16) -> Option<Self> {
        let mut ports = PORTS.0.borrow_mut();
        // Lazily: a value that goes away again would give the port back.
        (!ports.contains(&port) && ports.push(port).is_ok()).then(|| Self(port))
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        PORTS.0.borrow_mut().retain(|port| *port != self.0);
    }
}

/// A port that datagrams are sent from and come to.
pub struct UdpSocket {
    // The socket goes first.
    socket: udp::UdpSocket<'static>,
    _bytes: [Buffer<u8>; 2],
    _heads: [Buffer<PacketMetadata>; 2],
    _place: Place,
    _port: Port,
    network: Network,
    patience: Duration,
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpSocket").field("at", &self.socket.endpoint()).finish_non_exhaustive()
    }
}

impl Network {
    /// Opens `port` for datagrams; 0 is any that is free.
    ///
    /// # Errors
    /// When it is in use, or too many sockets are.
    pub fn bind(&self, port: u16) -> Result<UdpSocket, Error> {
        let place = Place::take(*self)?;
        let bytes = [Buffer::new(0, BYTES), Buffer::new(0, BYTES)];
        let heads = [0; 2].map(|_| Buffer::new(PacketMetadata::EMPTY, DATAGRAMS));
        // SAFETY: each is lent once, and the result drops the socket before them; so does this function when it ends
        // early, as the socket is the later variable.
        let mut socket = unsafe {
            udp::UdpSocket::new(
                self.stack,
                heads[0].lend(),
                bytes[0].lend(),
                heads[1].lend(),
                bytes[1].lend(),
            )
        };
        let own = loop {
            socket.bind(port).map_err(|error| match error {
                BindError::InvalidState => Error::TooMany,
                BindError::NoRoute => Error::NoRoute,
            })?;
            match Port::take(*self, socket.endpoint().port) {
                Some(own) => break own,
                None if port == 0 => socket.close(),
                None => return Err(Error::TooMany),
            }
        };
        let (network, patience) = (*self, PATIENCE);
        Ok(UdpSocket { socket, _bytes: bytes, _heads: heads, _place: place, _port: own, network, patience })
    }
}

impl UdpSocket {
    /// How long [`receive`](Self::receive) waits, 30 seconds at first.
    pub fn set_timeout(&mut self, time: Duration) {
        self.patience = time;
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.socket.endpoint().port
    }

    /// Sends a datagram. That it was sent does not say that it comes to anybody.
    ///
    /// # Errors
    /// When there is no way to `address`, or it is too long.
    pub async fn send(&self, bytes: &[u8], address: SocketAddr) -> Result<(), Error> {
        let headers = if address.is_ipv4() { HEADERS_V4 } else { HEADERS_V6 };
        if bytes.len() > PACKET - headers {
            return Err(Error::TooLong);
        }
        in_time(self.patience, async {
            self.network.stack.wait_config_up().await;
            if !self.network.reaches(address.ip()) {
                return Err(SendError::NoRoute);
            }
            self.socket.send_to(bytes, address).await
        })
        .await?
        .map_err(|error| match error {
            SendError::NoRoute => Error::NoRoute,
            SendError::SocketNotBound => Error::Ended,
            SendError::PacketTooLarge => Error::TooLong,
        })
    }

    /// Waits for a datagram: how long it is, and whose. One that is longer than `bytes` is an error, and gone.
    ///
    /// # Errors
    /// When none comes in time, or it is too long.
    pub async fn receive(&self, bytes: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        let received = in_time(self.patience, self.socket.recv_from(bytes)).await?;
        let (count, from) = received.map_err(|RecvError::Truncated| Error::TooLong)?;
        Ok((count, SocketAddr::new(IpAddr::from(from.endpoint.addr), from.endpoint.port)))
    }
}

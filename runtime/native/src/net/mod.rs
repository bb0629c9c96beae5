//! Connections to others: TCP, and with features of this crate UDP (`udp`), names (`dns`) and TLS (`tls`).
//!
//! A function gets a [`Network`] from [`run`](crate::run), or from a request. Whatever waits here does so for a time
//! only, which can be set.

pub(crate) mod buffer;
#[cfg(feature = "dns")]
mod dns;
mod error;
mod tcp;
#[cfg(feature = "udp")]
mod udp;

pub use embedded_io_async::{Read, Write};
pub use error::Error;
pub use tcp::TcpStream;
#[cfg(feature = "udp")]
pub use udp::UdpSocket;

use core::{
    cell::Cell,
    fmt,
    future::Future,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use embassy_net::Stack;

/// The most sockets that a function opens itself at a time.
pub(crate) const MAX_SOCKETS: usize = 64;

/// How long a connection may take until it is there, with the addresses that it needs.
const CONNECT: Duration = Duration::from_secs(10);
/// How long others may let a function wait, when it has not said how long.
const PATIENCE: Duration = Duration::from_secs(30);

/// The function's network. It is handed around as it is, within the thread that runs the function's tasks.
#[derive(Clone, Copy)]
pub struct Network {
    stack: Stack<'static>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").finish_non_exhaustive()
    }
}

impl Network {
    pub(crate) fn new(stack: Stack<'static>) -> Self {
        Self { stack }
    }

    /// Connects to `address`.
    ///
    /// # Errors
    /// When nobody takes the connection, or not in time.
    pub async fn connect(&self, address: SocketAddr) -> Result<TcpStream, Error> {
        TcpStream::connect(*self, address).await
    }

    /// Connects to the host `name` at `port`: the first of its addresses that takes the connection.
    ///
    /// # Errors
    /// When it has no address, or none of them takes it.
    #[cfg(feature = "dns")]
    pub async fn connect_to(&self, name: &str, port: u16) -> Result<TcpStream, Error> {
        let mut last = Error::NoSuchName;
        for address in self.resolve(name).await? {
            match self.connect((address, port).into()).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Whether a way leads to `address`: it lies in a network of the function's own, or there is a router.
    fn reaches(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.stack.config_v4().is_some_and(|config| {
                let everybody = address.is_broadcast() || address.is_multicast();
                everybody || config.gateway.is_some() || config.address.contains_addr(&address)
            }),
            IpAddr::V6(address) => self.stack.config_v6().is_some_and(|config| {
                let near = address.is_multicast() || address.is_unicast_link_local();
                near || config.gateway.is_some() || config.address.contains_addr(&address)
            }),
        }
    }

    /// The function's own addresses. It waits until there is one.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn addresses(&self) -> Result<impl Iterator<Item = IpAddr>, Error> {
        in_time(CONNECT, self.stack.wait_config_up()).await?;
        let v4 = self.stack.config_v4().map(|config| config.address.address().into());
        let v6 = self.stack.config_v6().map(|config| config.address.address().into());
        Ok(v4.into_iter().chain(v6))
    }
}

/// The result of `work`, when there is one within `time`.
async fn in_time<T>(time: Duration, work: impl Future<Output = T>) -> Result<T, Error> {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 2);
    let time = embassy_time::Duration::from_micros(micros);
    embassy_time::with_timeout(time, work).await.map_err(|_| Error::TimedOut)
}

/// A place among the sockets that a function opens itself.
struct Place(());

/// Sockets that are open. Only the thread that runs the tasks has any.
struct Open(Cell<usize>);

// SAFETY: a `Network` is needed to get at it, and that stays in the thread that runs the tasks.
unsafe impl Sync for Open {}

static OPEN: Open = Open(Cell::new(0));

impl Place {
    /// None where all are taken.
    fn take(_: Network) -> Result<Self, Error> {
        let open = OPEN.0.get();
        if open >= MAX_SOCKETS {
            return Err(Error::TooMany);
        }
        OPEN.0.set(open + 1);
        Ok(Self(()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        OPEN.0.set(OPEN.0.get() - 1);
    }
}

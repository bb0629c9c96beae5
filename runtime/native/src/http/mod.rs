//! An HTTP/1.1 server: a handler gets each request, whole unless it asks for a stream, and returns the answer.

mod connection;
mod metrics;
mod request;
mod stream;

pub use embassy_time::Duration;
pub use request::Request;
pub use selkie_http::{BadEvent, BodyReader, BodyWriter, Cut, Event, Head, Method, Response};

use crate::{
    Error, Result,
    net::{Network, buffer},
    network::{self, MAX_CONNECTIONS},
    stop::{self, Stop},
};
use alloc::{boxed::Box, string::String, vec::Vec};
use core::cell::Cell;
use embassy_net::{Stack, tcp::TcpSocket};
use metrics::Metrics;
use selkie::{System, heap, println};
use selkie_http::MAX_HEAD;
use stream::Channel;

/// The usual ports.
const HTTP: u16 = 80;
#[cfg(feature = "tls")]
const HTTPS: u16 = 443;
/// Bytes of the heap that a connection takes for TLS: a record that came, what was in it, keys and tables.
#[cfg(feature = "tls")]
const OF_TLS: usize = 40 << 10;

/// What answers requests. Many are asked at once, all in one thread: one that waits lets others go on, one that computes
/// holds them up. An async closure is one.
pub trait Handler: 'static {
    /// Answers a request.
    fn handle(&self, request: Request) -> impl Future<Output = Response>;

    /// What is done beside the answers, from the start of the server on: what handlers wait for, for instance. That it
    /// ends, or does not, makes no difference.
    fn background(&self) -> impl Future<Output = ()> {
        async {}
    }

    /// Adds what the handler itself counts to the answer to `/metrics`, in the text format of Prometheus.
    fn metrics(&self, _text: &mut String) {}
}

impl<F: AsyncFn(Request) -> Response + 'static> Handler for F {
    fn handle(&self, request: Request) -> impl Future<Output = Response> {
        self(request)
    }
}

/// A server that is about to start. What it does not take, and what it does when others take too long, it says itself;
/// the handler never sees it.
///
/// It answers two paths by itself: `/healthz`, and `/metrics` in the text format of Prometheus.
#[derive(Debug, Clone)]
pub struct Server {
    port: u16,
    connections: usize,
    buffers: (usize, usize),
    head_limit: usize,
    body_limit: usize,
    bodies_limit: usize,
    streamed: Option<fn(&Head) -> bool>,
    stream_limit: u64,
    times: Times,
    #[cfg(feature = "tls")]
    tls: Option<&'static selkie_tls::Server>,
}

/// How long things may take.
///
/// ```ignore
/// let times = Times { handler: Duration::from_secs(120), ..Times::DEFAULT };
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// From a client's first word to its second, before there is a connection.
    pub handshake: Duration,
    /// Between two requests of a connection.
    pub idle: Duration,
    /// From the first byte of a head to its last.
    pub head: Duration,
    /// From the begin of a body to its end, when it is no stream.
    pub body: Duration,
    /// The handler, when the body is no stream.
    pub handler: Duration,
    /// Until a client that streams a body has sent some more of it.
    pub read: Duration,
    /// Until the client has taken some of the answer.
    pub write: Duration,
    /// From the head of a request to the end of its answer, when one of the two is a stream.
    pub stream: Duration,
    /// From the word to stop to the end, whoever is still being served.
    pub stop: Duration,
}

impl Times {
    /// What holds unless a server says otherwise.
    pub const DEFAULT: Self = Self {
        handshake: Duration::from_secs(5),
        idle: Duration::from_secs(15),
        head: Duration::from_secs(10),
        body: Duration::from_secs(30),
        handler: Duration::from_secs(30),
        read: Duration::from_secs(10),
        write: Duration::from_secs(10),
        stream: Duration::from_secs(300),
        stop: Duration::from_secs(5),
    };
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// A server at port 80 for 64 connections, with bodies of up to 64 KiB, 256 KiB of them at a time.
    pub const fn new() -> Self {
        Self {
            port: HTTP,
            connections: 64,
            buffers: (4 << 10, 8 << 10),
            head_limit: MAX_HEAD,
            body_limit: 64 << 10,
            bodies_limit: 256 << 10,
            streamed: None,
            stream_limit: 0,
            times: Times::DEFAULT,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Clients come by TLS: to `certificate`, which may be followed by those that lead from it to a root, and its private
    /// `key`, both in PEM. The port is 443 then, unless [`port`](Self::port) has said another before. Each connection takes
    /// 40 KiB more of the heap.
    ///
    /// # Errors
    /// When one of the two is none, or they do not belong together.
    #[cfg(feature = "tls")]
    pub fn tls(self, certificate: &[u8], key: &[u8]) -> Result<Self, crate::tls::TlsError> {
        let tls = Box::leak(Box::new(selkie_tls::Server::new(certificate, key)?));
        let port = if self.port == HTTP { HTTPS } else { self.port };
        Ok(Self { port, tls: Some(tls), ..self })
    }

    /// TLS for a new connection, where it is asked for.
    #[cfg(feature = "tls")]
    fn channel(&self) -> Result<Option<Channel>, crate::tls::TlsError> {
        self.tls.map(|tls| tls.session().map(Channel::new)).transpose()
    }

    #[cfg(not(feature = "tls"))]
    #[allow(clippy::unused_self)] // As with TLS.
    fn channel(&self) -> Result<Option<Channel>> {
        Ok(None)
    }

    #[cfg(feature = "tls")]
    fn scheme(&self) -> (&'static str, usize) {
        if self.tls.is_some() { ("https", OF_TLS) } else { ("http", 0) }
    }

    /// What addresses begin with, and bytes that each connection takes for it.
    #[cfg(not(feature = "tls"))]
    #[allow(clippy::unused_self)] // As with TLS.
    fn scheme(&self) -> (&'static str, usize) {
        ("http", 0)
    }

    /// The port.
    pub const fn port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// How many connections are served at once, 1 to 256: each takes some 20 KiB of the heap. Who comes when all are
    /// taken is refused.
    pub const fn connections(self, count: usize) -> Self {
        Self { connections: clamp(count, 1, MAX_CONNECTIONS), ..self }
    }

    /// Bytes that may be under way from a client and to it, 2 KiB to 64 KiB each: more of them make a connection faster
    /// when it is a long way, and take the heap of each connection.
    pub const fn buffers(self, receive: usize, send: usize) -> Self {
        let buffers = (clamp(receive, 2 << 10, 64 << 10), clamp(send, 2 << 10, 64 << 10));
        Self { buffers, ..self }
    }

    /// The longest head of a request, 1 KiB to 64 KiB. Each connection has room for one.
    pub const fn heads(self, longest: usize) -> Self {
        Self { head_limit: clamp(longest, 1 << 10, 64 << 10), ..self }
    }

    /// The longest body of a request, and how many bytes the bodies of all requests may have at a time. A body that is a
    /// stream has 16 KiB, whatever its length, and so has an answer that is one.
    pub const fn bodies(self, longest: usize, all: usize) -> Self {
        Self { body_limit: longest, bodies_limit: all, ..self }
    }

    /// The handler gets the bodies of these requests as streams, of at most `longest` bytes, and is asked as soon as the
    /// head is there: see [`Request::take_stream`].
    pub const fn streams(self, which: fn(&Head) -> bool, longest: u64) -> Self {
        Self { streamed: Some(which), stream_limit: longest, ..self }
    }

    /// How long things may take.
    pub const fn times(self, times: Times) -> Self {
        Self { times, ..self }
    }

    fn is_streamed(&self, head: &Head) -> bool {
        self.streamed.is_some_and(|which| which(head))
    }

    /// Whether what connections and bodies may take is there.
    fn fits(&self) -> Result<()> {
        let of_connection = self.buffers.0 + self.buffers.1 + self.head_limit + self.scheme().1;
        let needed = self.bodies_limit.saturating_add(self.connections * of_connection);
        let usage = heap::usage();
        let free = usage.size - usage.used;
        if needed <= free { Ok(()) } else { Err(Error::NoHeap { needed, free }) }
    }

    /// Serves until Ctrl-C comes to the console: then what is being answered is finished first.
    pub fn serve(self, sys: &mut System, handler: impl Handler) -> Result<()> {
        self.fits()?;
        let network = network::start(sys)?;
        stop::listen(sys, network.wake)?;
        let state: &'static State<_> = Box::leak(Box::new(State {
            handler,
            metrics: Metrics::new(network.card, &network.seed),
            stop: Stop::default(),
            live: Cell::new(self.connections),
            bodies: Cell::new(0),
            server: self,
            network: Network::new(network.stack),
        }));
        // In one piece: what the heap notes beside each piece takes pages, too.
        let (receive, send) = state.server.buffers;
        let buffers = Box::leak(buffer::bytes(state.server.connections * (receive + send)));
        for buffers in buffers.chunks_exact_mut(receive + send) {
            network.tasks.spawn(worker(network.stack, state, buffers.split_at_mut(receive)));
        }
        network.tasks.spawn(announce(network.stack, state));
        network.tasks.spawn(background(state));
        let end = Cell::new(None);
        network.tasks.run(&state.stop, || {
            if !state.stop.is_asked() {
                return network.card.is_broken();
            }
            let now = embassy_time::Instant::now();
            let end = end.get().unwrap_or_else(|| {
                end.set(Some(now + state.server.times.stop));
                now + state.server.times.stop
            });
            state.live.get() == 0 || now >= end
        })?;
        if network.card.is_broken() {
            return Err(Error::Broken);
        }
        println!("Stopped after {} requests.", state.metrics.answered());
        Ok(())
    }
}

/// What all connections share.
struct State<H> {
    server: Server,
    network: Network,
    handler: H,
    metrics: Metrics,
    stop: Stop,
    /// Tasks that accept connections.
    live: Cell<usize>,
    /// Bytes of bodies that requests have.
    bodies: Cell<usize>,
}

/// Says where the server listens, once it has addresses.
async fn announce<H: Handler>(stack: Stack<'static>, state: &'static State<H>) {
    stack.wait_config_up().await;
    let (port, scheme) = (state.server.port, state.server.scheme().0);
    if let Some(config) = stack.config_v4() {
        println!("Listening on {scheme}://{}:{port}/", config.address.address());
    }
    if let Some(config) = stack.config_v6() {
        println!("Listening on {scheme}://[{}]:{port}/", config.address.address());
    }
}

/// Does what the handler does beside answers.
async fn background<H: Handler>(state: &'static State<H>) {
    state.handler.background().await;
}

/// Accepts connections and serves them, one after the other.
async fn worker<H: Handler>(
    stack: Stack<'static>,
    state: &'static State<H>,
    (receive, send): (&'static mut [u8], &'static mut [u8]),
) {
    let mut buffer = Vec::with_capacity(state.server.head_limit);
    while !state.stop.is_asked() {
        let mut socket = TcpSocket::new(stack, receive, send);
        // Small answers are whole: nothing is won by waiting for more.
        socket.set_nagle_enabled(false);
        if connection::accept(&mut socket, state).await {
            let orderly = connection::serve(&mut socket, &mut buffer, state).await;
            connection::end(&mut socket, orderly, state.server.times.write).await;
        }
    }
    state.live.set(state.live.get() - 1);
}

const fn clamp(number: usize, least: usize, most: usize) -> usize {
    if number < least {
        least
    } else if number > most {
        most
    } else {
        number
    }
}

//! An HTTP/1.1 server: a handler gets each request whole and returns the answer.

mod connection;
mod metrics;
mod request;

pub use request::Request;
pub use selkie_http::{BadEvent, Event, Method, Response};

use crate::{
    Error, Result,
    network::{self, MAX_CONNECTIONS},
    stop::{self, Stop},
};
use alloc::{boxed::Box, string::String, vec, vec::Vec};
use core::cell::Cell;
use embassy_net::{Stack, tcp::TcpSocket};
use embassy_time::Duration;
use metrics::Metrics;
use selkie::{System, println};

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
    body_limit: usize,
    bodies_limit: usize,
    times: Times,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// From a client's first word to its second, before there is a connection.
    handshake: Duration,
    /// Between two requests of a connection.
    idle: Duration,
    /// From the first byte of a head to its last.
    head: Duration,
    /// From the begin of a body to its end.
    body: Duration,
    /// The handler.
    handler: Duration,
    /// Until the client has taken some of the answer.
    write: Duration,
    /// From the word to stop to the end, whoever is still being served.
    stop: Duration,
}

const TIMES: Times = Times {
    handshake: Duration::from_secs(5),
    idle: Duration::from_secs(15),
    head: Duration::from_secs(10),
    body: Duration::from_secs(30),
    handler: Duration::from_secs(30),
    write: Duration::from_secs(10),
    stop: Duration::from_secs(5),
};

/// Bytes of a connection's buffers in the network stack: what may be under way in each direction.
const RECEIVE_BUFFER: usize = 4 << 10;
const SEND_BUFFER: usize = 8 << 10;

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// A server at port 80 for 64 connections, with bodies of up to 64 KiB, 256 KiB of them at a time.
    pub const fn new() -> Self {
        Self { port: 80, connections: 64, body_limit: 64 << 10, bodies_limit: 256 << 10, times: TIMES }
    }

    /// The port.
    pub const fn port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// How many connections are served at once, 1 to 256: each takes some 20 KiB of the heap. Who comes when all are
    /// taken is refused.
    pub const fn connections(self, count: usize) -> Self {
        let connections = if count == 0 {
            1
        } else if count > MAX_CONNECTIONS {
            MAX_CONNECTIONS
        } else {
            count
        };
        Self { connections, ..self }
    }

    /// The longest body of a request, and how many bytes the bodies of all requests may have at a time.
    pub const fn bodies(self, longest: usize, all: usize) -> Self {
        Self { body_limit: longest, bodies_limit: all, ..self }
    }

    /// Serves until Ctrl-C comes to the console: then what is being answered is finished first.
    pub fn serve(self, sys: &mut System, handler: impl Handler) -> Result<()> {
        let network = network::start(sys)?;
        stop::listen(sys, network.wake)?;
        let state: &'static State<_> = Box::leak(Box::new(State {
            handler,
            metrics: Metrics::new(network.card, &network.seed),
            stop: Stop::default(),
            live: Cell::new(self.connections),
            bodies: Cell::new(0),
            server: self,
        }));
        for _ in 0..state.server.connections {
            network.tasks.spawn(worker(network.stack, state));
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
    let port = state.server.port;
    if let Some(config) = stack.config_v4() {
        println!("Listening on http://{}:{port}/", config.address.address());
    }
    if let Some(config) = stack.config_v6() {
        println!("Listening on http://[{}]:{port}/", config.address.address());
    }
}

/// Does what the handler does beside answers.
async fn background<H: Handler>(state: &'static State<H>) {
    state.handler.background().await;
}

/// Accepts connections and serves them, one after the other.
async fn worker<H: Handler>(stack: Stack<'static>, state: &'static State<H>) {
    let (mut receive, mut send) = (vec![0; RECEIVE_BUFFER], vec![0; SEND_BUFFER]);
    let mut buffer = Vec::with_capacity(connection::BUFFER);
    while !state.stop.is_asked() {
        let mut socket = TcpSocket::new(stack, &mut receive, &mut send);
        // Small answers are whole: nothing is won by waiting for more.
        socket.set_nagle_enabled(false);
        if connection::accept(&mut socket, state).await {
            connection::serve(&mut socket, &mut buffer, state).await;
            connection::end(&mut socket).await;
        }
    }
    state.live.set(state.live.get() - 1);
}

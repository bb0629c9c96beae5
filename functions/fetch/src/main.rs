//! Asks a server by HTTPS and prints its answer: a function that connects to others.
//!
//! The address is its argument, or the variable `URL`; the variable `ROOTS` has the certificates that it believes, in
//! PEM. It ends with status 1 when there is no answer, or one that is no success.

#![no_std]
#![no_main]

mod answer;

use answer::{BadAnswer, read};
use core::fmt;
use selkie::prelude::*;
use selkie_native::{
    net::{self, Network, Write},
    tls::{Client, TlsError},
};

selkie::entry!(main);

fn main(sys: &mut System) -> Result<(), Failure> {
    let url = args().next().or(env("URL")).and_then(Url::new).ok_or(Failure::BadUrl)?;
    let client = Client::new(env("ROOTS").unwrap_or_default().as_bytes()).map_err(Failure::BadRoots)?;
    selkie_native::run(sys, async move |network| fetch(network, &client, &url).await)?
}

/// Asks the server, and prints its answer.
async fn fetch(network: Network, client: &Client, url: &Url) -> Result<(), Failure> {
    let stream = network.connect_to(url.host, url.port).await?;
    let mut server = client.connect(url.host, stream).await?;
    // A server of HTTP/1.0 sends the answer as it is, and ends the connection.
    let request = format!("GET {} HTTP/1.0\r\nHost: {}\r\nUser-Agent: selkie\r\n\r\n", url.path, url.host);
    server.write_all(request.as_bytes()).await?;
    let (status, body) = read(&mut server).await?;
    // It has said all, and so have we: what becomes of the connection makes no difference.
    let _ = server.close().await;
    println!("status {status}, {} bytes", body.len());
    println!("{}", String::from_utf8_lossy(&body));
    if (200..300).contains(&status) { Ok(()) } else { Err(Failure::Status(status)) }
}

/// The parts of `https://HOST:PORT/PATH`.
struct Url {
    host: &'static str,
    port: u16,
    path: &'static str,
}

impl Url {
    fn new(text: &'static str) -> Option<Self> {
        let rest = text.strip_prefix("https://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = if path.is_empty() { "/" } else { path };
        // An address of IPv6 has colons of its own, in brackets.
        let end = authority.find(']').map_or(0, |bracket| bracket + 1);
        let (host, port) = match authority[end..].split_once(':') {
            Some((host, port)) => (&authority[..end + host.len()], port.parse().ok()?),
            None => (authority, 443),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let plain = !path.contains(|c: char| c.is_control() || c == ' ');
        (!host.is_empty() && plain).then_some(Self { host, port, path })
    }
}

/// Why there is nothing to print.
#[derive(Debug)]
enum Failure {
    BadUrl,
    BadRoots(TlsError),
    NoNetwork(selkie_native::Error),
    Connection(net::Error),
    Answer(BadAnswer),
    Status(u16),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadUrl => f.write_str("the argument, or `URL`, has to be `https://HOST/PATH`"),
            Self::BadRoots(error) => write!(f, "`ROOTS`: {error}"),
            Self::NoNetwork(error) => error.fmt(f),
            Self::Connection(error) => error.fmt(f),
            Self::Answer(error) => error.fmt(f),
            Self::Status(status) => write!(f, "the server answers with status {status}"),
        }
    }
}

impl From<selkie_native::Error> for Failure {
    fn from(error: selkie_native::Error) -> Self {
        Self::NoNetwork(error)
    }
}

impl From<net::Error> for Failure {
    fn from(error: net::Error) -> Self {
        Self::Connection(error)
    }
}

impl From<BadAnswer> for Failure {
    fn from(error: BadAnswer) -> Self {
        Self::Answer(error)
    }
}

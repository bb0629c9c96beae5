//! Greets whoever asks by HTTPS. Its certificate is in the variable `CERTIFICATE`; the private key, which belongs into no
//! image, comes with each start: `run https-hello --secret KEY=@FILE`.

#![no_std]
#![no_main]

use core::fmt;
use selkie::prelude::*;
use selkie_native::{
    http::{Method, Request, Response, Server},
    tls::TlsError,
};

selkie::entry!(main);

fn main(sys: &mut System) -> Result<(), Failure> {
    let certificate = env("CERTIFICATE").unwrap_or_default();
    let key = env("KEY").ok_or(Failure::NoKey)?;
    let server = Server::new().connections(16).tls(certificate.as_bytes(), key.as_bytes());
    let greet = async |request: Request| match (&request.method, request.path()) {
        (Method::Get | Method::Head, "/") => Response::text("Hello, and nobody else heard it.\n"),
        (_, "/") => Response::new(405).field("allow", "GET, HEAD"),
        _ => Response::text("There is nothing here.\n").status(404),
    };
    server.map_err(Failure::Tls)?.serve(sys, greet).map_err(Failure::Server)
}

/// Why it does not serve.
#[derive(Debug)]
enum Failure {
    NoKey,
    Tls(TlsError),
    Server(selkie_native::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey => f.write_str("there is no private key: start it with `--secret KEY=@FILE`"),
            Self::Tls(error) => error.fmt(f),
            Self::Server(error) => error.fmt(f),
        }
    }
}

//! Greets whoever asks: the smallest function that serves HTTP.

#![no_std]
#![no_main]

use selkie::prelude::*;
use selkie_native::http::{Method, Request, Response, Server};

selkie::entry!(main);

fn main(sys: &mut System) -> selkie_native::Result<()> {
    let name = args().next().unwrap_or("world");
    let connections = env("CONNECTIONS").and_then(|text| text.parse().ok()).unwrap_or(64);
    let server = Server::new().connections(connections);
    server.serve(sys, async move |request: Request| match (&request.method, request.path()) {
        (Method::Get | Method::Head, "/") => Response::text(format!("Hello, {name}!\n")),
        (_, "/") => Response::new(405).field("allow", "GET, HEAD"),
        _ => Response::text("There is nothing here.\n").status(404),
    })
}

//! Answers each CloudEvent with one that has the same data: the smallest function that takes events.

#![no_std]
#![no_main]

use selkie::prelude::*;
use selkie_native::http::{Event, Method, Request, Response, Server};

selkie::entry!(main);

/// What the events that it sends say of themselves.
const KIND: &str = "selkie.echo";

fn main(sys: &mut System) -> selkie_native::Result<()> {
    Server::new().serve(sys, async |request: Request| match (&request.method, request.path()) {
        (Method::Post, "/") => match Event::read(&request, request.body()) {
            Ok(event) => echo(event, &request),
            Err(error) => error.response(),
        },
        (_, "/") => Response::new(405).field("allow", "POST"),
        _ => Response::new(404),
    })
}

/// Another event, which says whose data it has.
fn echo(event: Event, request: &Request) -> Response {
    let of = event.attribute("id").unwrap_or_default();
    let mut answer = Event::new(request.id().to_string(), "/http-echo", KIND).with("subject", of);
    if let Some(media_type) = event.media_type() {
        answer = answer.with_data(media_type, event.data());
    }
    answer.response(event.is_structured())
}

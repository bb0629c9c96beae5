//! Answers each CloudEvent with one that has the same data: the smallest function that takes events. What is posted to
//! `/stream` comes back as it comes, however long it is.

#![no_std]
#![no_main]

use selkie::prelude::*;
use selkie_native::http::{BodyWriter, Duration, Event, Method, Request, Response, Server, Times};

selkie::entry!(main);

/// What the events that it sends say of themselves.
const KIND: &str = "selkie.echo";

/// A stream may take long, and stand still for a while.
const TIMES: Times = Times {
    read: Duration::from_secs(60),
    write: Duration::from_secs(60),
    stream: Duration::from_secs(3600),
    ..Times::DEFAULT
};

fn main(sys: &mut System) -> selkie_native::Result<()> {
    // Streams want more under way than events do.
    let server = Server::new().connections(8).buffers(64 << 10, 32 << 10).times(TIMES);
    let server = server.streams(|head| head.path() == "/stream", u64::MAX);
    server.serve(sys, async |request: Request| match (&request.method, request.path()) {
        (Method::Post, "/") => match Event::read(&request, request.body()) {
            Ok(event) => echo(event, &request),
            Err(error) => error.response(),
        },
        (Method::Post | Method::Put, "/stream") => stream(request),
        (_, "/") => Response::new(405).field("allow", "POST"),
        (_, "/stream") => Response::new(405).field("allow", "POST, PUT"),
        _ => Response::new(404),
    })
}

/// The very body, which is still coming.
fn stream(mut request: Request) -> Response {
    let Some(mut body) = request.take_stream() else { return Response::new(500) };
    let media_type = request.field("content-type").unwrap_or("application/octet-stream").to_owned();
    let copy = async move |answer: &mut BodyWriter| body.copy_to(answer).await.map(drop);
    Response::new(200).stream(media_type, request.content_length(), copy)
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

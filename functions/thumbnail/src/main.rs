//! Makes small pictures of large ones: `POST /?width=128&height=128` with a JPEG or PNG picture answers with a PNG picture
//! that fits into these sides. Its ratio is kept, and it never becomes larger.

#![no_std]
#![no_main]

mod worker;

use core::cell::Cell;
use pictures::{Error as Refused, Format, MAX_SIDE, MAX_SOURCE_SIDE, Picture, SIDE, Size, takes_png};
use selkie::{heap, prelude::*};
use selkie_native::{
    Error,
    http::{Duration, Handler, Method, Request, Response, Server, Times},
};
use worker::Worker;

selkie::entry!(main);

/// The longest picture, in bytes as it is sent; all of them while they come, and all that wait for their turn.
const BODY: usize = 12 << 20;
const BODIES: usize = 2 * BODY;
const WAITING: usize = 2 * BODY;
/// Bytes of the heap for connections, answers, and what lies between pictures.
const SERVER: usize = 16 << 20;
/// What is left of the heap is for one picture that is being decoded. This much it has to be.
const LEAST: usize = 8 << 20;

/// Pictures take their time, one after the other, longer than small answers do.
const TIMES: Times = Times { handler: Duration::from_secs(120), ..Times::DEFAULT };

fn main(sys: &mut System) -> selkie_native::Result<()> {
    let usage = heap::usage();
    let free = usage.size - usage.used;
    let rest = BODIES + WAITING + SERVER;
    let memory = free.checked_sub(rest).filter(|memory| *memory >= LEAST);
    let memory = memory.ok_or(Error::NoHeap { needed: rest + LEAST, free })?;
    let worker = Worker::start(sys, WAITING)?;
    println!("Pictures may take {} MiB each", memory >> 20);
    let server = Server::new().connections(16).buffers(64 << 10, 32 << 10).bodies(BODY, BODIES).times(TIMES);
    server.serve(sys, Thumbnails { worker, memory, jpeg: Cell::new(0), png: Cell::new(0) })
}

struct Thumbnails {
    worker: &'static Worker,
    /// Bytes that a picture may take while it is made small.
    memory: usize,
    /// Pictures that were made small.
    jpeg: Cell<u64>,
    png: Cell<u64>,
}

impl Handler for Thumbnails {
    async fn handle(&self, request: Request) -> Response {
        match (&request.method, request.path()) {
            (Method::Post, "/") => self.thumbnail(&request).await,
            (Method::Get | Method::Head, "/") => self.about(),
            (_, "/") => Response::new(405).field("allow", "GET, HEAD, POST"),
            _ => Response::new(404),
        }
    }

    fn metrics(&self, text: &mut String) {
        let (jpeg, png) = (self.jpeg.get(), self.png.get());
        text.push_str(&format!(
            "# HELP thumbnail_pictures_total Pictures that were made small.\n\
             # TYPE thumbnail_pictures_total counter\n\
             thumbnail_pictures_total{{format=\"jpeg\"}} {jpeg}\n\
             thumbnail_pictures_total{{format=\"png\"}} {png}\n\
             # HELP thumbnail_waiting Pictures that wait for their turn.\n\
             # TYPE thumbnail_waiting gauge\n\
             thumbnail_waiting {}\n\
             # HELP thumbnail_busy_seconds_total Time that pictures took.\n\
             # TYPE thumbnail_busy_seconds_total counter\n\
             thumbnail_busy_seconds_total {:.6}\n",
            self.worker.waiting(),
            self.worker.busy() as f64 / 1e6
        ));
    }
}

impl Thumbnails {
    async fn thumbnail(&self, request: &Request) -> Response {
        if !takes_png(request.field("accept").unwrap_or("*/*")) {
            return problem(406, "the answer is image/png");
        }
        if request.field("content-encoding").is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return problem(415, "the picture has to come without a content-encoding")
                .field("accept-encoding", "identity");
        }
        let Some(size) = Size::of_query(request.query().unwrap_or_default()) else {
            return problem(400, &format!("width and height are whole numbers from 1 to {MAX_SIDE}"));
        };
        let picture = match Picture::new(request.body(), size, self.memory) {
            Ok(picture) => picture,
            Err(error) => return refused(&error),
        };
        let made = match picture.format() {
            Format::Jpeg => &self.jpeg,
            Format::Png => &self.png,
        };
        match self.worker.thumbnail(picture, size).await {
            None => problem(503, "too many pictures wait already").field("retry-after", "5"),
            Some(Err(error)) => refused(&error),
            Some(Ok(file)) => {
                made.set(made.get() + 1);
                Response::new(200).body("image/png", file)
            }
        }
    }

    /// What can be sent.
    fn about(&self) -> Response {
        let about = serde_json::json!({
            "takes": ["image/jpeg", "image/png"],
            "answers": "image/png",
            "longest-body": BODY,
            "longest-side": MAX_SOURCE_SIDE,
            "memory": self.memory,
            "width": { "default": SIDE, "most": MAX_SIDE },
            "height": { "default": SIDE, "most": MAX_SIDE },
        });
        Response::new(200).body("application/json", format!("{about}\n").into_bytes())
    }
}

/// The answer to a picture that cannot be made small.
fn refused(error: &Refused) -> Response {
    match error {
        Refused::Unknown | Refused::Unsupported(_) => {
            // What would be taken (RFC 9110, 15.5.16).
            problem(415, &error.to_string()).field("accept", "image/jpeg, image/png")
        }
        Refused::TooLarge { .. } => problem(413, &error.to_string()),
        Refused::Damaged(_) => problem(422, &error.to_string()),
    }
}

/// An answer that says what is wrong, as RFC 9457 has it.
fn problem(status: u16, detail: &str) -> Response {
    let body = serde_json::json!({ "status": status, "detail": detail });
    Response::new(status).body("application/problem+json", format!("{body}\n").into_bytes())
}

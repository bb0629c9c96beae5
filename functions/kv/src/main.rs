//! Keeps values by their keys on a disk, over HTTP. What it has acknowledged is there after whatever ends it.
//!
//! - `PUT /v1/KEY`, `GET /v1/KEY`, `DELETE /v1/KEY`: with `If-Match` and `If-None-Match`, by the `ETag` of answers
//! - `GET /v1/?prefix=…&after=…&limit=…`: keys in order, as JSON
//! - all other paths: the files of the recipe

#![no_std]
#![no_main]

mod query;

use selkie::{files, prelude::*};
use selkie_native::{
    Disk,
    http::{Handler, Method, Request, Response, Server},
    store::{self, Condition, Error, Store},
};

selkie::entry!(main);

/// Bytes of the heap that keys may take.
const MEMORY: usize = 1 << 20;
/// The most keys of one answer.
const LISTED: usize = 1000;

fn main(sys: &mut System) -> selkie_native::Result<()> {
    let disk = Disk::open(sys)?;
    let store = store::open(sys, disk, MEMORY)?;
    let stats = store.stats();
    println!("{} keys, {} of {} KiB in use", stats.keys, stats.bytes.div_ceil(1024), stats.capacity >> 10);
    // Keys and values take little of the heap while they wait; connections take most of it.
    Server::new().serve(sys, Kv(store))
}

struct Kv(Store);

impl Handler for Kv {
    async fn handle(&self, request: Request) -> Response {
        match request.path().strip_prefix("/v1/") {
            None => file(&request),
            Some("") => match request.method {
                Method::Get | Method::Head => self.list(&request),
                _ => Response::new(405).field("allow", "GET, HEAD"),
            },
            Some(key) => match query::decode(key) {
                None => refused(Error::BadKey),
                Some(key) => self.value(&key, &request).await.unwrap_or_else(refused),
            },
        }
    }

    async fn background(&self) {
        self.0.run().await;
    }

    fn metrics(&self, text: &mut String) {
        let stats = self.0.stats();
        for (name, kind, help, value) in [
            ("kv_keys", "gauge", "Keys.", stats.keys),
            ("kv_bytes", "gauge", "Bytes that keys and values take of the disk.", stats.bytes),
            ("kv_capacity_bytes", "gauge", "Bytes that they may take.", stats.capacity),
            ("kv_writes_total", "counter", "Writes that were acknowledged.", stats.writes),
            ("kv_flushes_total", "counter", "Batches of writes, each flushed once.", stats.batches),
            ("kv_compactions_total", "counter", "Moves of all data to the other file.", stats.moves),
            ("kv_disk_failures_total", "counter", "Requests that the disk failed.", stats.failures),
        ] {
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"));
        }
    }
}

impl Kv {
    /// Answers a request for the value of a key.
    async fn value(&self, key: &str, request: &Request) -> Result<Response, Error> {
        match request.method {
            Method::Get | Method::Head => {
                let value = self.0.get(key).await?;
                let Some(value) = value else {
                    return Ok(Response::text("There is no such key.\n").status(404));
                };
                if request.field("if-match").is_some_and(|tags| !names(tags, value.version)) {
                    return Err(Error::Changed);
                }
                if request.field("if-none-match").is_some_and(|tags| names(tags, value.version)) {
                    return Ok(tagged(Response::new(304), value.version));
                }
                Ok(tagged(Response::new(200).body("application/octet-stream", value.bytes), value.version))
            }
            Method::Put => {
                let condition = condition(request).ok_or(Error::Changed)?;
                let written = self.0.put(key, request.body().to_vec(), condition).await?;
                Ok(tagged(Response::new(if written.existed { 204 } else { 201 }), written.version))
            }
            Method::Delete => {
                let condition = condition(request).ok_or(Error::Changed)?;
                let deleted = self.0.delete(key, condition).await?;
                Ok(Response::new(if deleted.existed { 204 } else { 404 }))
            }
            _ => Ok(Response::new(405).field("allow", "DELETE, GET, HEAD, PUT")),
        }
    }

    /// Lists keys.
    fn list(&self, request: &Request) -> Response {
        let value = |name| query::value(request.query().unwrap_or_default(), name);
        let (prefix, after) = (value("prefix").unwrap_or_default(), value("after").unwrap_or_default());
        let limit = match value("limit").map(|limit| limit.parse::<usize>()) {
            None => LISTED,
            Some(Ok(limit)) => limit.clamp(1, LISTED),
            Some(Err(_)) => return Response::text("`limit` is a number\n").status(400),
        };
        let mut keys = self.0.keys(&prefix, &after, limit + 1);
        let more = keys.len() > limit;
        keys.truncate(limit);
        let next = keys.last().filter(|_| more);
        let body = serde_json::json!({ "keys": keys, "next": next }).to_string();
        Response::new(200).body("application/json", body.into_bytes())
    }
}

/// The answer to a request that was not done.
fn refused(error: Error) -> Response {
    let status = match error {
        Error::BadKey => 400,
        Error::Changed => 412,
        Error::TooLarge => 413,
        Error::Disk | Error::Damaged => 500,
        Error::Busy => 503,
        Error::Full => 507,
    };
    Response::text(format!("{error}\n")).status(status)
}

/// The same answer with the tag of a value.
fn tagged(response: Response, version: u64) -> Response {
    response.field("etag", format!("\"{version:x}\""))
}

/// Whether a list of tags names this version (RFC 9110, 13.1).
fn names(tags: &str, version: u64) -> bool {
    tags.trim() == "*" || tags.split(',').any(|tag| self::version(tag) == Some(version))
}

/// The version that a tag stands for.
fn version(tag: &str) -> Option<u64> {
    let tag = tag.trim();
    let digits = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?;
    u64::from_str_radix(digits, 16).ok()
}

/// What a write asks for; none where it asks for what cannot be: other tags than one of ours.
fn condition(request: &Request) -> Option<Condition> {
    match (request.field("if-match"), request.field("if-none-match")) {
        (None, None) => Some(Condition::Any),
        (Some("*"), None) => Some(Condition::Present),
        (None, Some("*")) => Some(Condition::Absent),
        (Some(tag), None) => version(tag).map(Condition::Version),
        _ => None,
    }
}

/// Answers with a file of the recipe.
fn file(request: &Request) -> Response {
    if !matches!(request.method, Method::Get | Method::Head) {
        return Response::new(405).field("allow", "GET, HEAD");
    }
    let path = match request.path() {
        "/" => "index.html",
        path => path.trim_start_matches('/'),
    };
    let media_type = match path.rsplit_once('.') {
        Some((_, "html")) => "text/html; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "js")) => "text/javascript; charset=utf-8",
        _ => "application/octet-stream",
    };
    match files::read(path) {
        Some(content) => Response::new(200).body(media_type, content),
        None => Response::text("There is nothing here.\n").status(404),
    }
}

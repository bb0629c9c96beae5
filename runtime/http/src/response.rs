//! The answer to a request.

use crate::Method;
use alloc::{borrow::Cow, string::String, vec::Vec};
use core::fmt::Write;

/// What becomes of the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// It is used again, as HTTP/1.1 does it.
    Kept,
    /// It is used again because the client has asked for that, and is told so: HTTP/1.0.
    KeptAsAsked,
    /// It ends.
    Closed,
}

/// An answer: a status, fields and a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    status: u16,
    fields: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    body: Cow<'static, [u8]>,
}

impl Response {
    /// An answer without a body. A status outside of 200 to 599 is none for an answer: it becomes 500.
    pub fn new(status: u16) -> Self {
        let status = if (200..600).contains(&status) { status } else { 500 };
        Self { status, fields: Vec::new(), body: Cow::Borrowed(&[]) }
    }

    /// The status 200 with a text.
    pub fn text(text: impl Into<Cow<'static, str>>) -> Self {
        let bytes = match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        Self::new(200).body("text/plain; charset=utf-8", bytes)
    }

    /// The same with another status.
    pub fn status(self, status: u16) -> Self {
        Self { status: Self::new(status).status, ..self }
    }

    /// The same with a body of this media type.
    pub fn body(
        self,
        media_type: impl Into<Cow<'static, str>>,
        bytes: impl Into<Cow<'static, [u8]>>,
    ) -> Self {
        Self { body: bytes.into(), ..self }.field("content-type", media_type)
    }

    /// The same with one more field. The length of the body, and what the connection needs, are written by the server.
    pub fn field(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Its status.
    pub fn code(&self) -> u16 {
        self.status
    }

    /// Its body.
    pub fn content(&self) -> &[u8] {
        &self.body
    }

    /// Its first line and fields. The body follows unless [`has_content`](Self::has_content) says no.
    pub fn head(&self, connection: Connection) -> String {
        let mut head = String::with_capacity(160);
        // Writing to a text does not fail.
        let _ = write!(head, "HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        if self.allows_content() {
            let _ = write!(head, "content-length: {}\r\n", self.body.len());
        }
        head.push_str(match connection {
            Connection::Kept => "",
            Connection::KeptAsAsked => "connection: keep-alive\r\n",
            Connection::Closed => "connection: close\r\n",
        });
        for (name, value) in &self.fields {
            // A line's end would begin another field, or another answer.
            let plain = |char: char| if char.is_control() { ' ' } else { char };
            head.extend(name.chars().map(plain));
            head.push_str(": ");
            head.extend(value.chars().map(plain));
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        head
    }

    /// Whether the body follows the head, as an answer to a request with this method.
    pub fn has_content(&self, method: &Method) -> bool {
        self.allows_content() && *method != Method::Head
    }

    fn allows_content(&self) -> bool {
        !matches!(self.status, 204 | 304)
    }
}

/// What a status means. It is there for people: clients read the number.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_its_length_and_whether_the_connection_stays() {
        let answer = Response::text("Hello!").field("x-id", "7");
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\ncontent-type: text/plain; charset=utf-8\r\nx-id: 7\r\n\r\n";
        assert_eq!(answer.head(Connection::Kept), head);
        assert!(answer.has_content(&Method::Get) && !answer.has_content(&Method::Head));
        let closing = Response::new(404).head(Connection::Closed);
        assert_eq!(closing, "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }

    #[test]
    fn an_answer_without_content_has_no_length() {
        let none = Response::text("ignored").status(204);
        assert!(!none.has_content(&Method::Get));
        assert!(!none.head(Connection::Kept).contains("content-length"));
    }

    #[test]
    fn no_value_begins_another_field_and_no_status_is_none() {
        let head = Response::new(99).field("x", String::from("a\r\nset-cookie: b")).head(Connection::Kept);
        assert_eq!(
            head,
            "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nx: a  set-cookie: b\r\n\r\n"
        );
    }
}

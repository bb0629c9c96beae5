//! The answer to a request.

use crate::{BodyWriter, Cut, Framing, Method};
use alloc::{borrow::Cow, boxed::Box, string::String, vec::Vec};
use core::{
    fmt::{self, Write},
    pin::Pin,
};

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
#[derive(Debug)]
pub struct Response {
    status: u16,
    fields: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    body: Content,
}

/// What puts a body into a pipe.
pub type Producer = Box<dyn FnOnce(BodyWriter) -> Pin<Box<dyn Future<Output = ()>>>>;

/// The body of an answer.
enum Content {
    Whole(Cow<'static, [u8]>),
    /// It is made while it is sent. Its length may be known before.
    Stream(Option<u64>, Option<Producer>),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => f.debug_tuple("Whole").field(bytes).finish(),
            Self::Stream(length, _) => f.debug_tuple("Stream").field(length).finish(),
        }
    }
}

impl Response {
    /// An answer without a body. A status outside of 200 to 599 is none for an answer: it becomes 500.
    pub fn new(status: u16) -> Self {
        let status = if (200..600).contains(&status) { status } else { 500 };
        Self { status, fields: Vec::new(), body: Content::Whole(Cow::Borrowed(&[])) }
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
        Self { body: Content::Whole(bytes.into()), ..self }.field("content-type", media_type)
    }

    /// The same with a body that is made while it is sent: `produce` writes it, and waits whenever the client takes it
    /// more slowly. Without a `length` it goes in chunks. A producer that fails, or makes another number of bytes than
    /// `length` says, ends the connection: that is how the client learns that the body is not whole.
    pub fn stream<F>(self, media_type: impl Into<Cow<'static, str>>, length: Option<u64>, produce: F) -> Self
    where
        F: AsyncFnOnce(&mut BodyWriter) -> Result<(), Cut> + 'static,
    {
        let producer: Producer = Box::new(move |mut writer| {
            Box::pin(async move {
                if produce(&mut writer).await.is_ok() {
                    writer.finish();
                }
            })
        });
        Self { body: Content::Stream(length, Some(producer)), ..self }.field("content-type", media_type)
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

    /// Its body; nothing when it is a stream.
    pub fn content(&self) -> &[u8] {
        match &self.body {
            Content::Whole(bytes) => bytes,
            Content::Stream(..) => &[],
        }
    }

    /// Whether the body is a stream.
    pub fn is_stream(&self) -> bool {
        matches!(self.body, Content::Stream(..))
    }

    /// What makes the body, when it is a stream. It can be taken once.
    pub fn producer(&mut self) -> Option<Producer> {
        match &mut self.body {
            Content::Whole(_) => None,
            Content::Stream(_, producer) => producer.take(),
        }
    }

    /// How the body goes to a client that understands chunks, or does not.
    pub fn framing(&self, chunks: bool) -> Framing {
        match &self.body {
            Content::Whole(bytes) => Framing::Sized(bytes.len() as u64),
            Content::Stream(Some(length), _) => Framing::Sized(*length),
            Content::Stream(None, _) if chunks => Framing::Chunked,
            Content::Stream(None, _) => Framing::UntilEnd,
        }
    }

    /// Its first line and fields. The body follows unless [`has_content`](Self::has_content) says no.
    pub fn head(&self, connection: Connection, framing: &Framing) -> String {
        let mut head = String::with_capacity(160);
        // Writing to a text does not fail.
        let _ = write!(head, "HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        if self.allows_content() {
            let _ = match framing {
                Framing::Sized(length) => write!(head, "content-length: {length}\r\n"),
                Framing::Chunked => write!(head, "transfer-encoding: chunked\r\n"),
                Framing::UntilEnd => Ok(()),
            };
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
    let found = REASONS.binary_search_by_key(&status, |(code, _)| *code);
    found.map_or("", |at| REASONS[at].1)
}

/// All of RFC 9110, 15, but those that it took out of use, and those of RFC 4918 and RFC 6585 that are used beside WebDAV.
/// In order.
const REASONS: [(u16, &str); 46] = [
    (200, "OK"),
    (201, "Created"),
    (202, "Accepted"),
    (203, "Non-Authoritative Information"),
    (204, "No Content"),
    (205, "Reset Content"),
    (206, "Partial Content"),
    (300, "Multiple Choices"),
    (301, "Moved Permanently"),
    (302, "Found"),
    (303, "See Other"),
    (304, "Not Modified"),
    (307, "Temporary Redirect"),
    (308, "Permanent Redirect"),
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (402, "Payment Required"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (405, "Method Not Allowed"),
    (406, "Not Acceptable"),
    (407, "Proxy Authentication Required"),
    (408, "Request Timeout"),
    (409, "Conflict"),
    (410, "Gone"),
    (411, "Length Required"),
    (412, "Precondition Failed"),
    (413, "Content Too Large"),
    (414, "URI Too Long"),
    (415, "Unsupported Media Type"),
    (416, "Range Not Satisfiable"),
    (417, "Expectation Failed"),
    (421, "Misdirected Request"),
    (422, "Unprocessable Content"),
    (426, "Upgrade Required"),
    (428, "Precondition Required"),
    (429, "Too Many Requests"),
    (431, "Request Header Fields Too Large"),
    (500, "Internal Server Error"),
    (501, "Not Implemented"),
    (502, "Bad Gateway"),
    (503, "Service Unavailable"),
    (504, "Gateway Timeout"),
    (505, "HTTP Version Not Supported"),
    (507, "Insufficient Storage"),
    (511, "Network Authentication Required"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_its_length_and_whether_the_connection_stays() {
        let head_of = |answer: &Response, connection| answer.head(connection, &answer.framing(true));
        let answer = Response::text("Hello!").field("x-id", "7");
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\ncontent-type: text/plain; charset=utf-8\r\nx-id: 7\r\n\r\n";
        assert_eq!(head_of(&answer, Connection::Kept), head);
        assert!(answer.has_content(&Method::Get) && !answer.has_content(&Method::Head));
        let closing = head_of(&Response::new(404), Connection::Closed);
        assert_eq!(closing, "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }

    #[test]
    fn an_answer_without_content_has_no_length() {
        let none = Response::text("ignored").status(204);
        assert!(!none.has_content(&Method::Get));
        assert!(!none.head(Connection::Kept, &none.framing(true)).contains("content-length"));
    }

    #[test]
    fn no_value_begins_another_field_and_no_status_is_none() {
        let answer = Response::new(99).field("x", String::from("a\r\nset-cookie: b"));
        let head = answer.head(Connection::Kept, &Framing::Sized(0));
        assert_eq!(
            head,
            "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nx: a  set-cookie: b\r\n\r\n"
        );
    }

    #[test]
    fn a_status_has_its_reason() {
        assert!(REASONS.is_sorted_by_key(|(code, _)| *code));
        let line = |status| Response::new(status).head(Connection::Kept, &Framing::Sized(0));
        for (status, begin) in [
            (200, "200 OK\r\n"),
            (406, "406 Not Acceptable\r\n"),
            (502, "502 Bad Gateway\r\n"),
            (299, "299 \r\n"),
        ] {
            assert!(line(status).starts_with(&format!("HTTP/1.1 {begin}")), "{}", line(status));
        }
    }

    #[test]
    fn a_stream_goes_in_chunks_with_its_length_or_until_the_end() {
        let stream =
            |length| Response::new(200).stream("text/plain", length, async |_: &mut BodyWriter| Ok(()));
        let head = |length, chunks| {
            let answer = stream(length);
            answer.head(Connection::Kept, &answer.framing(chunks))
        };
        assert!(head(None, true).contains("\r\ntransfer-encoding: chunked\r\n"));
        assert!(!head(None, true).contains("content-length"));
        let plain = head(None, false);
        assert!(!plain.contains("content-length") && !plain.contains("transfer-encoding"));
        for chunks in [true, false] {
            assert!(head(Some(5_000_000_000), chunks).contains("\r\ncontent-length: 5000000000\r\n"));
        }
        let mut answer = stream(None);
        assert!(answer.producer().is_some() && answer.producer().is_none() && answer.content().is_empty());
    }
}

//! The head of a request: its first line and its fields.

use crate::{Body, Connection, Refusal, list};
use alloc::{
    string::{String, ToString},
    vec::Vec,
};

/// The longest head, in bytes, unless somebody says otherwise.
pub const MAX_HEAD: usize = 8 << 10;
/// The most fields.
const MAX_FIELDS: usize = 64;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`: as `GET`, but without the body.
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// Any other, as it was sent.
    Other(String),
}

impl Method {
    fn new(text: &str) -> Self {
        match text {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            other => Self::Other(other.to_string()),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Other(name) => name,
        }
    }
}

/// The head of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// What is asked for.
    pub method: Method,
    /// Of what: the path, and what may follow it after a `?`. It is as it was sent, with all `%` in it.
    pub target: String,
    fields: Vec<(String, String)>,
    connection: Connection,
    takes_chunks: bool,
    expects_continue: bool,
    body: BodyKind,
}

/// How the body comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyKind {
    Sized(u64),
    Chunked,
}

impl Head {
    /// Reads the head that `bytes` begin with, of at most `limit` bytes. Returns it with its length; none when it is not
    /// all there yet.
    pub fn read(bytes: &[u8], limit: usize) -> Result<Option<(Self, usize)>, Refusal> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        let length = match request.parse(&bytes[..bytes.len().min(limit)]) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if bytes.len() >= limit => return Err(Refusal::HeadTooLarge),
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HeadTooLarge),
            Err(httparse::Error::Version) => return Err(Refusal::Version),
            Err(_) => return Err(Refusal::Malformed),
        };
        let (method, target, minor) = (request.method, request.path, request.version);
        let (Some(method), Some(target), Some(minor)) = (method, target, minor) else {
            return Err(Refusal::Malformed);
        };
        let mut fields = Vec::with_capacity(request.headers.len());
        for field in request.headers.iter() {
            let value = core::str::from_utf8(field.value).map_err(|_| Refusal::Malformed)?;
            fields.push((field.name.to_ascii_lowercase(), value.trim().to_string()));
        }
        let mut head = Self {
            method: Method::new(method),
            target: target.to_string(),
            fields,
            connection: Connection::Closed,
            takes_chunks: minor > 0,
            expects_continue: false,
            body: BodyKind::Sized(0),
        };
        head.understand(minor)?;
        Ok(Some((head, length)))
    }

    /// Draws from the fields what the connection needs to know.
    fn understand(&mut self, minor: u8) -> Result<(), Refusal> {
        let hosts = self.values("host").count();
        if hosts > 1 || minor > 0 && hosts == 0 {
            return Err(Refusal::Malformed);
        }
        self.body = self.body_kind(minor)?;
        let connection = |word: &str| {
            self.values("connection").flat_map(list).any(|option| option.eq_ignore_ascii_case(word))
        };
        self.connection = match minor {
            _ if connection("close") => Connection::Closed,
            0 if connection("keep-alive") => Connection::KeptAsAsked,
            0 => Connection::Closed,
            _ => Connection::Kept,
        };
        if let Some(expect) = self.field("expect") {
            if !expect.eq_ignore_ascii_case("100-continue") {
                return Err(Refusal::UnknownExpectation);
            }
            self.expects_continue = minor > 0;
        }
        Ok(())
    }

    /// A request that names both a length and a coding, or more than one length, is refused: servers that read it
    /// differently see different requests in the same bytes.
    fn body_kind(&self, minor: u8) -> Result<BodyKind, Refusal> {
        let mut codings = self.values("transfer-encoding").flat_map(list);
        let coding = codings.next();
        let has_coding = self.values("transfer-encoding").next().is_some();
        let mut lengths = self.values("content-length");
        let length = lengths.next();
        match (has_coding, length) {
            (true, Some(_)) => Err(Refusal::Malformed),
            (true, None) if minor == 0 => Err(Refusal::Malformed),
            (true, None) => match (coding, codings.next()) {
                (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => Ok(BodyKind::Chunked),
                (None, _) => Err(Refusal::Malformed),
                _ => Err(Refusal::UnknownCoding),
            },
            (false, None) => Ok(BodyKind::Sized(0)),
            (false, Some(length)) => {
                let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
                if !digits || lengths.next().is_some() {
                    return Err(Refusal::Malformed);
                }
                // More digits than a number has are a number that is too large.
                length.parse().map(BodyKind::Sized).map_err(|_| Refusal::BodyTooLarge)
            }
        }
    }

    /// The path, without what follows a `?`.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// What follows the first `?`.
    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// The value of a field, by its name in lower case: the first one's where it occurs more than once.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    /// All fields, with their names in lower case.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.fields().filter(move |(field, _)| *field == name).map(|(_, value)| value)
    }

    /// What the client says about the connection.
    pub fn connection(&self) -> Connection {
        self.connection
    }

    /// Whether the client understands an answer in chunks.
    pub fn takes_chunks(&self) -> bool {
        self.takes_chunks
    }

    /// The length of the body, where the client has named it.
    pub fn content_length(&self) -> Option<u64> {
        match self.body {
            BodyKind::Sized(length) => Some(length),
            BodyKind::Chunked => None,
        }
    }

    /// Whether the client waits for a word before it sends the body.
    pub fn expects_continue(&self) -> bool {
        self.expects_continue && self.body != BodyKind::Sized(0)
    }

    /// What is to come after the head, when it may have `limit` bytes.
    pub fn body(&self, limit: usize) -> Result<Body, Refusal> {
        match self.body {
            BodyKind::Chunked => Ok(Body::chunked(limit)),
            BodyKind::Sized(length) if length > limit as u64 => Err(Refusal::BodyTooLarge),
            BodyKind::Sized(length) => Ok(Body::sized(length as usize)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Head, Refusal> {
        let (head, length) = Head::read(text.as_bytes(), MAX_HEAD)?.expect("it is whole");
        assert_eq!(length, text.len());
        Ok(head)
    }

    #[test]
    fn a_head_is_taken_apart() {
        let text = "POST /a/b%20c?x=1&y=?z HTTP/1.1\r\nHost: h\r\nContent-Type:  text/plain \r\n\
            Content-Length: 12\r\nX-One: 1\r\nx-one: 2\r\n\r\n";
        let head = read(text).unwrap();
        assert_eq!((head.method.name(), head.path(), head.query()), ("POST", "/a/b%20c", Some("x=1&y=?z")));
        assert_eq!((head.field("content-type"), head.field("x-one")), (Some("text/plain"), Some("1")));
        assert_eq!(head.fields().count(), 5);
        assert!(!head.expects_continue());
        assert_eq!(head.body(12), Ok(Body::sized(12)));
        assert_eq!(head.body(11), Err(Refusal::BodyTooLarge));
        for end in 0..text.len() {
            assert_eq!(Head::read(&text.as_bytes()[..end], MAX_HEAD), Ok(None), "{end}");
        }
    }

    #[test]
    fn the_connection_is_kept_as_version_and_field_say() {
        let with = |version: &str, connection: &str| {
            read(&format!("GET / HTTP/{version}\r\nHost: h\r\n{connection}\r\n")).unwrap().connection()
        };
        assert_eq!(with("1.1", ""), Connection::Kept);
        assert_eq!(with("1.1", "Connection: keep-alive\r\n"), Connection::Kept);
        assert_eq!(with("1.1", "Connection: Close\r\n"), Connection::Closed);
        assert_eq!(with("1.1", "Connection: x, close\r\n"), Connection::Closed);
        assert_eq!(with("1.0", ""), Connection::Closed);
        assert_eq!(with("1.0", "Connection: Keep-Alive\r\n"), Connection::KeptAsAsked);
    }

    #[test]
    fn what_two_servers_could_read_differently_is_refused() {
        let with = |fields: &str| read(&format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n")).map(|_| ());
        for (fields, refusal) in [
            ("Host: h\r\n", Refusal::Malformed),
            ("Content-Length: 1\r\nContent-Length: 1\r\n", Refusal::Malformed),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", Refusal::Malformed),
            ("Content-Length: +1\r\n", Refusal::Malformed),
            ("Content-Length: 1,1\r\n", Refusal::Malformed),
            ("Content-Length:\r\n", Refusal::Malformed),
            ("Content-Length: 99999999999999999999\r\n", Refusal::BodyTooLarge),
            ("Transfer-Encoding: gzip\r\n", Refusal::UnknownCoding),
            ("Transfer-Encoding: gzip, chunked\r\n", Refusal::UnknownCoding),
            ("Transfer-Encoding: chunked, chunked\r\n", Refusal::UnknownCoding),
            ("Transfer-Encoding:\r\n", Refusal::Malformed),
            ("Expect: rain\r\n", Refusal::UnknownExpectation),
            ("A b: c\r\n", Refusal::Malformed),
            ("A : c\r\n", Refusal::Malformed),
            (" folded: c\r\n", Refusal::Malformed),
            ("a: \u{1}\r\n", Refusal::Malformed),
        ] {
            assert_eq!(with(fields), Err(refusal), "{fields:?}");
        }
        for (text, refusal) in [
            ("GET / HTTP/1.1\r\n\r\n", Refusal::Malformed),
            ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", Refusal::Version),
            ("GET /\r\n\r\n", Refusal::Malformed),
            ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Refusal::Malformed),
            ("\u{16}\u{3}\u{1}", Refusal::Malformed),
        ] {
            assert_eq!(Head::read(text.as_bytes(), MAX_HEAD).map(|_| ()), Err(refusal), "{text:?}");
        }
        assert!(read("GET / HTTP/1.0\r\n\r\n").is_ok());
    }

    #[test]
    fn a_head_has_limits() {
        let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(MAX_HEAD));
        assert_eq!(Head::read(long.as_bytes(), MAX_HEAD), Err(Refusal::HeadTooLarge));
        let many = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "a: b\r\n".repeat(MAX_FIELDS));
        assert_eq!(Head::read(many.as_bytes(), MAX_HEAD), Err(Refusal::HeadTooLarge));
        let most = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "a: b\r\n".repeat(MAX_FIELDS - 1));
        assert!(read(&most).is_ok());
    }

    #[test]
    fn a_client_that_waits_is_answered_where_a_body_is_to_come() {
        let with = |fields: &str| {
            read(&format!("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n{fields}\r\n"))
        };
        assert!(with("Content-Length: 3\r\n").unwrap().expects_continue());
        assert!(with("Transfer-Encoding: chunked\r\n").unwrap().expects_continue());
        assert!(!with("").unwrap().expects_continue());
    }

    #[test]
    fn no_damaged_byte_makes_it_panic() {
        let text = b"POST /a?b HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\nConnection: close\r\n\r\n";
        for index in 0..text.len() {
            for byte in 0..=u8::MAX {
                let mut bytes = text.to_vec();
                bytes[index] = byte;
                if let Ok(Some((head, length))) = Head::read(&bytes, MAX_HEAD) {
                    assert!(length <= bytes.len());
                    let _ = (head.path(), head.query(), head.body(100));
                }
            }
        }
    }
}

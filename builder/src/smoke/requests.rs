//! The requests of a smoke test, sent by threads of their own while the console is watched.

use super::{Cause, pattern::Pattern};
use crate::{
    Digest,
    recipe::{Answer, Body, HttpRequest, InputPath, RawPattern, Smoke, TcpExchange},
};
use serde::Serialize;
use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How one entry of `[[smoke.http]]` or `[[smoke.tcp]]` went.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RequestReport {
    /// What was sent, for instance `GET /`.
    pub request: String,
    /// How many were to be sent.
    pub wanted: u32,
    /// How many had the right answer.
    pub answered: u32,
    /// What was wrong with the first that had not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// What was wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// [`Cause::WrongAnswer`] or [`Cause::NoAnswer`].
    pub cause: Cause,
    /// What was expected and what came.
    pub detail: String,
}

fn wrong<T>(detail: impl Into<String>) -> Result<T, Failure> {
    Err(Failure { cause: Cause::WrongAnswer, detail: detail.into() })
}

fn none<T>(detail: impl Into<String>) -> Result<T, Failure> {
    Err(Failure { cause: Cause::NoAnswer, detail: detail.into() })
}

/// What is sent to whom: one entry of the recipe.
#[derive(Debug, Clone)]
enum Work {
    Http(HttpRequest),
    Tcp(TcpExchange),
}

/// All requests, before and while they are sent.
#[derive(Debug)]
pub(crate) struct Requests {
    work: Vec<(Work, SocketAddr)>,
    state: State,
    over: Arc<AtomicBool>,
}

#[derive(Debug)]
enum State {
    Waiting,
    Sending(JoinHandle<Vec<RequestReport>>),
    Done(Vec<RequestReport>),
}

impl Requests {
    /// The requests of `spec`, for a function each of whose ports is `reached` at an address; none when it has none.
    pub(crate) fn of(spec: &Smoke, reached: impl Fn(u16) -> Option<SocketAddr>) -> Option<Self> {
        let http = spec.http.iter().cloned().map(Work::Http);
        let all = http.chain(spec.tcp.iter().cloned().map(Work::Tcp));
        // The recipe's check lets no other port pass.
        let host = |guest| reached(guest).unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into());
        let work: Vec<_> = all
            .map(|work| {
                let guest = match &work {
                    Work::Http(request) => request.port,
                    Work::Tcp(connection) => connection.port,
                };
                (work, host(guest))
            })
            .collect();
        (!work.is_empty()).then(|| Self { work, state: State::Waiting, over: Arc::default() })
    }

    /// Begins to send, the first time that it is called.
    pub(crate) fn start(&mut self) {
        if matches!(self.state, State::Waiting) {
            let (work, over) = (self.work.clone(), Arc::clone(&self.over));
            self.state = State::Sending(thread::spawn(move || send_all(&work, &over)));
        }
    }

    /// Whether the last answer has come, or one was wrong, just now.
    pub(crate) fn finished(&mut self) -> bool {
        let finished = matches!(&self.state, State::Sending(thread) if thread.is_finished());
        if finished {
            self.collect();
        }
        finished
    }

    /// How all of them went. Who is still waiting for an answer gets none any more: the guest is gone.
    pub(crate) fn done(mut self) -> Vec<RequestReport> {
        self.over.store(true, Relaxed);
        self.collect();
        match &mut self.state {
            State::Done(reports) => std::mem::take(reports),
            _ => self.nothing(),
        }
    }

    /// Waits for the threads.
    fn collect(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Waiting) {
            // A thread that panicked has sent nothing that counts.
            State::Sending(thread) => State::Done(thread.join().unwrap_or_else(|_| self.nothing())),
            other => other,
        };
    }

    /// The report of requests that were not sent.
    fn nothing(&self) -> Vec<RequestReport> {
        self.work.iter().map(|(work, _)| work.report(0)).collect()
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
    }
}

fn send_all(work: &[(Work, SocketAddr)], over: &AtomicBool) -> Vec<RequestReport> {
    let mut failed = false;
    let send = |(work, address): &(Work, SocketAddr)| {
        // After a wrong answer, who knows what state the function is in.
        let report = if failed { work.report(0) } else { work.send(*address, over) };
        failed |= report.answered < report.wanted;
        report
    };
    work.iter().map(send).collect()
}

impl Work {
    fn wanted(&self) -> u32 {
        match self {
            Self::Http(request) => request.repeat,
            Self::Tcp(_) => 1,
        }
    }

    fn report(&self, answered: u32) -> RequestReport {
        let request = match self {
            Self::Http(request) => format!("{} {}", request.method, request.path),
            Self::Tcp(connection) => format!("connection to port {}", connection.port),
        };
        RequestReport { request, wanted: self.wanted(), answered, failure: None }
    }

    /// Sends it to `address` as often and by as many connections as the recipe says, up to the first failure.
    fn send(&self, address: SocketAddr, over: &AtomicBool) -> RequestReport {
        let concurrency = match self {
            Self::Http(request) => request.concurrency,
            Self::Tcp(_) => 1,
        };
        let wanted = self.wanted();
        let content = match Content::of(self) {
            Ok(content) => content,
            Err(failure) => return RequestReport { failure: Some(failure), ..self.report(0) },
        };
        let (next, answered, failed) = (AtomicU32::new(0), AtomicU32::new(0), AtomicBool::new(false));
        let one = || -> Option<(u32, Failure)> {
            let mut client = Client::new(self, &content, address);
            while !over.load(Relaxed) && !failed.load(Relaxed) {
                let number = next.fetch_add(1, Relaxed);
                if number >= wanted {
                    break;
                }
                if let Err(failure) = client.send() {
                    failed.store(true, Relaxed);
                    return Some((number, failure));
                }
                answered.fetch_add(1, Relaxed);
            }
            None
        };
        let first = thread::scope(|scope| {
            let threads: Vec<_> = (0..concurrency).map(|_| scope.spawn(one)).collect();
            let failures = threads.into_iter().filter_map(|thread| thread.join().ok().flatten());
            failures.min_by_key(|(number, _)| *number)
        });
        let failure = first.map(|(number, failure)| match wanted {
            1 => failure,
            _ => Failure { detail: format!("{} of {wanted}: {}", number + 1, failure.detail), ..failure },
        });
        RequestReport { failure, ..self.report(answered.into_inner()) }
    }
}

/// What files have of a request and its answer.
#[derive(Default)]
struct Content {
    body: Option<Vec<u8>>,
    answer: Option<Vec<u8>>,
}

impl Content {
    /// Reads the files, once for all that is sent.
    fn of(work: &Work) -> Result<Self, Failure> {
        let Work::Http(request) = work else { return Ok(Self::default()) };
        let read = |file: &InputPath| match fs::read(&file.path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => none(format!("{} {}: `{}`: {error}", request.method, request.path, file.written)),
        };
        let body = match &request.body {
            Some(Body::Text(text)) => Some(text.clone().into_bytes()),
            Some(Body::File { file }) => read(file)?,
            None => None,
        };
        let answer = match &request.expect_body {
            Some(Answer::File { file }) => read(file)?,
            _ => None,
        };
        Ok(Self { body, answer })
    }
}

/// One connection, which is kept where the function keeps it.
struct Client<'a> {
    work: &'a Work,
    content: &'a Content,
    address: SocketAddr,
    agent: ureq::Agent,
}

/// How much of an answer is read, in bytes.
const ANSWER_LIMIT: u64 = 16 << 20;

impl<'a> Client<'a> {
    fn new(work: &'a Work, content: &'a Content, address: SocketAddr) -> Self {
        // Nothing is followed, repeated or hidden: what the function says is what counts.
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .allow_non_standard_methods(true)
            .proxy(None)
            .user_agent("selkie-smoke");
        Self { work, content, address, agent: config.build().into() }
    }

    fn send(&mut self) -> Result<(), Failure> {
        match self.work {
            Work::Http(request) => self.http(request),
            Work::Tcp(connection) => tcp(connection, self.address),
        }
    }

    fn http(&self, wanted: &HttpRequest) -> Result<(), Failure> {
        let HttpRequest { method, path, headers, .. } = wanted;
        let url = format!("http://{}{path}", self.address);
        let mut request = ureq::http::Request::builder().method(method.as_str()).uri(url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let built = match &self.content.body {
            Some(body) => request.body(body.as_slice()).map(|request| self.run(request, wanted.timeout)),
            None => request.body(()).map(|request| self.run(request, wanted.timeout)),
        };
        let what = format!("{method} {path}");
        let answer = match built {
            Err(error) => return none(format!("{what} cannot be sent: {error}")),
            Ok(Err(error)) => return none(format!("{what}: {error}")),
            Ok(Ok(answer)) => answer,
        };
        let (head, mut body) = answer.into_parts();
        let body = body.with_config().limit(ANSWER_LIMIT).read_to_vec();
        let body = body.or_else(|error| none(format!("{what}: the body of the answer: {error}")))?;
        judge(wanted, self.content, head.status.as_u16(), &head.headers, &body)
            .map_err(|detail| Failure { cause: Cause::WrongAnswer, detail: format!("{what}: {detail}") })
    }

    fn run(
        &self,
        request: ureq::http::Request<impl ureq::AsSendBody>,
        timeout: Duration,
    ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let request = self.agent.configure_request(request).timeout_global(Some(timeout)).build();
        self.agent.run(request)
    }
}

/// Holds an answer against what is wanted; the error says what is different.
fn judge(
    wanted: &HttpRequest,
    content: &Content,
    status: u16,
    headers: &ureq::http::HeaderMap,
    body: &[u8],
) -> Result<(), String> {
    if status != wanted.status {
        return Err(format!("status {status} instead of {}; the body is {}", wanted.status, shown(body)));
    }
    for (name, pattern) in &wanted.expect_headers {
        let values: Vec<_> = headers.get_all(name).iter().map(|value| value.as_bytes()).collect();
        if !values.iter().any(|value| fits(pattern, value)) {
            let came = match values.as_slice() {
                [] => "there is none".to_owned(),
                values => values.iter().map(|value| shown(value)).collect::<Vec<_>>().join(" and "),
            };
            return Err(format!("the header field `{name}` must be {}, but {came}", describe(pattern)));
        }
    }
    let pattern = |pattern: RawPattern| (fits(&pattern, body), describe(&pattern));
    let (right, must) = match &wanted.expect_body {
        None => return Ok(()),
        Some(Answer::Text(text)) => pattern(RawPattern::Literal(text.clone())),
        Some(Answer::Regex { regex }) => pattern(RawPattern::Regex { regex: regex.clone() }),
        Some(Answer::File { file }) => {
            (content.answer.as_deref() == Some(body), format!("that of `{}`", file.written))
        }
        Some(Answer::Sha256 { sha256 }) => {
            (*sha256 == Digest::of(body), format!("one with the SHA-256 digest {sha256}"))
        }
    };
    if right {
        return Ok(());
    }
    // Of what is no text its digest says more than its begin.
    let digest = match &wanted.expect_body {
        Some(Answer::Text(_) | Answer::Regex { .. }) | None => String::new(),
        _ => format!(", with the digest {}", Digest::of(body)),
    };
    Err(format!("the body must be {must}, but it is {}{digest}", shown(body)))
}

/// Whether a text is all of `bytes`, or an expression is found in them.
fn fits(pattern: &RawPattern, bytes: &[u8]) -> bool {
    match pattern {
        RawPattern::Literal(text) => text.as_bytes() == bytes,
        // The recipe's check has compiled it once.
        RawPattern::Regex { .. } => {
            Pattern::new(pattern).is_ok_and(|pattern| pattern.find_end(bytes, 0).is_some())
        }
    }
}

fn describe(pattern: &RawPattern) -> String {
    match pattern {
        RawPattern::Literal(text) => shown(text.as_bytes()),
        RawPattern::Regex { regex } => format!("something with `{regex}`"),
    }
}

/// How much of an answer is shown, in characters.
const SHOWN: usize = 200;

fn shown(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "empty".into();
    }
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN * 4)]);
    let short: String = text.chars().take(SHOWN).collect();
    let rest = if short.len() < bytes.len() { format!("… ({} bytes)", bytes.len()) } else { String::new() };
    format!("`{}`{rest}", short.escape_debug())
}

fn tcp(wanted: &TcpExchange, address: SocketAddr) -> Result<(), Failure> {
    let what = format!("connection to port {}", wanted.port);
    let pattern = match Pattern::new(&wanted.expect) {
        Ok(pattern) => pattern,
        Err(error) => return none(error.to_string()),
    };
    let deadline = Instant::now() + wanted.timeout;
    let left = || deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let mut received = Vec::new();
    let mut exchange = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, left())?;
        stream.set_write_timeout(Some(left()))?;
        stream.write_all(wanted.send.as_bytes())?;
        let mut buffer = [0; 4096];
        while pattern.find_end(&received, 0).is_none() {
            if Instant::now() >= deadline {
                return Err(std::io::ErrorKind::TimedOut.into());
            }
            stream.set_read_timeout(Some(left()))?;
            match stream.read(&mut buffer)? {
                0 => return Ok(false),
                count if received.len() < TCP_LIMIT => received.extend_from_slice(&buffer[..count]),
                _ => return Ok(false),
            }
        }
        Ok(true)
    };
    match exchange() {
        Ok(true) => Ok(()),
        Ok(false) => wrong(format!("{what}: {pattern} was expected, and what came is {}", shown(&received))),
        Err(error) => {
            let came = if received.is_empty() {
                "nothing came".into()
            } else {
                format!("{} came", shown(&received))
            };
            let late = matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
            let why = if late { "it took too long".to_owned() } else { error.to_string() };
            none(format!("{what}: {pattern} was expected, {came}; {why}"))
        }
    }
}

/// How much is read from a connection, in bytes.
const TCP_LIMIT: usize = 1 << 20;

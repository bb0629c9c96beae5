//! One connection: requests are read, answered and counted until one side ends it.

use super::{Handler, Request, Response, State, metrics::add, request::Id};
use alloc::{format, vec::Vec};
use core::{cell::Cell, future::poll_fn, pin::pin, task::Poll};
use embassy_net::tcp::{State as TcpState, TcpSocket};
use embassy_time::{Duration, Instant, with_deadline, with_timeout};
use selkie_http::{Connection, Head, MAX_HEAD, Method, Refusal};

/// Bytes that are read ahead: a head, and some of what follows it.
pub(super) const BUFFER: usize = MAX_HEAD;
/// How long the end of a connection may take.
const END: Duration = Duration::from_secs(3);

/// Why a connection ends.
enum End {
    /// The client has ended it, or does not take what it asked for; or the function stops.
    Gone,
    /// A request is refused, and nothing can be understood after it.
    Refused(Refusal),
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Waits for a connection. Returns whether there is one: the function may stop meanwhile, or who began one does not go
/// on with it.
pub(super) async fn accept<H: Handler>(socket: &mut TcpSocket<'_>, state: &State<H>) -> bool {
    socket.set_timeout(Some(state.server.times.handshake));
    let accepted = unless(state.stop.asked(), socket.accept(state.server.port)).await;
    // From here on each step has a time of its own.
    socket.set_timeout(None);
    accepted.is_some_and(|result| result.is_ok()) && socket.state() != TcpState::Closed
}

/// The result of `work`, unless `other` is there first.
async fn unless<T>(other: impl Future<Output = ()>, work: impl Future<Output = T>) -> Option<T> {
    let (mut other, mut work) = (pin!(other), pin!(work));
    poll_fn(|cx| match (work.as_mut().poll(cx), other.as_mut().poll(cx)) {
        (Poll::Ready(result), _) => Poll::Ready(Some(result)),
        (_, Poll::Ready(())) => Poll::Ready(None),
        _ => Poll::Pending,
    })
    .await
}

/// Serves a connection.
pub(super) async fn serve<H: Handler>(socket: &mut TcpSocket<'_>, buffer: &mut Vec<u8>, state: &State<H>) {
    buffer.clear();
    add(&state.metrics.accepted, 1);
    add(&state.metrics.open, 1);
    let mut peer = Peer { socket, buffer, state };
    loop {
        match peer.request().await {
            Ok(Connection::Closed) | Err(End::Gone) => break,
            Ok(_) => {}
            Err(End::Refused(refusal)) => {
                peer.refuse(refusal).await;
                break;
            }
        }
    }
    state.metrics.open.set(state.metrics.open.get() - 1);
}

/// Ends a connection so that the client gets all that was written.
pub(super) async fn end(socket: &mut TcpSocket<'_>) {
    socket.close();
    // What the client still sends is read: else the end would be a reset, which takes the answer away from it.
    let drain = async {
        let mut rest = [0; 512];
        while socket.read(&mut rest).await.is_ok_and(|count| count > 0) {}
        socket.flush().await
    };
    let drained = with_timeout(END, drain).await;
    if drained.is_err() || !matches!(socket.state(), TcpState::Closed | TcpState::TimeWait) {
        socket.abort();
        let _ = with_timeout(END, socket.flush()).await;
    }
}

/// Both ends of a connection.
struct Peer<'a, 's, H> {
    socket: &'a mut TcpSocket<'s>,
    /// What was read and not used yet.
    buffer: &'a mut Vec<u8>,
    state: &'a State<H>,
}

impl<'a, H: Handler> Peer<'a, '_, H> {
    /// Reads a request and answers it. Returns what becomes of the connection.
    async fn request(&mut self) -> Result<Connection, End> {
        let head = self.head().await?;
        let id = self.state.metrics.id();
        let (body, _room) = self.body(&head).await?;
        let (method, target, wanted) = (head.method.clone(), head.target.clone(), head.connection());
        let begin = Instant::now();
        let response = self.answer(Request::new(head, body, id)).await;
        let micros = begin.elapsed().as_micros();
        add(&self.state.metrics.handling, micros);
        let connection = if self.state.stop.is_asked() { Connection::Closed } else { wanted };
        self.write(&response, &method, connection, id).await?;
        log::info!(
            "request id={id} method={} target={target:?} status={} bytes={} micros={micros}",
            method.name(),
            response.code(),
            response.content().len()
        );
        Ok(connection)
    }

    /// Waits for a request and reads its head.
    async fn head(&mut self) -> Result<Head, End> {
        let times = &self.state.server.times;
        let mut deadline = None;
        loop {
            if let Some((head, length)) = Head::read(self.buffer)? {
                self.buffer.drain(..length);
                return Ok(head);
            }
            if self.buffer.is_empty() {
                let read = with_timeout(times.idle, read(self.socket, self.buffer));
                // A client that says nothing, or has ended the connection after its last request, gets no answer.
                unless(self.state.stop.asked(), read).await.ok_or(End::Gone)?.map_err(|_| End::Gone)??;
                deadline = Some(Instant::now() + times.head);
            } else {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + times.head);
                let read = with_deadline(deadline, read(self.socket, self.buffer)).await;
                read.map_err(|_| Refusal::TooSlow)??;
            }
        }
    }

    /// Reads the body of a request. The room that it takes is returned with it.
    async fn body(&mut self, head: &Head) -> Result<(Vec<u8>, Option<Room<'a>>), End> {
        let server = &self.state.server;
        let mut body = head.body(server.body_limit)?;
        let mut content = Vec::new();
        if body.is_done() {
            return Ok((content, None));
        }
        // Its whole room is taken first: who sends slowly cannot take more and more of what others need.
        let room = Room::take(&self.state.bodies, body.left(), server.bodies_limit)?;
        content.try_reserve_exact(body.left()).map_err(|_| Refusal::Busy)?;
        if head.expects_continue() && self.buffer.is_empty() {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let deadline = Instant::now() + server.times.body;
        loop {
            let progress = body.take(self.buffer, &mut content)?;
            self.buffer.drain(..progress.used);
            if progress.done {
                return Ok((content, Some(room)));
            }
            with_deadline(deadline, read(self.socket, self.buffer)).await.map_err(|_| Refusal::TooSlow)??;
        }
    }

    /// What is answered to a request.
    async fn answer(&self, request: Request) -> Response {
        match request.path() {
            "/healthz" => Response::text("ok\n"),
            "/metrics" => {
                let mut text = self.state.metrics.text();
                self.state.handler.metrics(&mut text);
                Response::new(200).body("text/plain; version=0.0.4", text.into_bytes())
            }
            _ => {
                match with_timeout(self.state.server.times.handler, self.state.handler.handle(request)).await
                {
                    Ok(response) => response,
                    Err(_) => Response::text("the function took too long\n").status(504),
                }
            }
        }
    }

    /// Answers a request that is refused.
    async fn refuse(&mut self, refusal: Refusal) {
        add(&self.state.metrics.refused, 1);
        let id = self.state.metrics.id();
        let response = Response::text(format!("{refusal}\n")).status(refusal.status());
        // Whether the client takes it makes no difference any more.
        let _ = self.write(&response, &Method::Get, Connection::Closed, id).await;
        log::info!("request id={id} refused status={} reason={refusal:?}", refusal.status());
    }

    async fn write(
        &mut self,
        response: &Response,
        method: &Method,
        connection: Connection,
        id: Id,
    ) -> Result<(), End> {
        self.state.metrics.answer(response.code());
        let mut head = response.head(connection);
        // The last line is empty: the name goes before it.
        head.truncate(head.len() - 2);
        head.push_str(&format!("x-request-id: {id}\r\n\r\n"));
        self.send(head.as_bytes()).await?;
        if response.has_content(method) {
            self.send(response.content()).await?;
        }
        Ok(())
    }

    /// Sends bytes, as fast as the client takes them.
    async fn send(&mut self, mut bytes: &[u8]) -> Result<(), End> {
        while !bytes.is_empty() {
            match with_timeout(self.state.server.times.write, self.socket.write(bytes)).await {
                Ok(Ok(count)) if count > 0 => bytes = &bytes[count..],
                _ => return Err(End::Gone),
            }
        }
        Ok(())
    }
}

/// Reads what is there, as far as there is room for it.
async fn read(socket: &mut TcpSocket<'_>, buffer: &mut Vec<u8>) -> Result<(), End> {
    let room = BUFFER.saturating_sub(buffer.len());
    let read = socket.read_with(|bytes| {
        let count = bytes.len().min(room);
        buffer.extend_from_slice(&bytes[..count]);
        (count, count)
    });
    match read.await {
        Ok(count) if count > 0 => Ok(()),
        _ => Err(End::Gone),
    }
}

/// Room for a body, until it is dropped.
struct Room<'a> {
    used: &'a Cell<usize>,
    bytes: usize,
}

impl<'a> Room<'a> {
    fn take(used: &'a Cell<usize>, bytes: usize, limit: usize) -> Result<Self, Refusal> {
        let total = used.get().checked_add(bytes).filter(|total| *total <= limit).ok_or(Refusal::Busy)?;
        used.set(total);
        Ok(Self { used, bytes })
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.used.set(self.used.get() - self.bytes);
    }
}

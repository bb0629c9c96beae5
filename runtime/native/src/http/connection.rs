//! One connection: requests are read, answered and counted until one side ends it.

use super::{
    Handler, Request, Response, State, Times,
    metrics::add,
    request::Id,
    stream::{Reader, Writer, open},
};
use alloc::{format, string::String, vec::Vec};
use core::{
    cell::Cell,
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
};
use embassy_net::tcp::{State as TcpState, TcpSocket};
use embassy_time::{Duration, Instant, with_deadline, with_timeout};
use selkie_http::{Body, BodyReader, BodyWriter, Connection, Cut, Framing, Head, Method, Refusal, pipe};

/// How long a client that has all of its answer may take to end the connection.
const END: Duration = Duration::from_secs(3);
/// Bytes of a streamed body that are between handler and network.
const PIPE: usize = 4 << 10;
/// Bytes of memory that a streamed body takes: its pipe, and what is put together before it and after it.
const STREAM_ROOM: usize = 4 * PIPE;
/// What a client waits for that asks before it sends a body.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Why a connection ends.
pub(super) enum End {
    /// The client has ended it between two requests, or has sent none; or the function stops.
    Gone,
    /// The client has ended it while it was served, or does not take what it asked for; or an answer is not whole.
    Dropped,
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

/// The result of `main`, beside which `side` goes on until it ends. If it fails, so does this.
async fn beside<T>(
    side: &mut Option<Pin<&mut impl Future<Output = Result<(), End>>>>,
    main: impl Future<Output = T>,
) -> Result<T, End> {
    let mut main = pin!(main);
    poll_fn(|cx| {
        if let Some(future) = side
            && let Poll::Ready(result) = future.as_mut().poll(cx)
        {
            *side = None;
            if let Err(end) = result {
                return Poll::Ready(Err(end));
            }
        }
        main.as_mut().poll(cx).map(Ok)
    })
    .await
}

/// Serves a connection. Returns whether all that was written is to reach the client.
pub(super) async fn serve<H: Handler>(
    socket: &mut TcpSocket<'_>,
    buffer: &mut Vec<u8>,
    state: &State<H>,
) -> bool {
    let Ok(channel) = state.server.channel() else { return false };
    buffer.clear();
    add(&state.metrics.accepted, 1);
    add(&state.metrics.open, 1);
    let opened = with_timeout(state.server.times.head, open(socket.split(), channel.as_ref())).await;
    let Ok(Some((reader, writer))) = opened else {
        state.metrics.open.set(state.metrics.open.get() - 1);
        return opened.is_ok();
    };
    let (input, output) = (Input { reader, buffer }, Output { writer, times: &state.server.times, body: 0 });
    let mut peer = Peer { input, output, state };
    let orderly = loop {
        match peer.request().await {
            Ok(Connection::Closed) | Err(End::Gone) => break true,
            Ok(_) => {}
            Err(End::Dropped) => {
                add(&state.metrics.dropped, 1);
                break false;
            }
            Err(End::Refused(refusal)) => {
                peer.refuse(refusal).await;
                break true;
            }
        }
    };
    if orderly {
        // Whether the client takes it makes no difference any more.
        let _ = with_timeout(state.server.times.write, peer.output.writer.finish()).await;
    }
    state.metrics.open.set(state.metrics.open.get() - 1);
    orderly
}

/// Ends a connection; an orderly one so that the client gets all that was written, for which it has `write` to take some
/// more each time: a bad network may lose the last of it again and again.
pub(super) async fn end(socket: &mut TcpSocket<'_>, orderly: bool, write: Duration) {
    if !orderly {
        return abort(socket).await;
    }
    socket.close();
    let (mut left, mut deadline) = (socket.send_queue(), Instant::now() + write);
    while with_timeout(END, drain(socket)).await.is_err() {
        let (queue, now) = (socket.send_queue(), Instant::now());
        // Its own end, which it may not send for long, is not waited for.
        let has_all = !matches!(socket.state(), TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck);
        if has_all || queue >= left && now >= deadline {
            break;
        }
        if queue < left {
            (left, deadline) = (queue, now + write);
        }
    }
    if !matches!(socket.state(), TcpState::Closed | TcpState::TimeWait) {
        abort(socket).await;
    }
}

/// Reads what the client still sends, until it has ended: else the end would be a reset, which takes the answer away from it.
async fn drain(socket: &mut TcpSocket<'_>) {
    let mut rest = [0; 512];
    while socket.read(&mut rest).await.is_ok_and(|count| count > 0) {}
    let _ = socket.flush().await;
}

/// Tells the client that the connection is no more.
async fn abort(socket: &mut TcpSocket<'_>) {
    socket.abort();
    let _ = with_timeout(END, socket.flush()).await;
}

/// Both ends of a connection.
struct Peer<'a, 's, H> {
    input: Input<'s>,
    output: Output<'s>,
    state: &'a State<H>,
}

/// What of a request is needed to answer it.
struct Asked {
    method: Method,
    target: String,
    connection: Connection,
    takes_chunks: bool,
    id: Id,
    /// When its head was there.
    begin: Instant,
    /// When an answer that is a stream has to be sent.
    end: Instant,
}

impl<'a, H: Handler> Peer<'a, '_, H> {
    /// Reads a request and answers it. Returns what becomes of the connection.
    async fn request(&mut self) -> Result<Connection, End> {
        let head = self.head().await?;
        let id = self.state.metrics.id();
        let (method, target) = (head.method.clone(), head.target.clone());
        let (connection, takes_chunks) = (head.connection(), head.takes_chunks());
        let begin = Instant::now();
        let end = begin + self.state.server.times.stream;
        let mut asked = Asked { method, target, connection, takes_chunks, id, begin, end };
        if self.state.server.is_streamed(&head) {
            return self.streamed(head, &mut asked).await;
        }
        let (body, _room) = self.body(&head).await?;
        let handled = handle(
            self.state,
            Request::new(head, body, id, self.state.network),
            self.state.server.times.handler,
        );
        let response = handled.await;
        self.output.answer(self.state, response, &mut asked).await?;
        Ok(asked.connection)
    }

    /// Answers a request whose body the handler gets as a stream.
    async fn streamed(&mut self, head: Head, asked: &mut Asked) -> Result<Connection, End> {
        let Self { input, output, state } = self;
        let server = &state.server;
        let body = head.body(usize::try_from(server.stream_limit).unwrap_or(usize::MAX))?;
        let _room = Room::take(&state.bodies, STREAM_ROOM, server.bodies_limit)?;
        let (writer, reader) = pipe(PIPE).ok_or(Refusal::Busy)?;
        if head.expects_continue() && input.buffer.is_empty() {
            output.send(CONTINUE).await?;
        }
        let whole = Cell::new(false);
        let feed = pin!(input.feed(body, writer, &server.times, &whole));
        let mut feed = Some(feed);
        let request = Request::streamed(head, reader, asked.id, state.network);
        let left = asked.end.saturating_duration_since(Instant::now());
        let response = beside(&mut feed, handle(state, request, left)).await?;
        if !response.is_stream() {
            // What is still to come of the body nobody reads.
            if !whole.get() {
                asked.connection = Connection::Closed;
            }
            output.answer(state, response, asked).await?;
            return Ok(asked.connection);
        }
        // An answer that has begun cannot be taken back.
        let answered = beside(&mut feed, output.answer(state, response, asked)).await;
        match answered {
            Ok(Ok(())) if whole.get() => Ok(asked.connection),
            Ok(Ok(())) => Ok(Connection::Closed),
            Ok(Err(end)) => Err(end),
            Err(_) => Err(End::Dropped),
        }
    }

    /// Waits for a request and reads its head.
    async fn head(&mut self) -> Result<Head, End> {
        let Self { input, state, .. } = self;
        let (times, limit) = (&state.server.times, state.server.head_limit);
        let mut deadline = None;
        loop {
            if let Some((head, length)) = Head::read(input.buffer, limit)? {
                input.buffer.drain(..length);
                return Ok(head);
            }
            if input.buffer.is_empty() {
                let read = with_timeout(times.idle, input.read());
                // A client that says nothing, or has ended the connection after its last request, gets no answer.
                let read = unless(state.stop.asked(), read).await.ok_or(End::Gone)?;
                read.map_err(|_| End::Gone)?.map_err(|_| End::Gone)?;
                deadline = Some(Instant::now() + times.head);
            } else {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + times.head);
                with_deadline(deadline, input.read()).await.map_err(|_| Refusal::TooSlow)??;
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
        if head.expects_continue() && self.input.buffer.is_empty() {
            self.output.send(CONTINUE).await?;
        }
        let deadline = Instant::now() + server.times.body;
        loop {
            let progress = body.take(self.input.buffer, &mut content)?;
            self.input.buffer.drain(..progress.used);
            if progress.done {
                return Ok((content, Some(room)));
            }
            with_deadline(deadline, self.input.read()).await.map_err(|_| Refusal::TooSlow)??;
        }
    }

    /// Answers a request that is refused.
    async fn refuse(&mut self, refusal: Refusal) {
        add(&self.state.metrics.refused, 1);
        let id = self.state.metrics.id();
        let response = Response::text(format!("{refusal}\n")).status(refusal.status());
        let framing = response.framing(false);
        // Whether the client takes it makes no difference any more.
        if self.output.head(self.state, &response, Connection::Closed, &framing, id).await.is_ok() {
            let _ = self.output.send(response.content()).await;
        }
        log::info!("request id={id} refused status={} reason={refusal:?}", refusal.status());
    }
}

/// What is answered to a request.
async fn handle<H: Handler>(state: &State<H>, request: Request, time: Duration) -> Response {
    let begin = Instant::now();
    let response = match request.path() {
        "/healthz" => Response::text("ok\n"),
        "/metrics" => {
            let mut text = state.metrics.text();
            state.handler.metrics(&mut text);
            Response::new(200).body("text/plain; version=0.0.4", text.into_bytes())
        }
        _ => match with_timeout(time, state.handler.handle(request)).await {
            Ok(response) => response,
            Err(_) => Response::text("the function took too long\n").status(504),
        },
    };
    add(&state.metrics.handling, begin.elapsed().as_micros());
    response
}

/// What a client sends.
struct Input<'s> {
    reader: Reader<'s>,
    /// What was read and not used yet.
    buffer: &'s mut Vec<u8>,
}

impl Input<'_> {
    /// Reads what is there, as far as there is room for it.
    async fn read(&mut self) -> Result<(), End> {
        self.some(usize::MAX).await
    }

    /// Reads at most `most` bytes.
    async fn some(&mut self, most: usize) -> Result<(), End> {
        let Self { reader, buffer } = self;
        let room = (buffer.capacity() - buffer.len()).min(most);
        // How much there is can be told once there is something.
        reader.read_with(|_| (0, ())).await.map_err(|_| End::Dropped)?;
        let queued = reader.recv_queue();
        let read = reader.read_with(|bytes| {
            let count = without_rest(bytes.len().min(room), queued);
            buffer.extend_from_slice(&bytes[..count]);
            (count, count)
        });
        match read.await {
            Ok(count) if count > 0 => Ok(()),
            _ => Err(End::Dropped),
        }
    }

    fn room(&self) -> usize {
        self.buffer.capacity() - self.buffer.len()
    }

    /// Puts bytes into the pipe of a body. While that waits, a little is read ahead now and then, as far as there is room:
    /// a client whose window is closed for long may not say any more what it has received of an answer (passt of Debian 12
    /// does not), and if the handler waits for just that, both would wait for ever.
    async fn put(&mut self, content: &[u8], writer: &mut BodyWriter) -> Result<Result<(), Cut>, End> {
        let mut put = pin!(writer.write(content));
        while self.room() > 0 && self.reader.recv_queue() > 0 {
            if let Ok(result) = with_timeout(RELIEF, put.as_mut()).await {
                return Ok(result);
            }
            if self.reader.recv_queue() > 0 {
                self.some(RELIEF_SIZE).await?;
            }
        }
        Ok(put.await)
    }

    /// Gives the body of a request to the handler as it comes, as fast as it takes it. `whole` says at the end whether all
    /// of it was read: it is not when the handler wants no more.
    async fn feed(
        &mut self,
        mut body: Body,
        mut writer: BodyWriter,
        times: &Times,
        whole: &Cell<bool>,
    ) -> Result<(), End> {
        let mut content = Vec::new();
        loop {
            let progress = body.take(self.buffer, &mut content)?;
            self.buffer.drain(..progress.used);
            if self.put(&content, &mut writer).await?.is_err() {
                return Ok(());
            }
            content.clear();
            if progress.done {
                writer.finish();
                whole.set(true);
                return Ok(());
            }
            with_timeout(times.read, self.read()).await.map_err(|_| Refusal::TooSlow)??;
        }
    }
}

/// How long nothing is read from a client before a little is: see [`Input::put`].
const RELIEF: Duration = Duration::from_millis(20);
const RELIEF_SIZE: usize = 512;

/// How much of `count` bytes is taken from a queue of `queued`, so that not just a few are left. Old versions of passt do
/// not believe in a window that is smaller by less than a hundredth, send more than there is room for, and are not
/// understood any more until it is read.
fn without_rest(count: usize, queued: usize) -> usize {
    const REST: usize = 2 << 10;
    match queued.saturating_sub(count) {
        0 => count,
        rest => count.saturating_sub(REST.saturating_sub(rest)).max(1),
    }
}

/// What a client gets.
struct Output<'s> {
    writer: Writer<'s>,
    times: &'s Times,
    /// Bytes of the body that was sent last.
    body: u64,
}

impl Output<'_> {
    /// Sends an answer.
    async fn answer<H: Handler>(
        &mut self,
        state: &State<H>,
        mut response: Response,
        asked: &mut Asked,
    ) -> Result<(), End> {
        let stream = match response.producer() {
            Some(producer) if response.has_content(&asked.method) => {
                // The head is not sent yet: it can still be refused.
                let room = Room::take(&state.bodies, STREAM_ROOM, state.server.bodies_limit)?;
                Some((producer, pipe(PIPE).ok_or(Refusal::Busy)?, room))
            }
            _ => None,
        };
        let framing = response.framing(asked.takes_chunks);
        if state.stop.is_asked() || matches!(framing, Framing::UntilEnd) {
            asked.connection = Connection::Closed;
        }
        self.body = 0;
        self.head(state, &response, asked.connection, &framing, asked.id).await?;
        let sent = match stream {
            Some((producer, (writer, reader), _room)) => {
                let produce = pin!(async {
                    producer(writer).await;
                    Ok(())
                });
                let mut produce = Some(produce);
                let send = beside(&mut produce, self.body(reader, framing));
                with_deadline(asked.end, send).await.map_err(|_| End::Dropped).and_then(|result| result?)
            }
            None if response.has_content(&asked.method) => {
                self.body = response.content().len() as u64;
                self.send(response.content()).await
            }
            None => Ok(()),
        };
        log::info!(
            "request id={} method={} target={:?} status={} bytes={} micros={}{}",
            asked.id,
            asked.method.name(),
            asked.target,
            response.code(),
            self.body,
            asked.begin.elapsed().as_micros(),
            if sent.is_err() { " cut" } else { "" }
        );
        sent
    }

    /// Sends the head of an answer.
    async fn head<H: Handler>(
        &mut self,
        state: &State<H>,
        response: &Response,
        connection: Connection,
        framing: &Framing,
        id: Id,
    ) -> Result<(), End> {
        state.metrics.answer(response.code());
        let mut head = response.head(connection, framing);
        // The last line is empty: the name goes before it.
        head.truncate(head.len() - 2);
        head.push_str(&format!("x-request-id: {id}\r\n\r\n"));
        self.send(head.as_bytes()).await
    }

    /// Sends a body as it comes out of a pipe.
    async fn body(&mut self, mut reader: BodyReader, mut framing: Framing) -> Result<(), End> {
        let mut sent = Vec::new();
        loop {
            let frame = |bytes: &[u8]| framing.frame(bytes, &mut sent).map(|()| bytes.len());
            let count = reader.take(frame).await.and_then(|result| result).map_err(|_| End::Dropped)?;
            self.send(&sent).await?;
            sent.clear();
            self.body += count as u64;
            if count == 0 {
                return Ok(());
            }
        }
    }

    /// Sends bytes, as fast as the client takes them.
    async fn send(&mut self, mut bytes: &[u8]) -> Result<(), End> {
        while !bytes.is_empty() {
            match with_timeout(self.times.write, self.writer.write(bytes)).await {
                Ok(Ok(count)) if count > 0 => bytes = &bytes[count..],
                _ => return Err(End::Dropped),
            }
        }
        Ok(())
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

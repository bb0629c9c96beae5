//! Bodies under way. Between a handler and the network lies a pipe that holds a few bytes: who puts waits until there is
//! room, so a body of any length takes no more memory than that, and each side goes as fast as the other one.
//!
//! Both ends belong to one task, or to tasks of one thread.

use alloc::{collections::VecDeque, rc::Rc, vec::Vec};
use core::{
    cell::RefCell,
    fmt,
    future::poll_fn,
    task::{Context, Poll, Waker},
};

/// A body ends before its end: the other side of the connection is gone, sends what is no body, is too slow, or wants no
/// more of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body ends before its end")
    }
}

impl core::error::Error for Cut {}

#[derive(Debug)]
struct Pipe {
    bytes: VecDeque<u8>,
    /// The most bytes that are in it.
    room: usize,
    /// All of the body was put in.
    complete: bool,
    /// The end that puts, or the one that takes, is gone.
    writer_gone: bool,
    reader_gone: bool,
    /// Who waits for bytes, and who for room.
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    /// Ready when there are bytes, or will never be any more.
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Cut>> {
        if !self.bytes.is_empty() || self.complete {
            return Poll::Ready(Ok(()));
        }
        if self.writer_gone {
            return Poll::Ready(Err(Cut));
        }
        self.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// A pipe that holds `room` bytes; none when there is no memory for it.
pub fn pipe(room: usize) -> Option<(BodyWriter, BodyReader)> {
    let mut bytes = VecDeque::new();
    bytes.try_reserve_exact(room).ok()?;
    let (complete, writer_gone, reader_gone) = (false, false, false);
    let (reader, writer) = (None, None);
    let pipe = Pipe { bytes, room, complete, writer_gone, reader_gone, reader, writer };
    let pipe = Rc::new(RefCell::new(pipe));
    Some((BodyWriter(Rc::clone(&pipe)), BodyReader(pipe)))
}

/// Where the bytes of a body come out.
#[derive(Debug)]
pub struct BodyReader(Rc<RefCell<Pipe>>);

impl BodyReader {
    /// Waits for the next bytes of the body and puts them into `buffer`. Returns how many; 0 at the body's end.
    ///
    /// # Errors
    /// When the body ends before its end.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Cut> {
        let most = buffer.len();
        self.some(most, |bytes| {
            buffer[..bytes.len()].copy_from_slice(bytes);
            bytes.len()
        })
        .await
    }

    /// Waits for the next bytes of the body and hands them to `take`; none at the body's end.
    ///
    /// # Errors
    /// When the body ends before its end.
    pub async fn take<T>(&mut self, take: impl FnOnce(&[u8]) -> T) -> Result<T, Cut> {
        self.some(usize::MAX, take).await
    }

    /// Gives all that is still to come to `writer`, as fast as it takes it. Returns how many bytes it was.
    ///
    /// # Errors
    /// When one of the two bodies ends before its end.
    pub async fn copy_to(&mut self, writer: &mut BodyWriter) -> Result<u64, Cut> {
        let (mut buffer, mut total) = ([0; 2048], 0);
        loop {
            let count = self.read(&mut buffer).await?;
            if count == 0 {
                return Ok(total);
            }
            writer.write(&buffer[..count]).await?;
            total += count as u64;
        }
    }

    /// At most `most` bytes.
    async fn some<T>(&mut self, most: usize, take: impl FnOnce(&[u8]) -> T) -> Result<T, Cut> {
        poll_fn(|cx| self.0.borrow_mut().poll_bytes(cx)).await?;
        let pipe = &mut *self.0.borrow_mut();
        let (first, _) = pipe.bytes.as_slices();
        let count = first.len().min(most);
        let taken = take(&first[..count]);
        pipe.bytes.drain(..count);
        wake(&mut pipe.writer);
        Ok(taken)
    }
}

impl Drop for BodyReader {
    fn drop(&mut self) {
        let pipe = &mut *self.0.borrow_mut();
        pipe.reader_gone = true;
        wake(&mut pipe.writer);
    }
}

/// Where the bytes of a body are put in.
#[derive(Debug)]
pub struct BodyWriter(Rc<RefCell<Pipe>>);

impl BodyWriter {
    /// Puts bytes into the body. Waits until there was room for all of them.
    ///
    /// # Errors
    /// When nobody takes them any more.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Cut> {
        while !bytes.is_empty() {
            let count = poll_fn(|cx| self.poll_write(cx, bytes)).await?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Cut>> {
        let pipe = &mut *self.0.borrow_mut();
        let count = bytes.len().min(pipe.room - pipe.bytes.len());
        if pipe.reader_gone {
            return Poll::Ready(Err(Cut));
        }
        if count == 0 {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        pipe.bytes.extend(&bytes[..count]);
        wake(&mut pipe.reader);
        Poll::Ready(Ok(count))
    }

    /// Says that all of the body was put in. A writer that goes without this word cuts the body.
    pub fn finish(self) {
        self.0.borrow_mut().complete = true;
    }
}

impl Drop for BodyWriter {
    fn drop(&mut self) {
        let pipe = &mut *self.0.borrow_mut();
        pipe.writer_gone = true;
        wake(&mut pipe.reader);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// The body of an answer on its way to the network: what is to be sent of it.
#[derive(Debug)]
pub enum Framing {
    /// So many bytes are still to come.
    Sized(u64),
    /// Bytes in chunks.
    Chunked,
    /// Bytes, until the connection ends.
    UntilEnd,
}

/// What comes after the last chunk, with it.
const LAST: &[u8] = b"0\r\n\r\n";

impl Framing {
    /// Appends what is sent for these bytes of the body; for no bytes, what is sent at its end.
    ///
    /// # Errors
    /// When the body has more bytes than its head said, or ends before it has as many.
    pub fn frame(&mut self, bytes: &[u8], sent: &mut Vec<u8>) -> Result<(), Cut> {
        match self {
            Self::Sized(0) if bytes.is_empty() => return Ok(()),
            Self::Sized(_) if bytes.is_empty() => return Err(Cut),
            Self::Sized(left) => *left = left.checked_sub(bytes.len() as u64).ok_or(Cut)?,
            Self::Chunked if bytes.is_empty() => {
                sent.extend_from_slice(LAST);
                return Ok(());
            }
            Self::Chunked => {
                sent.extend_from_slice(alloc::format!("{:x}\r\n", bytes.len()).as_bytes());
                sent.extend_from_slice(bytes);
                sent.extend_from_slice(b"\r\n");
                return Ok(());
            }
            Self::UntilEnd => {}
        }
        sent.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::pin::pin;
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll<T>(future: core::pin::Pin<&mut impl Future<Output = T>>, waker: &Arc<Count>) -> Poll<T> {
        future.poll(&mut Context::from_waker(&Waker::from(Arc::clone(waker))))
    }

    #[test]
    fn a_body_goes_through_whole_however_little_room_there_is_and_each_side_is_woken() {
        let body: Vec<u8> = (0..10_000u32).map(|number| (number % 251) as u8).collect();
        for (room, piece) in [(1, 3), (7, 64), (64, 7), (4096, 9999)] {
            let (mut writer, mut reader) = pipe(room).unwrap();
            let (writes, reads) = (Arc::new(Count::default()), Arc::new(Count::default()));
            let mut write = pin!(async {
                for bytes in body.chunks(piece) {
                    writer.write(bytes).await.unwrap();
                }
                writer.finish();
            });
            let content = RefCell::new(Vec::new());
            let mut read = pin!(async {
                let mut buffer = vec![0; piece];
                loop {
                    match reader.read(&mut buffer).await.unwrap() {
                        0 => break,
                        count => content.borrow_mut().extend_from_slice(&buffer[..count]),
                    }
                }
            });
            let (mut written, mut done) = (false, false);
            // A side that waits is polled again only when it was woken.
            let (mut seen_writes, mut seen_reads) = (usize::MAX, usize::MAX);
            while !done {
                let before = (seen_writes, seen_reads);
                if !written && writes.0.load(Ordering::Relaxed) != seen_writes {
                    seen_writes = writes.0.load(Ordering::Relaxed);
                    written = poll(write.as_mut(), &writes).is_ready();
                }
                if reads.0.load(Ordering::Relaxed) != seen_reads {
                    seen_reads = reads.0.load(Ordering::Relaxed);
                    done = poll(read.as_mut(), &reads).is_ready();
                }
                assert!(done || before != (seen_writes, seen_reads), "nobody is woken: {room} {piece}");
            }
            assert_eq!(*content.borrow(), body, "{room} {piece}");
        }
    }

    #[test]
    fn an_end_that_goes_away_cuts_the_body_for_the_other_one() {
        let waker = Arc::new(Count::default());
        let (mut writer, mut reader) = pipe(4).unwrap();
        assert_eq!(poll(pin!(writer.write(b"ab")), &waker), Poll::Ready(Ok(())));
        drop(writer);
        let mut buffer = [0; 8];
        assert_eq!(poll(pin!(reader.read(&mut buffer)), &waker), Poll::Ready(Ok(2)));
        assert_eq!(poll(pin!(reader.read(&mut buffer)), &waker), Poll::Ready(Err(Cut)));
        let (mut writer, reader) = pipe(4).unwrap();
        let mut write = pin!(writer.write(b"abcdef"));
        assert!(poll(write.as_mut(), &waker).is_pending());
        drop(reader);
        assert_eq!(waker.0.load(Ordering::Relaxed), 1);
        assert_eq!(poll(write, &waker), Poll::Ready(Err(Cut)));
    }

    #[test]
    fn a_body_is_framed_as_its_head_has_said() {
        let frame = |mut framing: Framing, pieces: &[&[u8]]| {
            let mut sent = Vec::new();
            pieces.iter().try_for_each(|piece| framing.frame(piece, &mut sent))?;
            Ok(String::from_utf8(sent).unwrap())
        };
        let pieces: &[&[u8]] = &[b"Hello, ", b"world and all!", b""];
        let chunks = "7\r\nHello, \r\ne\r\nworld and all!\r\n0\r\n\r\n";
        assert_eq!(frame(Framing::Chunked, pieces).as_deref(), Ok(chunks));
        assert_eq!(frame(Framing::UntilEnd, pieces).as_deref(), Ok("Hello, world and all!"));
        assert_eq!(frame(Framing::Sized(21), pieces).as_deref(), Ok("Hello, world and all!"));
        assert_eq!(frame(Framing::Sized(22), pieces), Err(Cut));
        assert_eq!(frame(Framing::Sized(20), pieces), Err(Cut));
    }
}

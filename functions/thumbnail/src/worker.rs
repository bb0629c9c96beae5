//! A thread that makes pictures small, one after the other. Its priority is below that of the thread that serves, which so
//! answers others at any moment.

extern crate alloc;

use alloc::{collections::VecDeque, sync::Arc};
use core::{
    future::poll_fn,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    task::{Poll, Waker},
};
use pictures::{Error, Picture, Size};
use selkie::{clock::Instant, prelude::*, sync::Mutex, thread};

/// Stack of the thread: decoders have tables on it, and what packs is made on it, which takes 160 KiB.
const STACK: usize = 512 << 10;

/// The thread, as those see it who have work for it.
pub(crate) struct Worker {
    waiting: Mutex<VecDeque<Job>>,
    /// Bytes of the pictures that wait.
    bytes: AtomicU64,
    /// The most bytes that may wait.
    limit: usize,
    wake: Notification,
    /// Microseconds of work.
    busy: AtomicU64,
}

/// A picture that waits for its turn.
struct Job {
    picture: Picture,
    size: Size,
    answer: Arc<Answer>,
}

/// What becomes of a picture.
type Answer = Mutex<State>;

enum State {
    /// Nobody has asked yet, or who has asked is woken by this.
    Waiting(Option<Waker>),
    Done(Result<Vec<u8>, Error>),
}

impl Worker {
    /// Starts the thread. Pictures that wait have `limit` bytes at most.
    pub(crate) fn start(sys: &mut System, limit: usize) -> Result<&'static Self> {
        let wake = sys.memory.create::<Notification>()?.cap();
        let (waiting, bytes, busy) = (Mutex::new(VecDeque::new()), AtomicU64::new(0), AtomicU64::new(0));
        let worker: &'static Self = Box::leak(Box::new(Self { waiting, bytes, limit, wake, busy }));
        let below = sys.max_priority().saturating_sub(1);
        // It works as long as the function runs.
        let _ = thread::Builder::new().stack(STACK).priority(below).spawn(sys, move || worker.work())?;
        Ok(worker)
    }

    fn work(&self) {
        loop {
            let job = self.waiting.lock().pop_front();
            let Some(Job { picture, size, answer }) = job else {
                self.wake.wait();
                continue;
            };
            self.bytes.fetch_sub(picture.size() as u64, Relaxed);
            // Where nobody waits any more, nobody shares it.
            if Arc::strong_count(&answer) == 1 {
                continue;
            }
            let begin = Instant::now();
            let made = picture.thumbnail(size);
            self.busy.fetch_add(begin.elapsed().as_micros() as u64, Relaxed);
            let state = core::mem::replace(&mut *answer.lock(), State::Done(made));
            if let State::Waiting(Some(waker)) = state {
                waker.wake();
            }
        }
    }

    /// Has a picture made small. None when too many wait already.
    pub(crate) async fn thumbnail(&self, picture: Picture, size: Size) -> Option<Result<Vec<u8>, Error>> {
        let length = picture.size() as u64;
        if self.bytes.load(Relaxed) + length > self.limit as u64 {
            return None;
        }
        self.bytes.fetch_add(length, Relaxed);
        let answer = Arc::new(Mutex::new(State::Waiting(None)));
        self.waiting.lock().push_back(Job { picture, size, answer: answer.clone() });
        self.wake.signal();
        let made = poll_fn(|cx| {
            let mut state = answer.lock();
            match core::mem::replace(&mut *state, State::Waiting(Some(cx.waker().clone()))) {
                State::Done(made) => Poll::Ready(made),
                State::Waiting(_) => Poll::Pending,
            }
        });
        Some(made.await)
    }

    /// Microseconds that it has worked.
    pub(crate) fn busy(&self) -> u64 {
        self.busy.load(Relaxed)
    }

    /// Pictures that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.lock().len()
    }
}

//! A disk in memory that remembers what was asked of it and fails when it is told to, and what polls futures.

#![allow(dead_code)] // Each test uses some of it.

use selkie_store::{Block, OpenError, SECTOR, Store};
use std::{
    cell::{Cell, RefCell},
    io::Write,
    pin::Pin,
    task::{Context, Poll, Waker},
};

/// Some number that no disk of the tests has twice.
pub(crate) const RANDOM: u64 = 0x5e1c_1e00;
/// Memory for keys.
pub(crate) const MEMORY: usize = 1 << 20;

/// SplitMix64: the same numbers from the same seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// What was asked of a disk.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    /// To write; `done` is when it was answered.
    Write { sector: u64, bytes: Vec<u8>, begun: usize, done: usize },
    /// To flush.
    Flush { begun: usize, done: usize },
}

/// A disk in memory.
#[derive(Debug, Default)]
pub(crate) struct Ram {
    pub(crate) bytes: RefCell<Vec<u8>>,
    pub(crate) asked: RefCell<Vec<Asked>>,
    /// Counts what happens.
    pub(crate) clock: Cell<usize>,
    /// How many more writes, and flushes, go well.
    pub(crate) writes_left: Cell<Option<usize>>,
    pub(crate) flushes_left: Cell<Option<usize>>,
    /// A failed write has been done all the same.
    pub(crate) lies: Cell<bool>,
    /// Flushes are answered at once, and nothing is done.
    pub(crate) without_flush: bool,
}

impl Ram {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.into(), ..Self::default() }
    }

    pub(crate) fn tick(&self) -> usize {
        self.clock.set(self.clock.get() + 1);
        self.clock.get()
    }

    fn goes_well(left: &Cell<Option<usize>>) -> bool {
        let now = left.get();
        left.set(now.map(|now| now.saturating_sub(1)));
        now != Some(0)
    }
}

impl Block for Ram {
    type Error = ();

    fn sectors(&self) -> u64 {
        (self.bytes.borrow().len() / SECTOR) as u64
    }

    async fn read(&self, sector: u64, into: &mut [u8]) -> Result<(), ()> {
        pause().await;
        let at = sector as usize * SECTOR;
        assert!(into.len().is_multiple_of(SECTOR), "whole sectors only");
        into.copy_from_slice(self.bytes.borrow().get(at..at + into.len()).ok_or(())?);
        Ok(())
    }

    async fn write(&self, sector: u64, bytes: &[u8]) -> Result<(), ()> {
        assert!(bytes.len().is_multiple_of(SECTOR), "whole sectors only");
        let at = sector as usize * SECTOR;
        let number = self.asked.borrow().len();
        let write = Asked::Write { sector, bytes: bytes.to_vec(), begun: self.tick(), done: usize::MAX };
        self.asked.borrow_mut().push(write);
        pause().await;
        let good = Self::goes_well(&self.writes_left);
        if good || self.lies.get() {
            self.bytes.borrow_mut().get_mut(at..at + bytes.len()).ok_or(())?.copy_from_slice(bytes);
        }
        if let Some(Asked::Write { done, .. }) = self.asked.borrow_mut().get_mut(number) {
            *done = self.tick();
        }
        good.then_some(()).ok_or(())
    }

    async fn flush(&self) -> Result<(), ()> {
        if self.without_flush {
            return Ok(());
        }
        let begun = self.tick();
        pause().await;
        if !Self::goes_well(&self.flushes_left) {
            return Err(());
        }
        let done = self.tick();
        self.asked.borrow_mut().push(Asked::Flush { begun, done });
        Ok(())
    }
}

/// Lets others go on.
pub(crate) async fn pause() {
    let mut again = true;
    std::future::poll_fn(|_| if std::mem::take(&mut again) { Poll::Pending } else { Poll::Ready(()) }).await;
}

/// Runs a future to its end.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
    }
}

/// Runs futures, in an order that `random` decides, until all of them have ended; `beside` never ends.
pub(crate) fn run_all<'a>(
    random: &mut Random,
    beside: impl Future<Output = ()> + 'a,
    tasks: Vec<Pin<Box<dyn Future<Output = ()> + 'a>>>,
) {
    let mut cx = Context::from_waker(Waker::noop());
    let (mut beside, mut tasks) = (Box::pin(beside), tasks);
    while !tasks.is_empty() {
        let number = random.below(tasks.len() + 1);
        match tasks.get_mut(number) {
            None => assert!(beside.as_mut().poll(&mut cx).is_pending()),
            Some(task) => {
                if task.as_mut().poll(&mut cx).is_ready() {
                    drop(tasks.swap_remove(number));
                }
            }
        }
    }
}

/// Opens the store of a disk.
pub(crate) fn open<B: Block>(disk: B) -> Result<Store<B>, OpenError> {
    block_on(Store::open(disk, RANDOM, MEMORY))
}

/// Runs `work` while the store's writes are done.
pub(crate) fn with<B: Block, T>(store: &Store<B>, work: impl Future<Output = T>) -> T {
    let (mut work, mut writes) = (std::pin::pin!(work), std::pin::pin!(store.run()));
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(result) = work.as_mut().poll(&mut cx) {
            return result;
        }
        assert!(writes.as_mut().poll(&mut cx).is_pending());
    }
}

/// The program, where it is there: its folder is not in everybody's PATH.
pub(crate) fn program(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Says that `test` could not look at all that it should: past libtest's capture, for the suites to see.
pub(crate) fn skip(test: &str, reason: &str) {
    let _ = writeln!(std::io::stderr(), "SKIP {test}: {reason}");
}

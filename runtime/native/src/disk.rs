//! A disk: sectors that are read, written, and made lasting.
//!
//! ```ignore
//! let disk = Disk::open(sys)?;
//! selkie_native::block_on(sys, async {
//!     let mut sector = [0; SECTOR];
//!     disk.read(0, &mut sector).await?;
//!     disk.write(1, &sector).await?;
//!     disk.flush().await
//! })??;
//! ```

use crate::{
    error::{Error, Result},
    wake::{self, Port},
};
use alloc::{boxed::Box, vec::Vec};
use core::{
    cell::{Cell, RefCell},
    fmt,
    future::poll_fn,
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
    task::{Poll, Waker},
};
use selkie::{
    System,
    device::{self, Device},
};
use selkie_base::devices::{
    block::{Block, BlockFunction, MAX_OPEN, operation, status},
    request,
};

/// Bytes of a sector.
pub const SECTOR: usize = selkie_base::devices::block::SECTOR as usize;
/// The most bytes of one request: longer reads and writes are several of them.
const MOST: u32 = 64 << 10;

/// Why something that was asked of a disk was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiskError {
    /// The disk does not have these sectors, or the bytes are not whole sectors.
    OutOfRange,
    /// It cannot be written to.
    ReadOnly,
    /// The disk failed: what was read is not known, what was to be written may be there, in parts or not at all.
    Failed,
    /// Whoever stands behind the disk has broken its rules, or does not answer any more.
    Broken,
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfRange => "the disk does not have these sectors, or they are not whole",
            Self::ReadOnly => "the disk cannot be written to",
            Self::Failed => "the disk failed",
            Self::Broken => "the disk is broken: whoever stands behind it breaks the rules of its queue",
        })
    }
}

impl core::error::Error for DiskError {}

/// The function's disk. It is for the thread that has opened it; copies stand for the same disk, and each of them may
/// have requests open. Requests that are open at once are done in any order.
#[derive(Clone, Copy)]
pub struct Disk(&'static Inner);

static OPENED: AtomicBool = AtomicBool::new(false);

impl Disk {
    /// The function's disk: what its surroundings offer, else the first virtio disk. It is opened once.
    pub fn open(sys: &mut System) -> Result<Self> {
        let wake = wake::notification(sys)?;
        if OPENED.swap(true, Ordering::Relaxed) {
            return Err(Error::InUse);
        }
        let device = selkie_drivers::disk(sys, wake).map_err(|error| match error {
            selkie::Error::NoDevice => Error::NoDisk,
            other => Error::Kernel(other),
        })?;
        let inner: &'static Inner = Box::leak(Box::new(Inner::new(device).ok_or(Error::NoDisk)?));
        wake::add(inner)?;
        Ok(Self(inner))
    }

    /// How many sectors of [`SECTOR`] bytes it has.
    pub fn sectors(&self) -> u64 {
        self.0.function.borrow().block().sectors
    }

    /// Whether it cannot be written to.
    pub fn read_only(&self) -> bool {
        self.0.function.borrow().block().read_only
    }

    /// Reads whole sectors, from `sector` on. Where it fails, what is in `buffer` is not known.
    pub async fn read(&self, sector: u64, buffer: &mut [u8]) -> Result<(), DiskError> {
        self.check(sector, buffer.len())?;
        let (mut sector, mut rest) = (sector, buffer);
        while !rest.is_empty() {
            let request = self.begin(operation::READ, sector, rest.len(), |_| {}).await?;
            let data = request.done().await?;
            // SAFETY: the buffers are the request's, and it was answered.
            let bytes = unsafe { self.0.bytes(data) };
            let (read, others) = rest.split_at_mut(bytes.len().min(rest.len()));
            read.copy_from_slice(&bytes[..read.len()]);
            sector += (read.len() / SECTOR) as u64;
            rest = others;
        }
        Ok(())
    }

    /// Writes whole sectors, from `sector` on. They last after a [`flush`](Self::flush). Who stops waiting for it has
    /// them written or not.
    pub async fn write(&self, sector: u64, buffer: &[u8]) -> Result<(), DiskError> {
        if self.read_only() {
            return Err(DiskError::ReadOnly);
        }
        self.check(sector, buffer.len())?;
        let (mut sector, mut rest) = (sector, buffer);
        while !rest.is_empty() {
            let fill = |bytes: &mut [u8]| bytes.copy_from_slice(&rest[..bytes.len()]);
            let request = self.begin(operation::WRITE, sector, rest.len(), fill).await?;
            let written = request.done().await?.len();
            sector += (written / SECTOR) as u64;
            rest = rest.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Makes all that was written lasting: what has returned before this was called is there whatever ends afterwards,
    /// the function, the machine or its power.
    pub async fn flush(&self) -> Result<(), DiskError> {
        self.begin(operation::FLUSH, 0, 0, |_| {}).await?.done().await.map(drop)
    }

    fn check(&self, sector: u64, length: usize) -> Result<(), DiskError> {
        let end = sector.checked_add((length / SECTOR) as u64);
        let fits = length.is_multiple_of(SECTOR) && end.is_some_and(|end| end <= self.sectors());
        if fits { Ok(()) } else { Err(DiskError::OutOfRange) }
    }

    /// Submits a request for as many bytes as there is room for, once there is some.
    async fn begin(
        &self,
        code: u32,
        sector: u64,
        length: usize,
        mut fill: impl FnMut(&mut [u8]),
    ) -> Result<Request, DiskError> {
        let inner = self.0;
        let length = u32::try_from(length).map_or(MOST, |length| length.min(MOST));
        poll_fn(|cx| {
            if inner.broken.get() {
                return Poll::Ready(Err(DiskError::Broken));
            }
            let mut function = inner.function.borrow_mut();
            let Some(room) = function.room(length) else {
                inner.wait_for_room(cx.waker());
                return Poll::Pending;
            };
            let data = if length == 0 { 0..0 } else { room };
            // SAFETY: the buffers are free until the request is submitted, and this thread alone submits any.
            fill(unsafe { inner.bytes(data.clone()) });
            let id = function.submit(code, sector, data);
            Poll::Ready(id.map(|id| Request { inner, id }).ok_or(DiskError::OutOfRange))
        })
        .await
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk")
            .field("sectors", &self.sectors())
            .field("read_only", &self.read_only())
            .finish_non_exhaustive()
    }
}

/// A request that is open, or answered. Dropped, it gives its buffers back as soon as the host has answered.
struct Request {
    inner: &'static Inner,
    id: u32,
}

impl Request {
    /// Waits for the answer. Returns where the data is, which stays the request's.
    async fn done(&self) -> Result<Range<u32>, DiskError> {
        poll_fn(|cx| {
            let answer = self.inner.function.borrow().answer(self.id);
            if let Some((code, data)) = answer {
                return Poll::Ready(match code {
                    status::DONE => Ok(data),
                    status::REFUSED => Err(DiskError::OutOfRange),
                    _ => Err(DiskError::Failed),
                });
            }
            if self.inner.broken.get() {
                return Poll::Ready(Err(DiskError::Broken));
            }
            if let Some(place) = self.inner.answers.borrow_mut().get_mut(self.id as usize) {
                *place = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.inner.function.borrow_mut().release(self.id);
        // There is room again.
        self.inner.rooms.borrow_mut().drain(..).for_each(Waker::wake);
    }
}

/// The function's side, and who waits for what.
struct Inner {
    device: Device,
    function: RefCell<BlockFunction<'static>>,
    /// Who waits for the answer to a request, by its number.
    answers: RefCell<[Option<Waker>; MAX_OPEN]>,
    /// Who waits for room.
    rooms: RefCell<Vec<Waker>>,
    broken: Cell<bool>,
}

impl Inner {
    /// The function's side of `device`, which was not used yet; none where its entry is not that of a disk.
    fn new(device: Device) -> Option<Self> {
        let block = Block::of(&device).ok()?;
        if !wake::signals(&device) {
            return None;
        }
        // SAFETY: `Block::of` has checked size and alignment, and the device is this function's alone.
        let region = unsafe { device::region(&device)? };
        let function = RefCell::new(BlockFunction::new(region, block)?);
        let (answers, rooms) = (RefCell::new([const { None }; MAX_OPEN]), RefCell::new(Vec::new()));
        Some(Self { device, function, answers, rooms, broken: Cell::new(false) })
    }

    fn wait_for_room(&self, waker: &Waker) {
        let mut rooms = self.rooms.borrow_mut();
        if !rooms.iter().any(|other| other.will_wake(waker)) {
            rooms.push(waker.clone());
        }
    }

    /// Takes all answers.
    fn take_answers(&self) {
        loop {
            let taken = self.function.borrow_mut().take();
            match taken {
                Ok(Some(id)) => {
                    let waker = self.answers.borrow_mut().get_mut(id as usize).and_then(Option::take);
                    waker.into_iter().for_each(Waker::wake);
                }
                Ok(None) => break,
                Err(_) => return self.end(),
            }
        }
        // An answer that nobody has waited for leaves room.
        self.rooms.borrow_mut().drain(..).for_each(Waker::wake);
    }

    /// The disk is not used any more, and whoever waits is told.
    fn end(&self) {
        self.broken.set(true);
        self.answers.borrow_mut().iter_mut().filter_map(Option::take).for_each(Waker::wake);
        self.rooms.borrow_mut().drain(..).for_each(Waker::wake);
    }

    /// # Safety
    /// The range is that of buffers that the function has and nobody else uses meanwhile.
    #[allow(clippy::mut_from_ref)] // The buffers are none of the disk's own memory.
    unsafe fn bytes(&self, range: Range<u32>) -> &mut [u8] {
        // SAFETY: the caller's.
        unsafe { device::buffer(&self.device, range) }
    }
}

impl Port for Inner {
    fn tell(&self) {
        let must = self.function.borrow_mut().must_tell();
        if must && !self.broken.get() && device::request(&self.device, request::QUEUE_LOOK).is_err() {
            self.end();
        }
    }

    fn set_waits(&self, waits: bool) {
        self.function.borrow().set_waits(waits);
    }

    fn wake(&self) -> bool {
        let something = !self.broken.get() && self.function.borrow().has_something();
        if something {
            self.take_answers();
        }
        something
    }
}

//! The driver of a virtio disk: a thread behind the queue of the device model. Sectors are not copied: the disk reads and
//! writes the buffers of the region.
//!
//! Source: Virtual I/O Device Version 1.2, 3.1.1 (initialisation) and 5.2 (block device).

use crate::{
    dma::Dma,
    driver::{self, Served},
    hal::Selkie,
    virtio::{self, Msix},
};
use core::{ptr, slice};
use selkie::{
    Error, Result, System,
    cap::{Capability, Notification, Slot},
    device::{Device, DeviceKind},
    vspace::PAGE,
};
use selkie_base::devices::{
    block::{Block, BlockHost, Drive, SECTOR, TOKENS, operation},
    buffers::Layout,
    queue::Entry,
};
use virtio_drivers::{
    queue::VirtQueue,
    transport::{DeviceStatus, DeviceType, Transport},
};

/// Entries of the queue here, in bits: how many requests the disk has at a time.
const BITS: u32 = 4;
const REQUESTS: usize = 1 << BITS;
/// Descriptors of the disk's queue: a request has three, its head, its data and its status.
const DESCRIPTORS: usize = 64;
const BUFFERS: u16 = 64;
/// The kernel's number for the disk's interrupt.
const VECTOR: u8 = 33;
/// The thread's stack, which holds the account of what the disk has.
const STACK: usize = 32 << 10;

const _: () = assert!(size_of::<Disk>() < STACK / 2);
const _: () = assert!(3 * REQUESTS <= DESCRIPTORS && REQUESTS <= TOKENS);
const _: () = assert!(REQUESTS * HEADER_SIZE <= PAGE);

/// Features (5.2.3).
mod feature {
    pub(super) const SIZE_MAX: u64 = 1 << 1;
    pub(super) const READ_ONLY: u64 = 1 << 5;
    pub(super) const BLOCK_SIZE: u64 = 1 << 6;
    pub(super) const FLUSH: u64 = 1 << 9;
}
const FEATURES: u64 = feature::SIZE_MAX | feature::READ_ONLY | feature::BLOCK_SIZE | feature::FLUSH;

/// Where things are in the configuration (5.2.4).
const CAPACITY: usize = 0;
const SIZE_MAX: usize = 8;
const BLOCK_SIZE: usize = 20;

/// What is asked of the disk (5.2.6).
const IN: u32 = 0;
const OUT: u32 = 1;
const FLUSH: u32 = 4;
/// The status of what went well; the disk overwrites another one that stands for "not answered".
const OK: u8 = 0;
const NOT_ANSWERED: u8 = 0xff;

/// Bytes of a request's head, of its head and status, and of the place that both have.
const HEAD: usize = 16;
const STATUS: usize = HEAD;
const HEADER_SIZE: usize = 32;

/// Finds the first disk and starts its driver.
pub(crate) fn start(sys: &mut System, wake: Notification) -> Result<Device> {
    let mut found = virtio::find(sys, DeviceType::Block)?;
    let interrupt = found.interrupt(sys, VECTOR)?;
    let mut transport = found.transport;
    let features = virtio::negotiate(&mut transport, FEATURES)?;
    let layout = Layout::new(BITS, BUFFERS);
    let block = configuration(&transport, features, layout)?;
    let queue = VirtQueue::new(&mut transport, 0, false, false).map_err(|_| Error::NoDevice)?;
    transport.interrupt_on_change();
    let (dma, headers) = (Dma::new(sys, layout.size() as usize)?, Dma::new(sys, PAGE)?);
    transport.finish_init();

    let host = BlockHost::new(driver::region(&dma), block).ok_or(Error::NoDevice)?;
    let drive = VirtioDrive {
        transport,
        queue,
        flushes: features & feature::FLUSH != 0,
        region: dma,
        headers,
        open: [None; REQUESTS],
        heads: [None; DESCRIPTORS],
        added: false,
        failed: false,
    };
    let endpoint = driver::start(sys, &interrupt, wake, STACK, Disk { host, drive })?;
    Ok(Device {
        number: DeviceKind::Block as u32,
        flags: if block.read_only { Block::READ_ONLY } else { 0 },
        endpoint: endpoint.slot().0,
        notification: wake.slot().0,
        frames: Slot::NULL.0,
        address: dma.address as u64,
        size: layout.size().into(),
        params: block.params(),
    })
}

/// What the disk says about itself. One with larger sectors, or one that takes less at once than a request may have, is
/// none that this driver knows.
fn configuration(transport: &Msix, features: u64, layout: Layout<1>) -> Result<Block> {
    let word = |offset| transport.read_config_space::<u32>(offset);
    let read = transport
        .read_consistent(|| Ok((word(CAPACITY)?, word(CAPACITY + 4)?, word(SIZE_MAX)?, word(BLOCK_SIZE)?)));
    let (low, high, size_max, block_size) = read.map_err(|_| Error::NoDevice)?;
    let most = u32::from(BUFFERS) * selkie_base::devices::buffers::BUFFER;
    let small = features & feature::SIZE_MAX != 0 && size_max < most;
    let large = features & feature::BLOCK_SIZE != 0 && block_size > SECTOR;
    let sectors = u64::from(low) | u64::from(high) << 32;
    if large {
        log::warn!("a disk with sectors of {block_size} bytes is not served");
    }
    if small {
        log::warn!("a disk that takes {size_max} bytes at most is not served");
    }
    if small || large || sectors > u64::MAX / u64::from(SECTOR) {
        return Err(Error::NoDevice);
    }
    Ok(Block { sectors, read_only: features & feature::READ_ONLY != 0, layout })
}

/// The disk and the host's side of its queue.
struct Disk {
    host: BlockHost<'static>,
    drive: VirtioDrive,
}

impl Served for Disk {
    fn work(&mut self) -> bool {
        let mut signal = self.host.work(&mut self.drive);
        // What was done without the disk is answered by another turn.
        while self.drive.has_more() && !self.host.is_broken() {
            signal |= self.host.work(&mut self.drive);
        }
        self.drive.notify();
        signal
    }

    fn set_waits(&self, waits: bool) {
        self.host.set_waits(waits);
    }

    fn is_broken(&self) -> bool {
        self.host.is_broken()
    }

    fn interrupted(&mut self) {
        self.drive.look_after();
    }
}

/// The disk.
struct VirtioDrive {
    transport: Msix,
    queue: VirtQueue<Selkie, DESCRIPTORS>,
    /// It may keep what was written for later, and has to be told to flush.
    flushes: bool,
    region: Dma,
    /// Heads and statuses of requests.
    headers: Dma,
    /// The requests, by their tokens; `false` for what was done without the disk.
    open: [Option<(Entry, bool)>; REQUESTS],
    /// The tokens of the requests that the disk has, by their first descriptors.
    heads: [Option<u16>; DESCRIPTORS],
    /// Something was added that the disk was not told of.
    added: bool,
    /// It does not do as the standard says, or has said that it cannot go on.
    failed: bool,
}

impl VirtioDrive {
    /// The head and the status of a request, and its data.
    ///
    /// # Safety
    /// The request is in `open` or about to be, and the disk does not have it: nobody else uses them.
    unsafe fn parts(
        &self,
        token: u16,
        request: &Entry,
    ) -> (&'static mut [u8], &'static mut [u8], &'static mut [u8]) {
        let bytes = |address: usize, size: usize| {
            // SAFETY: the caller's; the memory stays mapped. A token is below `REQUESTS`, and what `Block::takes` has
            // its data in the region.
            unsafe { slice::from_raw_parts_mut(ptr::with_exposed_provenance_mut(address), size) }
        };
        let header = self.headers.address + usize::from(token) * HEADER_SIZE;
        let data = self.region.address + request.offset as usize;
        (bytes(header, HEAD), bytes(header + STATUS, 1), bytes(data, request.length as usize))
    }

    /// Tells the disk of what was added.
    fn notify(&mut self) {
        if core::mem::take(&mut self.added) && self.queue.should_notify() {
            self.transport.notify(0);
        }
    }

    /// Looks whether the disk says that it cannot go on: an interrupt without an answer may mean that.
    fn look_after(&mut self) {
        if !self.queue.can_pop() && self.transport.get_status().contains(DeviceStatus::DEVICE_NEEDS_RESET) {
            self.fail();
        }
    }

    /// The disk is not used any more. Reset, it does not touch the memory of what it had.
    fn fail(&mut self) {
        self.failed = true;
        self.transport.set_status(DeviceStatus::empty());
        log::error!("the disk has failed: it is not used any more");
    }

    /// Whether another turn would answer something.
    fn has_more(&self) -> bool {
        let without_disk = |request: &(Entry, bool)| self.failed || !request.1;
        self.open.iter().flatten().any(without_disk) || !self.failed && self.queue.can_pop()
    }

    /// A request that the disk has answered, and whether it went well.
    fn answered(&mut self) -> Option<(u16, bool)> {
        let head = self.queue.peek_used()?;
        let token = self.heads.get_mut(usize::from(head)).and_then(Option::take);
        let request = token.and_then(|token| *self.open.get(usize::from(token))?);
        let (Some(token), Some((entry, _))) = (token, request) else {
            // It answers what it was not asked.
            self.fail();
            return None;
        };
        // SAFETY: these are what was added under this token, and the disk has given them back.
        let (header, status, data) = unsafe { self.parts(token, &entry) };
        let answer = ptr::from_ref(&status[0]);
        // SAFETY: as above.
        let popped = unsafe {
            match entry.code {
                operation::READ => self.queue.pop_used(head, &[header], &mut [data, status]),
                operation::WRITE => self.queue.pop_used(head, &[header, data], &mut [status]),
                _ => self.queue.pop_used(head, &[header], &mut [status]),
            }
        };
        // SAFETY: the byte is mapped; the disk may have written anything there.
        let status = unsafe { answer.read_volatile() };
        Some((token, popped.is_ok() && status == OK))
    }
}

impl Drive for VirtioDrive {
    fn begin(&mut self, request: &Entry) -> Option<u16> {
        let token = self.open.iter().position(Option::is_none)? as u16;
        let place = usize::from(token);
        // A disk that is not told to flush writes through (5.2.6.2).
        let lasts = request.code == operation::FLUSH && !self.flushes;
        if self.failed || lasts {
            self.open[place] = Some((*request, false));
            return Some(token);
        }
        // SAFETY: the request is about to be handed over.
        let (head, status, data) = unsafe { self.parts(token, request) };
        let kind = match request.code {
            operation::READ => IN,
            operation::WRITE => OUT,
            _ => FLUSH,
        };
        head[..4].copy_from_slice(&kind.to_le_bytes());
        head[4..8].fill(0);
        head[8..].copy_from_slice(&(if kind == FLUSH { 0 } else { request.sector }).to_le_bytes());
        status[0] = NOT_ANSWERED;
        // SAFETY: nobody uses the bytes until the disk has given them back.
        let added = unsafe {
            match kind {
                IN => self.queue.add(&[head], &mut [data, status]),
                OUT => self.queue.add(&[head, data], &mut [status]),
                _ => self.queue.add(&[head], &mut [status]),
            }
        };
        let first = usize::from(added.ok()?);
        *self.heads.get_mut(first)? = Some(token);
        self.open[place] = Some((*request, true));
        self.added = true;
        Some(token)
    }

    fn done(&mut self, _: impl FnOnce(u16) -> Option<Entry>) -> Option<(u16, bool)> {
        let answered = if self.failed { None } else { self.answered() };
        let (token, good) = answered.or_else(|| {
            let failed = self.failed;
            let token =
                self.open.iter().position(|place| place.is_some_and(|(_, at_disk)| failed || !at_disk))?;
            // What was done without the disk: a flush that there is no need for.
            Some((token as u16, !failed))
        })?;
        self.open[usize::from(token)] = None;
        Some((token, good))
    }
}

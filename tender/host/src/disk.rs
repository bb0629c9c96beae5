//! The disk: requests of the root task's queue on a file or a block device. Each is done when the root task tells of it,
//! before its call returns.

use crate::{
    region,
    state::Place,
    syscall::{Errno, syscall},
};
use core::sync::atomic::AtomicU64;
use linux_raw_sys::{errno, general};
use selkie_base::devices::{
    block::{BlockHost, Drive, SECTOR, operation},
    queue::Entry,
};
use selkie_tender_filter::MAX_TRANSFER;
use selkie_tender_model::Moved;
use selkie_tender_setup::{DISK_LAYOUT, Disk};

// What a request may have, the filter lets through.
const _: () = assert!((DISK_LAYOUT.size() - DISK_LAYOUT.buffers) as u64 <= MAX_TRANSFER);

/// The disk of the root task.
#[derive(Debug)]
pub(crate) struct Sectors {
    host: &'static mut BlockHost<'static>,
    file: File,
}

impl Sectors {
    /// A disk between `region`, in which nothing was submitted yet, and what is open.
    #[inline(never)] // Those without a disk need less of the stack.
    pub(crate) fn new(region: &'static [AtomicU64], disk: Disk) -> Option<Self> {
        // Apart from what every process writes to.
        #[unsafe(link_section = ".link")]
        static HOST: Place<BlockHost<'static>> = Place::new();
        let host = BlockHost::new(region, disk.block())?;
        // It only works when it is called, and says so once and for all.
        host.set_waits(true);
        // SAFETY: there is one disk.
        let host = unsafe { HOST.put(host) };
        Some(Self { host, file: File { descriptor: disk.descriptor, region, done: None } })
    }

    /// Does all that was asked for. A queue has no more entries than its ring, so that this ends.
    pub(crate) fn work(&mut self) -> Moved {
        let mut signal = self.host.work(&mut self.file);
        // What was done is answered by another turn.
        while self.file.done.is_some() && !self.host.is_broken() {
            signal |= self.host.work(&mut self.file);
        }
        Moved { signal, broken: self.host.is_broken() }
    }
}

/// The file, as a drive that has one request at a time.
#[derive(Debug)]
struct File {
    descriptor: i32,
    region: &'static [AtomicU64],
    /// Whether the last request went well, until that was taken.
    done: Option<bool>,
}

impl File {
    /// Does what is asked for; whether it went well.
    fn serve(&self, request: &Entry) -> bool {
        match request.code {
            operation::READ => self.transfer(general::__NR_pread64, request),
            operation::WRITE => self.transfer(general::__NR_pwrite64, request),
            _ => self.flush(),
        }
    }

    /// Reads or writes all of a request. The end of the file in its middle, or a full file system, is a failure.
    fn transfer(&self, call: u32, request: &Entry) -> bool {
        let range = request.offset..request.offset.saturating_add(request.length);
        let Some(place) = region::bytes(self.region, range) else { return false };
        let (place, length) = (place.expose_provenance() as u64, u64::from(request.length));
        let offset = request.sector * u64::from(SECTOR);
        let mut done = 0;
        while done < length {
            let args = [self.descriptor as u64, place + done, length - done, offset + done];
            // SAFETY: the region has these bytes; who writes them meanwhile gets what it deserves.
            match unsafe { syscall(call, args) } {
                Ok(count @ 1..) => done += count,
                Err(Errno(errno::EINTR)) => {}
                Ok(0) | Err(_) => return false,
            }
        }
        true
    }

    /// Makes lasting what was written.
    fn flush(&self) -> bool {
        loop {
            // SAFETY: without pointers.
            match unsafe { syscall(general::__NR_fdatasync, [self.descriptor as u64]) } {
                Err(Errno(errno::EINTR)) => {}
                result => return result.is_ok(),
            }
        }
    }
}

impl Drive for File {
    fn begin(&mut self, request: &Entry) -> Option<u16> {
        if self.done.is_some() {
            return None;
        }
        self.done = Some(self.serve(request));
        Some(0)
    }

    fn done(&mut self, _: impl FnOnce(u16) -> Option<Entry>) -> Option<(u16, bool)> {
        self.done.take().map(|good| (0, good))
    }
}

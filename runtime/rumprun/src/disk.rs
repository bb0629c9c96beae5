//! The disk, as the rump kernel's block devices want it: `d0`, whose requests are done in the background.

#![allow(unreachable_pub, reason = "the rump kernel's libraries reach them")]

use crate::{
    bmk::{BioDone, Thread, errno, memory},
    own::Own,
    tls,
    wake::{NOBODY, Port},
    worker,
};
use core::{
    ffi::{CStr, c_char, c_int, c_void},
    ops::Range,
    ptr, slice,
};
use selkie::{
    System,
    cap::{Capability, Notification},
    device::{self, Device},
};
use selkie_base::devices::{
    block::{Block, BlockFunction, MAX_OPEN, SECTOR, operation, status},
    request,
};

/// How the rump kernel names the disk: rumprun's word for a block device, and the name in its configuration.
const PATH: &[u8] = b"XENBLK_d0";
/// Its number among files that are open: the only one.
const FILE: c_int = 1;
/// The most bytes of one request to the device: larger ones are several.
const MOST: u32 = 64 << 10;

/// Bits of what is asked for, and of how a file is opened.
const READ: c_int = 1;
const SYNC: c_int = 4;
const ACCESS: c_int = 3;
const FOR_BLOCKS: c_int = 0x10;
/// The kind of file: a block device.
const BLOCK_DEVICE: c_int = 3;

/// What the rump kernel has asked for. It lies in memory of the rump kernel's until it is done.
struct Bio {
    /// The next one that waits for room.
    next: *mut Bio,
    code: u32,
    /// It is lasting when it is done.
    sync: bool,
    sector: u64,
    data: *mut u8,
    length: usize,
    /// Bytes that the device was asked for.
    asked: usize,
    /// Requests to the device that are open.
    open: u32,
    failed: bool,
    done: BioDone,
    argument: *mut c_void,
}

/// A request to the device, and where its bytes begin among those of what it is part of.
#[derive(Clone, Copy)]
struct Part {
    bio: *mut Bio,
    begin: usize,
}

struct Disk {
    device: Device,
    function: BlockFunction<'static>,
    parts: [Option<Part>; MAX_OPEN],
    /// What waits for room, in its order.
    first: *mut Bio,
    last: *mut Bio,
    /// What was done and is still to be told.
    finished: *mut Bio,
    open: usize,
    broken: bool,
    thread: *mut Thread,
}

static DISK: Own<Option<Disk>> = Own::new(None);

/// The disk as a device that is waited for.
pub(crate) static PORT: Blocks = Blocks;
pub(crate) struct Blocks;

/// Takes the disk, if there is one.
pub(crate) fn init(sys: &mut System, wake: Notification) -> selkie::Result<()> {
    match selkie_drivers::disk(sys, wake) {
        Ok(device) => {
            let disk = Disk::new(device, wake);
            if disk.is_none() {
                log::warn!("the disk is none that can be used");
            }
            *DISK.get() = disk;
            Ok(())
        }
        Err(selkie::Error::NoDevice) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether there is a disk.
pub(crate) fn is_there() -> bool {
    DISK.get().is_some()
}

/// Whether it cannot be written to.
pub(crate) fn is_read_only() -> bool {
    DISK.get().as_ref().is_some_and(|disk| disk.block().read_only)
}

/// Starts the thread that takes the disk's answers.
pub(crate) fn start() {
    let mut disk = DISK.get();
    if let Some(disk) = disk.as_mut() {
        disk.thread = worker::start(c"disk", work);
    }
}

/// Waits until the disk has done all that was asked of it, and makes it lasting: nothing else runs any more.
pub(crate) fn finish(notification: Notification) {
    let flush = |disk: &mut Disk| match disk.block().read_only {
        true => None,
        false => disk.function.flush(),
    };
    let mut flushed = None;
    loop {
        {
            let mut disk = DISK.get();
            let Some(disk) = disk.as_mut() else { return };
            disk.take();
            disk.submit();
            if flushed.is_none() && disk.open == 0 && disk.first.is_null() {
                flushed = Some(flush(disk));
            }
            let answered = |id| disk.function.answer(id).is_some();
            if disk.broken || flushed.is_some_and(|id| id.is_none_or(answered)) {
                return;
            }
        }
        PORT.tell();
        PORT.set_waits(true);
        if !DISK.get().as_ref().is_some_and(|disk| disk.function.has_something()) {
            notification.wait();
        }
        PORT.set_waits(false);
    }
}

/// What the disk's thread does each time: tells what is done. Returns whether there was anything.
fn work() -> bool {
    let mut finished = {
        let mut disk = DISK.get();
        let Some(disk) = disk.as_mut() else { return false };
        disk.take();
        disk.submit();
        core::mem::replace(&mut disk.finished, ptr::null_mut())
    };
    let any = !finished.is_null();
    while !finished.is_null() {
        // SAFETY: it was made by `rumpuser_bio` and is in no other list; it is read before it is given back.
        let Bio { next, length, failed, done, argument, .. } = unsafe { ptr::read(finished) };
        memory::free(finished.cast());
        let (moved, error) = if failed { (0, errno::EIO) } else { (length, 0) };
        // SAFETY: this is what the rump kernel has asked to be called with.
        unsafe { done(argument, moved, error) };
        finished = next;
    }
    any
}

impl Disk {
    fn new(device: Device, wake: Notification) -> Option<Self> {
        let block = Block::of(&device).ok()?;
        if device.notification != wake.slot().0 {
            return None;
        }
        // SAFETY: `Block::of` has checked size and alignment, and the device is this function's alone.
        let region = unsafe { device::region(&device)? };
        Some(Self {
            device,
            function: BlockFunction::new(region, block)?,
            parts: [None; MAX_OPEN],
            first: ptr::null_mut(),
            last: ptr::null_mut(),
            finished: ptr::null_mut(),
            open: 0,
            broken: false,
            thread: ptr::null_mut(),
        })
    }

    fn block(&self) -> &Block {
        self.function.block()
    }

    /// Puts `bio` behind all that waits for room.
    fn push(&mut self, bio: *mut Bio) {
        match self.last.is_null() {
            true => self.first = bio,
            // SAFETY: what is in the list is there until it is done.
            false => unsafe { (*self.last).next = bio },
        }
        self.last = bio;
    }

    /// Asks the device for as much of what waits as it has room for.
    fn submit(&mut self) {
        while !self.first.is_null() && !self.broken {
            let first = self.first;
            // SAFETY: what is in the list is there until it is done, and nobody else uses it meanwhile.
            let bio = unsafe { &mut *first };
            if !self.submit_part(bio) {
                return;
            }
            if bio.asked >= bio.length {
                self.first = bio.next;
                bio.next = ptr::null_mut();
                if self.first.is_null() {
                    self.last = ptr::null_mut();
                }
                if bio.open == 0 {
                    self.finish(bio);
                }
            }
        }
    }

    /// Asks the device for a part of `bio`. Returns whether there was room.
    fn submit_part(&mut self, bio: &mut Bio) -> bool {
        let rest = (bio.length - bio.asked).min(MOST as usize) as u32;
        let Some(room) = self.function.room(rest) else { return false };
        let data = if bio.code == operation::FLUSH { 0..0 } else { room };
        let begin = bio.asked;
        if bio.code == operation::WRITE {
            // SAFETY: the bytes are the rump kernel's, who leaves them alone until they are written.
            let bytes = unsafe { slice::from_raw_parts(bio.data.add(begin), data.len()) };
            self.bytes(data.clone()).copy_from_slice(bytes);
        }
        let length = data.len();
        let id = self.function.submit(bio.code, bio.sector + (begin / SECTOR as usize) as u64, data);
        let place = id.and_then(|id| self.parts.get_mut(id as usize));
        match place {
            Some(place) => {
                *place = Some(Part { bio, begin });
                bio.open += 1;
                self.open += 1;
            }
            // It is not for this disk.
            None => bio.failed = true,
        }
        bio.asked = match bio.failed || bio.code == operation::FLUSH {
            true => bio.length,
            false => begin + length,
        };
        true
    }

    /// Takes all answers.
    fn take(&mut self) {
        while !self.broken {
            match self.function.take() {
                Ok(Some(id)) => self.answered(id),
                Ok(None) => return,
                Err(_) => self.broken = true,
            }
        }
        self.fail();
    }

    fn answered(&mut self, id: u32) {
        let Some((code, data)) = self.function.answer(id) else { return };
        let Some(Part { bio, begin }) = self.parts.get_mut(id as usize).and_then(Option::take) else {
            return;
        };
        // SAFETY: what has an open request is there until it is done.
        let bio = unsafe { &mut *bio };
        if code != status::DONE {
            bio.failed = true;
        } else if bio.code == operation::READ {
            // SAFETY: the rump kernel waits for these bytes, and has room for them.
            let bytes = unsafe { slice::from_raw_parts_mut(bio.data.add(begin), data.len()) };
            bytes.copy_from_slice(self.bytes(data));
        }
        self.function.release(id);
        self.open -= 1;
        bio.open -= 1;
        if bio.open == 0 && bio.asked >= bio.length {
            self.finish(bio);
        }
    }

    /// All of `bio` was answered. What is to last is so after a flush.
    fn finish(&mut self, bio: &mut Bio) {
        if bio.code == operation::WRITE && bio.sync && !bio.failed {
            bio.code = operation::FLUSH;
            bio.asked = bio.length - 1;
            self.push(bio);
        } else {
            bio.next = self.finished;
            self.finished = bio;
        }
    }

    /// The disk is not used any more: all that was asked of it has failed.
    fn fail(&mut self) {
        for part in &mut self.parts {
            let Some(Part { bio, .. }) = part.take() else { continue };
            // SAFETY: as in `answered`.
            let bio = unsafe { &mut *bio };
            bio.open -= 1;
            if bio.open == 0 && bio.asked >= bio.length {
                (bio.next, bio.failed) = (self.finished, true);
                self.finished = bio;
            }
        }
        while !self.first.is_null() {
            let bio = self.first;
            // SAFETY: as in `push`.
            unsafe {
                self.first = (*bio).next;
                ((*bio).next, (*bio).failed) = (self.finished, true);
            }
            self.finished = bio;
        }
        (self.last, self.open) = (ptr::null_mut(), 0);
    }

    /// The bytes of a request's buffers.
    fn bytes(&mut self, range: Range<u32>) -> &mut [u8] {
        // SAFETY: the buffers are the function's until it submits them and after the answer.
        unsafe { device::buffer(&self.device, range) }
    }
}

impl Port for Blocks {
    fn tell(&self) {
        let mut disk = DISK.get();
        let Some(disk) = disk.as_mut() else { return };
        let must = disk.function.must_tell();
        if must
            && !disk.broken
            && tls::runtime(|| device::request(&disk.device, request::QUEUE_LOOK)).is_err()
        {
            disk.broken = true;
        }
    }

    fn set_waits(&self, waits: bool) {
        if let Some(disk) = DISK.get().as_ref() {
            disk.function.set_waits(waits);
        }
    }

    fn woken(&self) -> [*mut Thread; 2] {
        let disk = DISK.get();
        let Some(disk) = disk.as_ref() else { return NOBODY };
        let fails = disk.broken && (disk.open > 0 || !disk.first.is_null());
        let any = !disk.finished.is_null() || fails || !disk.broken && disk.function.has_something();
        [if any { disk.thread } else { ptr::null_mut() }, ptr::null_mut()]
    }
}

fn is_disk(path: *const c_char) -> bool {
    // SAFETY: the rump kernel's paths are texts.
    unsafe { CStr::from_ptr(path) }.to_bytes() == PATH
}

/// Opens the disk.
///
/// # Safety
/// `path` is a text, and `file` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_open(path: *const c_char, flags: c_int, file: *mut c_int) -> c_int {
    let disk = DISK.get();
    match disk.as_ref().filter(|_| flags & FOR_BLOCKS != 0 && is_disk(path)) {
        None => errno::ENXIO,
        Some(disk) if disk.block().read_only && flags & ACCESS != 0 => errno::EROFS,
        Some(_) => {
            // SAFETY: the caller's.
            unsafe { *file = FILE };
            0
        }
    }
}

/// Closes it.
#[unsafe(no_mangle)]
pub extern "C" fn rumpuser_close(file: c_int) -> c_int {
    if file == FILE { 0 } else { errno::EBADF }
}

/// Says how large it is.
///
/// # Safety
/// `path` is a text, and the others can be written to, or are null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_getfileinfo(
    path: *const c_char,
    size: *mut u64,
    kind: *mut c_int,
) -> c_int {
    let disk = DISK.get();
    let Some(disk) = disk.as_ref().filter(|_| is_disk(path)) else { return errno::ENXIO };
    // SAFETY: the caller's.
    unsafe {
        if let Some(size) = size.as_mut() {
            *size = disk.block().sectors * u64::from(SECTOR);
        }
        if let Some(kind) = kind.as_mut() {
            *kind = BLOCK_DEVICE;
        }
    }
    0
}

/// Reads or writes; `done` is called when that is done.
///
/// # Safety
/// `data` points to `length` bytes, which are left alone until then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_bio(
    file: c_int,
    what: c_int,
    data: *mut c_void,
    length: usize,
    offset: i64,
    done: BioDone,
    argument: *mut c_void,
) {
    let sector = u64::try_from(offset).ok().filter(|offset| offset.is_multiple_of(SECTOR.into()));
    let place = memory::allocate(size_of::<Bio>()).cast::<Bio>();
    let (Some(offset), true, false) = (sector, file == FILE && length > 0, place.is_null()) else {
        memory::free(place.cast());
        let error = if place.is_null() { errno::EIO } else { errno::EINVAL };
        // SAFETY: this is what the rump kernel has asked to be called with.
        return unsafe { done(argument, 0, error) };
    };
    let bio = Bio {
        next: ptr::null_mut(),
        code: if what & READ != 0 { operation::READ } else { operation::WRITE },
        sync: what & SYNC != 0,
        sector: offset / u64::from(SECTOR),
        data: data.cast(),
        length,
        asked: 0,
        open: 0,
        failed: false,
        done,
        argument,
    };
    // SAFETY: the memory is fresh and large enough.
    unsafe { place.write(bio) };
    let mut disk = DISK.get();
    if let Some(disk) = disk.as_mut() {
        disk.push(place);
        disk.submit();
    }
}

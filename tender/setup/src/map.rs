//! The root task's memory, and what is shown where.

use crate::{
    Error, PAGE, Process, RootTask, SiteCount, Thunks,
    elf::{Access, LOWEST, Segment, is_mapped, own_segments},
    linux::{Calls, Errno, Mapping},
    sites::{BEFORE_SYSCALL, SITE},
};
use core::ops::Range;
use linux_raw_sys::general::{
    MAP_FIXED_NOREPLACE, MAP_NORESERVE, MAP_POPULATE, MAP_PRIVATE, MAP_SHARED, PROT_EXEC, PROT_READ,
    PROT_WRITE,
};
use selkie_tender_filter::TENDER;

const READ_WRITE: u32 = PROT_READ | PROT_WRITE;

/// Bytes between the tender and its window: whoever runs over the end of the one does not reach the other.
const GAP: u64 = 16 * PAGE;

/// Where the tender sees the root task's memory: after itself, with a gap, and near enough to share its page
/// tables.
fn window_address(process: Process) -> u64 {
    let headers = process.program_headers().unwrap_or_default();
    let ends = own_segments(headers).map(|segment| segment.address.saturating_add(segment.memory_size));
    let end = ends.fold(TENDER, u64::max);
    end.next_multiple_of(PAGE) + GAP
}

/// Makes `size` bytes of memory, and shows the tender `private` bytes that nobody else ever sees, followed by the
/// memory.
pub(crate) fn memory(
    calls: Calls<'_>,
    process: Process,
    private: u64,
    size: u64,
) -> Result<(i32, &'static mut [u8]), Error> {
    let failed = |what| move |errno| Error::Linux { what, errno, help: "give less memory with --memory" };
    let memory = calls.memory(size).map_err(failed("making the root task's memory"))?;
    let address = window_address(process);
    let map = |address, size, flags, file| {
        let flags = MAP_FIXED_NOREPLACE | MAP_NORESERVE | flags;
        // SAFETY: nothing is replaced.
        unsafe { calls.map(Some(address), size, Mapping { access: READ_WRITE, flags, file }) }
    };
    map(address, private, MAP_PRIVATE, None)
        .and_then(|_| map(address + private, size, MAP_SHARED, Some((memory, 0))))
        .map_err(failed("mapping the root task's memory"))?;
    // SAFETY: these bytes have just been mapped, can be written, and nobody else knows of them.
    let window = unsafe { core::slice::from_raw_parts_mut(address as *mut u8, (private + size) as usize) };
    Ok((memory, window))
}

/// Copies the data of the image to where the root task sees it: what it uses is in its page tables then.
///
/// # Safety
/// As [`guest`] has mapped it; nobody runs the root task yet.
pub(crate) unsafe fn copy_data(root_task: &RootTask<'_>, file: &[u8]) {
    for segment in root_task.segments().iter().filter(|segment| segment.access == Access::ReadWrite) {
        let bytes = segment.bytes(file);
        // SAFETY: a writable segment is mapped to be written in all its memory, which the parser has checked
        // to be no less than its bytes in the file, and it does not overlap with the file.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), segment.address as *mut u8, bytes.len()) };
    }
}

/// What the root task is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Image<'i> {
    /// The root task.
    pub(crate) root_task: &'i RootTask<'static>,
    /// Its file, mapped privately from its first byte on and never written to.
    pub(crate) file: &'static [u8],
    /// The program headers of this very executable: what of the root task Linux has mapped already.
    pub(crate) headers: &'i [u8],
}

/// Bytes of pages that are brought in together.
const FEW: u64 = 4 * PAGE;

/// Shows the root task its image and, after it, `more` bytes. The text can still be written.
///
/// What can be written lies in pages that only this process has. They take the place of the first ones of the
/// memory for as long as the root task does not ask for them elsewhere, which most never do: pages of the memory
/// are the file system's, and each costs the start five times as much.
///
/// # Safety
/// Nobody uses addresses below 2 GiB.
pub(crate) unsafe fn guest(calls: Calls<'_>, image: Image<'_>, more: u64) -> Result<(), Error> {
    let all = image.root_task.image();
    let memory = |from: u64, to: u64| {
        // IPC buffer, BootInfo and the chunks are used at once: to bring them in here saves a fault for each.
        let populate = if to > all.end && to - from <= FEW { MAP_POPULATE } else { 0 };
        let flags = MAP_PRIVATE | MAP_FIXED_NOREPLACE | MAP_NORESERVE | populate;
        let how = Mapping { access: READ_WRITE, flags, file: None };
        // SAFETY: nothing is replaced.
        if from < to { unsafe { calls.map(Some(from), to - from, how) }.map(drop) } else { Ok(()) }
    };
    let mut next = all.start;
    // Segments come in the order of their addresses.
    for segment in image.root_task.segments().iter().filter(|segment| segment.access != Access::ReadWrite) {
        let pages = segment.pages();
        memory(next, pages.start).map_err(image_failed)?;
        // SAFETY: the caller's.
        unsafe { read_only(calls, segment, image) }.map_err(image_failed)?;
        next = pages.end;
    }
    memory(next, all.end + more).map_err(image_failed)
}

/// Shows the root task a segment that it cannot write to, by the very pages of the file, so that all
/// processes share them. Where Linux has not done so when it started the executable, that takes Linux 5.13;
/// before, the pages are copied.
///
/// # Safety
/// As for [`guest`].
unsafe fn read_only(calls: Calls<'_>, segment: &Segment, image: Image<'_>) -> Result<(), Errno> {
    let pages = segment.pages();
    let size = pages.end - pages.start;
    let is_shown = is_mapped(image.headers, image.file, segment);
    let from = image.file.as_ptr() as u64 + segment.page_offset();
    // SAFETY: the caller's.
    if !is_shown && unsafe { calls.show_again(from, pages.start, size) }.is_err() {
        let how = Mapping { access: READ_WRITE, flags: MAP_PRIVATE | MAP_FIXED_NOREPLACE, file: None };
        // SAFETY: nothing is replaced; then these bytes can be written, and nobody else knows of them.
        let copy = unsafe {
            calls.map(Some(pages.start), size, how)?;
            core::slice::from_raw_parts_mut(segment.address as *mut u8, segment.file_size as usize)
        };
        copy.copy_from_slice(segment.bytes(image.file));
    }
    let access = if segment.access == Access::ReadExecute { READ_WRITE } else { PROT_READ };
    if is_shown && access == PROT_READ {
        return Ok(());
    }
    // SAFETY: nobody uses these pages yet.
    unsafe { calls.protect(&pages, access) }
}

/// Rewrites the system-call sites, then takes the right to write away from text and stubs. Sites are looked at
/// in `file`, and only written to where they are mapped: a page that is read first is mapped twice.
///
/// # Safety
/// As [`guest`] has mapped it; nobody runs the root task yet. `entry` is where stubs go.
pub(crate) unsafe fn patch(
    calls: Calls<'_>,
    root_task: &RootTask<'_>,
    file: &[u8],
    entry: u64,
) -> Result<(Thunks, SiteCount), Error> {
    let below_image = || Thunks::new(root_task.sites().len() as u64, root_task.image().start, LOWEST);
    let mut thunks = Thunks::before_text(root_task).unwrap_or_else(below_image);
    let (all, pages) = (thunks.all(), thunks.pages());
    let mut count = SiteCount::default();
    if !pages.is_empty() {
        let how = Mapping { access: READ_WRITE, flags: MAP_PRIVATE | MAP_FIXED_NOREPLACE, file: None };
        // SAFETY: nothing is replaced.
        unsafe { calls.map(Some(pages.start), pages.end - pages.start, how) }.map_err(image_failed)?;
    }
    let stubs: &mut [u8] = match all.is_empty() {
        true => &mut [],
        // SAFETY: these bytes have just been mapped, or come before the code in its first page, which nobody
        // uses; they can be written, and nobody has a reference to them.
        false => unsafe {
            core::slice::from_raw_parts_mut(all.start as *mut u8, (all.end - all.start) as usize)
        },
    };
    for site in root_task.sites() {
        let in_text = |segment: &&Segment| segment.access == Access::ReadExecute && segment.holds(site, SITE);
        let text =
            root_task.segments().iter().find(in_text).and_then(|segment| {
                segment.bytes(file).get((site - segment.address) as usize..)?.first_chunk()
            });
        match text.and_then(|text| thunks.patch(site, text, stubs, entry)) {
            Some(jump) => {
                // SAFETY: these bytes lie in the text, which is mapped to be written, and nobody has a
                // reference to them.
                unsafe { ((site + BEFORE_SYSCALL) as *mut [u8; 5]).write(jump) };
                count.patched += 1;
            }
            None => count.left += 1,
        }
    }
    let texts = root_task.segments().iter().filter(|segment| segment.access == Access::ReadExecute);
    for code in texts.map(Segment::pages).chain([pages].into_iter().filter(|pages| !pages.is_empty())) {
        protect_code(calls, &code).map_err(|errno| Error::Linux {
            what: "making the root task's code executable",
            errno,
            help: "the file may lie on a file system without execution (noexec), or a security module forbids it: copy it elsewhere",
        })?;
    }
    Ok((thunks, count))
}

fn protect_code(calls: Calls<'_>, code: &Range<u64>) -> Result<(), Errno> {
    // SAFETY: nobody writes to code from here on.
    unsafe { calls.protect(code, PROT_READ | PROT_EXEC) }
}

fn image_failed(errno: Errno) -> Error {
    Error::Linux {
        what: "mapping the root task's image",
        errno,
        help: "its addresses may be in use: link the root task at 0x400000",
    }
}

/// Takes pages away that [`guest`] has shown in vain.
///
/// # Safety
/// Nobody uses them.
pub(crate) unsafe fn trim(calls: Calls<'_>, pages: &Range<u64>) -> Result<(), Error> {
    // SAFETY: the caller's.
    if pages.is_empty() { Ok(()) } else { unsafe { calls.unmap(pages) }.map_err(image_failed) }
}

/// Shows a whole file, to be read.
pub(crate) fn file(calls: Calls<'_>, descriptor: i32, size: u64) -> Result<&'static [u8], Errno> {
    let how = Mapping { access: PROT_READ, flags: MAP_PRIVATE, file: Some((descriptor, 0)) };
    // SAFETY: nothing is replaced.
    let address = unsafe { calls.map(None, size.next_multiple_of(PAGE), how) }?;
    // SAFETY: these bytes have just been mapped. Whoever shortens the file meanwhile ends this process
    // (SIGBUS), and whoever changes it has a root task of his own choice run, behind the same filter.
    Ok(unsafe { core::slice::from_raw_parts(address as *const u8, size as usize) })
}

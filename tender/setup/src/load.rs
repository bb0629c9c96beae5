//! From the command line to a root task that could run.

use crate::{
    Disk, Error, Options, PAGE, Payload, Process, RootTask, SiteCount, Thunks,
    chunks::{self, Extent},
    disk,
    elf::{Access, MAX_SEGMENTS},
    linux::{Calls, Errno, Linux},
    map::{self, Image},
    net,
    options::{DiskOption, NetOption},
};
use core::{cell::Cell, ffi::CStr, ops::Range};
use selkie_tender_table::{
    Table,
    payload::{Settings, device},
};

/// The physical address of the memory's first byte.
pub const PHYSICAL_BASE: u64 = 0x10_0000;
/// Memory where neither the image nor the command line says how much.
const DEFAULT_MEMORY: u64 = 64 << 20;
/// The most memory: the window on it must fit between the tender and Linux's own mappings.
const MAX_MEMORY: u64 = 64 << 30;
/// The largest file of a root task.
const MAX_FILE: u64 = 1 << 30;
/// Devices that an operator's tender gives to every root task.
const OPERATOR_DEVICES: u64 = device::CONSOLE | device::INPUT | device::CLOCK;
/// The pages between the image and the chunks: the IPC buffer and BootInfo.
const BOOT_PAGES: u64 = 2;

/// A root task in its memory, ready but for the kernel's objects.
///
/// The physical memory begins with [`first`](Self::first): the image's pages, one page for the IPC buffer, one
/// for BootInfo, and [`extra_pages`](Self::extra_pages) with chunks; the root task sees them in this order from
/// [`image`](Self::image) on. Read-only pages of the image are not in the memory but come from the file. Then
/// comes what the kernel makes for itself, and then what the root task may make objects of.
#[derive(Debug)]
pub struct Loaded {
    /// The interface that the root task was built for.
    pub table: &'static Table,
    /// What the root task gets.
    pub settings: Settings,
    /// The root task.
    pub root_task: RootTask<'static>,
    /// The memory's first pages, as the root task sees them when it starts. Those that can be written are no
    /// part of the memory's file: before they are mapped elsewhere, or taken away, they move to
    /// [`shared`](Self::shared).
    pub first: &'static [Cell<u64>],
    /// As many words at the end of the memory's file.
    pub shared: &'static [Cell<u64>],
    /// The rest of the memory.
    pub memory: &'static [Cell<u64>],
    /// Bytes of it for the kernel's own objects. They are in no file, so that they cannot be mapped.
    pub kernel_bytes: u64,
    /// The descriptor of the memory's file.
    pub memory_fd: i32,
    /// The root task's file.
    pub file: &'static [u8],
    /// Bytes of the chunks of BootInfo.
    pub extra_bytes: u64,
    /// Pages for the chunks and the console's region.
    pub extra_pages: u64,
    /// What became of the system-call sites.
    pub sites: SiteCount,
    /// The stubs.
    pub thunks: Thunks,
    /// The network.
    pub net: Option<LoadedNet>,
    /// The disk.
    pub disk: Option<LoadedDisk>,
}

/// A network that is open.
#[derive(Debug, Clone, Copy)]
pub struct LoadedNet {
    /// The descriptor of its frames.
    pub descriptor: i32,
    /// Bytes from the memory's first page to its region.
    pub region: u64,
}

/// A disk that is open, and has its region.
#[derive(Debug, Clone, Copy)]
pub struct LoadedDisk {
    /// What is open.
    pub disk: Disk,
    /// Bytes from the memory's first page to its region.
    pub region: u64,
}

impl Loaded {
    /// The addresses of the image, multiples of 4096.
    pub fn image(&self) -> Range<u64> {
        self.root_task.image()
    }

    /// The addresses of the pages that the root task sees when it starts.
    pub fn first_pages(&self) -> Range<u64> {
        let image = self.image();
        image.start..image.start + size_of_val(self.first) as u64
    }

    /// Where the page of this physical address is in the memory's file; none for one of the kernel's own.
    pub fn offset(&self, paddr: u64) -> Option<u64> {
        let offset = paddr.checked_sub(PHYSICAL_BASE)?;
        let (first, memory) = (size_of_val(self.first) as u64, size_of_val(self.memory) as u64);
        match offset.checked_sub(first) {
            None => Some(memory - self.kernel_bytes + offset),
            Some(rest) => rest.checked_sub(self.kernel_bytes),
        }
    }

    /// The window on the memory, the kernel's own part included.
    pub(crate) fn window(&self) -> Range<u64> {
        let start = self.memory.as_ptr() as u64;
        start..start + (size_of_val(self.memory) + size_of_val(self.shared)) as u64
    }

    /// The image's segments: their pages, and whether they are written to. The second value counts them.
    pub fn writable(&self) -> ([(Range<u64>, bool); MAX_SEGMENTS], usize) {
        let segments = self.root_task.segments();
        let part = |index: usize| match segments.get(index) {
            Some(segment) => (segment.pages(), segment.access == Access::ReadWrite),
            None => (0..0, false),
        };
        (core::array::from_fn(part), segments.len())
    }

    /// The bytes of the read-only page at `address` of the image, as they are in the file; none for a page of
    /// memory.
    pub fn file_page(&self, address: u64) -> Option<&'static [u8]> {
        let mut read_only =
            self.root_task.segments().iter().filter(|segment| segment.access != Access::ReadWrite);
        let segment = read_only.find(|segment| segment.pages().contains(&address))?;
        let start = (segment.page_offset() + (address - segment.pages().start)) as usize;
        let rest = self.file.get(start..)?;
        Some(&rest[..rest.len().min(PAGE as usize)])
    }

    /// For an instruction pointer inside of a stub: the address of the system-call instruction that the
    /// stub stands for.
    pub fn syscall_of(&self, address: u64) -> Option<u64> {
        let all = self.thunks.all();
        if !all.contains(&address) {
            return None;
        }
        let size = (all.end - all.start) as usize;
        // SAFETY: `load` has mapped them; where an instruction of theirs ran, they still are, and not writable.
        let stubs = unsafe { core::slice::from_raw_parts(all.start as *const u8, size) };
        self.thunks.syscall_of(stubs, address)
    }
}

/// Checks, maps and patches the root task. `entry` is where the tender takes system calls, and `kernel_bytes` says
/// how much memory the kernel takes for itself, a multiple of 4096, when these pages are mapped at the start.
///
/// # Safety
/// Nobody uses addresses below 2 GiB, and nothing is mapped behind the tender.
#[inline(never)] // What it needs of the stack is free again afterwards.
pub unsafe fn load(
    linux: &dyn Linux,
    process: Process,
    payload: &Payload,
    options: &Options,
    entry: u64,
    kernel_bytes: fn(&Table, &Range<u64>) -> u64,
) -> Result<Loaded, Error> {
    let calls = Calls(linux);
    let file = file(calls, payload, options)?;
    if options.verify {
        payload.verify()?;
    }
    let root_task = RootTask::parse(file)?;
    let (table, asked) = interface(payload, options, &root_task)?;
    let settings = settings(payload, options, asked)?;
    let descriptor = match options.net {
        Some(option) => net::open(calls, option)?,
        None => None,
    };
    let disk = match options.disk {
        Some(option) => disk::open(calls, option, settings.devices & device::BLOCK_WRITE != 0)?,
        None => None,
    };
    if !(file.as_ptr() as u64).is_multiple_of(PAGE) {
        return Err(Error::Payload("its root task does not begin on a page"));
    }
    // An operator's root task is in another file.
    let headers = process.program_headers().filter(|_| !payload.is_operator()).unwrap_or_default();
    let shown = Image { root_task: &root_task, file, headers };
    // SAFETY: the caller vouches for these addresses; nothing runs there yet.
    let (first, extent) = unsafe { first_pages(calls, shown, options, &settings, disk) }?;
    // SAFETY: the image has just been mapped like this.
    let (thunks, sites) = unsafe {
        map::copy_data(&root_task, file);
        map::patch(calls, &root_task, file, entry)?
    };
    let first_bytes = first.end - first.start;
    let kernel_bytes = kernel_bytes(table, &first);
    let needed = first_bytes.saturating_add(kernel_bytes);
    let rest = settings.memory.checked_sub(needed);
    let rest = rest.ok_or(Error::TooSmall { memory: settings.memory, needed })?;
    let (memory_fd, window) = map::memory(calls, process, kernel_bytes, rest + first_bytes)?;
    let words =
        bytemuck::try_cast_slice_mut::<u8, u64>(window).map_err(|_| Error::Memory(settings.memory))?;
    let (memory, shared) =
        Cell::from_mut(words).as_slice_of_cells().split_at((kernel_bytes + rest) as usize / size_of::<u64>());
    let region = root_task.image().end - first.start + BOOT_PAGES * PAGE;
    let net = descriptor.zip(extent.net);
    let net = net.map(|(descriptor, offset)| LoadedNet { descriptor, region: region + offset as u64 });
    let disk = disk.zip(extent.disk);
    let disk = disk.map(|(disk, offset)| LoadedDisk { disk, region: region + offset as u64 });
    Ok(Loaded {
        table,
        settings,
        root_task,
        // SAFETY: these pages have been mapped, at a multiple of their size, and stay. What of them cannot be
        // written, nobody writes to: no capability says that it can be.
        first: unsafe {
            core::slice::from_raw_parts(
                first.start as *const Cell<u64>,
                first_bytes as usize / size_of::<u64>(),
            )
        },
        shared,
        memory,
        kernel_bytes,
        memory_fd,
        file,
        extra_bytes: extent.chunks as u64,
        extra_pages: (extent.all as u64).div_ceil(PAGE),
        sites,
        thunks,
        net,
        disk,
    })
}

/// Shows the root task its image and, after it, the IPC buffer, BootInfo and chunks. Gives the addresses of all
/// these pages, and what of the last ones has been written.
///
/// # Safety
/// Nobody uses addresses below 2 GiB.
unsafe fn first_pages(
    calls: Calls<'_>,
    shown: Image<'_>,
    options: &Options,
    settings: &Settings,
    disk: Option<Disk>,
) -> Result<(Range<u64>, Extent), Error> {
    let image = shown.root_task.image();
    let start = image.end + BOOT_PAGES * PAGE;
    let taken = start - image.start;
    let room = settings.memory.checked_sub(taken).filter(|room| *room >= PAGE);
    let room = room.ok_or(Error::TooSmall { memory: settings.memory, needed: taken + PAGE })?;
    let room = room.min((chunks::room(options, settings.devices) as u64).next_multiple_of(PAGE));
    // SAFETY: the caller's; then these bytes can be written, and nobody else knows of them.
    let chunks = unsafe {
        map::guest(calls, shown, BOOT_PAGES * PAGE + room)?;
        core::slice::from_raw_parts_mut(start as *mut u8, room as usize)
    };
    let extent = chunks::write(calls, options, settings.devices, disk, chunks, start)?;
    let end = start + (extent.all as u64).next_multiple_of(PAGE);
    // SAFETY: no chunk lies there.
    unsafe { map::trim(calls, &(end..start + room)) }?;
    Ok((image.start..end, extent))
}

/// The table of the interface that the root task was built for, and how much memory its note asks for.
fn interface(
    payload: &Payload,
    options: &Options,
    root_task: &RootTask<'static>,
) -> Result<(&'static Table, Option<u64>), Error> {
    // Whoever put root task and table into this executable has read the note.
    if let ([table], None) = (payload.tables()?, options.root_task)
        && payload.header.settings.memory != 0
    {
        return Ok((table, None));
    }
    let note = root_task.note()?;
    let table = payload.table(&note.interface, note.config.as_bytes())?;
    Ok((table.ok_or(Error::Interface { config: note.config.as_bytes() })?, note.memory))
}

/// The bytes of the root task, mapped privately: in the executable itself, or what the operator names.
fn file(calls: Calls<'_>, payload: &Payload, options: &Options) -> Result<&'static [u8], Error> {
    if let Some(path) = options.root_task {
        return named(calls, path);
    }
    Ok(payload.root_task())
}

fn named(calls: Calls<'_>, path: &'static CStr) -> Result<&'static [u8], Error> {
    let text = path.to_bytes();
    let failed = |errno: Errno| Error::OpenRootTask { path: text, errno };
    let descriptor = calls.open(path).map_err(failed)?;
    let size = calls.file_size(descriptor).map_err(failed)?;
    let size = size.filter(|size| (1..=MAX_FILE).contains(size)).ok_or(Error::NoFile { path: text })?;
    map::file(calls, descriptor, size).map_err(failed)
}

/// What the root task gets: the image may ask, the command line decides.
fn settings(payload: &Payload, options: &Options, asked: Option<u64>) -> Result<Settings, Error> {
    let own = payload.header.settings;
    let devices = devices(payload, options)?;
    let image = Some(own.memory).filter(|memory| *memory != 0 && !payload.is_operator()).or(asked);
    let limit = options.allow_memory.unwrap_or(u64::MAX);
    // What nobody asked for shrinks to the limit by itself.
    let memory = options.memory.or(image).unwrap_or(DEFAULT_MEMORY.min(limit));
    if memory > limit {
        return Err(Error::NotAllowed { asked: memory, allowed: limit });
    }
    if memory == 0 || memory > MAX_MEMORY || !memory.is_multiple_of(PAGE) {
        return Err(Error::Memory(memory));
    }
    Ok(Settings { memory, devices })
}

/// The devices that the root task gets.
fn devices(payload: &Payload, options: &Options) -> Result<u64, Error> {
    let operator = payload.is_operator();
    let mut devices = if operator { OPERATOR_DEVICES } else { payload.header.settings.devices };
    match options.net {
        Some(NetOption::None) => devices &= !device::NET,
        Some(_) if operator => devices |= device::NET | device::ENTROPY,
        Some(_) if devices & device::NET == 0 => return Err(Error::NeedlessNetwork),
        None if devices & device::NET != 0 => return Err(Error::NoNetwork),
        _ => {}
    }
    if operator && matches!(options.disk, Some(DiskOption::File { .. })) {
        devices |= device::BLOCK | device::BLOCK_WRITE;
    }
    match options.disk {
        Some(DiskOption::None) => devices &= !(device::BLOCK | device::BLOCK_WRITE),
        Some(_) if devices & device::BLOCK == 0 => return Err(Error::NeedlessDisk),
        Some(DiskOption::File { read_only: true, .. }) => devices &= !device::BLOCK_WRITE,
        None if devices & device::BLOCK != 0 => return Err(Error::NoDisk),
        _ => {}
    }
    Ok(devices)
}

//! The chunks of BootInfo that the tender adds: the list of devices, and what overrides the run
//! configuration. Formats: `docs/devices.md` and `selkie_base`.

use crate::{
    Disk, Error, Options,
    disk::DISK_LAYOUT,
    linux::Calls,
    net::{self, NET},
};
use selkie_base::devices::{Console, DEVICES_CHUNK, Device, DeviceKind, Devices, RUN_CHUNK, block::Block};
use selkie_tender_table::payload::device;

/// The most bytes of all chunks.
pub(crate) const MAX_CHUNKS: usize = 128 << 10;
/// Bytes of a chunk's header: its id and its size, header included, a word each.
const HEADER: usize = 16;
/// The console's rings lie at a multiple of a cache line.
const REGION_ALIGN: usize = 64;

/// Bytes of the list of devices and the console's region, where nothing overrides the run configuration.
const LEAST: usize =
    (2 * HEADER + 8 + 64 * MOST_DEVICES).next_multiple_of(REGION_ALIGN) + Console::SMALL_SIZE as usize;
/// The most devices in the list.
const MOST_DEVICES: usize = 5;

const MAGIC: &[u8] = b"SELKIERUN1\0";

/// What has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Bytes of the chunks.
    pub(crate) chunks: usize,
    /// Bytes of the chunks and of the regions after them.
    pub(crate) all: usize,
    /// Where the network's region begins, when there is a network.
    pub(crate) net: Option<usize>,
    /// Where the disk's region begins, when there is a disk.
    pub(crate) disk: Option<usize>,
}

/// The most bytes that [`write`] takes with these options and devices.
pub(crate) fn room(options: &Options, devices: u64) -> usize {
    let room = if options.overrides_run() { MAX_CHUNKS } else { LEAST };
    regions(devices, room).2
}

/// Where the regions of network and disk begin behind `end`, where there are such, and where all ends.
fn regions(devices: u64, mut end: usize) -> (Option<usize>, Option<usize>, usize) {
    let mut place = |device: u64, size: u32| {
        (devices & device != 0).then(|| {
            let begin = net::region(end);
            end = begin + size as usize;
            begin
        })
    };
    let net = place(device::NET, NET.layout.size());
    let disk = place(device::BLOCK, DISK_LAYOUT.size());
    (net, disk, end)
}

/// Writes the chunks to the begin of `out`, which the root task sees at `address`.
pub(crate) fn write(
    calls: Calls<'_>,
    options: &Options,
    devices: u64,
    disk: Option<Disk>,
    out: &mut [u8],
    address: u64,
) -> Result<Extent, Error> {
    let (list, count) = list(devices);
    let list = &list[..count];
    let list_size = HEADER + 8 + 64 * list.len();
    let run = out.get_mut(list_size + HEADER..MAX_CHUNKS.min(out.len())).ok_or(Error::RunSize)?;
    let run_size = match run_override(calls, options, run)? {
        0 => 0,
        size => HEADER + size,
    };
    let chunks = list_size + run_size;
    let region = chunks.next_multiple_of(REGION_ALIGN);
    let (net, disk_region, all) = regions(devices, region + Console::SMALL_SIZE as usize);
    if all > out.len() {
        return Err(Error::RunSize);
    }
    if run_size > 0 {
        header(&mut out[list_size..], RUN_CHUNK, run_size);
    }
    header(out, DEVICES_CHUNK, list_size);
    let mut filled = [Device::default(); MOST_DEVICES];
    for (place, kind) in filled.iter_mut().zip(list) {
        *place = Device { number: *kind as u32, ..Device::default() };
        if *kind == DeviceKind::Console {
            place.flags = if devices & device::INPUT != 0 { Console::HAS_INPUT } else { 0 };
            place.address = address + region as u64;
            place.size = Console::SMALL_SIZE;
            place.params = Console::SMALL.params();
        }
        if let (DeviceKind::Net, Some(net)) = (*kind, net) {
            place.address = address + net as u64;
            place.size = NET.layout.size().into();
            place.params = NET.params();
        }
        if let (DeviceKind::Block, Some(region), Some(disk)) = (*kind, disk_region, disk) {
            place.flags = if disk.read_only { Block::READ_ONLY } else { 0 };
            place.address = address + region as u64;
            place.size = DISK_LAYOUT.size().into();
            place.params = disk.block().params();
        }
    }
    Devices::write(&filled[..list.len()], &mut out[HEADER..]).ok_or(Error::RunSize)?;
    Ok(Extent { chunks, all, net, disk: disk_region })
}

/// The devices in the order in which they are listed, and how many they are.
fn list(devices: u64) -> ([DeviceKind; MOST_DEVICES], usize) {
    const ALL: [(u64, DeviceKind); MOST_DEVICES] = [
        (device::CONSOLE, DeviceKind::Console),
        (device::CLOCK, DeviceKind::Clock),
        (device::NET, DeviceKind::Net),
        (device::BLOCK, DeviceKind::Block),
        (device::ENTROPY, DeviceKind::Entropy),
    ];
    let mut list = [DeviceKind::Console; MOST_DEVICES];
    let listed = ALL.iter().filter(|(bit, _)| devices & bit != 0);
    let count = list.iter_mut().zip(listed).map(|(place, (_, kind))| *place = *kind).count();
    (list, count)
}

fn header(out: &mut [u8], id: u64, size: usize) {
    out[..8].copy_from_slice(&id.to_le_bytes());
    out[8..HEADER].copy_from_slice(&(size as u64).to_le_bytes());
}

/// Writes what overrides the run configuration and returns its size; 0 when nothing does. What the command
/// line says comes before what the descriptor holds: the first record of a name counts.
fn run_override(calls: Calls<'_>, options: &Options, out: &mut [u8]) -> Result<usize, Error> {
    if !options.overrides_run() {
        return Ok(0);
    }
    let mut records = Records { out, length: 0 };
    records.put(MAGIC)?;
    let own_args = options.guest_args().is_some();
    if let Some(args) = options.guest_args() {
        let mut count = 0;
        for argument in args {
            records.record(b"arg=", argument.as_bytes())?;
            count += 1;
        }
        if count == 0 {
            records.record(b"no-arg=", b"")?;
        }
    }
    for entry in options.env() {
        records.record(b"env=", entry.as_bytes())?;
    }
    if let Some(descriptor) = options.run_fd {
        let start = records.length;
        let end = read_all(calls, descriptor, &mut records.out[start..])? + start;
        records.merge(start, end, own_args).map_err(|why| Error::Run { descriptor, why })?;
    }
    records.put(b"\0")?;
    Ok(records.length)
}

/// Reads a descriptor to its end.
fn read_all(calls: Calls<'_>, descriptor: i32, out: &mut [u8]) -> Result<usize, Error> {
    let mut length = 0;
    loop {
        let rest = out.get_mut(length..).unwrap_or_default();
        if rest.is_empty() {
            return Err(Error::RunSize);
        }
        match calls.read(descriptor, rest) {
            Ok(0) => return Ok(length),
            Ok(size) => length += size,
            Err(_) => return Err(Error::Run { descriptor, why: "it cannot be read" }),
        }
    }
}

struct Records<'o> {
    out: &'o mut [u8],
    length: usize,
}

impl Records<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let place = self.out.get_mut(self.length..).and_then(|rest| rest.get_mut(..bytes.len()));
        place.ok_or(Error::RunSize)?.copy_from_slice(bytes);
        self.length += bytes.len();
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.put(key)?;
        self.put(value)?;
        self.put(b"\0")
    }

    /// Takes over the records of the override that lies at `start..end`, without its arguments when the
    /// command line has its own. What is kept moves to the front, over the magic text.
    fn merge(&mut self, start: usize, end: usize, own_args: bool) -> Result<(), &'static str> {
        if !self.out[start..end].starts_with(MAGIC) {
            return Err("it does not begin with SELKIERUN1");
        }
        let mut at = start + MAGIC.len();
        loop {
            let size = self.out[at..end].iter().position(|byte| *byte == 0);
            let size = size.ok_or("it does not end with an empty record")?;
            let record = &self.out[at..at + size];
            if size == 0 {
                // The rings of the console may lie here, and begin as zeros.
                self.out[self.length..end].fill(0);
                return Ok(());
            }
            if !record.contains(&b'=') || core::str::from_utf8(record).is_err() {
                return Err("a record is not KEY=VALUE in UTF-8");
            }
            let is_args = record.starts_with(b"arg=") || record.starts_with(b"no-arg=");
            if !(own_args && is_args) {
                self.out.copy_within(at..at + size + 1, self.length);
                self.length += size + 1;
            }
            at += size + 1;
        }
    }
}

//! Host devices as a function finds them: the chunk of BootInfo that lists them, the requests that their
//! endpoints take, and the rings of the console. `docs/devices.md` describes all of it.
//!
//! Nothing here touches a kernel or a pointer: both sides, the runtime and whoever serves the devices, use
//! these functions on bytes and indices that the other side may have filled with anything.

pub mod block;
pub mod buffers;
pub mod net;
pub mod queue;

use core::ops::Range;

/// The id of the BootInfo chunk that lists the devices.
pub const DEVICES_CHUNK: u64 = 0x5345_4c4b_4945_0001;
/// The id of the BootInfo chunk with what overrides the run configuration, in the format of
/// [`RunConfig`](crate::RunConfig).
pub const RUN_CHUNK: u64 = 0x5345_4c4b_4945_0002;
/// The version of the list.
pub const VERSION: u32 = 1;
/// Bytes before the first entry: version and count.
pub const LIST_HEADER: usize = 8;
/// Bytes of an entry.
pub const ENTRY: usize = 64;

/// Where the fields of an entry are, in bytes.
pub mod field {
    /// The device's kind, 4 bytes.
    pub const KIND: usize = 0;
    /// Its flags, 4 bytes.
    pub const FLAGS: usize = 4;
    /// The slot of its endpoint.
    pub const ENDPOINT: usize = 8;
    /// The slot of its notification.
    pub const NOTIFICATION: usize = 16;
    /// The slot of its region's first frame.
    pub const FRAMES: usize = 24;
    /// The address of its region.
    pub const ADDRESS: usize = 32;
    /// The size of its region.
    pub const SIZE: usize = 40;
    /// What else its kind needs: two words.
    pub const PARAMS: usize = 48;
}

/// A kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum DeviceKind {
    /// Text in and out.
    Console = 1,
    /// Time since some moment, and of day.
    Clock = 2,
    /// A network: [`net`].
    Net = 3,
    /// A disk: [`block`].
    Block = 4,
    /// Random bytes.
    Entropy = 5,
}

/// Labels of requests, sent with a call to a device's endpoint. They count for one kind of device each.
pub mod request {
    /// Console: look at the rings.
    pub const CONSOLE_LOOK: u64 = 1;
    /// Clock: answers nanoseconds since some moment that stays the same (word 0), and nanoseconds since
    /// 1970-01-01 00:00 UTC (word 1).
    pub const CLOCK_READ: u64 = 1;
    /// Network, disk: look at the queues.
    pub const QUEUE_LOOK: u64 = 1;
    /// Entropy: answers four random words.
    pub const ENTROPY_READ: u64 = 1;
}

/// Labels of answers.
pub mod answer {
    /// It was done.
    pub const DONE: u64 = 0;
    /// The device does not know the request.
    pub const UNKNOWN: u64 = 1;
    /// The rings' indices break the rules; the device does nothing more with them.
    pub const BROKEN: u64 = 2;
    /// The device has its place in the list, but nobody serves it.
    pub const NOT_SERVED: u64 = 3;
}

/// One device of the list. A slot of 0 stands for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Device {
    /// What it is; see [`kind`](Self::kind).
    pub number: u32,
    /// [`Console::HAS_INPUT`] or [`block::Block::READ_ONLY`], by kind; other bits are 0.
    pub flags: u32,
    /// The slot of the endpoint that takes its requests.
    pub endpoint: u64,
    /// The slot of the notification that it signals.
    pub notification: u64,
    /// The slot of the first frame of its region; the others follow.
    pub frames: u64,
    /// The address where its region is mapped already; 0 where the function maps the frames itself.
    pub address: u64,
    /// Bytes of its region; 0 without one.
    pub size: u64,
    /// What else its kind needs.
    pub params: [u64; 2],
}

/// The bytes are no list of devices, or an entry is none of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadDevices;

impl Device {
    /// Its kind, when this version knows it.
    pub fn kind(&self) -> Option<DeviceKind> {
        use DeviceKind::{Block, Clock, Console, Entropy, Net};
        [Console, Clock, Net, Block, Entropy].into_iter().find(|kind| *kind as u32 == self.number)
    }

    /// Reads an entry.
    fn read(entry: &[u8; ENTRY]) -> Self {
        let mut words = [0; ENTRY / 8];
        for (word, bytes) in words.iter_mut().zip(entry.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        let [first, endpoint, notification, frames, address, size, params @ ..] = words;
        let (number, flags) = (first as u32, (first >> 32) as u32);
        Self { number, flags, endpoint, notification, frames, address, size, params }
    }

    /// The entry's bytes.
    fn bytes(&self) -> [u8; ENTRY] {
        let mut entry = [0; ENTRY];
        let words = [
            u64::from(self.number) | u64::from(self.flags) << 32,
            self.endpoint,
            self.notification,
            self.frames,
            self.address,
            self.size,
            self.params[0],
            self.params[1],
        ];
        for (bytes, word) in entry.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        entry
    }
}

/// The list of devices: the bytes of the chunk after its header.
#[derive(Debug, Clone, Copy, Default)]
pub struct Devices<'a>(&'a [[u8; ENTRY]]);

impl<'a> Devices<'a> {
    /// Checks the chunk's bytes. What follows the last entry does not matter.
    pub fn new(chunk: &'a [u8]) -> Result<Self, BadDevices> {
        let (header, entries) = chunk.split_first_chunk::<LIST_HEADER>().ok_or(BadDevices)?;
        let header = u64::from_le_bytes(*header);
        let (version, count) = (header as u32, (header >> 32) as usize);
        let entries = entries.as_chunks().0.get(..count).ok_or(BadDevices)?;
        if version == VERSION { Ok(Self(entries)) } else { Err(BadDevices) }
    }

    /// The devices in their order, those of an unknown kind among them.
    pub fn iter(self) -> impl ExactSizeIterator<Item = Device> + use<'a> {
        self.0.iter().map(Device::read)
    }

    /// The first device of a kind.
    pub fn find(self, kind: DeviceKind) -> Option<Device> {
        self.iter().find(|device| device.number == kind as u32)
    }

    /// Writes the list of `devices` to the begin of `chunk` and returns its size; none when there is not
    /// enough room.
    pub fn write(devices: &[Device], chunk: &mut [u8]) -> Option<usize> {
        let (header, entries) = chunk.split_at_mut_checked(LIST_HEADER)?;
        let entries = entries.as_chunks_mut().0.get_mut(..devices.len())?;
        header[..4].copy_from_slice(&VERSION.to_le_bytes());
        header[4..].copy_from_slice(&(devices.len() as u32).to_le_bytes());
        for (entry, device) in entries.iter_mut().zip(devices) {
            *entry = device.bytes();
        }
        Some(LIST_HEADER + devices.len() * ENTRY)
    }
}

/// Where the bytes of a ring lie in its region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingPlace {
    /// Bytes after the region's begin.
    pub offset: u32,
    /// How many bytes there are, a power of two.
    pub size: u32,
}

impl RingPlace {
    /// Its form in [`Device::params`].
    pub const fn param(self) -> u64 {
        self.offset as u64 | (self.size as u64) << 32
    }

    fn read(param: u64, region: u64) -> Result<Self, BadDevices> {
        let place = Self { offset: param as u32, size: (param >> 32) as u32 };
        let end = u64::from(place.offset) + u64::from(place.size);
        let fits = place.offset >= Console::INDICES && end <= region.min(u32::MAX.into());
        if place.size.is_power_of_two() && fits { Ok(place) } else { Err(BadDevices) }
    }
}

/// The region of a console: four indices, then the bytes of two rings.
///
/// An index is a word that one side writes and the other reads. It counts bytes since the start and never
/// goes back; what lies between the index of who takes and that of who puts is in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Console {
    /// The function puts, the host takes.
    pub output: RingPlace,
    /// The host puts, the function takes.
    pub input: RingPlace,
}

impl Console {
    /// Flag of the device: there is input, and its notification is signalled when some has come.
    pub const HAS_INPUT: u32 = 1 << 0;
    /// Where the output's index of who puts (the function) is in the region.
    pub const OUTPUT_PUT: u32 = 0;
    /// Where the output's index of who takes (the host) is.
    pub const OUTPUT_TAKEN: u32 = 64;
    /// Where the input's index of who puts (the host) is.
    pub const INPUT_PUT: u32 = 128;
    /// Where the input's index of who takes (the function) is.
    pub const INPUT_TAKEN: u32 = 192;
    /// Bytes of the region that hold indices, each in a cache line of its own.
    pub const INDICES: u32 = 256;

    /// What the tender uses: 1,024 bytes of output and 256 of input, in [`SMALL_SIZE`](Self::SMALL_SIZE)
    /// bytes that fit into the page of BootInfo's chunks.
    pub const SMALL: Self =
        Self { output: RingPlace { offset: 512, size: 1024 }, input: RingPlace { offset: 256, size: 256 } };
    /// Bytes of a region like [`SMALL`](Self::SMALL).
    pub const SMALL_SIZE: u64 = 1536;

    /// Reads and checks what the list says about a console. The rings lie inside the region, after the
    /// indices, and do not overlap.
    pub fn of(device: &Device) -> Result<Self, BadDevices> {
        let [output, input] = device.params;
        let (output, input) = (RingPlace::read(output, device.size)?, RingPlace::read(input, device.size)?);
        let apart = |one: RingPlace, other: RingPlace| one.offset + one.size <= other.offset;
        let aligned = device.address.is_multiple_of(64);
        let good = aligned && (apart(output, input) || apart(input, output));
        if good { Ok(Self { output, input }) } else { Err(BadDevices) }
    }

    /// Its form in [`Device::params`].
    pub const fn params(self) -> [u64; 2] {
        [self.output.param(), self.input.param()]
    }
}

/// The other side's index cannot be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokenRing;

/// One side of a ring: its own index, which it never reads back from the region, and the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingSide {
    index: u64,
    mask: u64,
}

impl RingSide {
    /// A side of an empty ring of `size` bytes, a power of two.
    pub const fn new(size: u32) -> Self {
        Self { index: 0, mask: (size as u64).wrapping_sub(1) }
    }

    /// A side whose own index is `index` already.
    pub const fn at(size: u32, index: u64) -> Self {
        Self { index, ..Self::new(size) }
    }

    /// Its own index: what it writes to the region for the other side.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// Where the next bytes can be put in one piece, as places in the ring; `taken` is the other side's
    /// index. Empty when the ring is full.
    pub fn room(&self, taken: u64) -> Result<Range<usize>, BrokenRing> {
        let used = self.index.wrapping_sub(taken);
        let free = (self.mask + 1).checked_sub(used).ok_or(BrokenRing)?;
        Ok(self.piece(free))
    }

    /// Where the next bytes can be taken in one piece; `put` is the other side's index. Empty when the
    /// ring is.
    pub fn filled(&self, put: u64) -> Result<Range<usize>, BrokenRing> {
        let used = put.wrapping_sub(self.index);
        if used > self.mask + 1 { Err(BrokenRing) } else { Ok(self.piece(used)) }
    }

    /// Notes that `count` bytes were put or taken, at most as many as there was a place for.
    pub fn advance(&mut self, count: usize) {
        self.index = self.index.wrapping_add(count as u64);
    }

    fn piece(&self, count: u64) -> Range<usize> {
        let start = self.index & self.mask;
        start as usize..(start + count).min(self.mask + 1) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console() -> Device {
        Device {
            number: DeviceKind::Console as u32,
            flags: Console::HAS_INPUT,
            endpoint: 17,
            notification: 18,
            address: 0x40_9140,
            size: Console::SMALL_SIZE,
            params: Console::SMALL.params(),
            frames: 19,
        }
    }

    fn list() -> Vec<u8> {
        let clock = Device { number: DeviceKind::Clock as u32, endpoint: 20, ..Device::default() };
        let unknown = Device { number: 77, ..Device::default() };
        let mut chunk = vec![0xee; 300];
        let size = Devices::write(&[unknown, console(), clock], &mut chunk).unwrap();
        assert_eq!(size, LIST_HEADER + 3 * ENTRY);
        chunk.truncate(size);
        chunk
    }

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let chunk = list();
        let devices = Devices::new(&chunk).unwrap();
        assert_eq!(devices.iter().len(), 3);
        assert_eq!(devices.find(DeviceKind::Console), Some(console()));
        assert_eq!(devices.find(DeviceKind::Clock).map(|clock| clock.endpoint), Some(20));
        assert_eq!(devices.find(DeviceKind::Block), None);
        let kinds: Vec<_> = devices.iter().map(|device| device.kind()).collect();
        assert_eq!(kinds, [None, Some(DeviceKind::Console), Some(DeviceKind::Clock)]);
    }

    #[test]
    fn each_field_is_where_its_constant_says() {
        let chunk = list();
        let entry = &chunk[LIST_HEADER + ENTRY..];
        let device = console();
        let words = [
            (field::ENDPOINT, device.endpoint),
            (field::NOTIFICATION, device.notification),
            (field::FRAMES, device.frames),
            (field::ADDRESS, device.address),
            (field::SIZE, device.size),
            (field::PARAMS, device.params[0]),
            (field::PARAMS + 8, device.params[1]),
        ];
        for (at, word) in words {
            assert_eq!(entry[at..at + 8], word.to_le_bytes(), "{at}");
        }
        assert_eq!(entry[field::KIND..field::KIND + 4], 1u32.to_le_bytes());
        assert_eq!(entry[field::FLAGS..field::FLAGS + 4], Console::HAS_INPUT.to_le_bytes());
    }

    #[test]
    fn a_list_needs_its_version_and_room_for_its_entries() {
        let chunk = list();
        for length in 0..chunk.len() {
            assert!(Devices::new(&chunk[..length]).is_err(), "{length}");
            assert!(Devices::write(&[console(); 3], &mut vec![0; length]).is_none(), "{length}");
        }
        for (at, byte) in [(0, 2), (3, 1), (4, 4), (7, 0xff)] {
            let mut wrong = chunk.clone();
            wrong[at] = byte;
            assert!(Devices::new(&wrong).is_err(), "{at}");
        }
        let mut longer = chunk;
        longer.extend([9; 100]);
        assert_eq!(Devices::new(&longer).unwrap().iter().len(), 3);
    }

    #[test]
    fn a_console_lies_inside_its_region() {
        assert_eq!(Console::of(&console()), Ok(Console::SMALL));
        let bad = |change: fn(&mut Device)| {
            let mut device = console();
            change(&mut device);
            assert_eq!(Console::of(&device), Err(BadDevices), "{device:?}");
        };
        bad(|device| device.size -= 1);
        bad(|device| device.address += 8);
        bad(|device| device.params[0] += 1 << 32);
        bad(|device| device.params[0] &= 0xffff_ffff);
        bad(|device| device.params[1] -= 1);
        bad(|device| device.params[1] = device.params[0]);
        bad(|device| device.params = [u64::MAX; 2]);
        bad(|device| device.params[0] = RingPlace { offset: 1024, size: 1 << 31 }.param());
        bad(|device| device.params[0] = RingPlace { offset: u32::MAX, size: 1 }.param());
        bad(|device| {
            device.size = u64::MAX;
            device.params[0] = RingPlace { offset: 1 << 31, size: 1 << 31 }.param();
        });
    }

    #[test]
    fn hostile_bytes_end_in_an_error_or_in_places_inside_the_region() {
        let chunk = list();
        for index in 0..chunk.len() {
            for bit in 0..8 {
                let mut bytes = chunk.clone();
                bytes[index] ^= 1 << bit;
                let Ok(devices) = Devices::new(&bytes) else { continue };
                for device in devices.iter() {
                    let Ok(Console { output, input }) = Console::of(&device) else { continue };
                    for place in [output, input] {
                        assert!(u64::from(place.offset + place.size) <= device.size);
                    }
                }
            }
        }
    }

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let mut ring = [0u8; 8];
        let (mut put, mut taken) = (RingSide::new(8), RingSide::new(8));
        let (mut next, mut expected) = (0u8, 0u8);
        for round in 0..200usize {
            for _ in 0..2 {
                let place = put.room(taken.index()).unwrap();
                let count = place.len().min(round % 6);
                for byte in &mut ring[place][..count] {
                    *byte = next;
                    next = next.wrapping_add(1);
                }
                put.advance(count);
            }
            let place = taken.filled(put.index()).unwrap();
            let count = place.len().min((round + 3) % 5);
            for byte in &ring[place][..count] {
                assert_eq!(*byte, expected);
                expected = expected.wrapping_add(1);
            }
            taken.advance(count);
        }
        assert!(expected != 0);
    }

    #[test]
    fn a_full_ring_has_no_room_and_a_wrong_index_is_noticed() {
        let mut put = RingSide::at(8, 3);
        assert_eq!(put.room(3), Ok(3..8));
        put.advance(5);
        assert_eq!(put.room(3), Ok(0..3));
        put.advance(3);
        assert_eq!(put.room(3), Ok(3..3));
        for taken in [2, 12, u64::MAX] {
            assert_eq!(put.room(taken), Err(BrokenRing));
        }
        let taken = RingSide::at(8, 3);
        assert_eq!(taken.filled(11), Ok(3..8));
        for put in [12, 2, 0, u64::MAX] {
            assert_eq!(taken.filled(put), Err(BrokenRing));
        }
        let last = RingSide::at(8, u64::MAX);
        assert_eq!((last.filled(1), last.room(u64::MAX)), (Ok(7..8), Ok(7..8)));
    }
}

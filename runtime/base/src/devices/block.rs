//! A disk: sectors that are read and written. [`BlockFunction`] and [`BlockHost`] are the two sides of it.

mod function;
mod host;

pub use function::{BlockFunction, MAX_OPEN};
pub use host::{BlockHost, Drive, TOKENS};

use super::{BadDevices, Device, DeviceKind, buffers::Layout, queue::Entry};

/// Bytes of a sector.
pub const SECTOR: u32 = 512;

/// What is asked for: the code of an entry.
pub mod operation {
    /// Read sectors into the buffer.
    pub const READ: u32 = 0;
    /// Write sectors from the buffer.
    pub const WRITE: u32 = 1;
    /// Make lasting what was answered before this was submitted. There is no buffer.
    pub const FLUSH: u32 = 2;
}

/// How it went: the code of an answer.
pub mod status {
    /// It was done.
    pub const DONE: u32 = 0;
    /// The disk failed; what the sectors or the buffer hold is not known.
    pub const FAILED: u32 = 1;
    /// It is no request that this disk takes; nothing was done.
    pub const REFUSED: u32 = 2;
}

/// What the list says about a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// How many sectors it has.
    pub sectors: u64,
    /// It cannot be written to.
    pub read_only: bool,
    /// Queue and buffers.
    pub layout: Layout<1>,
}

impl Block {
    /// Flag of the device: it cannot be written to.
    pub const READ_ONLY: u32 = 1 << 0;

    /// Reads and checks an entry of the list.
    pub fn of(device: &Device) -> Result<Self, BadDevices> {
        let read_only = device.flags & Self::READ_ONLY != 0;
        let block = Self { sectors: device.params[0], read_only, layout: Layout::of(device)? };
        let good = device.kind() == Some(DeviceKind::Block) && block.sectors <= u64::MAX / u64::from(SECTOR);
        if good { Ok(block) } else { Err(BadDevices) }
    }

    /// Its form in [`Device::params`].
    pub const fn params(&self) -> [u64; 2] {
        [self.sectors, self.layout.param()]
    }

    /// Whether a request is one that the disk takes: sectors that it has, in whole, and data in the buffers.
    pub fn takes(&self, request: &Entry) -> bool {
        let length = u64::from(request.length);
        let sectors = length / u64::from(SECTOR);
        let data = length > 0
            && length.is_multiple_of(SECTOR.into())
            && request.sector.checked_add(sectors).is_some_and(|end| end <= self.sectors)
            && self.layout.hold(request.offset, request.length);
        match request.code {
            operation::READ => data,
            operation::WRITE => data && !self.read_only,
            operation::FLUSH => length == 0,
            _ => false,
        }
    }
}

#[cfg(test)]
mod side_tests;

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: Block = Block { sectors: 2048, read_only: false, layout: Layout::new(5, 64) };

    fn device() -> Device {
        let (params, size) = (BLOCK.params(), BLOCK.layout.size().into());
        Device { number: DeviceKind::Block as u32, size, params, ..Device::default() }
    }

    #[test]
    fn an_entry_is_read_as_it_was_written_and_a_bad_one_is_refused() {
        assert_eq!(Block::of(&device()), Ok(BLOCK));
        let locked = Device { flags: Block::READ_ONLY, ..device() };
        assert_eq!(Block::of(&locked), Ok(Block { read_only: true, ..BLOCK }));
        assert!(Block::of(&Device { number: DeviceKind::Net as u32, ..device() }).is_err());
        assert!(Block::of(&Device { params: [u64::MAX, BLOCK.params()[1]], ..device() }).is_err());
        assert!(Block::of(&Device { size: BLOCK.layout.size() as u64 - 1, ..device() }).is_err());
    }

    #[test]
    fn only_whole_sectors_that_the_disk_has_are_read_and_written() {
        let good = Entry { offset: BLOCK.layout.buffers, length: 4096, sector: 2040, ..Entry::default() };
        assert!(BLOCK.takes(&good) && BLOCK.takes(&Entry { code: operation::WRITE, ..good }));
        assert!(BLOCK.takes(&Entry { code: operation::FLUSH, ..Entry::default() }));
        assert!(!Block { read_only: true, ..BLOCK }.takes(&Entry { code: operation::WRITE, ..good }));
        for bad in [
            Entry { sector: 2041, ..good },
            Entry { sector: u64::MAX, ..good },
            Entry { length: 0, ..good },
            Entry { length: 511, ..good },
            Entry { length: !511, ..good },
            Entry { offset: BLOCK.layout.buffers - 1, ..good },
            Entry { offset: BLOCK.layout.size() - 4095, ..good },
            Entry { code: operation::FLUSH, ..good },
            Entry { code: 3, ..good },
        ] {
            assert!(!BLOCK.takes(&bad), "{bad:?}");
        }
    }
}

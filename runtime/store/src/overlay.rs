//! A disk in memory, as far as the file system's structure needs it: what was read, and what is to be written.
//!
//! The crate for FAT waits for nobody, and a disk makes one wait. So it works on this: where a sector is missing it
//! fails, the sector is read, and it begins again. What it writes stays here until all of it is known, and is then
//! written in an order that no crash can harm.

use crate::SECTOR;
use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};
use core::{convert::Infallible, ops::Range};
use hadris_io::{Error, ErrorKind, ErrorType};
use hadris_storage::{BlockIndex, BlockSize, sync::BlockDevice};

type Sector = Box<[u8; SECTOR]>;

/// What is known of a disk.
#[derive(Debug)]
pub(crate) struct Overlay {
    sectors: u64,
    /// What was not read is taken for zeros.
    blank: bool,
    read: BTreeMap<u64, Sector>,
    written: BTreeMap<u64, Sector>,
    /// Sectors that zeros were written to, from first to end: files are as long as that when they are made.
    zeros: BTreeMap<u64, u64>,
    missing: Option<u64>,
}

const ZERO: [u8; SECTOR] = [0; SECTOR];

impl Overlay {
    /// A disk of `sectors` sectors: of zeros when it is `blank`, else of what was not read yet.
    pub(crate) fn new(sectors: u64, blank: bool) -> Self {
        let (read, written, zeros) = Default::default();
        Self { sectors, blank, read, written, zeros, missing: None }
    }

    /// The sector that was missed last.
    pub(crate) fn missing(&mut self) -> Option<u64> {
        self.missing.take()
    }

    /// These are the disk's sectors from `first` on.
    pub(crate) fn learn(&mut self, first: u64, bytes: &[u8]) {
        for (number, bytes) in (first..).zip(bytes.as_chunks().0) {
            self.read.insert(number, Box::new(*bytes));
        }
    }

    /// Forgets what was to be written.
    pub(crate) fn reset(&mut self) {
        self.written.clear();
        self.zeros.clear();
    }

    /// A sector as it will be.
    pub(crate) fn sector(&self, number: u64) -> Option<&[u8; SECTOR]> {
        if let Some(bytes) = self.written.get(&number) {
            return Some(bytes);
        }
        if self.is_zero(number) {
            return Some(&ZERO);
        }
        self.read.get(&number).map(AsRef::as_ref).or(self.blank.then_some(&ZERO))
    }

    /// What is to be written to these sectors: neighbours together, zeros as none.
    pub(crate) fn changes(&self, range: Range<u64>) -> Vec<(Range<u64>, Option<Vec<u8>>)> {
        let mut changes: Vec<(Range<u64>, Option<Vec<u8>>)> = Vec::new();
        for (&first, &end) in &self.zeros {
            let (mut first, end) = (first.max(range.start), end.min(range.end));
            // No sector is written twice: a crash could leave the first of the two.
            let inside = if first < end { first..end } else { 0..0 };
            for (&number, _) in self.written.range(inside) {
                if first < number {
                    changes.push((first..number, None));
                }
                first = number + 1;
            }
            if first < end {
                changes.push((first..end, None));
            }
        }
        for (&number, bytes) in self.written.range(range) {
            match changes.last_mut() {
                Some((range, Some(content))) if range.end == number => {
                    range.end += 1;
                    content.extend_from_slice(&bytes[..]);
                }
                _ => changes.push((number..number + 1, Some(bytes.to_vec()))),
            }
        }
        changes
    }

    fn is_zero(&self, number: u64) -> bool {
        self.zeros.range(..=number).next_back().is_some_and(|(_, end)| number < *end)
    }

    fn write(&mut self, number: u64, bytes: &[u8; SECTOR]) {
        if *bytes != ZERO {
            self.written.insert(number, Box::new(*bytes));
            return;
        }
        self.written.remove(&number);
        match self.zeros.range_mut(..=number).next_back() {
            Some((_, end)) if *end > number => {}
            Some((_, end)) if *end == number => *end += 1,
            _ => {
                self.zeros.insert(number, number + 1);
            }
        }
    }
}

impl ErrorType for Overlay {
    type Error = Infallible;
}

impl BlockDevice for Overlay {
    fn block_size(&self) -> BlockSize {
        const SIZE: BlockSize = BlockSize::new(SECTOR as u32).unwrap();
        SIZE
    }

    fn block_count(&self) -> u64 {
        self.sectors
    }

    fn writable(&self) -> bool {
        true
    }

    fn read_blocks(&mut self, first: BlockIndex, buffer: &mut [u8]) -> Result<(), Error<Infallible>> {
        for (number, bytes) in (first.get()..).zip(buffer.chunks_exact_mut(SECTOR)) {
            let Some(sector) = self.sector(number) else {
                self.missing = Some(number);
                return Err(Error::new(ErrorKind::Io, "not read yet"));
            };
            bytes.copy_from_slice(sector);
        }
        Ok(())
    }

    fn write_blocks(&mut self, first: BlockIndex, bytes: &[u8]) -> Result<(), Error<Infallible>> {
        for (number, bytes) in (first.get()..).zip(bytes.as_chunks().0) {
            if number >= self.sectors {
                return Err(Error::new(ErrorKind::NoSpace, "beyond the disk's end"));
            }
            self.write(number, bytes);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error<Infallible>> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(disk: &mut Overlay, first: u64, bytes: &[u8]) {
        disk.write_blocks(BlockIndex::new(first), bytes).unwrap();
    }

    #[test]
    fn what_is_missing_is_told_and_what_was_written_wins() {
        let mut disk = Overlay::new(10, false);
        let mut bytes = [1; 1024];
        assert!(disk.read_blocks(BlockIndex::new(3), &mut bytes).is_err());
        assert_eq!((disk.missing(), disk.missing()), (Some(3), None));
        disk.learn(3, &[7; 1024]);
        disk.read_blocks(BlockIndex::new(3), &mut bytes).unwrap();
        assert_eq!(bytes, [7; 1024]);
        write(&mut disk, 4, &[8; 512]);
        write(&mut disk, 3, &ZERO);
        disk.read_blocks(BlockIndex::new(3), &mut bytes).unwrap();
        assert_eq!((bytes[0], bytes[512]), (0, 8));
        assert!(disk.write_blocks(BlockIndex::new(9), &bytes).is_err());
    }

    #[test]
    fn changes_are_gathered_and_no_sector_is_written_twice() {
        let mut disk = Overlay::new(100, true);
        write(&mut disk, 10, &[0; 5 * 512]);
        write(&mut disk, 12, &[1; 1024]);
        write(&mut disk, 50, &[2; 512]);
        let ranges = |range| disk.changes(range).into_iter().map(|(range, bytes)| (range, bytes.is_some()));
        let all = [(10..12, false), (14..15, false), (12..14, true), (50..51, true)];
        assert_eq!(ranges(0..100).collect::<Vec<_>>(), all);
        assert_eq!(ranges(11..13).collect::<Vec<_>>(), [(11..12, false), (12..13, true)]);
    }
}

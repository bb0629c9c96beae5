//! FAT file systems: written by the crate `fatfs`, and read, as far as our own media need it, from images that
//! somebody else may have made.

use fatfs::{Date, DateTime, FileSystem, FormatVolumeOptions, FsOptions, ReadWriteSeek, Time, TimeProvider};
use std::io::{self, Cursor, Write};

/// Bytes of a sector, in what is written.
const SECTOR: usize = 512;
/// Whole tracks of an old disk: sizes are multiples of it.
const STEP: usize = 32 * 1024;

/// FAT's first day: what is on a medium has no time of its own.
#[derive(Debug)]
struct FirstDay;

impl TimeProvider for FirstDay {
    fn get_current_date(&self) -> Date {
        Date { year: 1980, month: 1, day: 1 }
    }

    fn get_current_date_time(&self) -> DateTime {
        DateTime { date: self.get_current_date(), time: Time { hour: 0, min: 0, sec: 0, millis: 0 } }
    }
}

/// A file system with `files`, each with its path; folders are made as they come. `serial` is its number,
/// `label` has at most eleven capitals and digits.
pub(crate) fn write(files: &[(String, &[u8])], serial: u32, label: &str) -> io::Result<Vec<u8>> {
    let content: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    // The tables take 1/128 of it, and each file and folder rounds up to a cluster, 16 KiB at most.
    let size = content + content / 64 + 16 * 1024 * (content / (8 << 20)).min(8) + 48 * 1024;
    let size = size.next_multiple_of(STEP);
    let mut volume = Cursor::new(vec![0; size]);
    let options = volume_options(size as u64, serial, label)?.max_root_dir_entries(64);
    fatfs::format_volume(&mut volume, options)?;
    let options = FsOptions::new().time_provider(&FirstDay).update_accessed_date(false);
    let system = FileSystem::new(&mut volume, options)?;
    for (path, bytes) in files {
        let mut folder = system.root_dir();
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        for part in folders.split('/').filter(|part| !part.is_empty()) {
            folder = folder.create_dir(part)?;
        }
        folder.create_file(name)?.write_all(bytes)?;
    }
    system.unmount()?;
    Ok(volume.into_inner())
}

/// Writes an empty file system to the begin of `volume`, which has `size` bytes, all of them zero. What else it is, is
/// said at [`write`].
pub(crate) fn format(volume: impl ReadWriteSeek, size: u64, serial: u32, label: &str) -> io::Result<()> {
    fatfs::format_volume(volume, volume_options(size, serial, label)?)
}

fn volume_options(size: u64, serial: u32, label: &str) -> io::Result<FormatVolumeOptions> {
    let mut padded = [b' '; 11];
    padded.iter_mut().zip(label.bytes()).for_each(|(place, letter)| *place = letter);
    let sectors = u32::try_from(size / SECTOR as u64).map_err(io::Error::other)?;
    Ok(FormatVolumeOptions::new().total_sectors(sectors).volume_id(serial).volume_label(padded))
}

/// What is wrong with a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// It is none, or of a kind that nothing of ours has.
    #[error("its boot partition has no FAT12 or FAT16 file system")]
    NotFat,
    /// A chain of clusters leads out of it or in a circle.
    #[error("the file system of its boot partition is damaged")]
    Damaged,
}

/// A FAT12 or FAT16 file system in memory (Microsoft, FAT32 File System Specification 1.03).
#[derive(Debug)]
pub(crate) struct Fat<'a> {
    data: &'a [u8],
    wide: bool,
    cluster: usize,
    clusters: usize,
    table: &'a [u8],
    root: &'a [u8],
    /// Where the first cluster, number 2, begins.
    first: usize,
}

/// An entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The short name, in small letters.
    pub(crate) name: String,
    /// Whether it is a folder.
    pub(crate) folder: bool,
    /// Bytes, as it says.
    pub(crate) size: usize,
    start: usize,
}

/// A folder has no more bytes than this here.
const FOLDER_MOST: usize = 64 * 1024;

impl<'a> Fat<'a> {
    /// The file system that `data` begins with.
    pub(crate) fn new(data: &'a [u8]) -> Result<Self, Error> {
        let boot: &[u8; 512] = data.first_chunk().ok_or(Error::NotFat)?;
        let half = |at: usize| usize::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
        let long = u32::from_le_bytes([boot[32], boot[33], boot[34], boot[35]]) as usize;
        let (sector, per_cluster, reserved) = (half(11), usize::from(boot[13]), half(14));
        let (tables, root_entries, table_sectors) = (usize::from(boot[16]), half(17), half(22));
        let sectors = if half(19) > 0 { half(19) } else { long };
        let whole = boot[510..] == [0x55, 0xaa] && sector == SECTOR && per_cluster.is_power_of_two();
        if !whole || tables == 0 || root_entries == 0 || table_sectors == 0 || reserved == 0 {
            return Err(Error::NotFat);
        }
        let table_at = reserved * SECTOR;
        let root_at = table_at + tables * table_sectors * SECTOR;
        let first = root_at + (root_entries * 32).next_multiple_of(SECTOR);
        let end = sectors.checked_mul(SECTOR).filter(|end| *end <= data.len()).ok_or(Error::Damaged)?;
        let cluster = per_cluster * SECTOR;
        let clusters = end.checked_sub(first).ok_or(Error::Damaged)? / cluster;
        // The number of clusters alone tells the kinds apart (section 3.5).
        if clusters >= 65525 {
            return Err(Error::NotFat);
        }
        let wide = clusters >= 4085;
        let table = &data[table_at..table_at + table_sectors * SECTOR];
        Ok(Self {
            data,
            wide,
            cluster,
            clusters,
            table,
            root: &data[root_at..root_at + root_entries * 32],
            first,
        })
    }

    /// The entries of the folder at `path`, whose parts are short names in small letters.
    pub(crate) fn folder(&self, path: &[&str]) -> Result<Option<Vec<Entry>>, Error> {
        let mut entries = entries(self.root);
        for part in path {
            let Some(folder) = entries.into_iter().find(|entry| entry.folder && entry.name == *part) else {
                return Ok(None);
            };
            entries = self::entries(&self.chain(folder.start, FOLDER_MOST, false)?);
        }
        Ok(Some(entries))
    }

    /// The content of a file.
    pub(crate) fn content(&self, entry: &Entry) -> Result<Vec<u8>, Error> {
        if entry.size == 0 {
            return Ok(Vec::new());
        }
        let mut content = self.chain(entry.start, entry.size, true)?;
        content.truncate(entry.size);
        Ok(content)
    }

    /// The clusters from `start` on: until they hold `bytes`, or, unless all are wanted, until the chain ends.
    fn chain(&self, start: usize, bytes: usize, all: bool) -> Result<Vec<u8>, Error> {
        let mut content = Vec::new();
        let mut number = start;
        while content.len() < bytes {
            let index = number.checked_sub(2).filter(|index| *index < self.clusters);
            let at = self.first + index.ok_or(Error::Damaged)? * self.cluster;
            // A chain in a circle ends here: no file is larger than the file system.
            if content.len() > self.clusters * self.cluster {
                return Err(Error::Damaged);
            }
            content.extend_from_slice(&self.data[at..at + self.cluster]);
            number = self.next(number)?;
            let end = if self.wide { 0xfff8 } else { 0xff8 };
            if number >= end {
                return if all && content.len() < bytes { Err(Error::Damaged) } else { Ok(content) };
            }
        }
        if all { Ok(content) } else { Err(Error::Damaged) }
    }

    /// The cluster after this one.
    fn next(&self, number: usize) -> Result<usize, Error> {
        let at = if self.wide { number * 2 } else { number + number / 2 };
        let pair = self.table.get(at..at + 2).ok_or(Error::Damaged)?;
        let value = usize::from(u16::from_le_bytes([pair[0], pair[1]]));
        Ok(match (self.wide, number % 2) {
            (true, _) => value,
            (false, 0) => value & 0xfff,
            (false, _) => value >> 4,
        })
    }
}

/// The entries of a folder's content, but long names, labels and what was deleted.
fn entries(content: &[u8]) -> Vec<Entry> {
    let records = content.chunks_exact(32).take_while(|record| record[0] != 0);
    let real = records.filter(|record| record[0] != 0xe5 && record[11] & 0x08 == 0 && record[0] != b'.');
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_lowercase();
    real.map(|record| {
        let (stem, end) = (text(&record[..8]), text(&record[8..11]));
        Entry {
            name: if end.is_empty() { stem } else { format!("{stem}.{end}") },
            folder: record[11] & 0x10 != 0,
            size: u32::from_le_bytes([record[28], record[29], record[30], record[31]]) as usize,
            start: usize::from(u16::from_le_bytes([record[26], record[27]])),
        }
    })
    .collect()
}

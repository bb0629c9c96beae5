//! GUID partition tables (UEFI specification 2.10, section 5): written for disk images of 512-byte sectors, and
//! read from images that somebody else may have made.

use flate2::Crc;
use std::ops::Range;

/// Bytes of a sector.
pub(crate) const SECTOR: usize = 512;
/// Entries of a table, and bytes of an entry: what the specification asks for at least.
const ENTRIES: usize = 128;
const ENTRY: usize = 128;
/// Sectors of a table's entries.
const ENTRY_SECTORS: usize = ENTRIES * ENTRY / SECTOR;
/// Bytes of a header.
const HEADER: usize = 92;
/// The first sector that a partition may use.
pub(crate) const FIRST: usize = 2 + ENTRY_SECTORS;
/// The sectors behind the last partition.
pub(crate) const BEHIND: usize = 1 + ENTRY_SECTORS;

/// The type of a partition that holds GRUB's core image: `Hah!IdontNeedEFI`, GRUB manual 3.4.
pub(crate) const BIOS_BOOT: [u8; 16] = *b"Hah!IdontNeedEFI";
/// The type of an EFI system partition: C12A7328-F81F-11D2-BA4B-00A0C93EC93B.
pub(crate) const EFI_SYSTEM: [u8; 16] =
    [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Partition {
    /// Its type, as the bytes lie on the disk.
    pub(crate) kind: [u8; 16],
    /// Its own identifier.
    pub(crate) guid: [u8; 16],
    /// Its first sector.
    pub(crate) first: usize,
    /// How many it has, one or more.
    pub(crate) sectors: usize,
    /// Its name in ASCII, at most 36 characters.
    pub(crate) name: &'static str,
}

/// A partition that was read: its type, and where its content lies.
pub(crate) type Place = ([u8; 16], Range<usize>);

/// What is wrong with a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The image ends too early.
    #[error("its partition table is cut off")]
    Truncated,
    /// A checksum does not fit.
    #[error("its partition table is damaged: the checksum is wrong")]
    Checksum,
    /// The numbers contradict each other.
    #[error("its partition table contradicts itself")]
    Contradiction,
}

/// Writes the protective MBR, but its boot code, and both tables into `disk`, whole sectors long.
pub(crate) fn write(disk: &mut [u8], guid: [u8; 16], partitions: &[Partition]) {
    let sectors = disk.len() / SECTOR;
    let mut entries = vec![0; ENTRIES * ENTRY];
    for (entry, partition) in entries.chunks_exact_mut(ENTRY).zip(partitions) {
        entry[..16].copy_from_slice(&partition.kind);
        entry[16..32].copy_from_slice(&partition.guid);
        entry[32..40].copy_from_slice(&(partition.first as u64).to_le_bytes());
        entry[40..48].copy_from_slice(&((partition.first + partition.sectors - 1) as u64).to_le_bytes());
        for (unit, letter) in entry[56..].chunks_exact_mut(2).zip(partition.name.encode_utf16()) {
            unit.copy_from_slice(&letter.to_le_bytes());
        }
    }
    let last = sectors - 1;
    let own = [(1, last, 2), (last, 1, last - ENTRY_SECTORS)];
    for (here, other, table) in own {
        let header = header([here, other, table, last - BEHIND], guid, &entries);
        disk[here * SECTOR..][..HEADER].copy_from_slice(&header);
        disk[table * SECTOR..][..entries.len()].copy_from_slice(&entries);
    }
    // One partition of the type 0xee over the whole disk (5.2.3).
    let length = u32::try_from(last).unwrap_or(u32::MAX);
    let record = [[0, 0, 2, 0], [0xee, 0xff, 0xff, 0xff], 1u32.to_le_bytes(), length.to_le_bytes()].concat();
    disk[446..462].copy_from_slice(&record);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
}

/// A header (5.3.2): its own sector, the other header's, that of its entries, and the last one for partitions.
fn header([here, other, table, last]: [usize; 4], guid: [u8; 16], entries: &[u8]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(b"EFI PART");
    header[8..12].copy_from_slice(&0x1_0000u32.to_le_bytes());
    header[12..16].copy_from_slice(&(HEADER as u32).to_le_bytes());
    for (at, sector) in [(24, here), (32, other), (40, FIRST), (48, last), (72, table)] {
        header[at..at + 8].copy_from_slice(&(sector as u64).to_le_bytes());
    }
    header[56..72].copy_from_slice(&guid);
    for (at, number) in [(80, ENTRIES as u32), (84, ENTRY as u32), (88, crc(entries))] {
        header[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }
    let sum = crc(&header);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    header
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Whether `disk` looks as if it had a table.
pub(crate) fn is_there(disk: &[u8]) -> bool {
    disk.get(SECTOR..).is_some_and(|rest| rest.starts_with(b"EFI PART"))
}

/// The contents of the partitions of `disk` with their types, by its first table.
pub(crate) fn read(disk: &[u8]) -> Result<Vec<Place>, Error> {
    let mut header: [u8; HEADER] =
        disk.get(SECTOR..SECTOR + HEADER).and_then(|bytes| bytes.try_into().ok()).ok_or(Error::Truncated)?;
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (sum, table, entry_sum) = (number(16), number(72), number(88));
    // Other sizes are allowed, but nobody writes them.
    if (number(12), number(76), number(80), number(84)) != (HEADER as u32, 0, ENTRIES as u32, ENTRY as u32) {
        return Err(Error::Contradiction);
    }
    // The second header ends the disk.
    let end = number(32) as usize;
    if end.checked_add(1).and_then(|sectors| sectors.checked_mul(SECTOR)).is_none_or(|end| end > disk.len()) {
        return Err(Error::Truncated);
    }
    header[16..20].fill(0);
    let start = (table as usize).checked_mul(SECTOR).ok_or(Error::Contradiction)?;
    let entries =
        start.checked_add(ENTRIES * ENTRY).and_then(|end| disk.get(start..end)).ok_or(Error::Truncated)?;
    if crc(&header) != sum || crc(entries) != entry_sum {
        return Err(Error::Checksum);
    }
    entries
        .chunks_exact(ENTRY)
        .filter(|entry| entry[..16] != [0; 16])
        .map(|entry| partition(disk, entry))
        .collect()
}

fn partition(disk: &[u8], entry: &[u8]) -> Result<Place, Error> {
    let sector = |at: usize| -> Result<usize, Error> {
        let bytes = entry[at..at + 8].try_into().map_err(|_| Error::Contradiction)?;
        usize::try_from(u64::from_le_bytes(bytes)).map_err(|_| Error::Contradiction)
    };
    let byte = |sector: usize| sector.checked_mul(SECTOR).ok_or(Error::Contradiction);
    let range = byte(sector(32)?)?..byte(sector(40)?.checked_add(1).ok_or(Error::Contradiction)?)?;
    let mut kind = [0; 16];
    kind.copy_from_slice(&entry[..16]);
    if range.end > disk.len() {
        Err(Error::Truncated)
    } else if range.is_empty() {
        Err(Error::Contradiction)
    } else {
        Ok((kind, range))
    }
}

//! The file system of a disk, and the two files in it that hold the data.

use crate::{Block, OpenError, SECTOR, overlay::Overlay};
use alloc::{vec, vec::Vec};
use core::{convert::Infallible, ops::Range};
use hadris_fat::{
    FatOptions, VolumeLabel,
    embedded::{MountToken, sync::Fat},
    sync::format,
};
use hadris_fs::{Extent, OpenOptions};
use hadris_io::ErrorKind;

/// The files' names.
pub const FILES: [&str; 2] = ["KV0.LOG", "KV1.LOG"];
/// Bytes that each of them has at least.
pub const LEAST: u64 = 512 << 10;
/// Bytes that each of them has at most, when it is made.
pub const MOST: u64 = 64 << 20;
/// What their sizes and places are multiples of.
const ALIGN: u64 = 4096;

/// A disk is empty when so many of its first bytes are zeros: other file systems begin before.
const EMPTY: u64 = 128 << 10;
/// How much is read where one sector is missed.
const AHEAD: u64 = 16;
/// The sector that tables are read to in advance.
const TABLES: u64 = 1024;
/// How much is written at once.
const PIECE: usize = 64 << 10;

/// What the first sector begins with while a file system is being made. A disk that has it is formatted again.
const UNFINISHED: &[u8; 16] = b"SELKIE FORMATS\r\n";

/// Where the files lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The sectors of each.
    pub places: [Range<u64>; 2],
    /// They were just made.
    pub fresh: bool,
}

/// Finds the files of the disk, or makes them, on an empty disk with a file system around them. `first` is what the
/// first file begins with when it is made, given its length in bytes.
///
/// A crash while a disk is formatted leaves one that is formatted again. A crash while the files are made in a file system
/// that was there before can leave clusters that no file has, which fsck frees, and one file without the other, which is
/// told: nothing is deleted here.
pub async fn open<B: Block>(block: &B, first: impl FnOnce(u64) -> Vec<u8>) -> Result<Files, OpenError> {
    let known = EMPTY.min(block.sectors() * SECTOR as u64) as usize / SECTOR * SECTOR;
    let mut start = vec![0; known];
    block.read(0, &mut start).await.map_err(disk)?;
    if start.starts_with(UNFINISHED) || start.iter().all(|byte| *byte == 0) {
        return make(block, first).await;
    }
    let mut overlay = Overlay::new(block.sectors(), false);
    overlay.learn(0, &start);
    drop(start);
    let tables = tables(&overlay).ok_or(OpenError::Foreign)?;
    // They will be missed: all at once is faster.
    let mut next = (known / SECTOR) as u64;
    while next < tables.min(block.sectors()).min(TABLES) {
        learn(block, &mut overlay, next, (PIECE / SECTOR) as u64).await?;
        next += (PIECE / SECTOR) as u64;
    }
    let (places, fresh) = with_missing(block, &mut overlay, find_or_create).await?;
    if fresh {
        // Tables and content first: a name never leads to what is not there.
        let all = block.sectors();
        for range in [0..tables, places[0].clone(), places[1].clone()] {
            write(block, &overlay, range).await?;
        }
        write_start(block, &places, first).await?;
        block.flush().await.map_err(disk)?;
        let mut begin = tables;
        let mut files = places.clone();
        files.sort_by_key(|place| place.start);
        for place in files {
            write(block, &overlay, begin..place.start).await?;
            begin = place.end;
        }
        write(block, &overlay, begin..all).await?;
        block.flush().await.map_err(disk)?;
    }
    Ok(Files { places, fresh })
}

/// Formats the disk. Until all of it lasts its first sector says that it is unfinished.
async fn make<B: Block>(block: &B, first: impl FnOnce(u64) -> Vec<u8>) -> Result<Files, OpenError> {
    let mut overlay = Overlay::new(block.sectors(), true);
    let size = block.sectors() * SECTOR as u64;
    let label = VolumeLabel::new("SELKIE").map_err(|_| OpenError::BadFileSystem)?;
    let mut options = FatOptions::new().with_label(label).with_alignment(ALIGN as u32);
    if (17 << 20..128 << 20).contains(&size) {
        // The default is less: many more clusters than anybody needs.
        options = options.with_cluster_size(ALIGN as u32);
    }
    format(&mut overlay, &options).map_err(|error| kind(error.kind()))?;
    let (places, _) = find_or_create(&mut overlay)?;
    let mut mark = [0; SECTOR];
    mark[..UNFINISHED.len()].copy_from_slice(UNFINISHED);
    block.write(0, &mark).await.map_err(disk)?;
    block.flush().await.map_err(disk)?;
    write(block, &overlay, 1..block.sectors()).await?;
    write_start(block, &places, first).await?;
    block.flush().await.map_err(disk)?;
    write(block, &overlay, 0..1).await?;
    block.flush().await.map_err(disk)?;
    Ok(Files { places, fresh: true })
}

/// Does `work`, again and again until it misses no sector.
async fn with_missing<B: Block, T>(
    block: &B,
    overlay: &mut Overlay,
    work: impl Fn(&mut Overlay) -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    loop {
        let result = work(overlay);
        let Some(missing) = overlay.missing() else { return result };
        overlay.reset();
        learn(block, overlay, missing, AHEAD).await?;
    }
}

/// Reads up to `count` sectors from `first` on.
async fn learn<B: Block>(block: &B, overlay: &mut Overlay, first: u64, count: u64) -> Result<(), OpenError> {
    let count = count.min(block.sectors().saturating_sub(first));
    if count == 0 {
        return Err(OpenError::BadFileSystem);
    }
    let mut bytes = vec![0; count as usize * SECTOR];
    block.read(first, &mut bytes).await.map_err(disk)?;
    overlay.learn(first, &bytes);
    Ok(())
}

/// Where the files lie, and whether they were made just now.
fn find_or_create(overlay: &mut Overlay) -> Result<([Range<u64>; 2], bool), OpenError> {
    let mut token = MountToken::new();
    let mut fat: Fat<'_, &mut Overlay> =
        Fat::mount(overlay, &mut token).map_err(|error| kind(error.error().kind()))?;
    let failed = |error: hadris_io::Error<Infallible>| kind(error.kind());
    let root = fat.root();
    let mut found = 0;
    for name in FILES {
        match fat.metadata(root, name) {
            Ok(_) => found += 1,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let fresh = found == 0;
    if found == 1 {
        return Err(OpenError::Half);
    }
    if fresh {
        let stats = fat.stats().map_err(failed)?;
        let cluster = fat.info().cluster_size() as u64;
        // A sixteenth of the room is left for other files.
        let room = stats.free_blocks() * cluster / 32 * 15;
        let size = room.min(MOST) / ALIGN.max(cluster) * ALIGN.max(cluster);
        if size < LEAST {
            return Err(OpenError::Small);
        }
        for name in FILES {
            let options = OpenOptions::new().write().create();
            let file = fat.open(root, name, options).map_err(failed)?;
            fat.set_len(&file, size).map_err(failed)?;
            fat.close(file).map_err(failed)?;
        }
        fat.sync().map_err(failed)?;
    }
    let mut places = [0..0, 0..0];
    for (name, place) in FILES.iter().zip(&mut places) {
        let file = fat.open(root, name, OpenOptions::new().read()).map_err(failed)?;
        let mut extents = [Extent::new(0, 0); 2];
        let count = fat.extents(&file, 0, &mut extents).map_err(failed)?;
        fat.close(file).map_err(failed)?;
        let [extent, _] = extents;
        match count {
            0 => return Err(OpenError::Damaged),
            1 if extent.len() < LEAST => return Err(OpenError::Damaged),
            1 => *place = extent.offset() / SECTOR as u64..extent.end() / SECTOR as u64,
            _ => return Err(OpenError::Fragmented),
        }
    }
    Ok((places, fresh))
}

/// The sector that the file system's tables end before; none where there is no FAT file system (Microsoft, FAT32 File
/// System Specification 1.03, "Boot Sector and BPB").
fn tables(overlay: &Overlay) -> Option<u64> {
    let boot = overlay.sector(0)?;
    let half = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
    let long = u64::from(u32::from_le_bytes([boot[36], boot[37], boot[38], boot[39]]));
    let one = if half(22) > 0 { half(22) } else { long };
    let good =
        boot[510..] == [0x55, 0xaa] && half(11) == SECTOR as u64 && half(14) > 0 && one > 0 && boot[16] > 0;
    good.then(|| half(14) + u64::from(boot[16]) * one)
}

/// Writes what is to be written in `range`.
async fn write<B: Block>(block: &B, overlay: &Overlay, range: Range<u64>) -> Result<(), OpenError> {
    let zeros = vec![0; PIECE];
    for (sectors, bytes) in overlay.changes(range) {
        let mut number = sectors.start;
        while number < sectors.end {
            let count = (PIECE / SECTOR).min((sectors.end - number) as usize);
            let piece = match &bytes {
                None => &zeros[..count * SECTOR],
                Some(bytes) => &bytes[(number - sectors.start) as usize * SECTOR..][..count * SECTOR],
            };
            block.write(number, piece).await.map_err(disk)?;
            number += count as u64;
        }
    }
    Ok(())
}

/// Writes what the first file begins with.
async fn write_start<B: Block>(
    block: &B,
    places: &[Range<u64>; 2],
    first: impl FnOnce(u64) -> Vec<u8>,
) -> Result<(), OpenError> {
    let place = &places[0];
    let bytes = first((place.end - place.start) * SECTOR as u64);
    block.write(place.start, &bytes).await.map_err(disk)
}

fn disk<E>(_: E) -> OpenError {
    OpenError::Disk
}

fn kind(kind: ErrorKind) -> OpenError {
    match kind {
        ErrorKind::NoSpace => OpenError::Small,
        ErrorKind::NotRecognized => OpenError::Foreign,
        _ => OpenError::BadFileSystem,
    }
}

//! Damaged ISO and disk images.

use crate::{
    Cases, Images, add,
    bytes::{find, flipped, get16, get32, with},
};
use builder::Target;
use std::path::Path;

const BLOCK: usize = 2048;
const SECTOR: usize = 512;
/// Where the primary volume descriptor of an ISO is.
const VOLUME: usize = 16 * BLOCK;

pub(crate) fn cases(cases: &mut Cases, dir: &Path, images: &Images) {
    let (Some(iso), Some(disk)) =
        (images.read(Target::BareMetal, "hello.iso"), images.read(Target::BareMetal, "hello.img"))
    else {
        return;
    };
    let kernel = images.read(Target::BareMetal, "kernel").unwrap();
    of_iso(&mut |name, content| add(cases, dir, &format!("iso: {name}"), content), &iso, &kernel);
    of_disk(&mut |name, content| add(cases, dir, &format!("disk: {name}"), content), &disk, &kernel);
}

/// The record of a folder or file of this name in an ISO.
fn record(iso: &[u8], name: &[u8]) -> usize {
    let with_length = [&[name.len() as u8], name].concat();
    find(&iso[VOLUME..], &with_length) + VOLUME - 32
}

fn of_iso(case: &mut dyn FnMut(&str, &[u8]), iso: &[u8], kernel: &[u8]) {
    let root = VOLUME + 156;
    let folder = record(iso, b"selkie");
    for (name, end) in [
        ("cut off in the descriptor", VOLUME + 1000),
        ("cut off after the descriptor", VOLUME + BLOCK),
        ("cut off in the middle", iso.len() / 2),
    ] {
        case(name, &iso[..end]);
    }
    case("a descriptor of another type", &with(iso, VOLUME, &[2]));
    case("blocks of 512 bytes", &with(iso, VOLUME + 128, &[0, 2]));
    case("the root outside", &with(iso, root + 2, &[0xff; 4]));
    case("a root of 4 GiB", &with(iso, root + 10, &[0xff; 4]));
    case("the root in itself", &with(iso, folder + 2, &iso[root + 2..root + 10]));
    let own = get32(iso, folder + 2) * BLOCK;
    let inner = own + usize::from(iso[own]) + usize::from(iso[own + usize::from(iso[own])]);
    case("a folder in itself", &with(iso, inner + 2, &iso[folder + 2..folder + 10]));
    case("a record of one byte", &with(iso, folder, &[1]));
    case("a name of 255 bytes", &with(iso, folder + 32, &[0xff]));
    case("a folder that is a file", &with(iso, folder + 25, &[0]));
    let file = record(iso, b"kernel.;1");
    case("a kernel outside", &with(iso, file + 2, &[0xff; 4]));
    case("a kernel of 4 GiB", &with(iso, file + 10, &[0xff; 4]));
    case("a kernel of no bytes", &with(iso, file + 10, &[0; 4]));
    case("no kernel", &with(iso, file + 33, b"X"));
    case("a kernel with a byte changed", &flipped(iso, find(iso, &kernel[0x2000..0x2100])));
    let manifest = record(iso, b"manifest.;1");
    case("no manifest", &with(iso, manifest + 33, b"X"));
    let text = get32(iso, manifest + 2) * BLOCK;
    case("a manifest that is no JSON", &with(iso, text, b"["));
    case("a manifest of open brackets", &with(iso, text, &[b'['; 5000]));
    case("a manifest of another format", &with(iso, text + find(&iso[text..], b"\"epoch\""), b"\"apoch\""));
    let task = record(iso, b"roottask.;1");
    case("a root task that is cut off", &with(iso, task + 10, &[0x10, 0, 0, 0]));
    case("the kernel as root task", &with(iso, task + 2, &iso[file + 2..file + 18]));
}

/// A disk with the check sums of its first partition table put right.
fn summed(mut disk: Vec<u8>) -> Vec<u8> {
    let sum = |bytes: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum().to_le_bytes()
    };
    let entries = sum(&disk[2 * SECTOR..34 * SECTOR]);
    disk[SECTOR + 88..SECTOR + 92].copy_from_slice(&entries);
    disk[SECTOR + 16..SECTOR + 20].fill(0);
    let header = sum(&disk[SECTOR..SECTOR + 92]);
    disk[SECTOR + 16..SECTOR + 20].copy_from_slice(&header);
    disk
}

/// A FAT12 file system with the entry of a cluster set.
fn linked(disk: &[u8], table: usize, cluster: usize, next: u16) -> Vec<u8> {
    let at = table + cluster + cluster / 2;
    let old = get16(disk, at) as u16;
    let pair = if cluster.is_multiple_of(2) { old & 0xf000 | next } else { old & 0xf | next << 4 };
    with(disk, at, &pair.to_le_bytes())
}

fn of_disk(case: &mut dyn FnMut(&str, &[u8]), disk: &[u8], kernel: &[u8]) {
    let header = SECTOR;
    for (name, end) in [
        ("cut off in the partition table's header", header + 20),
        ("cut off in the partition table", 3 * SECTOR),
        ("cut off in the middle", disk.len() / 2),
        ("cut off by a sector", disk.len() - SECTOR),
    ] {
        case(name, &disk[..end]);
    }
    case("a changed table", &flipped(disk, 2 * SECTOR + 60));
    case("a changed header", &flipped(disk, header + 60));
    case("a table of 4 billion entries", &summed(with(disk, header + 80, &[0xff; 4])));
    case("a table outside", &summed(with(disk, header + 72, &[0xff; 8])));
    case("a disk of 2^64 sectors", &summed(with(disk, header + 32, &[0xff; 8])));
    let second = 2 * SECTOR + 128;
    case("a partition outside", &summed(with(disk, second + 40, &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0])));
    case("a partition of 2^64 sectors", &summed(with(disk, second + 40, &[0xff; 8])));
    case("a partition that ends before it begins", &summed(with(disk, second + 40, &[1, 0])));
    case("no file system", &summed(with(disk, second, &[7; 16])));
    let fat = get32(disk, second + 32) * SECTOR;
    let table = fat + get16(disk, fat + 14) * SECTOR;
    let tables = usize::from(disk[fat + 16]) * get16(disk, fat + 22) * SECTOR;
    let (root, per_cluster) = (table + tables, usize::from(disk[fat + 13]) * SECTOR);
    let first = root + get16(disk, fat + 17) * 32;
    let content = |cluster: usize| first + (cluster - 2) * per_cluster;
    case("sectors of no bytes", &with(disk, fat + 11, &[0, 0]));
    case("clusters of 3 sectors", &with(disk, fat + 13, &[3]));
    case("65535 sectors before the tables", &with(disk, fat + 14, &[0xff, 0xff]));
    case("255 tables of 65535 sectors", &with(&with(disk, fat + 16, &[0xff]), fat + 22, &[0xff, 0xff]));
    case("65535 entries of the root", &with(disk, fat + 17, &[0xff, 0xff]));
    case("a file system outside", &with(&with(disk, fat + 19, &[0, 0]), fat + 32, &[0xff; 4]));
    let folder = root + find(&disk[root..], b"SELKIE     \x10");
    let selkie = get16(disk, folder + 26);
    case("a folder's chain in a circle", &linked(disk, table, selkie, selkie as u16));
    case("a folder outside", &with(disk, folder + 26, &[0xf0, 0xff]));
    case("a folder at cluster 1", &with(disk, folder + 26, &[1, 0]));
    let own = content(selkie);
    let inner = own
        + (0..64)
            .map(|index| index * 32)
            .find(|at| {
                let record = &disk[own + at..own + at + 32];
                record[0] != b'.' && record[11] == 0x10
            })
            .unwrap();
    case("a folder in itself", &with(disk, inner + 26, &disk[folder + 26..folder + 28]));
    let file = fat + find(&disk[fat..], b"KERNEL     ");
    let cluster = get16(disk, file + 26);
    case("a kernel's chain in a circle", &linked(disk, table, cluster, cluster as u16));
    case("a kernel's chain outside", &linked(disk, table, cluster, 0xff0));
    case("a kernel's chain through a free cluster", &linked(disk, table, cluster, 0));
    case("a kernel of 4 GiB", &with(disk, file + 28, &[0xff; 4]));
    case("no kernel", &with(disk, file, b"X"));
    case("a kernel with a byte changed", &flipped(disk, find(disk, &kernel[0x2000..0x2100])));
    let manifest = fat + find(&disk[fat..], b"MANIFEST   ");
    case("no manifest", &with(disk, manifest, b"X"));
    case("a manifest that is no JSON", &with(disk, content(get16(disk, manifest + 26)), b"["));
    case("a manifest of one byte", &with(disk, manifest + 28, &[1, 0, 0, 0]));
}

//! Artifacts damaged at random: an answer for each, whatever it is.

use crate::{Images, look, published};
use builder::{Target, publish::archive};
use flate2::read::GzDecoder;
use std::{fs, io::Read, path::Path};

/// Damaged copies of each artifact; `SELKIE_FUZZ_FILES` says another number.
const DEFAULT: u64 = 60;

/// A small generator of numbers that are random enough (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Places where headers and tables are: at the beginning, at the end, and at what a medium has.
fn place(random: &mut Random, length: usize) -> usize {
    let near = match random.below(6) {
        0 | 1 => random.below(0x400),
        2 => length.saturating_sub(random.below(0x400) + 1),
        3 => 16 * 2048 + random.below(5 * 2048),
        4 => (1 << 20) + random.below(0x3000),
        _ => random.below(length),
    };
    near.min(length.saturating_sub(1))
}

fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(6) {
        let (at, length) = (place(random, bytes.len()), bytes.len());
        match random.below(8) {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'[', b'}'][random.below(8)],
            3 | 4 => {
                let word: u64 = [0, 1, 0x7fff_ffff, 0xffff_ffff, 1 << 40, u64::MAX, length as u64, 0xffff]
                    [random.below(8)];
                let size = [2, 4, 8][random.below(3)].min(length - at);
                bytes[at..at + size].copy_from_slice(&word.to_le_bytes()[..size]);
            }
            5 => {
                let (from, size) = (place(random, length), random.below(64).min(length - at));
                let size = size.min(length - from);
                bytes.copy_within(from..from + size, at);
            }
            6 => drop(bytes.drain(at..(at + random.below(64)).min(length))),
            _ => drop(bytes.splice(at..at, std::iter::repeat_n(random.next() as u8, random.below(64)))),
        }
        if bytes.is_empty() {
            return;
        }
    }
}

/// Looks at `count` damaged copies of each artifact.
fn all(count: u64) {
    let images = Images::get();
    let dir = tempfile::tempdir().unwrap();
    let qemu = images.folder(Target::Qemu).unwrap();
    let files = [
        (Target::Qemu, "root-task"),
        (Target::Qemu, "kernel"),
        (Target::Process, "hello"),
        (Target::BareMetal, "hello.iso"),
        (Target::BareMetal, "hello.img"),
        (Target::Qemu, "manifest.json"),
        (Target::BareMetal, "manifest.json"),
    ];
    for (target, name) in files {
        let Some(content) = images.read(target, name) else { continue };
        // A manifest lies among the files that it speaks of, too.
        let place = dir.path().join(format!("{target}-{name}"));
        fs::create_dir(&place).unwrap();
        for member in ["kernel", "root-task", "run.sh"] {
            fs::copy(qemu.join(member), place.join(member)).unwrap();
        }
        let path = place.join(if name == "manifest.json" { name } else { "file" });
        (0..count).for_each(|seed| one(&content, &path, (name, seed)));
    }
    published(count, images, dir.path());
}

/// Looks at `count` damaged copies of what is published.
fn published(count: u64, images: &Images, dir: &Path) {
    let path = dir.join("published");
    let mut tar = Vec::new();
    let packed = published::archived(images, Target::Process).unwrap();
    GzDecoder::new(packed.as_slice()).read_to_end(&mut tar).unwrap();
    for seed in 0..count {
        one(&packed, &path, ("archive", seed));
        // What was damaged before it was packed gets further.
        let mut bytes = tar.clone();
        damage(&mut Random(seed), &mut bytes);
        one_of(&archive::gzip(&bytes).unwrap(), &path, ("tar", seed));
    }
    for document in published::documents() {
        let content = fs::read(document).unwrap();
        (0..count).for_each(|seed| one(&content, &path, ("document", seed)));
    }
    let layout = dir.join("layout");
    published::lay_out(images, Target::Qemu, &layout).unwrap();
    let path = layout.join("index.json");
    let content = fs::read(&path).unwrap();
    for seed in 0..count {
        let mut bytes = content.clone();
        damage(&mut Random(seed), &mut bytes);
        fs::write(&path, &bytes).unwrap();
        let _ = look(&format!("layout damaged with seed {seed}"), &layout);
    }
}

fn one(content: &[u8], path: &Path, (name, seed): (&str, u64)) {
    let mut bytes = content.to_vec();
    damage(&mut Random(seed), &mut bytes);
    one_of(&bytes, path, (name, seed));
}

fn one_of(bytes: &[u8], path: &Path, (name, seed): (&str, u64)) {
    fs::write(path, bytes).unwrap();
    // What it says depends on the damage; that it answers is what counts.
    let _ = look(&format!("{name} damaged with seed {seed}"), path);
}

#[test]
fn files_damaged_at_random_get_an_answer() {
    let count = std::env::var("SELKIE_FUZZ_FILES").ok().and_then(|text| text.parse().ok());
    all(count.unwrap_or(DEFAULT));
}

#[test]
#[ignore = "takes minutes: cargo xtask test --long"]
fn however_many_files_are_damaged_they_get_an_answer() {
    all(3000);
}

//! Root tasks that nobody vouches for: each rule by itself, then any damage at all.

mod common;

use common::{BASE, DATA, DIGEST, IMAGE_END, R, RODATA, RW, RX, Random, SITE, Sample, TEXT, manifest, note};
use selkie_tender_setup::{Access, ElfError, MAX_SEGMENTS, RootTask};

fn parse(file: &[u8]) -> Result<(), ElfError> {
    RootTask::parse(file)?.note().map(drop)
}

/// What the parser says to a root task with one thing changed.
fn change(change: impl FnOnce(&mut Sample)) -> Result<(), ElfError> {
    let mut sample = Sample::good();
    change(&mut sample);
    parse(&sample.bytes())
}

#[test]
fn a_good_root_task_is_read() {
    let file = Sample::good().bytes();
    let root_task = RootTask::parse(&file).expect("it is good");
    assert_eq!(root_task.entry, TEXT);
    assert_eq!(root_task.image(), BASE..IMAGE_END);
    let note = root_task.note().expect("it has one");
    assert_eq!((note.interface, note.config, note.memory), (DIGEST, "x86_64-test", None));
    assert_eq!(root_task.sites().collect::<Vec<_>>(), [SITE]);
    let accesses: Vec<_> = root_task.segments().iter().map(|segment| segment.access).collect();
    assert_eq!(accesses, [Access::ReadWrite, Access::ReadExecute, Access::Read, Access::ReadWrite]);
    assert_eq!(root_task.segments()[1].pages(), 0x40_4000..0x40_5000);
    assert_eq!(root_task.segments()[1].page_offset(), 0x1000);
}

#[test]
fn only_static_x86_64_programs_are_taken() {
    assert_eq!(change(|sample| sample.machine = 183), Err(ElfError::NotElf));
    assert_eq!(change(|sample| sample.machine = 3), Err(ElfError::NotElf));
    assert_eq!(change(|sample| sample.kind = 3), Err(ElfError::NotStatic));
    assert_eq!(change(|sample| sample.kind = 1), Err(ElfError::NotStatic));
    // Interpreter, dynamic section, thread-local storage.
    for kind in [3, 2, 7] {
        assert_eq!(change(|sample| sample.segments[4].kind = kind), Err(ElfError::NotStatic));
    }
    let mut class = Sample::good().bytes();
    class[4] = 1;
    assert_eq!(parse(&class), Err(ElfError::NotElf));
    for file in [&b""[..], b"\x7fELF", b"#!/bin/sh\n", &[0; 4096]] {
        assert_eq!(parse(file), Err(ElfError::NotElf));
    }
}

#[test]
fn segments_lie_where_they_may() {
    for address in [0, 0xf000, 0x7fff_f000, 0x8000_0000, 0x7e00_0000_0000, u64::MAX - 0xfff, 1 << 63] {
        let moved = change(|sample| sample.segments[0].address = address);
        assert_eq!(moved, Err(ElfError::Range(address)));
    }
    for size in [u64::MAX, 1 << 31, 1 << 47] {
        assert_eq!(change(|sample| sample.segments[0].memory_size = size), Err(ElfError::Range(BASE)));
    }
    assert_eq!(change(|sample| sample.segments[3].file_size = 1 << 20), Err(ElfError::MoreThanMemory(DATA)));
    assert_eq!(change(|sample| sample.segments[3].offset = u64::MAX), Err(ElfError::Truncated(DATA)));
    assert_eq!(change(|sample| sample.segments[3].offset = 1 << 20), Err(ElfError::Truncated(DATA)));
    assert_eq!(change(|sample| sample.segments[1].offset += 8), Err(ElfError::Alignment(TEXT)));
    assert_eq!(change(|sample| sample.segments[2].memory_size += 8), Err(ElfError::ReadOnlyZeros(RODATA)));
    assert_eq!(change(|sample| sample.segments[0].memory_size += 1), Err(ElfError::Overlap(TEXT)));
    assert_eq!(change(|sample| sample.segments[0].address = DATA & !0xfff), Err(ElfError::Overlap(DATA)));
    // Data may lie anywhere in the file: it is copied.
    assert_eq!(change(|sample| sample.segments[3].offset += 3), Ok(()));
    // Segments without a byte are nothing to load.
    assert_eq!(change(|sample| sample.segments[0].memory_size = 0), Ok(()));
}

#[test]
fn nothing_is_writable_and_executable() {
    assert_eq!(change(|sample| sample.segments[1].flags = 7), Err(ElfError::WritableCode(TEXT)));
    assert_eq!(change(|sample| sample.segments[3].flags = 3), Err(ElfError::WritableCode(DATA)));
    assert_eq!(change(|sample| sample.segments[1].flags = 1), Err(ElfError::Unreadable(TEXT)));
    // The entry must be code.
    assert_eq!(change(|sample| sample.segments[1].flags = R), Err(ElfError::Entry(TEXT)));
    for entry in [0, DATA, TEXT - 1, TEXT + 0x100, u64::MAX] {
        assert_eq!(change(|sample| sample.entry = entry), Err(ElfError::Entry(entry)));
    }
    assert_eq!(change(|sample| sample.segments[2].flags = RW), Ok(()));
    assert_eq!(change(|sample| sample.segments[2].flags = RX), Ok(()));
}

#[test]
fn segments_are_few() {
    assert_eq!(
        change(|sample| sample.segments.iter_mut().for_each(|one| one.kind = 0)),
        Err(ElfError::Count)
    );
    let many = |count: u64| {
        change(|sample| {
            for number in 0..count {
                let mut more = sample.segments[0];
                (more.address, more.memory_size) = (0x50_0000 + number * 0x1000, 1);
                sample.segments.push(more);
            }
        })
    };
    assert_eq!(many(2), Ok(()));
    assert_eq!(many(MAX_SEGMENTS as u64 - 3), Err(ElfError::Count));
    assert_eq!(many(100), Err(ElfError::Headers));
}

#[test]
fn the_note_is_needed() {
    let with = |bytes: Vec<u8>| {
        change(|sample| {
            let note = sample.section(".note.selkie");
            (note.address, note.data) = (0x41_0000, bytes);
        })
    };
    let json = manifest(DIGEST, "k");
    assert_eq!(with(note(b"selkie\0", 1, json.as_bytes())), Ok(()));
    assert_eq!(change(|sample| sample.section(".note.selkie").name = ".note.other"), Err(ElfError::Note));
    for bad in [
        Vec::new(),
        vec![0; 11],
        vec![0xff; 64],
        note(b"selkie\0", 2, json.as_bytes()),
        note(b"seal\0", 1, json.as_bytes()),
        note(b"selkie\0", 1, b""),
        note(b"selkie\0", 1, b"{}"),
        note(b"selkie\0", 1, json.replace("\"format\":1", "\"format\":2").as_bytes()),
        note(b"selkie\0", 1, json.replace("abab", "abag").as_bytes()),
        note(b"selkie\0", 1, json.replace("abab", "ab").as_bytes()),
        note(b"selkie\0", 1, json.replace("\"interface\"", "\"face\"").as_bytes()),
        note(b"selkie\0", 1, "[".repeat(60_000).as_bytes()),
        note(b"selkie\0", 1, "{\"a\":".repeat(10_000).as_bytes()),
    ] {
        assert_eq!(with(bad.clone()), Err(ElfError::Note), "{:?}", String::from_utf8_lossy(&bad));
    }
    let memory = json.replace("\"qemu\":67108864", "\"process\":8388608,\"qemu\":67108864");
    let file = {
        let mut sample = Sample::good();
        let section = sample.section(".note.selkie");
        (section.address, section.data) = (0x41_0000, note(b"selkie\0", 1, memory.as_bytes()));
        sample.bytes()
    };
    let note = RootTask::parse(&file).expect("it is good").note();
    assert_eq!(note.expect("it has one").memory, Some(8 << 20));
}

#[test]
fn without_a_list_of_sites_there_are_none() {
    let mut sample = Sample::good();
    sample.section(".sel4_sites").name = ".other";
    assert_eq!(RootTask::parse(&sample.bytes()).expect("it is good").sites().len(), 0);
    let mut cut = Sample::good();
    cut.section(".sel4_sites").data.truncate(7);
    assert_eq!(RootTask::parse(&cut.bytes()).expect("it is good").sites().len(), 0);
}

/// What holds for every root task that the parser lets through.
fn check(file: &[u8]) -> bool {
    let Ok(root_task) = RootTask::parse(file) else { return false };
    let segments = root_task.segments();
    assert!((1..=MAX_SEGMENTS).contains(&segments.len()));
    let mut end = 0x1_0000;
    for segment in segments {
        let pages = segment.pages();
        assert!(pages.start >= end && pages.start <= segment.address && pages.end < 1 << 31);
        assert!(segment.memory_size > 0 && segment.file_size <= segment.memory_size);
        assert!(segment.file_size == 0 || segment.offset + segment.file_size <= file.len() as u64);
        if segment.access != Access::ReadWrite {
            assert_eq!(segment.offset % 4096, segment.address % 4096);
            assert_eq!(segment.file_size, segment.memory_size);
        }
        end = pages.end;
    }
    assert_eq!(root_task.image(), segments[0].pages().start..end);
    assert!(root_task.image().contains(&root_task.entry));
    assert!(root_task.sites().len() <= file.len() / 8);
    root_task.note().is_ok_and(|note| note.config.len() <= file.len())
}

#[test]
fn no_damage_makes_the_reader_panic_or_lie() {
    let good = Sample::good().bytes();
    let mut random = Random(1);
    let mut passed = 0;
    let interesting = [
        0,
        1,
        2,
        7,
        56,
        63,
        64,
        0xfff,
        0x1000,
        0x7fff_ffff,
        0x8000_0000,
        u64::MAX,
        1 << 63,
        u64::MAX - 0xfff,
    ];
    for _ in 0..60_000 {
        let mut file = good.clone();
        for _ in 0..1 + random.below(4) {
            // Half of the damage hits headers: of the file, of segments, of sections.
            let table = u64::from_le_bytes(good[40..48].try_into().expect("8 bytes")) as usize;
            let at = match random.below(6) {
                0 => random.below(64),
                1 => 64 + random.below(6 * 56),
                2 => table + random.below(good.len() - table),
                3 => 0x2600 + random.below(0x400),
                _ => random.below(good.len()),
            };
            match random.below(4) {
                0 => file[at] ^= 1 << random.below(8),
                1 => file[at] = random.next() as u8,
                2 => {
                    let word = interesting[random.below(interesting.len())].to_le_bytes();
                    let at = at & !7;
                    let size = word.len().min(file.len() - at);
                    file[at..at + size].copy_from_slice(&word[..size]);
                }
                _ => {
                    let word = (interesting[random.below(interesting.len())] as u32).to_le_bytes();
                    let at = at & !3;
                    let size = word.len().min(file.len() - at);
                    file[at..at + size].copy_from_slice(&word[..size]);
                }
            }
        }
        if random.below(20) == 0 {
            file.truncate(random.below(good.len()));
        }
        passed += usize::from(check(&file));
    }
    // Some damage must get past the parser, or the checks above saw nothing.
    assert!(passed > 1_000, "{passed}");
}

#[test]
fn every_cut_and_every_bit_of_the_headers() {
    let good = Sample::good().bytes();
    for size in 0..good.len() {
        check(&good[..size]);
    }
    let table = u64::from_le_bytes(good[40..48].try_into().expect("8 bytes")) as usize;
    for at in (0..64 + 6 * 56).chain(table..good.len()) {
        for bit in 0..8 {
            let mut file = good.clone();
            file[at] ^= 1 << bit;
            check(&file);
        }
    }
    assert!(check(&good));
}

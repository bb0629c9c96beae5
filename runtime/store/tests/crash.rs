//! Whatever is left of the writes that were not flushed, all that was acknowledged is there, and the file system is whole.
//!
//! A disk remembers what was asked of it while clients write. From that, disks are made as a crash could leave them:
//! whatever was flushed is there, and of what was not flushed any part, in pieces of any number of sectors, some of them
//! with other bytes than were ever written. A write of one sector alone is there or not: that is what formatting needs.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod common;

use common::{Asked, MEMORY, RANDOM, Ram, Random, block_on, open, pause, program, run_all, skip, with};
use selkie_store::{Condition, SECTOR, Store};
use std::{cell::RefCell, collections::BTreeMap, fs, process::Command};

const DISK: usize = 2 << 20;
const CLIENTS: usize = 5;
const KEYS: usize = 6;

/// What a client did: from when on it may, and from when on it must be seen.
#[derive(Debug, Clone)]
struct Done {
    key: String,
    value: Option<Vec<u8>>,
    begun: usize,
    acknowledged: usize,
}

/// What happened to a disk and what was promised meanwhile.
struct History {
    disk: Ram,
    done: Vec<Done>,
}

/// Formats a disk, and has clients write to it.
fn record(seed: u64, writes: usize, without_flush: bool) -> History {
    let disk = Ram { without_flush, ..Ram::new(vec![0; DISK]) };
    let done = RefCell::new(Vec::new());
    let store = block_on(Store::open(&disk, RANDOM, MEMORY)).unwrap();
    let client = async |number: usize| {
        let mut random = Random(seed << 8 | number as u64);
        for _ in 0..writes {
            let key = format!("client {number}/{}", random.below(KEYS));
            let size = if random.below(20) == 0 { 60_000 } else { random.below(6000) };
            let byte = random.next() as u8;
            let value = (random.below(8) > 0).then(|| vec![byte; size]);
            let begun = disk.tick();
            let outcome = match &value {
                Some(value) => store.put(&key, value.clone(), Condition::Any).await,
                None => store.delete(&key, Condition::Any).await,
            };
            let acknowledged = if outcome.is_ok() { disk.tick() } else { usize::MAX };
            done.borrow_mut().push(Done { key, value, begun, acknowledged });
            pause().await;
        }
    };
    let mut random = Random(seed);
    run_all(&mut random, store.run(), (0..CLIENTS).map(|number| Box::pin(client(number)) as _).collect());
    assert!(store.stats().moves > 1, "the files change: {:?}", store.stats());
    assert!(without_flush || store.stats().batches < store.stats().writes, "writes share a flush");
    drop(store);
    History { disk, done: done.into_inner() }
}

/// How much a crash leaves of what was not flushed.
#[derive(Debug, Clone, Copy)]
enum Left {
    Nothing,
    All,
    Parts,
}

impl History {
    /// The moments just before and after each flush.
    fn flushes(&self) -> Vec<usize> {
        let asked = self.disk.asked.borrow();
        let flushes = asked.iter().filter_map(|asked| match asked {
            Asked::Flush { done, .. } => Some([*done - 1, *done]),
            Asked::Write { .. } => None,
        });
        flushes.flatten().collect()
    }

    /// The disk after a crash at `moment`.
    fn crash(&self, moment: usize, left: Left, random: &mut Random) -> Vec<u8> {
        let asked = self.disk.asked.borrow();
        let flushed = asked.iter().filter_map(|asked| match asked {
            Asked::Flush { begun, done } if *done <= moment => Some(*begun),
            _ => None,
        });
        let flushed = flushed.max().unwrap_or(0);
        let mut disk = vec![0; DISK];
        for asked in asked.iter() {
            let Asked::Write { sector, bytes, begun, done } = asked else { continue };
            if *begun > moment {
                continue;
            }
            let at = *sector as usize * SECTOR;
            let place = &mut disk[at..at + bytes.len()];
            let lasts = *done <= flushed;
            match left {
                _ if lasts => place.copy_from_slice(bytes),
                Left::Nothing => {}
                Left::All => place.copy_from_slice(bytes),
                Left::Parts => tear(place, bytes, random),
            }
        }
        disk
    }

    /// What is wrong with what `store` has after a crash at `moment`.
    fn wrong<B: selkie_store::Block>(&self, store: &Store<B>, moment: usize) -> Option<String> {
        // The value that must be there, or one that was on its way.
        let mut allowed: BTreeMap<&str, Vec<Option<&[u8]>>> = BTreeMap::new();
        for done in self.done.iter().filter(|done| done.begun <= moment) {
            let allowed = allowed.entry(&done.key).or_insert_with(|| vec![None]);
            if done.acknowledged <= moment {
                allowed.clear();
            }
            allowed.push(done.value.as_deref());
        }
        for (key, allowed) in allowed {
            let found = match block_on(store.get(key)) {
                Ok(found) => found.map(|value| value.bytes),
                Err(error) => return Some(format!("`{key}`: {error}")),
            };
            if !allowed.contains(&found.as_deref()) {
                let (length, expected) = (found.map(|value| value.len()), allowed.len());
                return Some(format!("`{key}`: {length:?} bytes, none of {expected} that may be there"));
            }
        }
        None
    }
}

/// Some sectors of a write are there, some are not, and one may be neither.
fn tear(place: &mut [u8], bytes: &[u8], random: &mut Random) {
    let whole = random.below(3);
    if whole < 2 || bytes.len() == SECTOR {
        if whole > 0 {
            place.copy_from_slice(bytes);
        }
        return;
    }
    for (place, bytes) in place.chunks_mut(SECTOR).zip(bytes.chunks(SECTOR)) {
        match random.below(16) {
            0 if !bytes.iter().all(|byte| *byte == 0) => place.fill(random.next() as u8 | 1),
            0..8 => place.copy_from_slice(bytes),
            _ => {}
        }
    }
}

/// What fsck says of a disk that has a file system; none when it is clean.
fn fsck(program: &std::path::Path, folder: &std::path::Path, disk: &[u8]) -> Option<String> {
    let file = folder.join("disk");
    fs::write(&file, disk).unwrap();
    let output = Command::new(program).arg("-n").arg(&file).output().unwrap();
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether the first sector is a whole one of a FAT file system; until it is, the disk is being formatted.
fn has_file_system(disk: &[u8]) -> bool {
    disk[510..512] == [0x55, 0xaa] && disk[3..11] == *b"HADRISFT"
}

/// Says so where no program checks the file systems of `test`'s disks.
fn needs_fsck(test: &str) {
    if program("fsck.fat").is_none() {
        skip(
            test,
            "fsck.fat is not installed (Debian: dosfstools), so nothing checked the disks' file systems",
        );
    }
}

/// Makes `count` disks from a history; returns what is wrong with the first that something is wrong with.
fn check(history: &History, seed: u64, count: usize) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let fsck_fat = program("fsck.fat");
    let mut random = Random(seed);
    let (flushes, end) = (history.flushes(), history.disk.clock.get());
    let mut formatted = 0;
    for number in 0..count {
        let point = flushes.get(number * flushes.len() / count.max(1));
        let (moment, left) = match (number % 2, point) {
            // Every flush is one of them when there are enough.
            (0, Some(moment)) => (*moment, [Left::Nothing, Left::Parts, Left::All][random.below(3)]),
            _ => (random.below(end), Left::Parts),
        };
        let failed = |what: String| Err(format!("disk {number}, after {moment} of {end}, {left:?}: {what}"));
        let image = history.crash(moment, left, &mut random);
        if has_file_system(&image) {
            formatted += 1;
            if let Some(program) = &fsck_fat
                && let Some(said) = fsck(program, folder.path(), &image)
            {
                return failed(format!("fsck.fat: {said}"));
            }
        }
        let disk = Ram::new(image);
        let store = match open(&disk) {
            Ok(store) => store,
            Err(error) => return failed(error.to_string()),
        };
        if let Some(wrong) = history.wrong(&store, moment) {
            return failed(wrong);
        }
        // It goes on, and what was there stays.
        let more = with(&store, store.put("more", vec![1; 5000], Condition::Any));
        if let Err(error) = more {
            return failed(format!("a further write: {error}"));
        }
        drop(store);
        let disk = Ram::new(disk.bytes.take());
        match open(&disk) {
            Err(error) => return failed(format!("again: {error}")),
            Ok(store) => {
                if let Some(wrong) = history.wrong(&store, moment) {
                    return failed(format!("again: {wrong}"));
                }
                if !matches!(block_on(store.get("more")), Ok(Some(_))) {
                    return failed("what was written after the crash is gone".into());
                }
            }
        }
    }
    assert!(formatted > count / 2, "most disks have a file system: {formatted} of {count}");
    Ok(())
}

#[test]
fn no_crash_loses_what_was_acknowledged() {
    check(&record(1, 60, false), 1, 100).unwrap();
    needs_fsck("no_crash_loses_what_was_acknowledged");
}

#[test]
#[ignore = "long: a thousand disks"]
fn none_of_a_thousand_crashes_loses_what_was_acknowledged() {
    for seed in 2..4 {
        check(&record(seed, 90, false), seed, 500).unwrap();
    }
    needs_fsck("none_of_a_thousand_crashes_loses_what_was_acknowledged");
}

#[test]
fn a_store_that_does_not_flush_is_found_out() {
    let mut history = record(1, 60, true);
    // The file system lasts: it is the data that is looked at.
    let made = history.done.iter().map(|done| done.begun).min().unwrap() - 1;
    history.disk.asked.get_mut().push(Asked::Flush { begun: made, done: made });
    check(&history, 1, 100).unwrap_err();
}

#[test]
fn a_store_that_changes_files_before_the_other_one_lasts_is_found_out() {
    let history = record(1, 60, false);
    let is_head = |asked: Option<&Asked>| matches!(asked, Some(Asked::Write { bytes, .. }) if bytes.starts_with(b"SELKIEKV") && bytes.len() == 4096);
    let mut asked = history.disk.asked.borrow_mut();
    // The first head is written while the disk is formatted.
    let heads: Vec<usize> = (0..asked.len()).filter(|number| is_head(asked.get(*number))).skip(1).collect();
    let moments: Vec<usize> = heads
        .iter()
        .map(|head| match &asked[head + 1] {
            Asked::Flush { begun, .. } => *begun,
            write => panic!("{write:?}"),
        })
        .collect();
    for head in heads.into_iter().rev() {
        assert!(matches!(asked.remove(head - 1), Asked::Flush { .. }));
    }
    drop(asked);
    let mut random = Random(1);
    let lost = moments.iter().cycle().take(40).any(|moment| {
        let disk = Ram::new(history.crash(*moment, Left::Parts, &mut random));
        open(&disk).map_or(true, |store| history.wrong(&store, *moment).is_some())
    });
    assert!(lost);
}

#[test]
fn a_disk_that_says_flushed_too_early_is_found_out() {
    // A flush that begins before the write has ended does not cover it.
    let history = record(1, 60, false);
    for asked in history.disk.asked.borrow_mut().iter_mut() {
        if let Asked::Flush { begun, .. } = asked {
            *begun = begun.saturating_sub(2);
        }
    }
    check(&history, 1, 100).unwrap_err();
}

//! What the store does on disks that are whole, full, foreign, damaged, or that fail.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod common;

use common::{MEMORY, RANDOM, Ram, Random, block_on, open, program, skip, with};
use selkie_store::{
    Block, Condition, Error, MAX_KEY, MAX_VALUE, OpenError, SECTOR, Store, Value, log, volume,
};
use std::{cell::Cell, fs, process::Command};

const DISK: usize = 2 << 20;

fn empty() -> Ram {
    Ram::new(vec![0; DISK])
}

fn put<B: Block>(store: &Store<B>, key: &str, value: &[u8]) -> Result<u64, Error> {
    with(store, store.put(key, value.to_vec(), Condition::Any)).map(|written| written.version)
}

fn get<B: Block>(store: &Store<B>, key: &str) -> Option<Vec<u8>> {
    block_on(store.get(key)).unwrap().map(|value| value.bytes)
}

#[test]
fn values_are_there_after_a_restart_with_their_versions() {
    let disk = empty();
    let store = open(&disk).unwrap();
    put(&store, "a", b"one").unwrap();
    put(&store, "empty", b"").unwrap();
    let version = put(&store, "a", b"two").unwrap();
    put(&store, "gone", b"x").unwrap();
    assert!(with(&store, store.delete("gone", Condition::Any)).unwrap().existed);
    assert!(!with(&store, store.delete("gone", Condition::Any)).unwrap().existed);
    let stats = store.stats();
    drop(store);
    let store = open(&disk).unwrap();
    assert_eq!(block_on(store.get("a")), Ok(Some(Value { bytes: b"two".into(), version })));
    assert_eq!((get(&store, "empty"), get(&store, "gone")), (Some(vec![]), None));
    assert_eq!(store.keys("", "", 10), ["a", "empty"]);
    assert_eq!((store.stats().keys, store.stats().bytes), (stats.keys, stats.bytes));
    assert!(put(&store, "gone", b"y").unwrap() > version + 1, "versions go on");
}

#[test]
fn a_write_is_done_only_on_its_condition() {
    let disk = empty();
    let store = open(&disk).unwrap();
    let put = |value: &[u8], condition| with(&store, store.put("k", value.to_vec(), condition));
    assert_eq!(put(b"1", Condition::Present), Err(Error::Changed));
    let first = put(b"1", Condition::Absent).unwrap();
    assert_eq!(put(b"2", Condition::Absent), Err(Error::Changed));
    let second = put(b"2", Condition::Version(first.version)).unwrap();
    assert_eq!(put(b"3", Condition::Version(first.version)), Err(Error::Changed));
    assert_eq!(with(&store, store.delete("k", Condition::Version(first.version))), Err(Error::Changed));
    assert!(with(&store, store.delete("k", Condition::Version(second.version))).unwrap().existed);
    assert_eq!(get(&store, "k"), None);
}

#[test]
fn writes_that_wait_together_share_a_flush_and_are_done_in_order() {
    let disk = empty();
    let store = open(&disk).unwrap();
    let (one, two) = (Cell::new(None), Cell::new(None));
    let both = async {
        let first = async { one.set(Some(store.put("k", b"1".to_vec(), Condition::Absent).await)) };
        let second = async { two.set(Some(store.put("k", b"2".to_vec(), Condition::Absent).await)) };
        let (mut first, mut second) = (std::pin::pin!(first), std::pin::pin!(second));
        std::future::poll_fn(|cx| {
            let done = [
                first.as_mut().poll(cx).is_ready(),
                one.get().is_none() || second.as_mut().poll(cx).is_ready(),
            ];
            // Both wait before anything is written.
            if one.get().is_none() {
                let _ = second.as_mut().poll(cx);
            }
            if done[0] && two.get().is_some() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    };
    with(&store, both);
    assert!(one.get().unwrap().is_ok());
    assert_eq!(two.get(), Some(Err(Error::Changed)));
    assert_eq!((store.stats().batches, store.stats().writes), (1, 1));
}

#[test]
fn a_full_disk_refuses_values_and_still_deletes_and_replaces() {
    let disk = empty();
    let store = open(&disk).unwrap();
    let mut keys = 0;
    while put(&store, &format!("{keys}"), &[7; 50_000]).is_ok() {
        keys += 1;
    }
    assert!(keys > 5, "{keys}");
    for round in 0..40 {
        assert_eq!(put(&store, "more", &[7; 50_000]), Err(Error::Full), "{round}");
        put(&store, "0", &[round; 50_000]).unwrap();
    }
    assert!(store.stats().moves > 2, "{:?}", store.stats());
    assert!(with(&store, store.delete("1", Condition::Any)).unwrap().existed);
    put(&store, "more", &[7; 50_000]).unwrap();
    drop(store);
    let store = open(&disk).unwrap();
    assert_eq!(get(&store, "0"), Some(vec![39; 50_000]));
    assert_eq!((get(&store, "1"), get(&store, "more")), (None, Some(vec![7; 50_000])));
}

#[test]
fn keys_take_no_more_memory_than_they_may() {
    let disk = empty();
    let store = block_on(Store::open(&disk, RANDOM, 2000)).unwrap();
    let mut keys = 0;
    while put(&store, &format!("{keys}"), b"").is_ok() {
        keys += 1;
    }
    assert!((5..15).contains(&keys), "{keys}");
    assert_eq!(put(&store, "more", b""), Err(Error::Full));
    put(&store, "0", b"replaced").unwrap();
}

#[test]
fn what_cannot_be_a_key_or_is_too_large_is_refused() {
    let disk = empty();
    let store = open(&disk).unwrap();
    assert_eq!(put(&store, "", b""), Err(Error::BadKey));
    assert_eq!(put(&store, &"k".repeat(MAX_KEY + 1), b""), Err(Error::BadKey));
    assert_eq!(put(&store, "k", &vec![0; MAX_VALUE + 1]), Err(Error::TooLarge));
    put(&store, &"k".repeat(MAX_KEY), &vec![1; MAX_VALUE]).unwrap();
    assert_eq!(get(&store, &"k".repeat(MAX_KEY)), Some(vec![1; MAX_VALUE]));
}

#[test]
fn a_disk_that_fails_is_told_and_harms_nothing() {
    for lies in [false, true] {
        for fail in (0..58).step_by(3) {
            let disk = empty();
            let store = open(&disk).unwrap();
            let mut random = Random(fail as u64);
            let mut known = std::collections::BTreeMap::new();
            let mut maybe = std::collections::BTreeMap::new();
            disk.lies.set(lies);
            for round in 0..120 {
                if round == fail * 2 {
                    let which = [&disk.writes_left, &disk.flushes_left][random.below(2)];
                    which.set(Some(random.below(3)));
                }
                if round == fail * 2 + 4 {
                    disk.writes_left.set(None);
                    disk.flushes_left.set(None);
                }
                let (key, value) = (format!("{}", random.below(8)), vec![round as u8; random.below(40_000)]);
                match put(&store, &key, &value) {
                    Ok(_) => {
                        maybe.remove(&key);
                        known.insert(key, value);
                    }
                    Err(error) => {
                        assert_eq!(error, Error::Disk);
                        maybe.entry(key).or_insert_with(Vec::new).push(value);
                    }
                }
            }
            assert!(store.stats().moves > 0);
            for (key, value) in &known {
                assert_eq!(get(&store, key).as_ref(), Some(value), "a failed write is not seen");
            }
            drop(store);
            let store = open(&disk).unwrap();
            for (key, value) in &known {
                let found = get(&store, key);
                let other = maybe
                    .get(key)
                    .is_some_and(|values| values.iter().any(|value| found.as_ref() == Some(value)));
                assert!(other || found.as_ref() == Some(value), "{lies} {fail} {key}");
            }
        }
    }
}

#[test]
fn what_is_no_disk_of_ours_is_left_as_it_is() {
    let foreign = |change: &dyn Fn(&mut [u8])| {
        let mut bytes = vec![0; DISK];
        change(&mut bytes);
        let disk = Ram::new(bytes.clone());
        let error = open(&disk).map(drop).unwrap_err();
        assert_eq!(*disk.bytes.borrow(), bytes, "nothing was written");
        error
    };
    // ext4 leaves its first 1024 bytes alone; partitions; text.
    assert_eq!(
        foreign(&|disk| disk[1024 + 56..1024 + 58].copy_from_slice(&[0x53, 0xef])),
        OpenError::Foreign
    );
    assert_eq!(foreign(&|disk| disk[510..512].copy_from_slice(&[0x55, 0xaa])), OpenError::Foreign);
    assert_eq!(foreign(&|disk| disk[..5].copy_from_slice(b"hello")), OpenError::Foreign);
    for size in [0, 512, 128 << 10, 1 << 20] {
        assert_eq!(open(Ram::new(vec![0; size])).map(drop).unwrap_err(), OpenError::Small, "{size}");
    }
}

#[test]
fn damage_of_what_was_acknowledged_is_told_and_nothing_is_written() {
    let disk = empty();
    let store = open(&disk).unwrap();
    for key in 0..20 {
        put(&store, &format!("{key}"), &[key; 3000]).unwrap();
    }
    let place = store_place(&disk);
    drop(store);
    let good = disk.bytes.take();
    for block in 0..20 {
        let mut bytes = good.clone();
        bytes[place + block * log::BLOCK + 40] ^= 1;
        let disk = Ram::new(bytes.clone());
        let opened = open(&disk);
        match block {
            // A batch that is the last may be one that was never acknowledged.
            20 => assert!(opened.is_ok()),
            _ => assert_eq!(opened.map(drop), Err(OpenError::Damaged), "block {block}"),
        }
        assert_eq!(*disk.bytes.borrow(), bytes);
    }
    // While it runs, it is told by the value's sum.
    let disk = Ram::new(good);
    let store = open(&disk).unwrap();
    disk.bytes.borrow_mut()[place + 5 * log::BLOCK + 2000] ^= 1;
    assert_eq!(block_on(store.get("4")), Err(Error::Damaged));
    assert!(block_on(store.get("5")).is_ok());
}

/// Where the file that counts begins on a disk.
fn store_place(disk: &Ram) -> usize {
    let files = block_on(volume::open(disk, |_| unreachable!())).unwrap();
    assert!(!files.fresh);
    files.places[0].start as usize * SECTOR
}

#[test]
fn hostile_bytes_in_the_files_end_in_an_error_or_in_a_store() {
    let disk = empty();
    let store = open(&disk).unwrap();
    for key in 0..6 {
        put(&store, &format!("{key}"), &[key; 300]).unwrap();
    }
    let place = store_place(&disk);
    drop(store);
    let good = disk.bytes.take();
    let mut random = Random(7);
    for _ in 0..400 {
        let mut bytes = good.clone();
        for _ in 0..=random.below(3) {
            let at = [random.below(6000), place + random.below(8 * log::BLOCK)][random.below(2)];
            bytes[at] = random.next() as u8;
        }
        if let Ok(store) = open(Ram::new(bytes)) {
            let _ = put(&store, "k", b"v");
        }
    }
}

#[test]
fn a_value_that_looks_like_a_batch_is_none() {
    let disk = empty();
    let store = open(&disk).unwrap();
    put(&store, "real", b"1").unwrap();
    // The attacker knows all but the salt; the value is where a batch would be when the one before it is torn.
    let which = log::Which { generation: 1, salt: 0, sequence: 2 };
    let mut batch = log::Batch::new();
    batch.add("forged", Some(b"!"), 9);
    let mut value = vec![0; log::BLOCK - log::BATCH_HEAD - log::RECORD_HEAD - 1];
    value.extend(batch.finish(which));
    put(&store, "v", &value).unwrap();
    let place = store_place(&disk);
    drop(store);
    // The second batch is torn, and a short one takes its place.
    disk.bytes.borrow_mut()[place + 2 * log::BLOCK] ^= 1;
    let store = open(&disk).unwrap();
    put(&store, "short", b"2").unwrap();
    drop(store);
    let store = open(&disk).unwrap();
    assert_eq!((get(&store, "forged"), get(&store, "short")), (None, Some(b"2".to_vec())));
}

#[test]
fn a_disk_that_the_host_has_formatted_keeps_its_files() {
    formatted_by_the_host("a_disk_that_the_host_has_formatted_keeps_its_files", "12", 4 << 20);
    formatted_by_the_host("a_disk_that_the_host_has_formatted_keeps_its_files", "16", 9 << 20);
}

#[test]
#[ignore = "long: FAT32 has many clusters"]
fn a_disk_with_fat32_that_the_host_has_formatted_keeps_its_files() {
    formatted_by_the_host("a_disk_with_fat32_that_the_host_has_formatted_keeps_its_files", "32", 40 << 20);
}

fn formatted_by_the_host(test: &str, bits: &str, size: usize) {
    let tools = ["mkfs.fat", "fsck.fat", "mcopy", "mdel"].map(program);
    let [Some(mkfs), Some(fsck), Some(mcopy), Some(mdel)] = tools else {
        let reason = "mkfs.fat and fsck.fat (Debian: dosfstools), mcopy and mdel (mtools) are needed";
        return skip(test, reason);
    };
    let run = |program: &std::path::Path, args: &[&str]| {
        let output = Command::new(program).args(args).output().unwrap();
        assert!(output.status.success(), "{program:?} {args:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk");
    let file = image.to_str().unwrap();
    fs::write(&image, vec![0; size]).unwrap();
    run(&mkfs, &["-F", bits, file]);
    let note = folder.path().join("a long name.txt");
    fs::write(&note, "the host's own").unwrap();
    run(&mcopy, &["-i", file, note.to_str().unwrap(), "::"]);
    let disk = Ram::new(fs::read(&image).unwrap());
    let store = open(&disk).unwrap();
    put(&store, "k", &[5; 30_000]).unwrap();
    drop(store);
    fs::write(&image, &*disk.bytes.borrow()).unwrap();
    run(&fsck, &["-n", file]);
    assert_eq!(run(&mcopy, &["-i", file, "::a long name.txt", "-"]), "the host's own");
    let again = open(&disk).unwrap();
    assert_eq!(get(&again, "k"), Some(vec![5; 30_000]), "FAT{bits}");
    drop(again);
    // One file alone may have what the other one lacks.
    run(&mdel, &["-i", file, "::KV1.LOG"]);
    let disk = Ram::new(fs::read(&image).unwrap());
    assert_eq!(open(&disk).map(drop), Err(OpenError::Half));
}

#[test]
fn disks_of_all_sizes_are_formatted_so_that_the_host_can_check_them() {
    let Some(fsck) = program("fsck.fat") else {
        let test = "disks_of_all_sizes_are_formatted_so_that_the_host_can_check_them";
        return skip(test, "fsck.fat is not installed (Debian: dosfstools)");
    };
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk");
    for mib in [2, 3, 15, 16, 17, 64, 127, 128, 256] {
        let disk = Ram::new(vec![0; mib << 20]);
        let store =
            block_on(Store::open(&disk, RANDOM, MEMORY)).unwrap_or_else(|error| panic!("{mib} MiB: {error}"));
        put(&store, "k", b"v").unwrap();
        let capacity = store.stats().capacity;
        assert!(capacity > (mib as u64) << 18 || capacity > 50 << 20, "{mib} MiB: {capacity}");
        drop(store);
        fs::write(&image, &*disk.bytes.borrow()).unwrap();
        let output = Command::new(&fsck).arg("-n").arg(&image).output().unwrap();
        assert!(output.status.success(), "{mib} MiB: {output:?}");
    }
}

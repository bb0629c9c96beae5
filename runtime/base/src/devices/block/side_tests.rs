//! Both sides of a disk together, with drives that behave well and sides that do not.

use super::*;
use crate::devices::{
    BrokenRing,
    buffers::BUFFER,
    queue::{LINES, QueuePlace},
};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::collections::HashMap;

const BLOCK: Block = Block { sectors: 4096, read_only: false, layout: Layout::new(3, 14) };

fn region() -> Vec<AtomicU64> {
    (0..BLOCK.layout.size() / 8).map(|_| AtomicU64::new(0)).collect()
}

/// Numbers as good as random, the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// A drive with little room that finishes things in any order, and fails some.
struct FourAtOnce {
    numbers: Numbers,
    open: HashMap<u16, Entry>,
    /// It answers with tokens that are wrong.
    wild: bool,
    /// What it was asked for, and whether it went well.
    done: Vec<(Entry, bool)>,
}

impl FourAtOnce {
    fn new(seed: u64, wild: bool) -> Self {
        Self { numbers: Numbers(seed), open: HashMap::new(), wild, done: Vec::new() }
    }
}

impl Drive for FourAtOnce {
    fn begin(&mut self, request: &Entry) -> Option<u16> {
        assert!(BLOCK.takes(request));
        let token = (0..4).find(|token| !self.open.contains_key(token))?;
        self.open.insert(token, *request);
        Some(token)
    }

    fn done(&mut self, request: impl FnOnce(u16) -> Option<Entry>) -> Option<(u16, bool)> {
        if self.wild && self.numbers.below(2) == 0 {
            return Some((self.numbers.below(1 << 16) as u16, true));
        }
        let mut tokens: Vec<u16> = self.open.keys().copied().collect();
        tokens.sort_unstable();
        if tokens.is_empty() || self.numbers.below(3) == 0 {
            return None;
        }
        let token = tokens[self.numbers.below(tokens.len() as u64) as usize];
        let known = self.open.remove(&token)?;
        assert!(self.wild || request(token) == Some(known));
        let good = self.numbers.below(8) > 0;
        self.done.push((known, good));
        Some((token, good))
    }
}

#[test]
fn every_request_gets_its_own_answer_and_no_buffer_is_lost() {
    for seed in 1..40 {
        let region = region();
        let mut function = BlockFunction::new(&region, BLOCK).unwrap();
        let mut host = BlockHost::new(&region, BLOCK).unwrap();
        let mut drive = FourAtOnce::new(seed, false);
        let mut numbers = Numbers(seed + 100);
        let (mut open, mut answered, mut left) = (Vec::new(), 0, 0);
        for _ in 0..2000 {
            let length = 512 * (1 + numbers.below(20)) as u32;
            if let Some(room) = function.room(length) {
                assert!(room.len() as u32 == length || (room.len() as u32).is_multiple_of(BUFFER));
                let id = match numbers.below(3) {
                    0 => function.flush(),
                    code => function.submit(code as u32 - 1, numbers.below(4000), room),
                };
                open.push(id.unwrap());
            }
            if numbers.below(8) == 0 && !open.is_empty() {
                // Somebody stops waiting.
                function.release(open.swap_remove(numbers.below(open.len() as u64) as usize));
                left += 1;
            }
            host.work(&mut drive);
            while let Some(id) = function.take().unwrap() {
                let at = open.iter().position(|other| *other == id).unwrap();
                open.swap_remove(at);
                let (code, _) = function.answer(id).unwrap();
                assert!(code == status::DONE || code == status::FAILED);
                function.release(id);
                assert_eq!(function.answer(id), None);
                answered += 1;
            }
        }
        while !drive.open.is_empty() || function.has_something() {
            host.work(&mut drive);
            while let Some(id) = function.take().unwrap() {
                function.release(id);
                answered += 1;
            }
        }
        assert_eq!(drive.done.len(), answered + left);
        assert!(answered > 100 && left > 10);
        // All buffers are free again: a request of all of them has room.
        assert_eq!(function.room(14 * BUFFER).map(|room| room.len()), Some(14 * BUFFER as usize));
    }
}

#[test]
fn two_requests_never_have_the_same_buffer_and_a_full_disk_has_no_room() {
    let region = region();
    let mut function = BlockFunction::new(&region, BLOCK).unwrap();
    let mut taken = Vec::new();
    while let Some(room) = function.room(5 * 512) {
        function.submit(operation::READ, 0, room.clone()).unwrap();
        assert!(
            taken
                .iter()
                .all(|other: &core::ops::Range<u32>| { room.end <= other.start || other.end <= room.start })
        );
        taken.push(room);
    }
    // Fourteen buffers, two for each.
    assert_eq!(taken.len(), 7);
    assert!(function.flush().is_some(), "a flush needs no buffer");
    assert_eq!((function.room(512), function.flush()), (None, None), "the ring is full");
}

#[test]
fn what_is_no_request_is_refused_by_both_sides() {
    let region = region();
    let mut function = BlockFunction::new(&region, BLOCK).unwrap();
    let room = function.room(1024).unwrap();
    assert_eq!(function.submit(operation::READ, 4095, room.clone()), None);
    assert_eq!(function.submit(7, 0, room.clone()), None);
    assert_eq!(function.submit(operation::FLUSH, 0, room), None);
    // A function that does not look.
    let [place] = BLOCK.layout.queues();
    let mut wild = crate::devices::queue::FunctionSide::new(&region, place).unwrap();
    let mut host = BlockHost::new(&region, BLOCK).unwrap();
    let bad = Entry { offset: BLOCK.layout.buffers, length: 512, sector: 4096, id: 9, ..Entry::default() };
    assert!(wild.submit(bad));
    let mut drive = FourAtOnce::new(1, false);
    wild.set_waits(true);
    assert!(host.work(&mut drive), "it waits, and is signalled");
    assert_eq!(wild.take(), Ok(Some(Entry { code: status::REFUSED, ..bad })));
    assert!(drive.open.is_empty());
}

#[test]
fn a_broken_queue_is_not_used_again() {
    let region = region();
    let mut host = BlockHost::new(&region, BLOCK).unwrap();
    let mut drive = FourAtOnce::new(1, false);
    region[0].store(100, Relaxed);
    host.work(&mut drive);
    assert!(host.is_broken());
    region[0].store(0, Relaxed);
    assert!(!host.work(&mut drive) && host.is_broken());
    // The host answers what was not asked, or something else than was asked.
    let answers = (LINES + QueuePlace::rings_size(3) / 2) as usize / 8;
    for (id, offset) in [(1u64, 0u64), (0, 512), (u64::from(u32::MAX), 0)] {
        let region = self::region();
        let mut function = BlockFunction::new(&region, BLOCK).unwrap();
        assert_eq!(function.flush(), Some(0));
        region[answers].store(offset, Relaxed);
        region[answers + 1].store(id << 32, Relaxed);
        region[8].store(1, Relaxed);
        assert_eq!(function.take(), Err(BrokenRing), "{id} {offset}");
    }
}

#[test]
fn a_drive_that_makes_things_up_harms_nobody() {
    for seed in 1..20 {
        let region = region();
        let mut function = BlockFunction::new(&region, BLOCK).unwrap();
        let mut host = BlockHost::new(&region, BLOCK).unwrap();
        let mut drive = FourAtOnce::new(seed, true);
        for _ in 0..500 {
            if let Some(room) = function.room(512) {
                function.submit(operation::READ, 0, room);
            }
            host.work(&mut drive);
            while let Ok(Some(id)) = function.take() {
                function.release(id);
            }
        }
    }
}

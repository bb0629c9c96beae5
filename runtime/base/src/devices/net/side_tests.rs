//! Both sides of a network together, with cards that behave well and cards and sides that do not.

use super::*;
use crate::devices::queue::{ENTRY, LINES};
use core::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};
use std::collections::{HashMap, VecDeque};

const NET: Net = Net { mac: [2, 0, 0, 0, 0, 1], mtu: 1500, layout: Layout::new(3, 14) };

fn region() -> Vec<AtomicU64> {
    (0..NET.layout.size() / 8).map(|_| AtomicU64::new(0)).collect()
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

/// A card with little room that finishes things in any order.
struct Card {
    numbers: Numbers,
    sending: HashMap<u16, Range<u32>>,
    lent: HashMap<u16, Range<u32>>,
    sent: Vec<Range<u32>>,
    /// Lengths of frames that arrive.
    arriving: VecDeque<u32>,
    /// It answers with tokens and frames that are wrong.
    wild: bool,
}

impl Card {
    fn new(seed: u64, wild: bool) -> Self {
        let (sending, lent) = (HashMap::new(), HashMap::new());
        Self { numbers: Numbers(seed), sending, lent, sent: Vec::new(), arriving: VecDeque::new(), wild }
    }

    fn free(map: &HashMap<u16, Range<u32>>) -> Option<u16> {
        (0..4).find(|token| !map.contains_key(token))
    }

    fn any(&mut self, sending: bool) -> Option<u16> {
        let map = if sending { &self.sending } else { &self.lent };
        let mut tokens: Vec<u16> = map.keys().copied().collect();
        tokens.sort_unstable();
        let count = tokens.len() as u64;
        (count > 0 && self.numbers.below(3) > 0).then(|| tokens[self.numbers.below(count) as usize])
    }
}

impl Nic for Card {
    fn transmit(&mut self, frame: Range<u32>, lead: u32) -> Option<u16> {
        assert!(lead >= HEADROOM && NET.frame(frame.start, frame.end - frame.start).is_some());
        let token = Self::free(&self.sending)?;
        self.sent.push(frame.clone());
        self.sending.insert(token, frame);
        Some(token)
    }

    fn transmitted(&mut self, frame: impl FnOnce(u16) -> Option<Range<u32>>) -> Option<(u16, bool)> {
        if self.wild && self.numbers.below(2) == 0 {
            return Some((self.numbers.below(1 << 16) as u16, true));
        }
        let token = self.any(true)?;
        let known = self.sending.remove(&token);
        assert!(self.wild || frame(token) == known);
        Some((token, true))
    }

    fn lend(&mut self, buffer: Range<u32>) -> Option<u16> {
        assert!(NET.layout.holds(buffer.start, BUFFER).is_some() && buffer.len() == BUFFER as usize);
        let token = Self::free(&self.lent)?;
        self.lent.insert(token, buffer);
        Some(token)
    }

    fn received(
        &mut self,
        buffer: impl FnOnce(u16) -> Option<Range<u32>>,
    ) -> Option<(u16, Option<Range<u32>>)> {
        if self.wild && self.numbers.below(2) == 0 {
            let start = self.numbers.below(1 << 32) as u32;
            let end = self.numbers.below(1 << 32) as u32;
            return Some((self.numbers.below(8) as u16, Some(start..end)));
        }
        if self.arriving.is_empty() {
            return None;
        }
        let token = self.any(false)?;
        let known = self.lent.remove(&token)?;
        assert!(self.wild || buffer(token) == Some(known.clone()));
        let length = self.arriving.pop_front()?;
        Some((token, Some(known.start + 12..(known.start + 12).wrapping_add(length))))
    }
}

#[test]
fn frames_go_through_both_ways_and_no_buffer_is_lost() {
    for seed in 1..40 {
        let region = region();
        let mut function = NetFunction::new(&region, NET).unwrap();
        let mut host = NetHost::new(&region, NET).unwrap();
        let mut card = Card::new(seed, false);
        let (mut sent, mut came, mut expected, mut refused) = (0, 0, 0, 0);
        let mut reading = Vec::new();
        for round in 0..2000u32 {
            while let Some(room) = function.room().unwrap() {
                assert_eq!(room.len(), 1514);
                function.send(14 + round % 1500);
                sent += 1;
                if card.numbers.below(2) == 0 {
                    break;
                }
            }
            if card.numbers.below(2) == 0 {
                // One of ten is no frame.
                let good = card.numbers.below(10) > 0;
                card.arriving.push_back(if good { 60 + round % 1000 } else { round % 14 });
                if good { expected += 1 } else { refused += 1 }
            }
            host.work(&mut card);
            while let Some(frame) = function.receive().unwrap() {
                assert!(frame.len() >= 60);
                came += 1;
                reading.push(frame);
            }
            while card.numbers.below(3) == 0
                && let Some(frame) = reading.pop()
            {
                function.give_back(frame);
            }
            reading.drain(..).for_each(|frame| function.give_back(frame));
        }
        for _ in 0..200 {
            host.work(&mut card);
            while let Some(frame) = function.receive().unwrap() {
                came += 1;
                function.give_back(frame);
            }
            let _ = function.room().unwrap();
        }
        assert!(!host.is_broken());
        assert_eq!((came, card.sent.len(), function.dropped()), (expected, sent, refused));
        // All are where they began: half of them lent, half of them free.
        let mut free = 0;
        while function.room().unwrap().is_some() {
            function.send(60);
            free += 1;
        }
        assert_eq!(free, 7);
    }
}

#[test]
fn a_card_that_answers_anything_harms_neither_side() {
    for seed in 1..200 {
        let region = region();
        let mut function = NetFunction::new(&region, NET).unwrap();
        let mut host = NetHost::new(&region, NET).unwrap();
        let mut card = Card::new(seed, true);
        for round in 0..200u32 {
            while function.room().unwrap().is_some() && card.numbers.below(2) == 0 {
                function.send(round * 13);
            }
            card.arriving.push_back(card.numbers.0 as u32);
            host.work(&mut card);
            while let Some(frame) = function.receive().unwrap() {
                assert!(NET.frame(frame.start, frame.end - frame.start).is_some());
                function.give_back(frame);
            }
        }
        assert!(!host.is_broken());
    }
}

#[test]
fn words_of_the_region_that_change_at_random_harm_neither_side() {
    let rings = LINES * 2 + 4 * (ENTRY << NET.layout.bits);
    let mut broken = (0, 0);
    for seed in 1..1000 {
        let region = region();
        let mut function = NetFunction::new(&region, NET).unwrap();
        let mut host = NetHost::new(&region, NET).unwrap();
        let mut card = Card::new(seed, false);
        let mut dead = false;
        for round in 0..60 {
            if round > 20 {
                let word = &region[card.numbers.below(u64::from(rings / 8)) as usize];
                let value = card.numbers.0;
                let values =
                    [value, value & 0xffff, word.load(Relaxed) ^ 1 << (value % 64), word.load(Relaxed) + 1];
                word.store(values[(value >> 20) as usize % 4], Relaxed);
            }
            card.arriving.push_back(100);
            host.work(&mut card);
            // Whatever the words say, a frame lies in a buffer, and the host's card is never handed anything else:
            // `Card` asserts it.
            loop {
                match function.receive() {
                    Ok(Some(frame)) => {
                        assert!(NET.frame(frame.start, frame.end - frame.start).is_some());
                        function.give_back(frame);
                    }
                    Ok(None) => break,
                    Err(_) => {
                        dead = true;
                        break;
                    }
                }
            }
            dead |= function.room().map(|room| room.map(|_| function.send(60))).is_err();
            if dead || host.is_broken() {
                break;
            }
        }
        broken = (broken.0 + u32::from(dead), broken.1 + u32::from(host.is_broken()));
    }
    assert!(broken.0 > 10 && broken.1 > 10, "{broken:?}");
}

#[test]
fn a_side_is_woken_only_when_it_waits_and_there_is_something() {
    let region = region();
    let mut function = NetFunction::new(&region, NET).unwrap();
    let mut host = NetHost::new(&region, NET).unwrap();
    let mut card = Card::new(7, false);
    assert!(!function.must_tell(), "the host is awake");
    host.set_waits(true);
    assert!(!function.must_tell(), "nothing was submitted since");
    assert!(function.room().unwrap().is_some());
    function.send(60);
    assert!(function.must_tell() && !function.must_tell());
    let arrive = |host: &mut NetHost<'_>, card: &mut Card| {
        card.arriving.push_back(60);
        let mut signal = false;
        while !card.arriving.is_empty() {
            signal |= host.work(card);
        }
        signal
    };
    assert!(!arrive(&mut host, &mut card), "the function is awake");
    function.set_waits(true);
    assert!(arrive(&mut host, &mut card));
    function.set_waits(false);
    assert!(!arrive(&mut host, &mut card));
}

#[test]
fn a_function_has_room_until_the_host_has_all_of_it_and_again_when_it_is_done() {
    let region = region();
    let mut function = NetFunction::new(&region, NET).unwrap();
    let mut host = NetHost::new(&region, NET).unwrap();
    let mut card = Card::new(7, false);
    while function.room().unwrap().is_some() {
        assert!(function.has_room());
        function.send(60);
    }
    assert!(!function.has_room() && !function.has_something());
    card.arriving.push_back(60);
    for _ in 0..100 {
        host.work(&mut card);
        assert_eq!(function.has_room(), card.sent.len() > card.sending.len());
    }
    assert!(function.has_room() && function.has_something());
    assert!(function.room().unwrap().is_some());
}

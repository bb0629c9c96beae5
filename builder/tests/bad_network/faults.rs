//! What happens to frames: the same for the same seed, direction and number of a frame.

/// How many of a thousand frames are hurt in which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    /// Frames that come later than those after them.
    pub(crate) delayed: u64,
    /// Frames with a flipped bit.
    pub(crate) damaged: u64,
}

impl Faults {
    pub(crate) const NONE: Self = Self { lost: 0, doubled: 0, delayed: 0, damaged: 0 };
}

/// What happens to one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Passes,
    Lost,
    Doubled,
    /// For so many milliseconds.
    Delayed(u64),
    /// In this bit, of as many as there are.
    Damaged(u64),
}

impl Fate {
    /// Of frame `number` in the direction `direction`.
    pub(crate) fn of(faults: Faults, seed: u64, direction: u64, number: u64) -> Self {
        let mut random = Random::new(seed ^ direction << 63 ^ number << 16);
        let (mut draw, extra) = (random.next() % 1000, random.next());
        let Faults { lost, doubled, delayed, damaged } = faults;
        let fates = [
            (lost, Self::Lost),
            (doubled, Self::Doubled),
            (delayed, Self::Delayed(1 + extra % 50)),
            (damaged, Self::Damaged(extra)),
        ];
        for (share, fate) in fates {
            match draw.checked_sub(share) {
                None => return fate,
                Some(rest) => draw = rest,
            }
        }
        Self::Passes
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }
}

#[test]
fn the_same_seed_gives_the_same_fates() {
    let all = Faults { lost: 100, doubled: 100, delayed: 100, damaged: 100 };
    let fates = |seed| (0..1000).map(|number| Fate::of(all, seed, 0, number)).collect::<Vec<_>>();
    assert_eq!(fates(1), fates(1));
    assert_ne!(fates(1), fates(2));
    let hurt = fates(1).iter().filter(|fate| **fate != Fate::Passes).count();
    assert!((300..500).contains(&hurt), "{hurt}");
    assert!((0..1000).all(|number| Fate::of(Faults::NONE, 1, 1, number) == Fate::Passes));
}

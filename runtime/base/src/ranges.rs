//! Which ranges of addresses are free.

/// At most `N` free ranges. Neighbours are merged.
#[derive(Debug)]
pub struct Ranges<const N: usize> {
    /// In no order; one that ends where it begins is none.
    ranges: [(usize, usize); N],
}

impl<const N: usize> Ranges<N> {
    /// No range at all.
    pub const fn empty() -> Self {
        Self { ranges: [(0, 0); N] }
    }

    /// Takes `size` bytes (more than none) at a multiple of `align` (a power of two) from the first range
    /// that has them.
    pub fn take(&mut self, size: usize, align: usize) -> Option<usize> {
        let fits = |range: &&mut (usize, usize)| {
            let at = range.0.checked_next_multiple_of(align)?;
            range.1.checked_sub(at).filter(|room| *room >= size)
        };
        let fitting = self.ranges.iter_mut().filter(|range| fits(range).is_some());
        let range = fitting.min_by_key(|range| range.0)?;
        let (at, end) = (range.0.next_multiple_of(align), range.1);
        range.1 = at;
        self.give(at + size, end);
        Some(at)
    }

    /// Adds the range `start..end`. When there are `N` ranges already that do not touch it, it is
    /// forgotten: addresses are cheap, and the caller is not left with an error that it cannot act on.
    pub fn give(&mut self, mut start: usize, mut end: usize) {
        if start >= end {
            return;
        }
        for range in &mut self.ranges {
            let (from, to) = *range;
            if from < to && (to == start || from == end) {
                (start, end) = (start.min(from), end.max(to));
                *range = (0, 0);
            }
        }
        if let Some(range) = self.ranges.iter_mut().find(|range| range.0 == range.1) {
            *range = (start, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(of: &[(usize, usize)]) -> Ranges<4> {
        let mut ranges = Ranges::empty();
        of.iter().for_each(|(start, end)| ranges.give(*start, *end));
        ranges
    }

    fn count(ranges: &Ranges<4>) -> usize {
        ranges.ranges.iter().filter(|range| range.0 < range.1).count()
    }

    #[test]
    fn the_lowest_range_with_room_is_used_first() {
        let mut ranges = ranges(&[(50, 60), (10, 20), (30, 45)]);
        assert_eq!(
            (ranges.take(10, 1), ranges.take(10, 1), ranges.take(10, 1)),
            (Some(10), Some(30), Some(50))
        );
        assert_eq!((ranges.take(5, 5), ranges.take(1, 1), count(&ranges)), (Some(40), None, 0));
    }

    #[test]
    fn aligns_and_keeps_what_lies_before() {
        let mut ranges = ranges(&[(0x1000, 0x10000)]);
        assert_eq!(ranges.take(0x2000, 0x4000), Some(0x4000));
        assert_eq!(ranges.take(0x3000, 0x1000), Some(0x1000));
        assert_eq!(ranges.take(0xa001, 0x1000), None);
        assert_eq!(ranges.take(0xa000, 0x1000), Some(0x6000));
        assert_eq!(ranges.take(1, 1), None);
    }

    #[test]
    fn merges_neighbours() {
        let mut ranges = ranges(&[(0, 10), (20, 30), (10, 20)]);
        assert_eq!(count(&ranges), 1);
        assert_eq!(ranges.take(30, 1), Some(0));
    }

    #[test]
    fn forgets_what_it_has_no_room_for() {
        let mut ranges = ranges(&[(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]);
        assert_eq!(count(&ranges), 4);
        ranges.give(1, 2);
        assert_eq!(ranges.take(3, 1), Some(0));
    }

    #[test]
    fn survives_the_end_of_the_address_space() {
        let mut ranges = ranges(&[(usize::MAX - 10, usize::MAX)]);
        assert_eq!(ranges.take(4, 0x1000), None);
    }
}

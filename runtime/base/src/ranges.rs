//! Which ranges of addresses are free.

/// At most `N` free ranges, sorted by address. Neighbours are merged.
#[derive(Debug)]
pub struct Ranges<const N: usize> {
    ranges: [(usize, usize); N],
    len: usize,
}

impl<const N: usize> Ranges<N> {
    /// No range at all.
    pub const fn empty() -> Self {
        Self { ranges: [(0, 0); N], len: 0 }
    }

    /// Takes `size` bytes at a multiple of `align` (a power of two) from the first range that has them.
    pub fn take(&mut self, size: usize, align: usize) -> Option<usize> {
        for index in 0..self.len {
            let (start, end) = self.ranges[index];
            let Some(at) = start.checked_next_multiple_of(align) else { continue };
            if at > end || end - at < size {
                continue;
            }
            self.remove(index);
            self.give(start, at);
            self.give(at + size, end);
            return Some(at);
        }
        None
    }

    /// Adds the range `start..end`. When there are `N` ranges already that do not touch it, it is
    /// forgotten: addresses are cheap, and the caller is not left with an error that it cannot act on.
    pub fn give(&mut self, start: usize, end: usize) {
        if start >= end {
            return;
        }
        let at = self.ranges[..self.len].partition_point(|range| range.0 < start);
        let joins_left = at > 0 && self.ranges[at - 1].1 == start;
        let joins_right = at < self.len && self.ranges[at].0 == end;
        match (joins_left, joins_right) {
            (true, true) => {
                self.ranges[at - 1].1 = self.ranges[at].1;
                self.remove(at);
            }
            (true, false) => self.ranges[at - 1].1 = end,
            (false, true) => self.ranges[at].0 = start,
            (false, false) if self.len < N => {
                self.ranges.copy_within(at..self.len, at + 1);
                self.ranges[at] = (start, end);
                self.len += 1;
            }
            (false, false) => {}
        }
    }

    fn remove(&mut self, index: usize) {
        self.ranges.copy_within(index + 1..self.len, index);
        self.len -= 1;
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
        assert_eq!(ranges.len, 1);
        assert_eq!(ranges.take(30, 1), Some(0));
    }

    #[test]
    fn forgets_what_it_has_no_room_for() {
        let mut ranges = ranges(&[(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]);
        assert_eq!(ranges.len, 4);
        ranges.give(1, 2);
        assert_eq!(ranges.take(3, 1), Some(0));
    }

    #[test]
    fn survives_the_end_of_the_address_space() {
        let mut ranges = ranges(&[(usize::MAX - 10, usize::MAX)]);
        assert_eq!(ranges.take(4, 0x1000), None);
    }
}

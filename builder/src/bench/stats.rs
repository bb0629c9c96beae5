//! Medians with spread: the only statistic that a few runs on a busy machine allow.

use serde::Serialize;

/// Several measurements of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Stats {
    /// The middle one; the mean of the two middle ones when their number is even.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// How many there are.
    pub runs: usize,
}

impl Stats {
    /// The statistics of `samples`; none when there are none.
    pub fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let half = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 };
        Some(Self { median, min, max, runs: sorted.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(Stats::of(&[]), None);
        assert_eq!(Stats::of(&[3.0]), Some(Stats { median: 3.0, min: 3.0, max: 3.0, runs: 1 }));
        assert_eq!(Stats::of(&[9.0, 1.0, 2.0]), Some(Stats { median: 2.0, min: 1.0, max: 9.0, runs: 3 }));
        assert_eq!(Stats::of(&[4.0, 1.0, 2.0, 9.0]).map(|stats| stats.median), Some(3.0));
    }
}

//! The promised figures, measured: each with its limit and whether it holds.
//!
//! Absolute times depend on the machine, so what can be is a ratio of two things measured in turn, in
//! one run.

mod cpu;
mod stats;

pub use stats::Stats;

use serde::Serialize;

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// How many times the other thing.
    Ratio,
}

/// Whether a figure is what was promised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// It is at most the limit.
    Held,
    /// It is more.
    NotHeld,
    /// It was not measured.
    Skip {
        /// Why.
        reason: String,
    },
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What is measured.
    pub what: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// What is promised: at most this.
    pub limit: f64,
    /// What was measured: a ratio is that of the two medians.
    pub value: Option<f64>,
    /// The measurements, for a ratio those of what stands above the line.
    pub measured: Option<Stats>,
    /// For a ratio the measurements of what stands below the line.
    pub against: Option<Stats>,
    /// Whether it holds.
    #[serde(flatten)]
    pub verdict: Verdict,
}

impl Row {
    /// A figure that was measured directly.
    fn measured(what: &'static str, unit: Unit, limit: f64, samples: &[f64]) -> Self {
        let measured = Stats::of(samples);
        Self::judged(what, unit, limit, measured.map(|stats| stats.median), measured, None)
    }

    /// How many times the median of `below` that of `above` is.
    fn ratio(what: &'static str, limit: f64, above: &[f64], below: &[f64]) -> Self {
        let (above, below) = (Stats::of(above), Stats::of(below));
        let value = above.zip(below).map(|(above, below)| above.median / below.median);
        Self::judged(what, Unit::Ratio, limit, value, above, below)
    }

    /// A figure that could not be measured.
    fn skipped(what: &'static str, unit: Unit, limit: f64, reason: impl Into<String>) -> Self {
        let verdict = Verdict::Skip { reason: reason.into() };
        Self { what, unit, limit, value: None, measured: None, against: None, verdict }
    }

    fn judged(
        what: &'static str,
        unit: Unit,
        limit: f64,
        value: Option<f64>,
        measured: Option<Stats>,
        against: Option<Stats>,
    ) -> Self {
        let verdict = match value {
            Some(value) if value <= limit => Verdict::Held,
            // Not a number: something took no time at all, and nothing is known.
            Some(_) => Verdict::NotHeld,
            None => Verdict::Skip { reason: "nothing was measured".into() },
        };
        Self { what, unit, limit, value, measured, against, verdict }
    }
}

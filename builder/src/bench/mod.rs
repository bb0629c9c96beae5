//! The promised figures, measured: each with its limit and whether it holds.
//!
//! Absolute times depend on the machine, so what can be is a ratio of two things measured in turn, in
//! one run.

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

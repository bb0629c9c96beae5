//! The promised figures, measured: each with its limit and whether it holds.
//!
//! Absolute times depend on the machine, so what can be is a ratio of two things measured in turn, in
//! one run.

mod block;
mod cpu;
mod figures;
mod http;
mod lab;
mod posix;
mod process;
mod stats;

pub use stats::Stats;

use crate::{Context, Result, recipe::Recipe};
use lab::Lab;
use serde::Serialize;
use std::path::PathBuf;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program of the command line.
    pub xtask: PathBuf,
    /// Also the cold build of `xtask`, which takes up to a minute.
    pub cold: bool,
    /// The rumprun tree that POSIX programs are linked from; they are skipped without one.
    pub rumprun: Option<PathBuf>,
    /// Only figures whose names contain one of these; all when there is none.
    pub filters: Vec<String>,
}

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// How many times the other thing, which like this one took seconds.
    Ratio,
    /// The same of bytes.
    SizeRatio,
}

/// Whether a figure is what was promised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// It is at most the limit.
    Held,
    /// It is more.
    NotHeld,
    /// Nothing was promised.
    Reported,
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
    pub limit: Option<f64>,
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

/// A promise and how it is measured.
struct Figure {
    what: &'static str,
    unit: Unit,
    /// What is promised; none when it is only told.
    limit: Option<f64>,
    measure: fn(&Lab<'_>, &Recipe, &Options) -> Result<Measured>,
}

/// What measuring gave.
enum Measured {
    /// Some measurements.
    Samples(Vec<f64>),
    /// Measurements of two things, the first to be divided by the second.
    Ratio(Vec<f64>, Vec<f64>),
    /// Nothing, for this reason.
    Nothing(String),
}

/// Measures every promised figure. What cannot be measured is skipped with the reason.
///
/// # Errors
/// When there is no `hello` to measure, or the user stops it.
pub fn bench(ctx: &Context<'_>, options: &Options) -> Result<Vec<Row>> {
    let hello = Recipe::load(ctx.project, "hello")?;
    let lab = Lab::new(ctx, &options.xtask)?;
    let mut rows = Vec::new();
    for figure in all() {
        let named = |filter: &String| figure.what.contains(filter.as_str());
        if !options.filters.is_empty() && !options.filters.iter().any(named) {
            continue;
        }
        ctx.progress.note(&format!("measuring: {}", figure.what));
        let measured = match (figure.measure)(&lab, &hello, options) {
            Err(error) if ctx.cancel.requested() => return Err(error),
            Err(error) => Measured::Nothing(error.to_string()),
            Ok(measured) => measured,
        };
        rows.push(figure.row(measured));
    }
    Ok(rows)
}

/// All figures.
fn all() -> impl Iterator<Item = &'static Figure> {
    [figures::FIGURES, process::FIGURES, http::FIGURES, block::FIGURES, posix::FIGURES].into_iter().flatten()
}

impl Figure {
    fn row(&self, measured: Measured) -> Row {
        let mut reason = "nothing was measured".to_owned();
        let (measured, against) = match measured {
            Measured::Samples(samples) => (Stats::of(&samples), None),
            Measured::Ratio(above, below) => (Stats::of(&above), Some(Stats::of(&below))),
            Measured::Nothing(why) => {
                reason = why;
                (None, None)
            }
        };
        let value = match (measured, against) {
            (Some(above), Some(below)) => below.map(|below| above.median / below.median),
            (measured, None) => measured.map(|stats| stats.median),
            (None, _) => None,
        };
        let verdict = match (value, self.limit) {
            (Some(_), None) => Verdict::Reported,
            (Some(value), Some(limit)) if value <= limit => Verdict::Held,
            // Or not a number, when something took no time at all.
            (Some(_), Some(_)) => Verdict::NotHeld,
            (None, _) => Verdict::Skip { reason },
        };
        let Self { what, unit, limit, .. } = *self;
        Row { what, unit, limit, value, measured, against: against.flatten(), verdict }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(measured: Measured) -> Row {
        Figure {
            what: "x",
            unit: Unit::Ratio,
            limit: Some(1.5),
            measure: |_, _, _| Ok(Measured::Nothing(String::new())),
        }
        .row(measured)
    }

    #[test]
    fn a_limit_holds_up_to_itself() {
        assert_eq!(row(Measured::Samples(vec![1.5])).verdict, Verdict::Held);
        assert_eq!(row(Measured::Samples(vec![1.51])).verdict, Verdict::NotHeld);
        let ratio = row(Measured::Ratio(vec![3.0, 2.0, 9.0], vec![2.0]));
        assert_eq!((ratio.value, ratio.verdict), (Some(1.5), Verdict::Held));
    }

    #[test]
    fn what_was_not_measured_never_holds() {
        let reason = Verdict::Skip { reason: "no QEMU".into() };
        assert_eq!(row(Measured::Nothing("no QEMU".into())).verdict, reason);
        assert!(matches!(row(Measured::Samples(Vec::new())).verdict, Verdict::Skip { .. }));
        assert!(matches!(row(Measured::Ratio(vec![1.0], Vec::new())).verdict, Verdict::Skip { .. }));
        assert_eq!(row(Measured::Ratio(vec![0.0], vec![0.0])).verdict, Verdict::NotHeld);
    }
}

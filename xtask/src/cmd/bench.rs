//! `bench`

use super::common::RumprunArg;
use crate::{
    app::App,
    output::{Answer, Paint},
    table::Table,
};
use anyhow::Context as _;
use builder::{
    ExitCode,
    bench::{self, Options, Row, Stats, Unit, Verdict},
};

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench                  every promised figure, with its limit
  cargo xtask bench process          those with this in their name: of the process target
  cargo xtask bench http: block:     requests and disks, beside what Linux does
  cargo xtask bench posix: --rumprun ../rumprun
                                     POSIX programs, beside Linux and rumprun's own images
  cargo xtask bench --cold           the cold build of xtask too, which takes up to a minute

Medians with their spread; ratios are of two things measured in turn. Exit code 1 when a limit does not
hold. docs/SPECIFICATION.md says what is promised.";

/// Measures the promised figures
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Bench {
    /// Also build xtask anew in an empty folder
    #[arg(long)]
    cold: bool,
    #[command(flatten)]
    rumprun: RumprunArg,
    /// Only the figures with one of these in their name, `process` for instance
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,
}

impl Bench {
    pub(crate) fn run(&self, app: &App) -> anyhow::Result<Answer> {
        let xtask = std::env::current_exe().context("the path of this program")?;
        let rumprun = self.rumprun.named(true)?;
        let options = Options { xtask, cold: self.cold, rumprun, filters: self.filters.clone() };
        let rows = bench::bench(&app.context(), &options)?;
        let held = rows.iter().all(|row| row.verdict != Verdict::NotHeld);
        let code = if held { ExitCode::Ok } else { ExitCode::Failed };
        Ok(Answer::new(&serde_json::json!({ "figures": rows }), text(&rows, app))?.with_code(code))
    }
}

fn text(rows: &[Row], app: &App) -> String {
    let mut table = Table::new(["", "figure", "is", "limit", "median, spread", "against"]);
    let mut reasons = String::new();
    for row in rows {
        let mark = match &row.verdict {
            Verdict::Held => app.terminal.paint(Paint::Good, "held"),
            Verdict::Reported => app.terminal.paint(Paint::Dim, "told"),
            Verdict::NotHeld => app.terminal.paint(Paint::Bad, "NOT HELD"),
            Verdict::Skip { reason } => {
                reasons.push_str(&format!("SKIP {}: {reason}\n", row.what));
                app.terminal.paint(Paint::Skipped, "SKIP")
            }
        };
        let value = row.value.map(|value| number(value, row.unit)).unwrap_or_default();
        let spread = |stats: Option<Stats>| stats.map(|stats| spread(stats, row.unit)).unwrap_or_default();
        let limit = row.limit.map(|limit| number(limit, row.unit)).unwrap_or_default();
        table.row([mark, row.what.to_owned(), value, limit, spread(row.measured), spread(row.against)]);
    }
    format!("{}{reasons}", table.render())
}

fn number(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Seconds if value < 1e-6 => format!("{:.1} ns", value * 1e9),
        Unit::Seconds if value < 1e-3 => format!("{:.1} µs", value * 1e6),
        Unit::Seconds => format!("{value:.3} s"),
        Unit::Bytes => format!("{value:.0} B"),
        // Of the small ones the third digit counts.
        Unit::Ratio | Unit::SizeRatio if value < 0.1 => format!("{value:.3}"),
        Unit::Ratio | Unit::SizeRatio => format!("{value:.2}"),
    }
}

fn spread(stats: Stats, unit: Unit) -> String {
    // What a ratio divides.
    let unit = match unit {
        Unit::Ratio => Unit::Seconds,
        Unit::SizeRatio => Unit::Bytes,
        unit => unit,
    };
    if stats.runs == 1 {
        return number(stats.median, unit);
    }
    let Stats { median, min, max, runs } = stats;
    format!("{} ({} to {}, {runs} runs)", number(median, unit), number(min, unit), number(max, unit))
}

//! `test`

use super::common::RumprunArg;
use crate::{
    app::App,
    output::{Answer, Paint, Terminal},
    table::Table,
};
use anyhow::Context as _;
use builder::{
    ExitCode,
    doctor::{self, Part},
    suites::{self, Options, Summary, Verdict},
};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  cargo xtask test                  all tests, boots included
  cargo xtask test boots            one suite
  cargo xtask test frame_codec      the tests with this in their name
  cargo xtask test --kernel-source ../seL4-16.0.0 ../seL4-13.0.0
                                    kernels from these trees, with every config, target and function
  cargo xtask test --rumprun ../rumprun
                                    POSIX programs, linked from this tree, on every target
  cargo xtask test --bless          write golden files anew; look at `git diff` afterwards

Installs what the host lacks first, where that needs no question (apt, as root or by sudo -n).";

/// Runs all tests of this repository
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Test {
    /// The long tests too
    #[arg(long)]
    long: bool,
    /// Write golden files anew instead of comparing with them
    #[arg(long)]
    bless: bool,
    /// Only kernels of your own, from these source trees: every config, target and function; fills the table of
    /// docs/kernels.md
    #[arg(long, value_name = "DIR", num_args = 1.., conflicts_with = "filter")]
    kernel_source: Vec<PathBuf>,
    /// Only POSIX programs, linked from this rumprun tree: every one of them on every target, with the kernels of
    /// their recipes and with those of `--kernel-source`; fills the table of docs/rumprun.md. Without the option,
    /// RUMPRUN_DIR names the tree for the recipes among all tests
    #[arg(long, value_name = "DIR", conflicts_with = "filter")]
    rumprun: Option<PathBuf>,
    /// Only the suite of this name (format, lints, host, guest, tender, boots, conformance, lock-down,
    /// interrupted, bare-metal, network, http, repro, clones), or the tests with this in their name
    filter: Option<String>,
}

impl Test {
    pub(crate) fn run(&self, app: &App) -> anyhow::Result<Answer> {
        let ctx = app.context();
        let mut parts = vec![Part::Base, Part::BareMetal];
        parts.extend((!self.kernel_source.is_empty()).then_some(Part::KernelSource));
        parts.extend(self.rumprun.is_some().then_some(Part::Rumprun));
        doctor::ensure(&ctx, &parts).map_err(builder::Error::from)?;
        let options = Options {
            xtask: std::env::current_exe().context("the path of this program")?,
            filter: self.filter.clone(),
            long: self.long,
            bless: self.bless,
            kernel_sources: self.trees()?,
            rumprun: RumprunArg { rumprun: self.rumprun.clone() }.named(true)?,
            only_rumprun: self.rumprun.is_some(),
        };
        let summary = suites::run(&ctx, &options)?;
        let code = if summary.counts.failed == 0 { ExitCode::Ok } else { ExitCode::Failed };
        Ok(Answer::new(&summary, text(&summary, &app.terminal))?.with_code(code))
    }
}

impl Test {
    /// The source trees, whatever the folder that they were named from.
    fn trees(&self) -> anyhow::Result<Vec<PathBuf>> {
        let absolute = |path: &PathBuf| {
            path.canonicalize().with_context(|| format!("--kernel-source {}", path.display()))
        };
        self.kernel_source.iter().map(absolute).collect()
    }
}

fn text(summary: &Summary, terminal: &Terminal) -> String {
    let mut details = String::new();
    let mut table = Table::new(["suite", "passed", "failed", "skipped", "seconds"]);
    for suite in &summary.suites {
        for case in &suite.cases {
            match &case.verdict {
                Verdict::Pass => {}
                Verdict::Skip { reason } => {
                    let mark = terminal.paint(Paint::Skipped, "SKIP");
                    details.push_str(&format!("{mark} {}: {}: {reason}\n", suite.name, case.name));
                }
                Verdict::Fail { why } => {
                    let mark = terminal.paint(Paint::Bad, "FAIL");
                    details.push_str(&format!("{mark} {}: {}: {why}\n", suite.name, case.name));
                }
            }
        }
        let counts = suite.counts();
        if counts.failed > 0 {
            details.extend(suite.logs.iter().map(|log| format!("     log: {}\n", log.display())));
        }
        let numbers = [counts.passed, counts.failed, counts.skipped].map(|count| count.to_string());
        let [passed, failed, skipped] = numbers;
        table.row([suite.name.into(), passed, failed, skipped, format!("{:.1}", suite.seconds)]);
    }
    let paint = if summary.counts.failed == 0 { Paint::Good } else { Paint::Bad };
    let verdict = terminal.paint(paint, if summary.counts.failed == 0 { "PASS" } else { "FAIL" });
    format!("{details}\n{}\n{verdict}\n{}\n", table.render(), summary.counts)
}

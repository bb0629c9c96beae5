//! All tests of the repository: suites of programs, each with a log that is judged.
//!
//! One failure stops nothing else. What cannot run for want of something is a SKIP with its reason,
//! never a pass.

mod job;
mod judge;
pub mod kernels;
mod repository;
mod rows;
pub mod rumprun;

pub use rows::{Row, Versions};

use crate::{Context, Error, ExitCode, Result};
use serde::Serialize;
use std::{path::PathBuf, time::Instant};

/// What to run, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program of the command line, with which recipes are booted.
    pub xtask: PathBuf,
    /// Only the suite of this name, or else only the tests whose name contains this.
    pub filter: Option<String>,
    /// The long tests too.
    pub long: bool,
    /// Write golden files anew instead of comparing with them.
    pub bless: bool,
    /// Source trees of seL4: only what concerns the user's own kernels is tested, on these.
    pub kernel_sources: Vec<PathBuf>,
    /// The rumprun tree, for recipes with that libOS.
    pub rumprun: Option<PathBuf>,
    /// Only POSIX programs are tested, on the kernels of their recipes and on those of `kernel_sources`.
    pub only_rumprun: bool,
}

/// How one test ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// It holds.
    Pass,
    /// It does not hold.
    Fail {
        /// What was seen.
        why: String,
    },
    /// It did not run.
    Skip {
        /// What it would need.
        reason: String,
    },
}

/// One test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// How it ended.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// One suite after its run.
#[derive(Debug, Clone, Serialize)]
pub struct SuiteReport {
    /// The suite's name.
    pub name: &'static str,
    /// Its tests, in the order in which they ended.
    pub cases: Vec<Case>,
    /// What its programs printed.
    pub logs: Vec<PathBuf>,
    /// From its beginning to its end.
    pub seconds: f64,
}

/// How many tests ended in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// They hold.
    pub passed: usize,
    /// They do not.
    pub failed: usize,
    /// They did not run.
    pub skipped: usize,
}

/// Everything that ran.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The suites, in the order of their run.
    pub suites: Vec<SuiteReport>,
    /// Over all suites.
    #[serde(flatten)]
    pub counts: Counts,
}

impl SuiteReport {
    /// How many tests of the suite ended in which way.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for case in &self.cases {
            match case.verdict {
                Verdict::Pass => counts.passed += 1,
                Verdict::Fail { .. } => counts.failed += 1,
                Verdict::Skip { .. } => counts.skipped += 1,
            }
        }
        counts
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Runs the tests of the repository, all of them or those that `options.filter` names.
///
/// # Errors
/// When the user stops it, when logs cannot be written, and when a filter names no test at all.
pub fn run(ctx: &Context<'_>, options: &Options) -> Result<Summary> {
    let mut suites: Vec<SuiteReport> = Vec::new();
    match &options.rumprun {
        Some(tree) if options.only_rumprun => suites.push(rumprun::run(ctx, tree, &options.kernel_sources)?),
        _ if !options.kernel_sources.is_empty() => suites.push(kernels::run(ctx, &options.kernel_sources)?),
        _ => {}
    }
    for (name, jobs) in repository::suites(ctx, options) {
        let start = Instant::now();
        let mut report = SuiteReport { name, cases: Vec::new(), logs: Vec::new(), seconds: 0.0 };
        for job in jobs {
            let (cases, log) = job.run(ctx, name)?;
            report.cases.extend(cases);
            report.logs.extend(log);
        }
        report.seconds = (start.elapsed().as_secs_f64() * 10.0).round() / 10.0;
        if !report.cases.is_empty() {
            suites.push(report);
        }
    }
    if let (true, Some(filter)) = (suites.is_empty(), &options.filter) {
        return Err(Error::new(ExitCode::Usage, format!("no suite and no test has `{filter}` in its name")));
    }
    let counts = suites.iter().map(SuiteReport::counts).fold(Counts::default(), |sum, suite| Counts {
        passed: sum.passed + suite.passed,
        failed: sum.failed + suite.failed,
        skipped: sum.skipped + suite.skipped,
    });
    Ok(Summary { suites, counts })
}

//! Smoke tests: boot an image, watch its console, and say honestly what happened.
//!
//! PASS needs the expected texts, no forbidden one, the exit line of this very run as the last one, the
//! expected status in it, and the same status from the machine's exit port. Anything else has a cause
//! of its own.

pub(crate) mod frame;
mod junit;
mod nonce;
mod pattern;
mod report;
mod verdict;
mod watch;

pub use junit::junit;
pub use pattern::BadPattern;
pub use report::{RunReport, Summary, Timing};
pub use verdict::{Cause, Verdict};

use crate::{
    Context, Result, Target,
    kernel_config::KernelConfig,
    qemu::{self, AccelRequest, Accelerator, Binary, Boot, Host, Probe},
    recipe::{RawPattern, Recipe, Smoke},
    run_config::Override,
};
use pattern::Pattern;
use regex::bytes::Regex;
use std::{
    fs::{File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use verdict::{Expectation, Observed, judge};
use watch::Watcher;

/// How a smoke test is made.
#[derive(Debug, Clone, Default)]
pub struct SmokeOptions {
    /// KVM or TCG.
    pub accel: AccelRequest,
    /// The QEMU to use, a path or a name on PATH; `qemu-system-x86_64` when there is none.
    pub qemu: Option<PathBuf>,
    /// Instead of the recipe's time-out.
    pub timeout: Option<Duration>,
}

/// The console cannot be logged, or nothing random is to be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log cannot be written.
    #[error(
        "{path}: {source}\n  help: the console's log goes into the image's folder, which must be writable"
    )]
    Log {
        /// The log.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The host gives no random numbers or no anonymous file.
    #[error("the run's nonce cannot be made: {0}")]
    Nonce(io::Error),
}

crate::exit_code!(Error, Failed);

/// The name of the console's log in the image's folder.
pub const LOG: &str = "smoke.log";

/// Boots the `qemu` image of `recipe` that lies in `dir` and judges the run.
///
/// # Errors
/// When the test could not be made at all: no QEMU (exit code 3), the user cancels, files of the image
/// are missing, the log cannot be written. What the guest does wrong is a verdict, not an error.
pub fn smoke(ctx: &Context<'_>, recipe: &Recipe, dir: &Path, options: &SmokeOptions) -> Result<RunReport> {
    let Some(spec) = &recipe.smoke else {
        let reason = "the recipe has no [smoke] table".into();
        return Ok(RunReport::not_run(&recipe.function.name, Target::Qemu, Verdict::Skip { reason }));
    };
    let kernel = KernelConfig::load(ctx.project, &recipe.kernel)?;
    let boot = Boot::new(recipe, &kernel, dir);
    Test { name: &recipe.function.name, spec, boot: &boot, options }.run(ctx, &Host::read())
}

/// One smoke test, with all that it depends on.
struct Test<'a> {
    name: &'a str,
    spec: &'a Smoke,
    boot: &'a Boot,
    options: &'a SmokeOptions,
}

impl Test<'_> {
    fn run(&self, ctx: &Context<'_>, host: &Host) -> Result<RunReport> {
        self.boot.check()?;
        let qemu = Binary::find(self.options.qemu.as_deref())?;
        let expected = self.expectation()?;
        let sign = expected.expect.first().map(|pattern| pattern.regex.clone());
        let probe = Probe::new(&qemu, self.boot, sign);
        let accelerator = qemu::choose(ctx, self.options.accel, host, &probe)?;
        self.boot_once(ctx, &qemu, &expected, accelerator)
    }

    fn expectation(&self) -> Result<Expectation> {
        Ok(Expectation {
            expect: Pattern::all(&self.spec.expect)?,
            forbid: Pattern::all(&self.spec.forbid)?,
            status: self.spec.status,
            timeout: self.options.timeout.unwrap_or(self.spec.timeout),
            nonce: nonce::fresh().map_err(Error::Nonce)?,
        })
    }

    fn boot_once(
        &self,
        ctx: &Context<'_>,
        qemu: &Binary,
        expected: &Expectation,
        accelerator: Accelerator,
    ) -> Result<RunReport> {
        let log = self.boot.dir.join(LOG);
        let file = new_log(&log).map_err(|source| Error::Log { path: log.clone(), source })?;
        let mut watcher =
            Watcher::new(file, ctx.progress, self.spec.input.as_deref(), expected.expect.first());
        let nonce = Override { nonce: Some(expected.nonce.clone()), ..Override::default() };
        let run_file = qemu::run_file(&nonce.encode()?).map_err(Error::Nonce)?;
        let launch = self.boot.launch(qemu, accelerator.accel, Some(run_file));
        let ended = qemu::drive(launch, Some(expected.timeout), &ctx.cancel, &mut watcher)?;
        if let Some(source) = watcher.log_error {
            return Err(Error::Log { path: log, source }.into());
        }
        let (verdict, status) = judge(
            expected,
            &Observed {
                text: &watcher.text,
                overflow: watcher.overflow.then_some(watch::LIMIT),
                how: &ended.how,
                stderr: &ended.stderr,
            },
        );
        Ok(RunReport {
            name: self.name.to_owned(),
            target: Target::Qemu,
            verdict,
            status,
            timing: Timing {
                first_output: watcher.first_output,
                first_line: watcher.first_line,
                end: Some(ended.duration),
            },
            accelerator: Some(accelerator),
            log: Some(log),
            tail: report::tail(&watcher.text),
            qemu_said: ended.stderr.lines().map(str::to_owned).collect(),
        })
    }
}

/// A log of this run's own, even when another run of the same image still writes to the last one.
fn new_log(path: &Path) -> io::Result<File> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let file = tempfile::Builder::new().permissions(Permissions::from_mode(0o644)).tempfile_in(dir)?;
    Ok(file.persist(path)?)
}

/// By what an image shows that it runs: the first text that its smoke test expects. Where it has none,
/// any line will do on a kernel that prints nothing itself.
pub(crate) fn sign_of_life(smoke: Option<&Smoke>, kernel_prints: bool) -> Result<Option<Regex>, BadPattern> {
    match smoke.and_then(|smoke| smoke.expect.first()) {
        Some(text) => Ok(Some(Pattern::new(text)?.regex)),
        None if kernel_prints => Ok(None),
        None => Ok(Some(Pattern::new(&RawPattern::Regex { regex: r"\S.*$".into() })?.regex)),
    }
}

#[cfg(test)]
pub(crate) mod tests;

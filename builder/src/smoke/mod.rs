//! Smoke tests: run an image, watch its console, and say honestly what happened.
//!
//! PASS needs the expected texts, no forbidden one, the exit line of this very run as the last one, the
//! expected status in it, and the same status from the machine's exit port or of the process. Anything else has a cause
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
    process::Program,
    qemu::{self, AccelRequest, Accelerator, Binary, Boot, Host, Launch, Probe},
    recipe::{RawPattern, Recipe, Smoke},
    run_config::Override,
};
use pattern::Pattern;
use regex::bytes::Regex;
use std::{
    fs::{File, Permissions},
    io,
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
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

/// Runs the image of `recipe` for `target` that lies in `dir` and judges the run.
///
/// # Errors
/// When the test could not be made at all: no QEMU (exit code 3), the user cancels, files of the image
/// are missing, the log cannot be written. What the guest does wrong is a verdict, not an error.
pub fn smoke(
    ctx: &Context<'_>,
    recipe: &Recipe,
    target: Target,
    dir: &Path,
    options: &SmokeOptions,
) -> Result<RunReport> {
    let name = &recipe.function.name;
    let Some(spec) = &recipe.smoke else {
        let reason = "the recipe has no [smoke] table".into();
        return Ok(RunReport::not_run(name, target, Verdict::Skip { reason }));
    };
    let trial = Trial { name, target, spec, dir, timeout: options.timeout };
    match target {
        Target::Qemu => {
            let kernel = KernelConfig::load(ctx.project, &recipe.kernel)?;
            trial.in_machine(ctx, &Boot::new(recipe, &kernel, dir), options, &Host::read())
        }
        Target::Process => trial.as_process(ctx),
        Target::BareMetal => {
            let reason = "the media of this target are not booted yet: netboot/boot.ipxe starts them".into();
            Ok(RunReport::not_run(name, target, Verdict::Skip { reason }))
        }
    }
}

/// One smoke test, with all that it depends on.
struct Trial<'a> {
    name: &'a str,
    target: Target,
    spec: &'a Smoke,
    /// The image's folder.
    dir: &'a Path,
    /// Instead of the recipe's time-out.
    timeout: Option<Duration>,
}

impl Trial<'_> {
    /// Boots the image in QEMU.
    fn in_machine(
        &self,
        ctx: &Context<'_>,
        boot: &Boot,
        options: &SmokeOptions,
        host: &Host,
    ) -> Result<RunReport> {
        boot.check()?;
        let qemu = Binary::find(options.qemu.as_deref())?;
        let expected = self.expectation()?;
        let sign = expected.expect.first().map(|pattern| pattern.regex.clone());
        let accelerator = qemu::choose(ctx, options.accel, host, &Probe::new(&qemu, boot, sign))?;
        let accel = accelerator.accel;
        let launch = |run_file| boot.launch(&qemu, accel, Some(run_file));
        self.once(ctx, &expected, launch, Some(accelerator))
    }

    /// Starts the image's executable.
    fn as_process(&self, ctx: &Context<'_>) -> Result<RunReport> {
        let program = Program::find(self.dir, self.name)?;
        self.once(ctx, &self.expectation()?, |run_file| program.launch(Some(run_file), &[]), None)
    }

    fn expectation(&self) -> Result<Expectation> {
        Ok(Expectation {
            expect: Pattern::all(&self.spec.expect)?,
            forbid: Pattern::all(&self.spec.forbid)?,
            status: self.spec.status,
            timeout: self.timeout.unwrap_or(self.spec.timeout),
            nonce: nonce::fresh().map_err(Error::Nonce)?,
        })
    }

    /// One run of what `launch` makes of the file with the run's nonce.
    fn once(
        &self,
        ctx: &Context<'_>,
        expected: &Expectation,
        launch: impl FnOnce(OwnedFd) -> Launch,
        accelerator: Option<Accelerator>,
    ) -> Result<RunReport> {
        let log = self.dir.join(LOG);
        let file = new_log(&log).map_err(|source| Error::Log { path: log.clone(), source })?;
        let mut watcher =
            Watcher::new(file, ctx.progress, self.spec.input.as_deref(), expected.expect.first());
        let nonce = Override { nonce: Some(expected.nonce.clone()), ..Override::default() };
        let run_file = qemu::run_file(&nonce.encode()?).map_err(Error::Nonce)?;
        let ended = qemu::drive(launch(run_file), Some(expected.timeout), &ctx.cancel, &mut watcher)?;
        if let Some(source) = watcher.log_error {
            return Err(Error::Log { path: log, source }.into());
        }
        let (verdict, status) = judge(
            expected,
            &Observed {
                target: self.target,
                text: &watcher.text,
                overflow: watcher.overflow.then_some(watch::LIMIT),
                how: &ended.how,
                stderr: &ended.stderr,
            },
        );
        Ok(RunReport {
            name: self.name.to_owned(),
            target: self.target,
            verdict,
            status,
            timing: Timing {
                first_output: watcher.first_output,
                first_line: watcher.first_line,
                end: Some(ended.duration),
            },
            accelerator,
            log: Some(log),
            tail: report::tail(&watcher.text),
            said: ended.stderr.lines().map(str::to_owned).collect(),
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

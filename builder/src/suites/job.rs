//! One program of a suite: run to its end, its output in a log, its log judged.

use super::{Case, Verdict, judge::Judge};
use crate::{Context, Error, ExitCode, Result, exec};
use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// No program of a suite takes this long unless it hangs.
const LIMIT: Duration = Duration::from_secs(40 * 60);
/// How long a program has to clean up after itself: nested builds have much to do.
const GRACE: Duration = Duration::from_secs(5);

/// One program of a suite.
pub(super) struct Job {
    /// What is printed while it runs.
    pub(super) name: String,
    pub(super) program: PathBuf,
    pub(super) args: Vec<OsString>,
    pub(super) cwd: PathBuf,
    pub(super) env: Vec<(&'static str, OsString)>,
    /// How its log becomes verdicts.
    pub(super) judge: Judge,
    /// Why it cannot run here.
    pub(super) skip: Option<String>,
}

/// How a program ended.
pub(super) enum End {
    Exited(ExitStatus),
    TimedOut,
}

impl Job {
    /// Runs the program and gives its verdicts and its log.
    ///
    /// The environment is inherited: these are the developer's own tests, with the developer's settings.
    pub(super) fn run(self, ctx: &Context<'_>, suite: &str) -> Result<(Vec<Case>, Option<PathBuf>)> {
        if let Some(reason) = self.skip {
            ctx.progress.note(&format!("{}: SKIP: {reason}", self.name));
            return Ok((vec![Case { name: self.name, verdict: Verdict::Skip { reason } }], None));
        }
        ctx.progress.begin(&self.name);
        let folder = ctx.project.cache().join("tests");
        let log = folder.join(format!("{}.log", format!("{suite}-{}", self.name).replace([' ', '/'], "-")));
        let failed = |path: &Path, error: io::Error| {
            Error::new(ExitCode::Failed, format!("{}: {error}", path.display()))
        };
        fs::create_dir_all(&folder).map_err(|error| failed(&folder, error))?;
        let end = self.to_the_end(ctx, &log).map_err(|error| failed(&self.program, error));
        let cases = match end {
            Ok(Some(end)) => {
                let bytes = fs::read(&log).map_err(|error| failed(&log, error))?;
                self.judge.cases(&self.name, &end, &String::from_utf8_lossy(&bytes))
            }
            Ok(None) => {
                ctx.progress.end(&self.name, "stopped");
                return Err(Error::new(
                    ExitCode::Failed,
                    format!("stopped by the user while {} ran", self.name),
                ));
            }
            Err(error) => {
                vec![Case { name: self.name.clone(), verdict: Verdict::Fail { why: error.to_string() } }]
            }
        };
        let failures = cases.iter().filter(|case| matches!(case.verdict, Verdict::Fail { .. })).count();
        let note = if failures == 0 { format!("{} ok", cases.len()) } else { format!("{failures} FAILED") };
        ctx.progress.end(&self.name, &note);
        Ok((cases, Some(log)))
    }

    /// How the program ended; none when the user stopped it.
    fn to_the_end(&self, ctx: &Context<'_>, log: &Path) -> io::Result<Option<End>> {
        let file = File::create(log)?;
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.cwd)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            // A group of its own, so that all that it starts can be ended with it.
            .process_group(0)
            .spawn()?;
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(End::Exited(status)));
            }
            if ctx.cancel.requested() {
                exec::end_group(&mut child, GRACE)?;
                return Ok(None);
            }
            if start.elapsed() > LIMIT {
                exec::end_group(&mut child, GRACE)?;
                return Ok(Some(End::TimedOut));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

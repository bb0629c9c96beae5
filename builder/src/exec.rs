//! Running other programs: cleared environment, captured output, clear errors, and a clean end.

use crate::context::Cancel;
use regex::Regex;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use std::{
    cell::RefCell,
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io::{self, Read},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// What a tool that fetches something may know of the caller's environment: how to reach the network.
pub const NETWORK: &[&str] = &[
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// One run of a tool, with nothing inherited but what is named here.
#[derive(Debug, Clone)]
pub struct Tool {
    program: PathBuf,
    args: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    cwd: PathBuf,
}

/// What a tool printed.
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A tool could not be run, or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program is not there.
    #[error("`{program}` was not found\n  help: `cargo xtask doctor` names the package that has it")]
    Missing {
        /// Its name or path.
        program: String,
    },
    /// The program could not be started.
    #[error("`{program}` could not be started: {source}")]
    Start {
        /// Its name or path.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// The program ended with a failure.
    #[error("`{program}` failed ({status})\n{output}\n  command: {command}{help}")]
    Failed {
        /// Its name or path.
        program: String,
        /// Exit code or signal.
        status: String,
        /// The last lines of what it printed.
        output: String,
        /// The command line, ready to paste.
        command: String,
        /// What to do about it, when the output tells (`builder/data/remedies.toml`).
        help: String,
    },
    /// The user asked to stop while the program ran.
    #[error("stopped by the user while `{program}` ran; nothing was written")]
    Cancelled {
        /// Its name or path.
        program: String,
    },
}

crate::exit_code!(Error, |error| match error {
    Error::Missing { .. } => crate::ExitCode::HostLacks,
    _ => crate::ExitCode::Failed,
});

impl Tool {
    /// A run of `program` (a path, or a name looked up on PATH) in `cwd`, with only PATH, a C locale
    /// and a fixed epoch in its environment.
    pub fn new(program: impl Into<PathBuf>, cwd: &Path) -> Self {
        let mut env: BTreeMap<OsString, OsString> = BTreeMap::new();
        env.insert("LC_ALL".into(), "C".into());
        env.insert("TZ".into(), "UTC".into());
        env.insert("SOURCE_DATE_EPOCH".into(), "0".into());
        if let Some(path) = std::env::var_os("PATH") {
            env.insert("PATH".into(), path);
        }
        Self { program: program.into(), args: Vec::new(), env, cwd: cwd.to_owned() }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.insert(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Hands variables of the caller's environment through, those that are set. A name that ends with `_`
    /// stands for all that begin with it.
    pub fn inherit(mut self, names: &[&str]) -> Self {
        let wanted = |variable: &str| {
            names.iter().any(|name| variable == *name || (name.ends_with('_') && variable.starts_with(name)))
        };
        let found = std::env::vars_os().filter(|(variable, _)| variable.to_str().is_some_and(wanted));
        self.env.extend(found);
        self
    }

    /// The program and its arguments.
    pub(crate) fn words(&self) -> impl Iterator<Item = &OsStr> {
        std::iter::once(self.program.as_os_str()).chain(self.args.iter().map(OsString::as_os_str))
    }

    /// The folder that it runs in.
    pub(crate) fn folder(&self) -> &Path {
        &self.cwd
    }

    /// The command line, ready to paste into a shell.
    pub fn command_line(&self) -> String {
        self.words().map(|word| quote(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
    }

    /// Runs the tool to its end and returns what it printed. When the user cancels, the tool and all that
    /// it started are ended.
    pub fn run(&self, cancel: &Cancel) -> Result<Output, Error> {
        let program = self.program.display().to_string();
        if cancel.requested() {
            return Err(Error::Cancelled { program });
        }
        let mut child = self.spawn()?;
        let stdout = drain(child.stdout.take());
        let stderr = drain(child.stderr.take());
        let began = Instant::now();
        let start = |source| Error::Start { program: program.clone(), source };
        let mut pause = Duration::from_millis(1);
        let status = loop {
            if let Some(status) = child.try_wait().map_err(start)? {
                break status;
            }
            if cancel.requested() {
                end_group(&mut child, GRACE).map_err(start)?;
                return Err(Error::Cancelled { program });
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        };
        let output =
            Output { stdout: stdout.join().unwrap_or_default(), stderr: stderr.join().unwrap_or_default() };
        if let Some(times) = times().as_mut() {
            times.push(Ran { program: self.program.clone(), start: began, end: Instant::now() });
        }
        self.log(&status, &output);
        if status.success() {
            return Ok(output);
        }
        let text = if output.stderr.trim().is_empty() { &output.stdout } else { &output.stderr };
        Err(Error::Failed {
            program,
            status: status.to_string(),
            help: remedy(&format!("{text}\n{status}")),
            output: last_lines(text, 40),
            command: self.command_line(),
        })
    }

    /// Starts the tool in a process group of its own, so that a Ctrl-C at the terminal reaches it through
    /// us only, and so that it can be ended together with what it starts.
    fn spawn(&self) -> Result<Child, Error> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear().envs(&self.env).current_dir(&self.cwd).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().map_err(|source| {
            let program = self.program.display().to_string();
            // A working folder that is gone gives the same error as a missing program.
            match source.kind() {
                io::ErrorKind::NotFound if self.cwd.is_dir() => Error::Missing { program },
                _ => Error::Start { program, source },
            }
        })
    }

    fn log(&self, status: &ExitStatus, output: &Output) {
        LOG.with_borrow_mut(|log| {
            let Some(log) = log else { return };
            log.push_str(&format!("$ {}\n{}{}", self.command_line(), output.stdout, output.stderr));
            if !log.ends_with('\n') {
                log.push('\n');
            }
            if !status.success() {
                log.push_str(&format!("({status})\n"));
            }
        });
    }
}

thread_local! {
    static LOG: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `work` and gives back, with its result, the commands that it ran on this thread and what they
/// printed.
pub fn record<T>(work: impl FnOnce() -> T) -> (T, String) {
    let outer = LOG.replace(Some(String::new()));
    let result = work();
    (result, LOG.replace(outer).unwrap_or_default())
}

/// Adds to what [`record`] gives back on this thread, for work that other threads recorded.
pub(crate) fn note(log: &str) {
    LOG.with_borrow_mut(|all| all.iter_mut().for_each(|all| all.push_str(log)));
}

/// One run of a tool, for benchmarks.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The program.
    pub program: PathBuf,
    /// Its start.
    pub start: Instant,
    /// Its end.
    pub end: Instant,
}

static TIMES: Mutex<Option<Vec<Ran>>> = Mutex::new(None);

fn times() -> MutexGuard<'static, Option<Vec<Ran>>> {
    // A list of times is sound whatever its holder was doing when it panicked.
    TIMES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `work` and gives back, with its result, when the tools ran that it started, on any thread. For
/// benchmarks, one at a time: no result of a build depends on a clock.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Vec<Ran>) {
    *times() = Some(Vec::new());
    let result = work();
    (result, times().take().unwrap_or_default())
}

/// The program `name` in one of the folders of PATH. Relative folders there do not count: what is found
/// must not depend on where the user stands.
pub fn which(name: &Path) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|path| is_executable(path))
}

/// Whether there is a program at `path`.
pub(crate) fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// How long a tool has to clean up after itself before it is killed.
const GRACE: Duration = Duration::from_millis(500);

/// Ends a child and everything in its process group, which has the child's number: politely, then, after
/// `grace`, by force.
pub(crate) fn end_group(child: &mut Child, grace: Duration) -> io::Result<()> {
    // The group lives at least until the child is waited for.
    let group = Pid::from_child(child);
    let _ = kill_process_group(group, Signal::TERM);
    let mut waited = Duration::ZERO;
    while child.try_wait()?.is_none() && waited < grace {
        thread::sleep(Duration::from_millis(10));
        waited += Duration::from_millis(10);
    }
    // What the child started may have outlived it.
    let _ = kill_process_group(group, Signal::KILL);
    child.wait().map(drop)
}

#[derive(Deserialize)]
struct Remedies {
    remedy: Vec<Remedy>,
}

#[derive(Deserialize)]
struct Remedy {
    pattern: String,
    help: String,
}

/// What to do about a failure that printed `text`, as a further line of an error message; empty when
/// nobody knows.
pub fn remedy(text: &str) -> String {
    let remedies: Remedies =
        toml::from_str(include_str!("../data/remedies.toml")).expect("checked by a test");
    let fits = |remedy: &Remedy| Regex::new(&remedy.pattern).is_ok_and(|pattern| pattern.is_match(text));
    remedies
        .remedy
        .into_iter()
        .find(fits)
        .map_or_else(String::new, |remedy| format!("\n  help: {}", remedy.help))
}

fn drain<R: Read + Send + 'static>(pipe: Option<R>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // A broken pipe only shortens what can be shown.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The last `n` lines of `text`, indented for an error message.
pub fn last_lines(text: &str, n: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(n)..]
        .iter()
        .map(|line| format!("  | {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Quotes a word for a POSIX shell when it needs it.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn shell(script: &str) -> Tool {
        Tool::new("sh", Path::new("/")).args(["-c", script])
    }

    #[test]
    fn every_remedy_is_well_formed_and_known_failures_have_one() {
        let remedies: Remedies = toml::from_str(include_str!("../data/remedies.toml")).unwrap();
        for remedy in remedies.remedy {
            Regex::new(&remedy.pattern).unwrap();
        }
        let error = shell("echo 'as: x.o: No space left on device' >&2; exit 1").run(&Cancel::default());
        let text = error.unwrap_err().to_string();
        assert!(text.contains("exit status: 1") && text.contains("cargo xtask clean"), "{text}");
        assert_eq!(remedy("all is well"), "");
    }

    #[test]
    fn nothing_of_the_environment_is_inherited_but_path() {
        let output = shell("env | grep -v -e ^PWD= -e ^SHLVL= -e ^_= -e ^OLDPWD= | cut -d= -f1 | sort")
            .run(&Cancel::default());
        assert_eq!(output.unwrap().stdout, "LC_ALL\nPATH\nSOURCE_DATE_EPOCH\nTZ\n");
    }

    #[test]
    fn what_is_inherited_is_named_whole_or_by_its_beginning() {
        let tool = shell("env").inherit(&["CARGO_PKG_", "CARGO_MANIFEST"]);
        let output = tool.run(&Cancel::default()).unwrap().stdout;
        assert!(
            output.contains("CARGO_PKG_NAME=builder\n") && !output.contains("CARGO_MANIFEST"),
            "{output}"
        );
    }

    #[test]
    fn cancelling_ends_the_tool_and_what_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("mark");
        let cancel = Cancel::default();
        let tool = shell(&format!("trap '' TERM; (sleep 2; touch {}) & echo $! ; wait", mark.display()));
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(100));
                cancel.request();
            });
            let start = Instant::now();
            assert!(matches!(tool.run(&cancel), Err(Error::Cancelled { .. })));
            assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
        });
        thread::sleep(Duration::from_millis(2100));
        assert!(!mark.exists(), "the child's child lives on");
    }

    #[test]
    fn commands_are_recorded_with_what_they_printed() {
        let (result, log) = record(|| {
            shell("echo one").run(&Cancel::default())?;
            shell("echo two >&2; exit 3").run(&Cancel::default())
        });
        assert!(result.is_err());
        assert_eq!(log, "$ sh -c 'echo one'\none\n$ sh -c 'echo two >&2; exit 3'\ntwo\n(exit status: 3)\n");
    }

    #[test]
    fn a_missing_program_and_a_missing_folder_are_told_apart() {
        let missing = Tool::new("no-such-program", Path::new("/")).run(&Cancel::default());
        assert!(matches!(missing, Err(Error::Missing { .. })));
        let nowhere = Tool::new("sh", Path::new("/no/such/folder")).run(&Cancel::default());
        assert!(matches!(nowhere, Err(Error::Start { .. })));
    }
}

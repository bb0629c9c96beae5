//! Running other programs: cleared environment, captured output, clear errors, and a clean end.

use crate::context::Cancel;
use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

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
    #[error("`{program}` failed ({status})\n{output}\n  command: {command}")]
    Failed {
        /// Its name or path.
        program: String,
        /// Exit code or signal.
        status: String,
        /// The last lines of what it printed.
        output: String,
        /// The command line, ready to paste.
        command: String,
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

    /// Hands a variable of the caller's environment through when it is set (HOME for pip, say).
    pub fn inherit(mut self, name: &str) -> Self {
        if let Some(value) = std::env::var_os(name) {
            self.env.insert(name.into(), value);
        }
        self
    }

    /// The command line, ready to paste into a shell.
    pub fn command_line(&self) -> String {
        let words = std::iter::once(self.program.as_os_str()).chain(self.args.iter().map(OsString::as_os_str));
        words.map(|word| quote(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
    }

    /// Runs the tool to its end and returns what it printed. Ends it when the user cancels.
    pub fn run(&self, cancel: &Cancel) -> Result<Output, Error> {
        let program = self.program.display().to_string();
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .env_clear()
            .envs(&self.env)
            .current_dir(&self.cwd)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => Error::Missing { program: program.clone() },
                _ => Error::Start { program: program.clone(), source },
            })?;
        let stdout = drain(child.stdout.take());
        let stderr = drain(child.stderr.take());
        let start = |source| Error::Start { program: program.clone(), source };
        let mut pause = Duration::from_millis(1);
        let status = loop {
            if let Some(status) = child.try_wait().map_err(start)? {
                break status;
            }
            if cancel.requested() {
                child.kill().map_err(start)?;
                child.wait().map_err(start)?;
                return Err(Error::Cancelled { program });
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        };
        let output = Output { stdout: stdout.join().unwrap_or_default(), stderr: stderr.join().unwrap_or_default() };
        if status.success() {
            return Ok(output);
        }
        let text = if output.stderr.trim().is_empty() { &output.stdout } else { &output.stderr };
        Err(Error::Failed {
            program,
            status: status.to_string(),
            output: last_lines(text, 40),
            command: self.command_line(),
        })
    }
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
    lines[lines.len().saturating_sub(n)..].iter().map(|line| format!("  | {line}")).collect::<Vec<_>>().join("\n")
}

/// Quotes a word for a POSIX shell when it needs it.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

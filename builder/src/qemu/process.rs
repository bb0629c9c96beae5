//! One process, QEMU or a tender, from its start to its end: it never outlives the call that started it.

use super::{Error, GuestEnd};
use crate::{context::Cancel, exec};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, WaitId, WaitIdOptions},
};
use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::PathBuf,
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// What to start.
#[derive(Debug)]
pub(crate) struct Launch {
    /// The program's path.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) args: Vec<String>,
    /// The folder it runs in.
    pub(crate) cwd: PathBuf,
    /// Files that it inherits under the same numbers.
    pub(crate) inherit: Vec<OwnedFd>,
    /// Whether its standard error is ours; else its beginning is kept.
    pub(crate) show_stderr: bool,
    /// What its exit code says.
    pub(crate) end: fn(ExitStatus) -> GuestEnd,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Go on.
    Continue,
    /// End QEMU.
    Stop,
}

/// Who sits at the guest's console.
pub(crate) trait Peer {
    /// The guest wrote `bytes`, `at` after QEMU's start. What is appended to `input` goes to the guest.
    fn output(&mut self, bytes: &[u8], at: Duration, input: &mut Vec<u8>) -> io::Result<Flow>;

    /// Where local input comes from, as long as more of it is wanted. `waiting` bytes are still on their
    /// way to the guest.
    fn source(&self, waiting: usize) -> Option<BorrowedFd<'_>> {
        let _ = waiting;
        None
    }

    /// Time passes: so long it is since QEMU's start. What is appended to `input` goes to the guest.
    fn tick(&mut self, at: Duration, input: &mut Vec<u8>) -> Flow {
        let _ = (at, input);
        Flow::Continue
    }

    /// The program is about to be ended: the last look at it while it lives.
    fn before_end(&mut self) {}

    /// [`source`](Self::source) has something to read.
    fn readable(&mut self, _input: &mut Vec<u8>) -> io::Result<Flow> {
        Ok(Flow::Continue)
    }
}

/// Why the run is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum How {
    /// It ended by itself.
    Ended(GuestEnd),
    /// It ran longer than it may, and was killed.
    TimedOut,
    /// The peer wanted no more, and it was killed.
    Stopped,
    /// KVM failed and QEMU only waited for a debugger: the line that says so. It was killed.
    KvmFailed(String),
}

/// A run that is over; nothing of it is left.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Why.
    pub(crate) how: How,
    /// The beginning of what QEMU itself said on standard error.
    pub(crate) stderr: String,
    /// From QEMU's start to its end.
    pub(crate) duration: Duration,
}

/// How often a flag of the user and the end of a silent process are looked at.
const TICK: Duration = Duration::from_millis(20);
/// How often the end is looked at when both pipes are closed already.
const CLOSED_TICK: Duration = Duration::from_millis(1);
/// How long output is waited for that somebody else's copy of the pipe might still bring.
const DRAIN: Duration = Duration::from_millis(200);
/// How much of QEMU's own messages is kept: their beginning tells the cause.
const STDERR_LIMIT: usize = 64 << 10;

/// What QEMU says before it pauses for ever, where an exit would be due (accel/kvm/kvm-all.c).
const KVM_FAILURES: [&str; 3] = ["KVM internal error", "kvm run failed", "KVM: entry failed"];

/// Runs a program with `peer` at its console until it ends, `limit` is over, the peer stops or the user
/// cancels.
///
/// It gets a process group of its own. The whole group is gone when this function returns or unwinds; the
/// program is killed by the host even when this process is.
pub(crate) fn drive(
    launch: Launch,
    limit: Option<Duration>,
    cancel: &Cancel,
    peer: &mut dyn Peer,
) -> Result<Ended, Error> {
    let program = launch.program.display().to_string();
    let end = launch.end;
    let started = Instant::now();
    let mut process = Process::start(launch, started)?;
    let talk = |source| Error::Talk { program: program.clone(), source };
    let how = process.serve(limit, cancel, peer).map_err(talk)?;
    if matches!(how, Outcome::TimedOut | Outcome::Stopped) {
        peer.before_end();
    }
    let status = process.group.end().map_err(talk)?;
    let how = match how {
        Outcome::Exited => How::Ended(end(status)),
        Outcome::TimedOut => How::TimedOut,
        Outcome::Stopped => How::Stopped,
        Outcome::KvmFailed(line) => How::KvmFailed(line),
        Outcome::Cancelled => return Err(Error::Cancelled),
    };
    let stderr = String::from_utf8_lossy(&process.said).into_owned();
    Ok(Ended { how, stderr, duration: process.exited.unwrap_or_else(|| started.elapsed()) })
}

enum Outcome {
    Exited,
    TimedOut,
    Stopped,
    Cancelled,
    KvmFailed(String),
}

struct Process {
    group: Group,
    started: Instant,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    /// Bytes on their way to the guest.
    input: Vec<u8>,
    /// What QEMU said on standard error.
    said: Vec<u8>,
    /// When the process was first seen to have ended.
    exited: Option<Duration>,
}

#[derive(Default)]
struct Ready {
    stdout: bool,
    stderr: bool,
    stdin: bool,
    source: bool,
}

impl Process {
    fn start(launch: Launch, started: Instant) -> Result<Self, Error> {
        let mut command = Command::new(&launch.program);
        command
            .args(&launch.args)
            .current_dir(&launch.cwd)
            .env_clear()
            .env("LC_ALL", "C")
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(if launch.show_stderr { Stdio::inherit() } else { Stdio::piped() });
        let program = launch.program.display().to_string();
        let mut group = guarded(command, launch.inherit).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound if launch.cwd.is_dir() => {
                exec::Error::Missing { program: program.clone() }.into()
            }
            io::ErrorKind::NotFound => Error::Image { path: launch.cwd.clone(), source },
            _ => exec::Error::Start { program: program.clone(), source }.into(),
        })?;
        let child = &mut group.child;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        // A guest that does not read must not stop us from reading what it writes.
        if let Some(stdin) = &stdin {
            rustix::io::ioctl_fionbio(stdin, true)
                .map_err(|error| Error::Talk { program, source: error.into() })?;
        }
        Ok(Self { group, started, stdin, stdout, stderr, input: Vec::new(), said: Vec::new(), exited: None })
    }

    fn serve(
        &mut self,
        limit: Option<Duration>,
        cancel: &Cancel,
        peer: &mut dyn Peer,
    ) -> io::Result<Outcome> {
        loop {
            if cancel.requested() {
                return Ok(Outcome::Cancelled);
            }
            if self.exited.is_none() && self.group.exited()? {
                self.exited = Some(self.started.elapsed());
            }
            let now = self.started.elapsed();
            match self.exited {
                Some(at) if self.closed() || now >= at + DRAIN => return Ok(Outcome::Exited),
                None if limit.is_some_and(|limit| now >= limit) => return Ok(Outcome::TimedOut),
                None if peer.tick(now, &mut self.input) == Flow::Stop => return Ok(Outcome::Stopped),
                _ => {}
            }
            let pause = if self.closed() { CLOSED_TICK } else { TICK };
            let left = limit.map_or(pause, |limit| limit.saturating_sub(now).max(CLOSED_TICK));
            let ready = self.wait(pause.min(left), peer)?;
            if self.step(&ready, peer)? == Flow::Stop {
                return Ok(Outcome::Stopped);
            }
            if let Some(line) = ready.stderr.then(|| self.kvm_failure()).flatten() {
                return Ok(Outcome::KvmFailed(line));
            }
        }
    }

    /// Whether QEMU has closed both of its outputs.
    fn closed(&self) -> bool {
        self.stdout.is_none() && self.stderr.is_none()
    }

    /// Waits until something can be done, at most `pause`.
    fn wait(&self, pause: Duration, peer: &dyn Peer) -> io::Result<Ready> {
        let source = peer.source(self.input.len()).filter(|_| self.exited.is_none());
        let sink = self.stdin.as_ref().filter(|_| !self.input.is_empty());
        let wanted = [
            (self.stdout.as_ref().map(AsFd::as_fd), PollFlags::IN),
            (self.stderr.as_ref().map(AsFd::as_fd), PollFlags::IN),
            (sink.map(AsFd::as_fd), PollFlags::OUT),
            (source, PollFlags::IN),
        ];
        let mut fds: Vec<_> = wanted
            .iter()
            .filter_map(|(fd, flags)| fd.map(|fd| PollFd::from_borrowed_fd(fd, *flags)))
            .collect();
        let timeout = Timespec { tv_sec: 0, tv_nsec: pause.as_nanos() as _ };
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Ready::default()),
            Err(error) => return Err(error.into()),
        }
        let mut events = fds.iter().map(|fd| !fd.revents().is_empty());
        let mut ready =
            |(fd, _): &(Option<BorrowedFd<'_>>, PollFlags)| fd.is_some() && events.next() == Some(true);
        let [stdout, stderr, stdin, source] = wanted.each_ref().map(&mut ready);
        Ok(Ready { stdout, stderr, stdin, source })
    }

    /// Moves the bytes that are ready.
    fn step(&mut self, ready: &Ready, peer: &mut dyn Peer) -> io::Result<Flow> {
        let mut buffer = [0; 64 << 10];
        if ready.stderr {
            let n = read(&mut self.stderr, &mut buffer)?;
            let room = STDERR_LIMIT.saturating_sub(self.said.len());
            self.said.extend_from_slice(&buffer[..n.min(room)]);
        }
        if ready.stdout {
            let n = read(&mut self.stdout, &mut buffer)?;
            if n > 0 && peer.output(&buffer[..n], self.started.elapsed(), &mut self.input)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        if ready.source && peer.readable(&mut self.input)? == Flow::Stop {
            return Ok(Flow::Stop);
        }
        if let Some(stdin) = self.stdin.as_mut().filter(|_| ready.stdin) {
            match stdin.write(&self.input) {
                Ok(n) => drop(self.input.drain(..n)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // QEMU is gone or takes no input: that shows soon enough, by its end or the time-out.
                Err(_) => self.stdin = None,
            }
        }
        Ok(Flow::Continue)
    }

    fn kvm_failure(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.said);
        let line = text.lines().find(|line| KVM_FAILURES.iter().any(|failure| line.contains(failure)))?;
        Some(line.trim().to_owned())
    }
}

/// Reads once; at the end the pipe is dropped.
fn read<R: Read>(pipe: &mut Option<R>, buffer: &mut [u8]) -> io::Result<usize> {
    let Some(open) = pipe else { return Ok(0) };
    match open.read(buffer) {
        Ok(0) => {
            *pipe = None;
            Ok(0)
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        result => result,
    }
}

/// Starts a program in a process group of its own, which inherits `files` under the same numbers. The group lives no
/// longer than what is returned, and the program no longer than this thread.
fn guarded(mut command: Command, files: Vec<OwnedFd>) -> io::Result<Group> {
    command.process_group(0);
    prepare(&mut command, files);
    Ok(Group { child: command.spawn()?, reaped: false })
}

/// As [`guarded`], for a `program` that serves a guest: without input, and with nothing of our environment but PATH. Its
/// standard error is kept for [`Group::said`].
pub(crate) fn beside(program: &str, mut command: Command, files: Vec<OwnedFd>) -> Result<Group, exec::Error> {
    command
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    guarded(command, files).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => exec::Error::Missing { program: program.into() },
        _ => exec::Error::Start { program: program.into(), source },
    })
}

/// Lets the child inherit `files` and die with this thread.
fn prepare(command: &mut Command, files: Vec<OwnedFd>) {
    let parent = rustix::process::getpid();
    let inherit = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if rustix::process::getppid() != Some(parent) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        for file in &files {
            rustix::io::fcntl_setfd(file, rustix::io::FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure only makes three system calls on values that it owns;
    // it takes no lock and allocates nothing.
    unsafe { command.pre_exec(inherit) };
}

/// A process group that is killed and reaped at the latest when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Group {
    child: Child,
    reaped: bool,
}

impl Group {
    /// Whether the leader has ended. It is not reaped, so that its id stays taken.
    pub(crate) fn exited(&self) -> io::Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(rustix::process::waitid(WaitId::Pid(Pid::from_child(&self.child)), options)?.is_some())
    }

    /// Whether the leader has ended otherwise than with exit code 0.
    pub(crate) fn failed(&self) -> io::Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = rustix::process::waitid(WaitId::Pid(Pid::from_child(&self.child)), options)?;
        Ok(status.is_some_and(|status| status.exit_status() != Some(0)))
    }

    /// Kills what is left of the group and returns how its leader ended.
    pub(crate) fn end(&mut self) -> io::Result<ExitStatus> {
        // The leader is not reaped yet, so the id cannot belong to another group. An error means that
        // nobody is left to be killed.
        let _ = rustix::process::kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let status = self.child.wait()?;
        self.reaped = true;
        Ok(status)
    }
}

impl Group {
    /// What its leader says, when nobody has taken that yet.
    pub(crate) fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// What its leader says on standard error, when nobody has taken that yet.
    fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// The begin of what its leader has said on standard error, until its end.
    pub(crate) fn said(&mut self) -> String {
        let mut text = String::new();
        if let Some(stderr) = self.stderr() {
            // What cannot be read is not shown.
            let _ = stderr.take(64 << 10).read_to_string(&mut text);
        }
        text
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = self.end();
        }
    }
}

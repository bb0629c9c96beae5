//! One build in surroundings of its own: what the process does that `repro` starts for each variation.
//!
//! It must have one thread only: name spaces are entered by a thread, and what it starts follows it.

use super::tree::{self, Made, Order};
use crate::{context::Cancel, exec, files, memory};
use rustix::{
    fs::{Mode, OFlags},
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    process::{getegid, geteuid, umask},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    system::sethostname,
    thread::{CpuSet, UnshareFlags, sched_getaffinity, sched_setaffinity, unshare_unsafe},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    ffi::{CString, OsStr},
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::{ffi::OsStrExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// How long a build has to end after it was asked to.
const GRACE: Duration = Duration::from_secs(2);

/// All that one build needs to know.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Spec {
    /// The folder that is built in: made here, removed by whoever asked.
    pub(crate) folder: PathBuf,
    /// What is copied into it.
    pub(crate) copies: Vec<Pair>,
    /// A part of an earlier build's cache that is no result of the build: the private Python.
    pub(crate) warm: Option<Pair>,
    /// The order of the folders' entries, as the first build had them.
    pub(crate) order: PathBuf,
    /// How the surroundings differ.
    pub(crate) ways: Ways,
    /// Variables that are set.
    pub(crate) env: BTreeMap<String, String>,
    /// What each command is started by.
    pub(crate) wrapper: Vec<String>,
    /// The commands, in this order.
    pub(crate) commands: Vec<Vec<String>>,
    /// What is copied out of the folder afterwards.
    pub(crate) results: Vec<Pair>,
    /// What the commands print.
    pub(crate) log: PathBuf,
}

/// From here to there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pair {
    pub(crate) from: PathBuf,
    pub(crate) to: PathBuf,
}

/// How the surroundings of a build differ from the usual.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Ways {
    /// A folder whose files stand before those of `/etc`.
    pub(crate) etc: Option<PathBuf>,
    /// Number of the user and the group, in a name space of their own.
    pub(crate) user: Option<u32>,
    /// The host's name.
    pub(crate) host: Option<String>,
    /// One processor only.
    pub(crate) one_cpu: bool,
    /// What new files and folders do not let others do.
    pub(crate) umask: u32,
    /// The files' times, in seconds since 1970.
    pub(crate) mtime: Option<u64>,
    /// Folders list their entries in another order than in the first build.
    pub(crate) reordered: bool,
    /// This file has this text behind it in a build before the real one.
    pub(crate) edit: Option<(PathBuf, String)>,
    /// A terminal instead of none.
    pub(crate) terminal: bool,
}

/// How it went.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The results are there; with it, what is to be said of how.
    Built(Option<String>),
    /// A command failed.
    Failed(String),
    /// The host does not let the surroundings be changed like this.
    Impossible(String),
}

/// Builds as `spec`, a file, says.
pub fn build(spec: &Path, cancel: &Cancel) -> crate::Result<Outcome> {
    let spec: Spec = memory::recall(spec).ok_or_else(|| {
        crate::Error::new(crate::ExitCode::Usage, format!("{} is no build of `repro`", spec.display()))
    })?;
    if let Err(reason) = enter(&spec.ways) {
        return Ok(Outcome::Impossible(reason));
    }
    files::create_dir_all(&spec.folder)?;
    let (order, said) = match fill(&spec)? {
        Ok(filled) => filled,
        Err(reason) => return Ok(Outcome::Impossible(reason)),
    };
    if !spec.order.as_os_str().is_empty() && !spec.order.exists() {
        memory::store(&spec.order, &order)?;
    }
    if let Some(Pair { from, to }) = spec.warm.as_ref().filter(|warm| warm.from.is_dir()) {
        tree::copy(from, to, &Made { all: true, ..Made::default() })?;
    }
    if let Some(failed) = run_all(&spec, cancel)? {
        return Ok(Outcome::Failed(failed));
    }
    for Pair { from, to } in spec.results.iter().filter(|pair| pair.from.is_dir()) {
        tree::copy(from, to, &Made { all: true, ..Made::default() })?;
    }
    Ok(Outcome::Built(said))
}

/// Runs all commands, the edited source before the right one; what failed, if any did.
fn run_all(spec: &Spec, cancel: &Cancel) -> crate::Result<Option<String>> {
    if let Some((path, text)) = &spec.ways.edit {
        let right = files::read(path)?;
        files::write(path, [&right[..], text.as_bytes()].concat())?;
        if let Some(failed) = run(spec, cancel)? {
            return Ok(Some(format!("with an edited source: {failed}")));
        }
        files::write(path, right)?;
    }
    run(spec, cancel)
}

fn run(spec: &Spec, cancel: &Cancel) -> crate::Result<Option<String>> {
    for command in &spec.commands {
        let words: Vec<&str> = spec.wrapper.iter().chain(command).map(String::as_str).collect();
        let ended = execute(spec, &words, cancel).map_err(files::Error::at("run", Path::new(words[0])))?;
        let Some(success) = ended else {
            return Err(crate::Error::new(crate::ExitCode::Failed, "stopped by the user"));
        };
        if !success {
            let log = String::from_utf8_lossy(&fs::read(&spec.log).unwrap_or_default()).into_owned();
            let shown = exec::last_lines(log.trim_end(), 20);
            return Ok(Some(format!("`{}` failed\n{shown}", command.join(" "))));
        }
    }
    Ok(None)
}

/// Makes the surroundings. What does not work is told as the reason.
fn enter(ways: &Ways) -> Result<(), String> {
    let told = |what: &'static str| move |error: rustix::io::Errno| format!("{what}: {error}");
    // A right that a file was copied with is set on it afterwards: this is for what the build makes.
    umask(Mode::from_raw_mode(ways.umask));
    if ways.one_cpu {
        let mine = sched_getaffinity(None).map_err(told("sched_getaffinity"))?;
        let first = (0..CpuSet::MAX_CPU).find(|cpu| mine.is_set(*cpu));
        if mine.count() < 2 {
            return Err("there is one processor only".to_owned());
        }
        let mut one = CpuSet::new();
        first.into_iter().for_each(|cpu| one.set(cpu));
        sched_setaffinity(None, &one).map_err(told("sched_setaffinity"))?;
    }
    name_spaces(ways)?;
    if let Some(etc) = &ways.etc {
        let lower = CString::new([b"lowerdir=", etc.as_os_str().as_bytes(), b":/etc"].concat());
        let lower = lower.map_err(|error| error.to_string())?;
        mount("overlay", "/etc", "overlay", MountFlags::empty(), Some(lower.as_c_str()))
            .map_err(told("an overlay on /etc"))?;
    }
    match &ways.host {
        Some(name) => sethostname(name.as_bytes()).map_err(told("the host's name")),
        None => Ok(()),
    }
}

/// Enters name spaces of its own, as far as they are needed.
fn name_spaces(ways: &Ways) -> Result<(), String> {
    let (user, group) = (geteuid(), getegid());
    let mut flags = UnshareFlags::empty();
    flags.set(UnshareFlags::NEWNS, ways.etc.is_some() || ways.reordered);
    flags.set(UnshareFlags::NEWUTS, ways.host.is_some());
    // Who is not root becomes a root of its own first; root needs it only to be somebody else.
    flags.set(UnshareFlags::NEWUSER, ways.user.is_some() || (!flags.is_empty() && !user.is_root()));
    if flags.is_empty() {
        return Ok(());
    }
    // SAFETY: unsafe is only that threads could see different file descriptors; the table of descriptors is
    // not unshared, and there is one thread.
    unsafe { unshare_unsafe(flags) }.map_err(|error| {
        let of_users = if flags.contains(UnshareFlags::NEWUSER) { "user " } else { "" };
        format!("the kernel gives no {of_users}name space: {error}")
    })?;
    if flags.contains(UnshareFlags::NEWUSER) {
        let (inner_user, inner_group) =
            ways.user.map_or((user.as_raw(), group.as_raw()), |number| (number, number));
        let maps = [
            ("setgroups", "deny".to_owned()),
            ("uid_map", format!("{inner_user} {} 1", user.as_raw())),
            ("gid_map", format!("{inner_group} {} 1", group.as_raw())),
        ];
        for (file, text) in maps {
            fs::write(format!("/proc/self/{file}"), text).map_err(|error| format!("{file}: {error}"))?;
        }
    }
    if flags.contains(UnshareFlags::NEWNS) {
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).map_err(|error| format!("private mounts: {error}"))?;
    }
    Ok(())
}

/// What was made: the order of all folders, and what is to be said; or why it could not be.
type Filled = Result<(Order, Option<String>), String>;

/// Copies what is built into the folder.
fn fill(spec: &Spec) -> crate::Result<Filled> {
    let made = Made { umask: spec.ways.umask, mtime: spec.ways.mtime, ..Made::default() };
    if !spec.ways.reordered {
        return Ok(Ok((copy_all(spec, &made)?, None)));
    }
    let usual: Order = memory::recall(&spec.order).unwrap_or_default();
    // Some file systems list what was made last first, others by hash: then one in memory helps, which lists
    // by age.
    for (reversed, in_memory) in [(true, false), (true, true), (false, true)] {
        if in_memory {
            let data = CString::new("mode=0755").unwrap_or_default();
            let mounted = mount("tmpfs", &spec.folder, "tmpfs", MountFlags::empty(), Some(data.as_c_str()));
            if let Err(error) = mounted {
                return Ok(Err(format!("no file system in memory can be mounted: {error}")));
            }
        }
        let order = copy_all(spec, &Made { reversed, ..made.clone() })?;
        let changed = tree::reordered(&usual, &order);
        if changed > 0 {
            let place = if in_memory { ", on a file system in memory" } else { "" };
            return Ok(Ok((order, Some(format!("{changed} folders list otherwise{place}")))));
        }
        for entry in files::sorted_entries(&spec.folder)? {
            files::remove(&entry.path())?;
        }
    }
    Ok(Err("folders list their entries in the same order, however they were made".to_owned()))
}

fn copy_all(spec: &Spec, made: &Made) -> Result<Order, files::Error> {
    for Pair { from, to } in &spec.copies {
        tree::copy(from, to, made)?;
    }
    tree::order(&spec.folder)
}

/// Runs one command to its end: whether it succeeded, none when the user stopped it.
fn execute(spec: &Spec, words: &[&str], cancel: &Cancel) -> io::Result<Option<bool>> {
    let log = File::create(&spec.log)?;
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).envs(&spec.env).current_dir(&spec.folder);
    let (mut child, reader) = if spec.ways.terminal {
        on_terminal(&spec.env, words, &spec.folder, log)?
    } else {
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        (command.spawn()?, None)
    };
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if cancel.requested() {
            exec::end_group(&mut child, GRACE)?;
            break None;
        }
        thread::sleep(Duration::from_millis(20));
    };
    // What was started may have left the terminal open: then nobody waits for its end.
    for _ in 0..50 {
        if reader.as_ref().is_none_or(thread::JoinHandle::is_finished) {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(status.map(|status| status.success()))
}

/// Starts a command in a session of its own whose terminal is a new one, which a thread reads into `log`.
fn on_terminal(
    env: &BTreeMap<String, String>,
    words: &[&str],
    folder: &Path,
    mut log: File,
) -> io::Result<(Child, Option<thread::JoinHandle<()>>)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let open = || -> io::Result<File> {
        Ok(rustix::fs::open(
            OsStr::from_bytes(name.to_bytes()),
            OFlags::RDWR | OFlags::NOCTTY,
            Mode::empty(),
        )?
        .into())
    };
    // `setsid` makes a session of the child and its standard input the session's terminal.
    let mut command = Command::new("setsid");
    command.arg("--ctty").args(words).envs(env).current_dir(folder);
    let child = command.stdin(open()?).stdout(open()?).stderr(open()?).spawn()?;
    drop(command);
    let reader = thread::spawn(move || {
        let mut master = File::from(master);
        let mut buffer = [0; 4096];
        // The end is an error: nobody has the terminal any more.
        while let Ok(read @ 1..) = master.read(&mut buffer) {
            let _ = log.write_all(&buffer[..read]);
        }
    });
    Ok((child, Some(reader)))
}

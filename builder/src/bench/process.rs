//! The process target's figures: against static C programs, the least system call of Linux, and peers.
//!
//! Programs in C and root tasks to measure lie in `tests/fixtures/process/`.

use super::{
    Figure, Measured, Options, Unit,
    lab::{Lab, failed},
};
use crate::{
    Result, Target,
    elf::Elf,
    exec::{self, Tool},
    files,
    image::{Image, Role},
    recipe::Recipe,
};
use object::elf::PT_LOAD;
use std::{
    collections::BTreeMap,
    env, fs, io,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How often two things are measured in turn; an odd number.
const ROUNDS: usize = 9;
/// Starts of a program in one measurement; the median counts.
const STARTS: usize = 51;
/// How many sleep at once.
const INSTANCES: usize = 1000;
/// How often a thousand are started.
const CROWDS: usize = 3;
/// No crowd takes this long to start unless something hangs.
const CROWD_LIMIT: Duration = Duration::from_secs(60);
/// What a process may have resident beside its root task's own pages.
const RESIDENT: f64 = 80.0 * 1024.0;
const PAGE: u64 = 4096;

/// The figures; docs/SPECIFICATION.md has the same.
pub(super) const FIGURES: &[Figure] = &[
    Figure {
        what: "process: start to exit of hello / a static C program that prints the same",
        unit: Unit::Ratio,
        limit: Some(0.55),
        measure: start_to_exit,
    },
    Figure {
        what: "process: peak resident memory of hello, less its root task's own pages",
        unit: Unit::Bytes,
        limit: Some(RESIDENT),
        measure: resident,
    },
    Figure {
        what: "process: a null call of seL4 / getpid",
        unit: Unit::Ratio,
        limit: Some(0.06),
        measure: null_call,
    },
    Figure {
        what: "process: signal and poll / getpid",
        unit: Unit::Ratio,
        limit: None,
        measure: signal_poll,
    },
    Figure {
        what: "process: call and reply between two threads / getpid",
        unit: Unit::Ratio,
        limit: None,
        measure: call_reply,
    },
    Figure {
        what: "process: proportional memory of each of 1,000 that sleep",
        unit: Unit::Bytes,
        limit: Some(48.0 * 1024.0),
        measure: crowd_memory,
    },
    Figure {
        what: "process: time to start 1,000 that sleep / 1,000 static C programs that pause",
        unit: Unit::Ratio,
        // 1.2 times the starts per second.
        limit: Some(1.0 / 1.2),
        measure: crowd_starts,
    },
    Figure {
        what: "peer: start to exit of Solo5 spt / a static C program",
        unit: Unit::Ratio,
        limit: None,
        measure: solo5,
    },
];

/// The image of a recipe of the fixtures, for target `process`.
fn fixture(lab: &Lab<'_>, name: &str) -> Result<Image> {
    let path = folder(lab).join(format!("{name}.toml"));
    lab.image_for(&Recipe::load(lab.ctx.project, &path.to_string_lossy())?, Target::Process)
}

fn folder(lab: &Lab<'_>) -> PathBuf {
    lab.ctx.project.root.join("tests/fixtures/process")
}

/// The executable of a process's image.
pub(super) fn executable(image: &Image) -> Result<PathBuf> {
    let member =
        image.member(Role::Executable).ok_or_else(|| failed(&image.name, "its image lacks a file"))?;
    Ok(image.file(&member.name))
}

/// Compiles a C program of the fixtures, statically.
fn compile(lab: &Lab<'_>, name: &str, flags: &[&str]) -> Result<PathBuf> {
    let out = lab.folder("c")?;
    let program = out.join(name);
    Tool::new("cc", &folder(lab))
        .args(["-O2", "-static", "-I"])
        .arg(&out)
        .args(flags)
        .arg(format!("{name}.c"))
        .arg("-o")
        .arg(&program)
        .run(&lab.ctx.cancel)?;
    Ok(program)
}

/// The program that starts others and measures them.
fn launcher(lab: &Lab<'_>) -> Result<PathBuf> {
    let flags = ["-nostdlib", "-no-pie", "-fno-pie", "-fno-stack-protector", "-fcf-protection=none"];
    compile(lab, "launch", &flags)
}

/// A static C program that prints what `program` prints.
fn c_twin(lab: &Lab<'_>, program: &Path) -> Result<PathBuf> {
    let output = Tool::new(program, Path::new("/")).run(&lab.ctx.cancel)?;
    // What JSON escapes, C understands as well, but for the escapes of characters by number.
    let text = serde_json::to_string(&output.stdout).map_err(|error| failed("hello's text", error))?;
    files::write(&lab.folder("c")?.join("text.h"), format!("#define TEXT {text}\n"))?;
    compile(lab, "hello", &[])
}

/// One run of a program, by the launcher.
struct Run {
    seconds: f64,
    peak: f64,
}

/// Starts a program [`STARTS`] times.
fn launch(lab: &Lab<'_>, launcher: &Path, command: &[&Path]) -> Result<Vec<Run>> {
    let tool = Tool::new(launcher, Path::new("/")).arg(STARTS.to_string()).args(command);
    let output = tool.run(&lab.ctx.cancel)?;
    let run = |line: &str| {
        let mut words = line.split(' ').map(|word| word.parse::<f64>().ok());
        let run = Run { seconds: words.next()?? / 1e9, peak: words.next()?? * 1024.0 };
        (words.next()? == Some(0.0)).then_some(run)
    };
    let runs: Option<Vec<Run>> = output.stdout.lines().map(run).collect();
    runs.filter(|runs| runs.len() == STARTS)
        .ok_or_else(|| failed("a program that was to be measured", format!("it failed\n{}", output.stdout)))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Medians of start to exit of two commands, in turn.
fn race(lab: &Lab<'_>, one: &[&Path], other: &[&Path]) -> Result<Measured> {
    let launcher = launcher(lab)?;
    let mut samples = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (command, samples) in [one, other].into_iter().zip(&mut samples) {
            let runs = launch(lab, &launcher, command)?;
            samples.push(median(runs.iter().map(|run| run.seconds).collect()));
        }
    }
    let [one, other] = samples;
    Ok(Measured::Ratio(one, other))
}

fn start_to_exit(lab: &Lab<'_>, hello: &Recipe, _: &Options) -> Result<Measured> {
    let ours = executable(&lab.image_for(hello, Target::Process)?)?;
    let theirs = c_twin(lab, &ours)?;
    race(lab, &[&ours], &[&theirs])
}

/// The peak of what is resident, less the root task's own pages: those that its file fills, or, where one may
/// look, what a root task that has printed a line and sleeps has resident at its own addresses.
fn resident(lab: &Lab<'_>, hello: &Recipe, _: &Options) -> Result<Measured> {
    let image = lab.image_for(hello, Target::Process)?;
    let data = files::read(&image.file(crate::image::name::ROOT_TASK))?;
    let elf = Elf::parse(&data).map_err(|error| failed("the root task", error))?;
    let loaded = elf.segments.iter().filter(|segment| segment.kind == PT_LOAD);
    let own: u64 = loaded
        .map(|segment| {
            let end = (segment.address + segment.file_size).next_multiple_of(PAGE);
            if segment.file_size == 0 { 0 } else { end - segment.address / PAGE * PAGE }
        })
        .sum();
    let own = own.max(resident_below_tender(lab)?.unwrap_or_default());
    let runs = launch(lab, &launcher(lab)?, &[&executable(&image)?])?;
    Ok(Measured::Samples(runs.iter().map(|run| run.peak - own as f64).collect()))
}

/// Bytes that a sleeping root task has resident below 4 GiB, where all that is mapped is its own; none when we
/// may not look.
fn resident_below_tender(lab: &Lab<'_>) -> Result<Option<u64>> {
    let crowd = Crowd::gather(lab, &executable(&fixture(lab, "sleeper")?)?, 1)?;
    let smaps =
        crowd.members.first().map(|member| fs::read_to_string(format!("/proc/{}/smaps", member.id())));
    Ok(smaps.and_then(|smaps| smaps.ok()).map(|smaps| resident_below(&smaps, 1 << 32)))
}

/// The sum of `Rss` in `smaps` of mappings that begin below `end`, in bytes.
fn resident_below(smaps: &str, end: u64) -> u64 {
    let (mut below, mut sum) = (false, 0);
    for line in smaps.lines() {
        let begin = line.split_once('-').and_then(|(begin, _)| u64::from_str_radix(begin, 16).ok());
        if let Some(begin) = begin {
            below = begin < end;
        } else if let (true, Some(size)) = (below, line.strip_prefix("Rss:")) {
            sum += size.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or_default() * 1024;
        }
    }
    sum
}

/// Nanoseconds for one of each operation that a program names in lines `NAME COUNT NANOSECONDS`.
pub(super) fn counted(text: &str) -> BTreeMap<String, f64> {
    let line = |line: &str| {
        let (name, rest) = line.trim().split_once(' ')?;
        let (count, nanoseconds) = rest.split_once(' ')?;
        Some((name.to_owned(), nanoseconds.parse::<f64>().ok()? / count.parse::<f64>().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// One of seL4's calls against `getpid`, in turn.
fn against_getpid(lab: &Lab<'_>, name: &str) -> Result<Measured> {
    let ours = executable(&fixture(lab, "calls")?)?;
    let theirs = compile(lab, "getpid", &[])?;
    let mut samples = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for ((program, name), samples) in [(&ours, name), (&theirs, "getpid")].into_iter().zip(&mut samples) {
            let output = Tool::new(program, Path::new("/")).run(&lab.ctx.cancel)?;
            let time = counted(&output.stdout).get(name).copied();
            samples
                .push(time.ok_or_else(|| failed(name, "the program does not say how long it took"))? / 1e9);
        }
    }
    let [ours, theirs] = samples;
    Ok(Measured::Ratio(ours, theirs))
}

fn null_call(lab: &Lab<'_>, _: &Recipe, _: &Options) -> Result<Measured> {
    against_getpid(lab, "yield")
}

fn signal_poll(lab: &Lab<'_>, _: &Recipe, _: &Options) -> Result<Measured> {
    against_getpid(lab, "signal-poll")
}

fn call_reply(lab: &Lab<'_>, _: &Recipe, _: &Options) -> Result<Measured> {
    against_getpid(lab, "call-reply")
}

/// Processes that sleep; they end with this.
struct Crowd {
    members: Vec<Child>,
    /// From the first start until the last one said that it sleeps.
    seconds: f64,
}

impl Crowd {
    /// Starts `program` `count` times and waits until each has printed a line.
    fn gather(lab: &Lab<'_>, program: &Path, count: usize) -> Result<Self> {
        let failed = |error: io::Error| failed(&program.display().to_string(), error);
        let (screen, stdout) = io::pipe().map_err(failed)?;
        let mut crowd = Self { members: Vec::with_capacity(count), seconds: 0.0 };
        let start = Instant::now();
        for _ in 0..count {
            let mut command = Command::new(program);
            command.env_clear().current_dir("/").stdin(Stdio::null());
            let stdout = stdout.try_clone().map_err(failed)?;
            crowd.members.push(command.stdout(stdout).stderr(Stdio::null()).spawn().map_err(failed)?);
        }
        drop(stdout);
        crowd.listen(lab, program, screen, start)?;
        crowd.seconds = start.elapsed().as_secs_f64();
        Ok(crowd)
    }

    /// Waits for a line of each. A member that ends without one closes nothing that others hold open, so a
    /// watchman looks whether time is over.
    fn listen(
        &mut self,
        lab: &Lab<'_>,
        program: &Path,
        screen: io::PipeReader,
        start: Instant,
    ) -> Result<()> {
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(screen).lines().map_while(|line| line.ok()) {
                if !line.trim().is_empty() && tell.send(()).is_err() {
                    return;
                }
            }
        });
        let all = self.members.len();
        for count in 0..all {
            let left = CROWD_LIMIT.saturating_sub(start.elapsed());
            if told.recv_timeout(left).is_err() || lab.ctx.cancel.requested() {
                let what = format!("only {count} of {all} have started");
                return Err(failed(&program.display().to_string(), what));
            }
        }
        Ok(())
    }

    /// The proportional set size of each, in bytes, on average.
    fn memory(&self) -> io::Result<f64> {
        let mut sum = 0;
        for member in &self.members {
            let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", member.id()))?;
            sum += pss(&text).ok_or_else(|| io::Error::other("smaps_rollup is not as proc(5) says"))?;
        }
        Ok(sum as f64 * 1024.0 / self.members.len() as f64)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for member in &mut self.members {
            // One that has ended already needs no more.
            let _ = member.kill();
        }
        for member in &mut self.members {
            let _ = member.wait();
        }
    }
}

/// `Pss` of `smaps_rollup`, in KiB.
fn pss(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

fn crowd_memory(lab: &Lab<'_>, _: &Recipe, _: &Options) -> Result<Measured> {
    let program = executable(&fixture(lab, "sleeper")?)?;
    let mut samples = Vec::new();
    for _ in 0..CROWDS {
        match Crowd::gather(lab, &program, INSTANCES)?.memory() {
            Ok(bytes) => samples.push(bytes),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let why = "only root may look at the memory of a process that is not dumpable";
                return Ok(Measured::Nothing(why.into()));
            }
            Err(error) => return Err(failed("/proc", error)),
        }
    }
    Ok(Measured::Samples(samples))
}

fn crowd_starts(lab: &Lab<'_>, _: &Recipe, _: &Options) -> Result<Measured> {
    let programs = [executable(&fixture(lab, "sleeper")?)?, compile(lab, "pause", &[])?];
    let mut samples = [Vec::new(), Vec::new()];
    for _ in 0..CROWDS {
        for (program, samples) in programs.iter().zip(&mut samples) {
            samples.push(Crowd::gather(lab, program, INSTANCES)?.seconds);
        }
    }
    let [ours, theirs] = samples;
    Ok(Measured::Ratio(ours, theirs))
}

/// Solo5's own `hello`, when somebody has it here.
fn solo5(lab: &Lab<'_>, hello: &Recipe, _: &Options) -> Result<Measured> {
    let Some(tender) = exec::which(Path::new("solo5-spt")) else {
        return Ok(Measured::Nothing("there is no `solo5-spt` on PATH".into()));
    };
    let Some(image) = env::var_os("SELKIE_SOLO5_HELLO") else {
        let why = "SELKIE_SOLO5_HELLO does not name an image such as Solo5's test_hello.spt";
        return Ok(Measured::Nothing(why.into()));
    };
    let theirs = c_twin(lab, &executable(&lab.image_for(hello, Target::Process)?)?)?;
    race(lab, &[&tender, Path::new(&image)], &[&theirs])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_one_operation() {
        let times = counted("yield 1000 3000\r\ncall-reply 10 7\n\n[selkie:exit status=0 nonce=00]\n");
        assert_eq!(times.get("yield"), Some(&3.0));
        assert_eq!(times.get("call-reply"), Some(&0.7));
        assert_eq!(times.len(), 2);
    }

    #[test]
    fn the_proportional_size_is_found() {
        assert_eq!(pss("x\nRss:  12 kB\nPss:                  40 kB\nPss_Dirty: 3 kB\n"), Some(40));
        assert_eq!(pss("Rss: 1 kB\n"), None);
    }

    #[test]
    fn what_is_resident_is_counted_up_to_an_address() {
        let smaps = "00400000-00416000 rw-s 00000000 00:01 7 /memfd:x (deleted)\nSize: 88 kB\nRss:       12 kB\n\
                     00416000-0041e000 r-xp 0 0:0 0\nRss: 32 kB\n7e0000000000-7e0000009000 r--p\nRss: 36 kB\n";
        assert_eq!(resident_below(smaps, 1 << 32), 44 * 1024);
        assert_eq!(resident_below("", 1), 0);
    }

    #[test]
    fn the_specification_names_every_limit() {
        let text = include_str!("../../../docs/SPECIFICATION.md");
        for limit in ["0.55 ×", "80 KiB", "0.06 ×", "48 KiB", "1.2 ×"] {
            assert!(text.contains(limit), "{limit}");
        }
    }
}

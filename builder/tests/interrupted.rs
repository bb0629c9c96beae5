//! A root task that is interrupted in every way (`tests/fixtures/interrupted`), and what its process makes of
//! it: registers under signals, by rewritten sites and by traps; faults; preemption; output that nobody takes;
//! a root task that writes to the tender's memory.

#![allow(clippy::unwrap_used, reason = "tests may fail")]

use builder::{Context, Project, Target, build, context::Silent, plan, recipe::Recipe};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

/// A run that takes longer hangs.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The executable of a recipe.
fn built(recipe: &str, name: &str) -> PathBuf {
    // Shares its builds with the test of conformance.
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance");
    let project = Project { out, ..Project::here() };
    let recipe = Recipe::load(&project, recipe).unwrap();
    let ctx = Context::new(&project, &Silent);
    let image = build::build(&ctx, &plan::plan(&ctx, &recipe, Target::Process).unwrap()).unwrap();
    image.dir.join(name)
}

/// The executable that is interrupted.
fn image() -> &'static Path {
    static IMAGE: OnceLock<PathBuf> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let path = Project::here().root.join("tests/fixtures/interrupted/interrupted.toml");
        built(path.to_str().unwrap(), "interrupted")
    })
}

/// With the arguments that the recipe gives.
fn plain(image: &Path) -> Command {
    let mut command = Command::new(image);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn command(image: &Path, args: &[&str]) -> Command {
    let mut command = plain(image);
    command.arg("--").args(args);
    command
}

/// Waits for the end, or ends it.
fn finish(mut child: Child) -> Output {
    let end = Instant::now() + TIMEOUT;
    let pid = child.id();
    let watch = thread::spawn(move || {
        while Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
            if !Path::new(&format!("/proc/{pid}/exe")).exists() {
                return;
            }
        }
        let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
    });
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    if let Some(mut pipe) = child.stdout.take() {
        pipe.read_to_end(&mut stdout).unwrap();
    }
    if let Some(mut pipe) = child.stderr.take() {
        pipe.read_to_end(&mut stderr).unwrap();
    }
    let status = child.wait().unwrap();
    watch.join().unwrap();
    Output { status, stdout, stderr }
}

/// What a case ends with: its status, its output and its report.
fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let output = finish(command(image(), args).spawn().unwrap());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Runs a command and sends it the timers' signals, 64 at a time with a pause after them, from its first line of
/// output on: before its handlers are set they would end it. Returns its status, its output and how many were sent.
fn flooded(command: &mut Command, pause: Duration) -> (Option<i32>, String, u64) {
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    output.read_line(&mut text).unwrap();
    let rest = thread::spawn(move || {
        let mut rest = String::new();
        output.read_to_string(&mut rest).map(|_| rest)
    });
    let pid = Pid::from_child(&child);
    let (mut sent, end) = (0_u64, Instant::now() + TIMEOUT);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > end {
            child.kill().unwrap();
        }
        for _ in 0..64 {
            let signal = if sent.is_multiple_of(2) { Signal::VTALARM } else { Signal::ALARM };
            kill_process(pid, signal).unwrap();
            sent += 1;
        }
        thread::sleep(pause);
    };
    text += &rest.join().unwrap().unwrap();
    (status.code(), text, sent)
}

/// Runs the threads that hold their registers, under signals.
fn registers_hold(image: &Path, rounds: &str) {
    let (status, output, sent) = flooded(&mut command(image, &["registers", rounds]), Duration::ZERO);
    assert_eq!(status, Some(0), "after {sent} signals: {output}");
    assert!(output.starts_with("registers are held\n") && sent > 1000, "{sent} signals: {output}");
}

/// The root task's executable with an empty list of system-call sites.
fn without_sites(image: &Path) -> PathBuf {
    let mut bytes = fs::read(image).unwrap();
    let word = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    // The root task is the ELF file inside; its list is the section of that name.
    let list = b"\0.sel4_sites\0";
    let elf = (4096..bytes.len()).step_by(4096).find(|at| bytes[*at..].starts_with(b"\x7fELF")).unwrap();
    let sections = elf + word(&bytes, elf + 40);
    let count = usize::from(u16::from_le_bytes(bytes[elf + 60..elf + 62].try_into().unwrap()));
    let names = usize::from(u16::from_le_bytes(bytes[elf + 62..elf + 64].try_into().unwrap()));
    let names = elf + word(&bytes, sections + names * 64 + 24);
    let section = (0..count).map(|index| sections + index * 64).find(|at| {
        let name = u32::from_le_bytes(bytes[*at..*at + 4].try_into().unwrap()) as usize;
        bytes[names + name..].starts_with(&list[1..])
    });
    let section = section.unwrap();
    bytes[section + 32..section + 40].fill(0);
    let path = image.with_file_name("interrupted-without-sites");
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Where the tender's one page that can be written to lies: its segment with that right.
fn tenders_data(image: &Path) -> u64 {
    let bytes = fs::read(image).unwrap();
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let headers = (0..8).map(|index| 64 + index * 56);
    let data = headers.clone().find(|at| bytes[*at..*at + 8] == [1, 0, 0, 0, 6, 0, 0, 0]);
    let data = data.unwrap();
    // Behind what comes from the file: that page no start touches.
    word(data + 16) + word(data + 32)
}

#[test]
#[ignore = "the suite `interrupted` runs it: it needs an executable"]
fn threads_keep_their_registers_under_signals() {
    registers_hold(image(), "2000000");
}

#[test]
#[ignore = "the suite `interrupted` runs it: it needs an executable"]
fn so_they_do_when_every_system_call_traps() {
    let image = without_sites(image());
    registers_hold(&image, "100000");
    let mut traced = Command::new(&image);
    traced.args(["--trace", "--", "lines", "1"]).stdin(Stdio::null());
    let output = traced.output().unwrap();
    let report = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert!(report.contains("has no table of system-call sites"), "{report}");
}

#[test]
#[ignore = "the suite `interrupted` runs it: it needs an executable"]
fn the_self_test_says_the_same_under_signals() {
    let image = built("selftest", "selftest");
    let quiet = finish(plain(&image).stderr(Stdio::null()).spawn().unwrap());
    // Without a pause there is no time left for what it measures.
    let (status, output, sent) = flooded(&mut plain(&image), Duration::from_millis(1));
    assert_eq!((quiet.status.code(), status), (Some(0), Some(0)), "after {sent} signals: {output}");
    let quiet = String::from_utf8(quiet.stdout).unwrap();
    let differs = quiet.lines().zip(output.lines()).find(|(quiet, loud)| quiet != loud);
    assert!(quiet == output, "after {sent} signals: {differs:?}");
}

#[test]
#[ignore = "the suite `interrupted` runs it: it needs an executable"]
fn a_fault_that_nobody_handles_is_told_in_full() {
    for (args, says) in [
        (["read", "8"], &["it read 0x8, where nothing is mapped", "null pointer"][..]),
        (["write", "4294967296000"], &["it wrote to 0x3e800000000, where nothing is mapped", "outside"]),
        (["write", "0"], &["it wrote to 0x0", "null page"]),
        (["undefined", ""], &["an instruction that does not exist (exception 6", ": 0f 0b"]),
    ] {
        let (status, output, report) = run(&args);
        assert_eq!((status, output.as_str()), (Some(103), ""), "{args:?}: {report}");
        for text in says.iter().chain(&["in the root task's code", " rip ", " r15 ", "gs base"]) {
            assert!(report.contains(text), "{args:?}: no `{text}` in {report}");
        }
    }
}

#[test]
#[ignore = "the suite `interrupted` runs it: it needs an executable"]
fn a_thread_that_spins_is_preempted() {
    let (status, output, report) = run(&["preempted"]);
    assert_eq!(status, Some(0), "{output}{report}");
    assert!(output.contains("round 9\n"), "{output}");
}

#[test]
#[ignore = "the suite `interrupted` runs it: it needs an executable"]
fn output_without_a_line_end_comes_out() {
    let (status, output, report) = run(&["partial"]);
    assert_eq!(status, Some(0), "{report}");
    assert!(output.starts_with("no end of line\n[selkie:exit"), "{output}");
}

#[test]
#[ignore = "the suite `interrupted` runs it: it needs an executable"]
fn output_that_nobody_takes_holds_nothing_up() {
    // The reader goes away in the middle.
    let mut child = command(image(), &["lines", "100000"]).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let output = finish(child);
    assert_eq!((first.as_str(), output.status.code()), ("line 0 \n", Some(0)));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    // There is no descriptor at all.
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"exec "$0" -- lines 1000 >&-"#]).arg(image());
    let output = shell.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    // The device is full: that is said once.
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = finish(command(image(), &["lines", "1000"]).stdout(full).spawn().unwrap());
    let report = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert_eq!(report.matches("output is lost").count(), 1, "{report}");
}

#[test]
#[ignore = "the suite `interrupted` runs it: it needs an executable"]
fn a_slow_reader_gets_every_line_of_a_descriptor_that_does_not_wait() {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
    let child = command(image(), &["lines", "3000"]).stdout(write).spawn().unwrap();
    rustix::io::ioctl_fionbio(&read, false).unwrap();
    let reader = thread::spawn(move || {
        let (mut file, mut text, mut part) = (fs::File::from(read), Vec::new(), [0; 5000]);
        loop {
            thread::sleep(Duration::from_millis(1));
            match file.read(&mut part).unwrap() {
                0 => return text,
                count => text.extend_from_slice(&part[..count]),
            }
        }
    });
    let output = finish(child);
    let text = String::from_utf8(reader.join().unwrap()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let expected: String =
        (0..3000).map(|line| format!("line {line} {}\n", "x".repeat(line % 200))).collect();
    assert!(text.starts_with(&expected), "{} of {} bytes", text.len(), expected.len());
}

#[test]
#[ignore = "the suite `interrupted` runs it: it needs an executable"]
fn a_root_task_that_writes_to_the_tenders_memory_ends_with_a_message() {
    let address = tenders_data(image()).to_string();
    let (status, output, report) = run(&["tamper", &address]);
    assert_eq!((status, output.as_str()), (Some(125), ""), "{report}");
    assert!(report.contains("internal error") && report.contains("help: "), "{report}");
}

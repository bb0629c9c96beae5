//! Loading and locking down, each case in a process of its own: this program starts itself.
//!
//! The child plays the tender: it has one system-call instruction, loads a small root task, locks itself down
//! and does one thing; how it ends tells whether the lock holds.

mod common;
mod tender;

use common::Random;
use std::{
    fs,
    io::Read,
    os::unix::process::ExitStatusExt,
    process::{Command, ExitCode, Output, Stdio},
};
use tender::{ENTERED, TRAPPED};

const SIGSYS: i32 = 31;
const SIGSEGV: i32 = 11;

/// How a child must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Exit(i32),
    Signal(i32),
}

fn child(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.arg("child").args(arguments).stdin(Stdio::null()).env("SECRET", "hunter2");
    command
}

fn run(arguments: &[&str]) -> Output {
    child(arguments).output().expect("it starts")
}

fn end(output: &Output) -> End {
    match output.status.signal() {
        Some(signal) => End::Signal(signal),
        None => End::Exit(output.status.code().unwrap_or(-1)),
    }
}

fn check(arguments: &[&str], expected: End) -> Output {
    let output = run(arguments);
    let found = end(&output);
    assert_eq!(found, expected, "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn the_image_is_mapped_as_it_says() {
    check(&["load"], End::Exit(0));
    check(&["load-sites"], End::Exit(0));
}

fn arguments_and_environment_reach_the_root_task() {
    check(&["chunks"], End::Exit(0));
    check(&["net"], End::Exit(0));
    check(&["disk"], End::Exit(0));
}

fn what_the_lock_allows_still_works() {
    let output = check(&["lock", "write"], End::Exit(7));
    assert_eq!(output.stdout, b"locked\n");
    check(&["lock", "map-frame"], End::Exit(0));
    check(&["lock", "time"], End::Exit(0));
    check(&["lock", "guest-site"], End::Exit(ENTERED));
    check(&["lock", "guest-unlisted"], End::Exit(TRAPPED));
    check(&["lock", "environment"], End::Exit(0));
    check(&["lock", "disk write"], End::Exit(0));
    check(&["lock", "disk-ro read"], End::Exit(0));
}

fn what_the_lock_forbids_kills() {
    for action in [
        "open",
        "socket",
        "execve",
        "fork",
        "clone3",
        "kill",
        "ptrace",
        "mprotect",
        "map-executable",
        "map-anonymous",
        "map-tender",
        "unmap-tender",
        "brk",
        "getpid",
        "prctl",
        "dup",
        "ioctl",
        "io_uring",
        "write-memory",
        "read",
        "signal-action",
        "elsewhere",
        "int80",
        "x32",
        "timer",
        "disk end",
        "disk write-end",
        "disk long",
        "disk other",
        "disk plain-read",
        "disk truncate",
        "disk-ro write",
        "disk-ro flush",
        "no-disk",
    ] {
        check(&["lock", action], End::Signal(SIGSYS));
    }
    for action in ["write-text", "execute-data", "execute-memory", "stack"] {
        check(&["lock", action], End::Signal(SIGSEGV));
    }
}

fn a_locked_process_shows_it() {
    let mut locked = child(&["lock", "sleep"]).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut line = [0; 6];
    locked.stdout.as_mut().expect("a pipe").read_exact(&mut line).expect("it says that it is ready");
    let status = fs::read_to_string(format!("/proc/{}/status", locked.id())).expect("it runs");
    let limits = fs::read_to_string(format!("/proc/{}/limits", locked.id())).expect("it runs");
    let descriptors = fs::read_dir(format!("/proc/{}/fd", locked.id())).map(|entries| {
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<u32> = names.filter_map(|name| name.parse().ok()).collect();
        names.sort_unstable();
        names
    });
    locked.kill().expect("it is our child");
    let ended = locked.wait().expect("it is our child");
    assert_eq!(ended.signal(), Some(9));
    assert!(status.contains("\nSeccomp:\t2\n") && status.contains("\nNoNewPrivs:\t1\n"), "{status}");
    for name in ["Max core file size", "Max open files", "Max processes"] {
        let words: Vec<_> =
            limits.lines().find(|line| line.starts_with(name)).expect(name).split_whitespace().collect();
        assert!(words.windows(2).any(|pair| pair == ["0", "0"]), "{words:?}");
    }
    // Others than root may not look into a process that is not dumpable.
    if let Ok(descriptors) = descriptors {
        assert!(descriptors.len() == 3 && descriptors[..2] == [1, 2], "{descriptors:?}");
    }
}

/// What the lock-down does, in order: the numbers of the system calls, with the first argument of prctl.
fn the_lock_down_keeps_its_order() {
    let output = check(&["record"], End::Exit(0));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut calls: Vec<&str> = text.split_whitespace().collect();
    calls.dedup();
    let expected = [
        "close_range",
        "prctl-4",
        "prctl-65",
        "mseal",
        "prctl-38",
        "landlock_create",
        "landlock_restrict",
        "close",
        "prlimit",
        "seccomp",
    ];
    assert_eq!(calls, expected, "{}", String::from_utf8_lossy(&output.stderr));
}

/// What this machine lacks without our help, as the warning names it.
fn lacking(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("the lock-down lacks")).collect();
    assert!(lines.len() <= 1, "{text}");
    let Some(line) = lines.first() else { return Vec::new() };
    let list =
        line.split("the lock-down lacks ").nth(1).and_then(|rest| rest.split(';').next()).unwrap_or_default();
    list.split("), ").map(|part| part.split(" (").next().unwrap_or_default().to_owned()).collect()
}

fn whatever_is_missing_is_said_in_one_line() {
    let own = lacking(&check(&["lock", "exit"], End::Exit(7)));
    for (call, name) in [
        ("close_range", "close_range"),
        ("prctl-4", "PR_SET_DUMPABLE"),
        ("prctl-65", "PR_SET_MDWE"),
        ("mseal", "mseal"),
        ("landlock_create", "Landlock"),
        ("landlock_restrict", "Landlock"),
        ("prlimit", "resource limits"),
    ] {
        for errno in ["ENOSYS", "EPERM", "EINVAL"] {
            let output = check(&["lock", "exit", call, errno], End::Exit(7));
            let mut expected = own.clone();
            if !expected.contains(&name.to_owned()) {
                expected.push(name.to_owned());
            }
            let mut found = lacking(&output);
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "{call}");
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(text.contains(errno), "{text}");
            // The filter holds all the same, and --strict gives up.
            check(&["lock", "getpid", call, errno], End::Signal(SIGSYS));
            let strict = check(&["strict", "exit", call, errno], End::Exit(125));
            let text = String::from_utf8_lossy(&strict.stderr).into_owned();
            assert!(text.contains("--strict: the lock-down lacks") && text.contains(name), "{text}");
        }
    }
}

fn without_the_filter_nothing_runs() {
    // Root installs a filter without PR_SET_NO_NEW_PRIVS; others cannot.
    let output = run(&["lock", "exit", "prctl-38", "EPERM"]);
    assert!(matches!(end(&output), End::Exit(7 | 125)), "{output:?}");
    for errno in ["EPERM", "EINVAL"] {
        let output = check(&["lock", "exit", "seccomp", errno], End::Exit(125));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("cannot be installed") && text.contains("help: "), "{text}");
    }
    // The older call takes its place.
    check(&["lock", "getpid", "seccomp", "ENOSYS"], End::Signal(SIGSYS));
}

fn what_cannot_be_loaded_is_told() {
    for (case, message) in [
        ("small", "bytes of memory are not enough"),
        ("interface", "`x86_64-other`, whose interface this tender does not serve"),
        ("limit", "asks for 134217728 bytes of memory, and --allow memory=67108864 is less"),
        ("unaligned", "the memory cannot have 4097 bytes"),
        ("no-file", "cannot be opened (ENOENT: no such file)"),
        ("directory", "is not a file of 1 byte to 1 GiB"),
        ("device", "is not a file of 1 byte to 1 GiB"),
        ("no-elf", "it is not a 64-bit x86-64 ELF file"),
        ("digest", "the root task does not have the SHA-256"),
        ("tables", "the set of interface tables does not have the SHA-256"),
        ("disk", "the image needs a disk"),
        ("disk-needless", "--disk: the image has no disk"),
        ("disk-gone", "--disk /no/such/disk: it cannot be opened (ENOENT"),
        ("disk-kind", "--disk /dev/null: it is neither a regular file nor a block device"),
        ("disk-small", "it has less than one sector"),
        ("disk-read-only", "--disk /proc/self/exe: it cannot be opened ("),
        ("disk-long", "it cannot be opened (error 36"),
        ("net", "the image needs a network"),
        ("net-needless", "--net: the image has no network"),
        ("net-closed", "--net fd: it cannot be had (EBADF"),
        ("net-gone", "--net /no/such/socket: it cannot be had (ENOENT"),
        ("net-long", "it cannot be had (EINVAL"),
        ("run-fd", "--run-fd 77: it cannot be read"),
        ("run-text", "it does not begin with SELKIERUN1"),
        ("run-end", "it does not end with an empty record"),
        ("long", "longer than 128 KiB"),
        ("occupied", "mapping the root task's image failed (EEXIST"),
    ] {
        let output = check(&["fails", case], End::Exit(125));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(message) && text.contains("\n  help: "), "{case}: {text}");
        assert!(text.starts_with("selkie-tender: "), "{case}: {text}");
    }
}

/// Damaged root tasks that get past the parser are mapped and patched without harm.
fn damaged_root_tasks_load_or_are_refused() {
    let mut random = Random(7);
    let mut loaded = 0;
    for _ in 0..8 {
        let seed = random.next().to_string();
        let output = run(&["damaged", &seed]);
        assert!(output.status.success(), "{seed}: {}", String::from_utf8_lossy(&output.stderr));
        loaded += String::from_utf8_lossy(&output.stdout).trim().parse::<usize>().expect("a number");
    }
    assert!(loaded > 20, "{loaded}");
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "child") {
        return tender::child(&arguments[1..]);
    }
    let cases: [(&str, fn()); 10] = [
        ("the_image_is_mapped_as_it_says", the_image_is_mapped_as_it_says),
        ("arguments_and_environment_reach_the_root_task", arguments_and_environment_reach_the_root_task),
        ("what_the_lock_allows_still_works", what_the_lock_allows_still_works),
        ("what_the_lock_forbids_kills", what_the_lock_forbids_kills),
        ("a_locked_process_shows_it", a_locked_process_shows_it),
        ("the_lock_down_keeps_its_order", the_lock_down_keeps_its_order),
        ("whatever_is_missing_is_said_in_one_line", whatever_is_missing_is_said_in_one_line),
        ("without_the_filter_nothing_runs", without_the_filter_nothing_runs),
        ("what_cannot_be_loaded_is_told", what_cannot_be_loaded_is_told),
        ("damaged_root_tasks_load_or_are_refused", damaged_root_tasks_load_or_are_refused),
    ];
    let chosen = |name: &str| {
        arguments.iter().filter(|one| !one.starts_with('-')).all(|one| name.contains(one.as_str()))
    };
    // `--list` is for tools that look for tests.
    if arguments.iter().any(|one| one == "--list") {
        cases.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    for (name, case) in cases.iter().filter(|(name, _)| chosen(name)) {
        // A case that does not hold panics, and ends the program with its message.
        case();
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}

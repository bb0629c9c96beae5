//! Executables on machines that lack parts of the lock-down: a wrapper's own filter answers for the kernel.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use builder::{Context, Project, Target, build, context::Silent, plan, recipe::Recipe};
use std::{
    fs, io,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

const PRCTL: u32 = 157;
const SECCOMP: u32 = 317;
/// A call of the lock-down: its number, the operation for prctl, what the warning calls the part.
const CALLS: [(u32, Option<u32>, &str); 8] = [
    (436, None, "close_range"),
    (PRCTL, Some(4), "PR_SET_DUMPABLE"),
    (PRCTL, Some(65), "PR_SET_MDWE"),
    (462, None, "mseal"),
    (PRCTL, Some(38), "PR_SET_NO_NEW_PRIVS"),
    (444, None, "Landlock"),
    (446, None, "Landlock"),
    (302, None, "resource limits"),
];
const ERRNOS: [(u32, &str); 3] = [(38, "ENOSYS"), (1, "EPERM"), (22, "EINVAL")];

/// The kernel's `struct sock_filter`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Instruction {
    code: u16,
    jt: u8,
    jf: u8,
    k: u32,
}

/// The kernel's `struct sock_fprog`.
#[repr(C)]
struct Program {
    length: u16,
    instructions: *const Instruction,
}

fn system_call(number: u32, [a, b, c]: [usize; 3]) -> isize {
    let answer;
    // SAFETY: used below for prctl, whose pointers are good.
    unsafe {
        std::arch::asm!("syscall", inlateout("rax") number as isize => answer, in("rdi") a, in("rsi") b,
            in("rdx") c, in("r10") 0, in("r8") 0, out("rcx") _, out("r11") _);
    }
    answer
}

/// A filter that answers the calls with `errno`, and lets all others through.
fn denying(calls: &[(u32, Option<u32>)], errno: u32) -> Vec<Instruction> {
    let load = |k| Instruction { code: 0x20, jt: 0, jf: 0, k };
    let equal = |k, jf| Instruction { code: 0x15, jt: 0, jf, k };
    let answer = |k| Instruction { code: 0x06, jt: 0, jf: 0, k };
    let mut program = Vec::new();
    for (number, operation) in calls {
        program.extend([load(0), equal(*number, if operation.is_some() { 3 } else { 1 })]);
        program.extend(operation.iter().flat_map(|operation| [load(16), equal(*operation, 1)]));
        program.push(answer(0x5_0000 | errno));
    }
    program.push(answer(0x7fff_0000));
    program
}

/// The command, under a wrapper that denies these calls.
fn under(mut command: Command, calls: &[(u32, Option<u32>)], errno: u32) -> Command {
    let program = denying(calls, errno);
    let install = move || {
        let program = Program { length: program.len() as u16, instructions: program.as_ptr() };
        let no_new_privileges = system_call(PRCTL, [38, 1, 0]);
        let filter = system_call(PRCTL, [22, 2, (&raw const program) as usize]);
        if no_new_privileges == 0 && filter == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: between fork and exec it makes two system calls, nothing else.
    unsafe { command.pre_exec(install) };
    command
}

fn image(name: &str) -> PathBuf {
    // Shares its builds with the test of conformance.
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance");
    let project = Project { out, ..Project::here() };
    let ctx = Context::new(&project, &Silent);
    let recipe = Recipe::load(&project, name).unwrap();
    let image = build::build(&ctx, &plan::plan(&ctx, &recipe, Target::Process).unwrap()).unwrap();
    image.dir.join(name)
}

fn run(image: &Path, arguments: &[&str], calls: &[(u32, Option<u32>)], errno: u32) -> (Output, String) {
    let mut command = Command::new(image);
    command.args(arguments).stdin(Stdio::null());
    let output = under(command, calls, errno).output().unwrap();
    let report = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, report)
}

#[test]
#[ignore = "the suite `lock-down` runs it: it needs an executable"]
fn what_a_machine_lacks_is_said_in_one_line_and_strict_refuses() {
    let image = image("hello");
    let (plain, own) = run(&image, &[], &[], 0);
    assert!(plain.status.success(), "{plain:?}");
    let all: Vec<_> = CALLS.iter().map(|(number, operation, _)| (*number, *operation)).collect();
    for (errno, text) in ERRNOS {
        let each = CALLS.iter().enumerate().map(|(index, (_, _, part))| (&all[index..=index], vec![*part]));
        let parts = CALLS.iter().map(|(_, _, part)| *part).collect();
        for (calls, parts) in each.chain([(&all[..], parts)]) {
            let (output, report) = run(&image, &[], calls, errno);
            assert_eq!(output.stdout, plain.stdout, "{parts:?}: {report}");
            assert!(output.status.success(), "{parts:?}: {report}");
            assert_eq!(report.lines().count(), 1, "{parts:?}: {report}");
            assert!(report.contains("the lock-down lacks") && report.contains(text), "{parts:?}: {report}");
            // What this machine lacks anyway may be in the line too.
            for (_, _, part) in CALLS.iter().filter(|(_, _, part)| !own.contains(part)) {
                assert_eq!(report.contains(part), parts.contains(part), "{part}: {report}");
            }
            let (strict, report) = run(&image, &["--strict"], calls, errno);
            assert_eq!((strict.status.code(), strict.stdout.len()), (Some(125), 0), "{report}");
            assert!(parts.iter().all(|part| report.contains(part)) && report.contains("help: "), "{report}");
        }
    }
}

#[test]
#[ignore = "the suite `lock-down` runs it: it needs an executable"]
fn nothing_runs_without_the_filter() {
    let image = image("hello");
    let both = [(SECCOMP, None), (PRCTL, Some(22))];
    for (errno, text) in ERRNOS {
        let (output, report) = run(&image, &[], &both, errno);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(125), 0), "{report}");
        assert!(report.contains("cannot be installed") && report.contains(text), "{report}");
    }
    // Where only the newer call is missing, the older one does.
    let (output, report) = run(&image, &[], &both[..1], 38);
    assert!(output.status.success(), "{report}");
}

#[test]
#[ignore = "the suite `lock-down` runs it: it needs an executable"]
fn the_filter_is_there_whatever_else_is_missing() {
    let mut command = Command::new(image("echo"));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let all: Vec<_> = CALLS.iter().map(|(number, operation, _)| (*number, *operation)).collect();
    let mut echo = under(command, &all, 38).spawn().unwrap();
    // The wrapper's filter and the tender's own.
    let end = Instant::now() + Duration::from_secs(10);
    let mut status = String::new();
    while !status.contains("\nSeccomp_filters:\t2\n") && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
        status = fs::read_to_string(format!("/proc/{}/status", echo.id())).unwrap_or_default();
    }
    echo.kill().unwrap();
    assert_eq!(echo.wait().unwrap().signal(), Some(9), "{status}");
    assert!(status.contains("\nSeccomp:\t2\n") && status.contains("\nSeccomp_filters:\t2\n"), "{status}");
}

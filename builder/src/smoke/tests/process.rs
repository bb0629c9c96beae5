//! Processes that do everything that a root task and its tender can do wrong.

use super::*;
use std::os::unix::fs::PermissionsExt;

/// What every stand-in begins with: `frame STATUS` prints this run's exit line. The nonce comes by
/// `--run-fd`, which is the only option.
const BEGIN: &str = r#"#!/bin/sh
[ "$1" = --run-fd ] && [ $# = 2 ] || exit 99
nonce=$(tr '\0' '\n' <"/proc/self/fd/$2" | sed -n 's/^nonce=//p')
frame() { printf '\n[selkie:exit status=%s nonce=%s]\n' "$1" "$nonce"; }
echo 'Hello, world'
echo 'with 64 MiB'
"#;

/// Runs an executable that does what the shell script `rest` says after its greeting.
fn run(rest: &str) -> RunReport {
    let stage = Stage::new("");
    let program = stage.boot.dir.join("hello");
    fs::write(&program, format!("{BEGIN}{rest}")).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let timeout = Some(Duration::from_millis(1500));
    trial(&stage, timeout).as_process(&stage.context()).unwrap()
}

fn trial(stage: &Stage, timeout: Option<Duration>) -> Trial<'_> {
    let (spec, dir) = (&stage.spec, stage.boot.dir.as_path());
    Trial {
        name: "hello",
        target: Target::Process,
        boot: None,
        spec,
        net: None,
        own: None,
        disk: None,
        dir,
        timeout,
    }
}

#[track_caller]
fn fails(rest: &str, cause: Cause, words: &[&str]) -> RunReport {
    failed(run(rest), cause, words)
}

#[test]
fn a_good_process_passes_with_its_own_status() {
    let report = run("frame 0\nexit 0\n");
    assert_eq!((report.verdict, report.status), (Verdict::Pass, Some(0)));
    assert_eq!((report.target, report.accelerator), (Target::Process, None));
}

#[test]
fn every_wrong_end_has_a_verdict_of_its_own() {
    fails("frame 7\nexit 7\n", Cause::WrongStatus, &["status 7 instead of 0"]);
    fails(
        "frame 0\nexit 1\n",
        Cause::ExitDisagrees,
        &["status 0 in the exit line", "the process ended with status 1"],
    );
    fails("exit 0\n", Cause::EarlyExit, &["the process ended with status 0", "without its exit line"]);
    fails("frame 0\necho late\nexit 0\n", Cause::OutputAfterExit, &["late"]);
    fails("nonce=0123456789abcdef\nframe 0\nexit 0\n", Cause::ForgedExit, &["0123456789abcdef"]);
    fails("frame 0\necho panicked\nexit 0\n", Cause::Forbidden, &["after the exit line"]);
}

#[test]
fn a_signal_is_named() {
    let report = fails("kill -SYS $$\n", Cause::ProcessKilled, &["SIGSYS", "filter", "without an exit line"]);
    assert!(report.to_string().contains("process was killed"), "{report}");
    // Even where the exit line was good.
    fails("frame 0\nkill -SEGV $$\n", Cause::ProcessKilled, &["SIGSEGV", "after an exit line"]);
}

#[test]
fn what_the_tender_says_is_shown() {
    let said = "echo 'selkie-tender: no table for this interface' >&2\nexit 125\n";
    fails(said, Cause::TenderFailed, &["exit code 125", "no table for this interface"]);
    fails("exit 126\n", Cause::TenderFailed, &["it said nothing"]);
    let report =
        fails("echo 'thread at 0x400123' >&2\nexit 103\n", Cause::EarlyExit, &["status 103 (fault)"]);
    assert!(report.to_string().contains("tender: thread at 0x400123"), "{report}");
}

#[test]
fn a_process_that_hangs_is_ended() {
    let start = Instant::now();
    fails("echo $$\nframe 0\nsleep 60\n", Cause::Timeout, &["the exit line, too"]);
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn an_executable_that_is_not_there_is_no_verdict() {
    let stage = Stage::new("");
    let error = trial(&stage, None).as_process(&stage.context()).unwrap_err();
    assert!(error.to_string().contains("build the image again"), "{error}");
}

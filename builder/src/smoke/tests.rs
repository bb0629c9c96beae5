//! The smoke runner cannot lie: stand-in QEMUs do everything that a guest and a QEMU can do wrong, each
//! has its own verdict, and only the good one passes.

mod again;
mod pc;
mod process;
mod real;
mod requests;

use super::*;
use crate::{
    Error, ExitCode, Project,
    context::Silent,
    qemu::{Accel, Vm},
    recipe::{ConsoleKind, Machine, RawPattern, Serial},
};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Instant,
};
use tempfile::TempDir;

/// An image folder with a stand-in guest.
pub(crate) struct Stage {
    _dir: TempDir,
    pub(crate) project: Project,
    pub(crate) boot: Boot,
    pub(crate) spec: Smoke,
    pub(crate) options: SmokeOptions,
}

pub(crate) fn stand_in() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stand-in/qemu.sh")
}

impl Stage {
    /// A stage whose QEMU does what the shell script `guest` says.
    pub(crate) fn new(guest: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image, with space");
        fs::create_dir(&image).unwrap();
        for (name, content) in [("kernel", "kernel"), ("root-task", "root task"), ("guest", guest)] {
            fs::write(image.join(name), content).unwrap();
        }
        let vm = Vm {
            machine: Machine::Q35,
            cpu: "qemu64".into(),
            memory_mib: 64,
            serial: Serial::Com1,
            output: ConsoleKind::Serial,
            extra_args: Vec::new(),
            beyond_tcg: Vec::new(),
            net: None,
            disk: None,
        };
        let spec = Smoke {
            expect: vec![
                RawPattern::Literal("Hello, world".into()),
                RawPattern::Regex { regex: "[0-9]+ MiB".into() },
            ],
            forbid: vec![RawPattern::Literal("panicked".into())],
            status: 0,
            timeout: Duration::from_secs(20),
            input: None,
            http: Vec::new(),
            tcp: Vec::new(),
            secrets: Default::default(),
            server: Vec::new(),
            stop: None,
            kill: false,
            again: None,
        };
        let options = SmokeOptions {
            accel: AccelRequest::Only(Accel::Tcg),
            qemu: Some(stand_in()),
            ..SmokeOptions::default()
        };
        let project = Project { root: dir.path().to_owned(), out: dir.path().join("out") };
        Self { project, boot: Boot { vm, dir: image }, spec, options, _dir: dir }
    }

    fn hanging(guest: &str) -> Self {
        let mut stage = Self::new(guest);
        stage.options.timeout = Some(Duration::from_millis(1500));
        stage
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context::new(&self.project, &Silent)
    }

    fn try_run(&self, ctx: &Context<'_>) -> Result<RunReport> {
        let host = Host { kvm: Err("the test has none".into()), kernel: "test".into() };
        self.run_on(ctx, &host)
    }

    fn run_on(&self, ctx: &Context<'_>, host: &Host) -> Result<RunReport> {
        let Self { spec, boot, options, .. } = self;
        let trial = Trial {
            name: "hello",
            target: Target::Qemu,
            boot: None,
            spec,
            net: boot.vm.net.as_ref(),
            own: None,
            disk: None,
            dir: &boot.dir,
            timeout: options.timeout,
        };
        trial.in_machine(ctx, boot, options, host)
    }

    fn run(&self) -> RunReport {
        self.try_run(&self.context()).unwrap()
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.boot.dir.join(LOG)).unwrap()).into_owned()
    }
}

/// The cause and the detail of a failure.
#[track_caller]
fn failure(report: &RunReport) -> (Cause, &str) {
    match &report.verdict {
        Verdict::Fail { cause, detail } => (*cause, detail),
        verdict => panic!("{verdict}"),
    }
}

/// The report, which must be a failure with `cause` that says each of `words`.
#[track_caller]
fn failed(report: RunReport, cause: Cause, words: &[&str]) -> RunReport {
    let (found, detail) = failure(&report);
    assert_eq!(found, cause, "{report}");
    for word in words {
        assert!(detail.contains(word), "no `{word}` in: {detail}");
    }
    report
}

/// Runs `guest`, which must fail with `cause` and say each of `words`.
#[track_caller]
fn fails(stage: Stage, cause: Cause, words: &[&str]) -> RunReport {
    let report = failed(stage.run(), cause, words);
    let text = report.to_string();
    assert!(text.contains("smoke.log") && text.contains("FAIL"), "{text}");
    report
}

const HELLO: &str = "line 'Hello, world' 'with 64 MiB'\n";

fn hello(rest: &str) -> Stage {
    Stage::new(&format!("{HELLO}{rest}"))
}

#[test]
fn a_good_run_passes() {
    let stage = hello("frame 0; leave 0");
    let report = stage.run();
    assert_eq!(report.verdict, Verdict::Pass, "{report}");
    assert_eq!(report.status, Some(0));
    assert_eq!(report.tail[0], "Hello, world");
    assert!(stage.log().starts_with("Hello, world\r\nwith 64 MiB\r\n\r\n[selkie:exit status=0 nonce="));
    let timing = report.timing;
    assert!(timing.first_output <= timing.first_line && timing.first_line <= timing.end, "{timing:?}");
}

#[test]
fn another_expected_status_passes_too() {
    let mut stage = hello("frame 7; leave 7");
    stage.spec.status = 7;
    assert_eq!(stage.run().verdict, Verdict::Pass);
}

#[test]
fn bytes_may_come_in_any_pieces_and_need_not_be_text() {
    let report = Stage::new(
        "printf 'Hel'; sleep 0.1; printf 'lo, wor'; sleep 0.1; printf 'ld\\r'; sleep 0.1; printf '\\n\\377\\376 6'
         sleep 0.1; printf '4 MiB\\r\\r\\n[selkie:exit sta'; sleep 0.1; printf 'tus=0 nonce=%s' \"$nonce\"
         sleep 0.1; printf ']\\r'; sleep 0.1; printf '\\n'; leave 0",
    )
    .run();
    assert_eq!(report.verdict, Verdict::Pass, "{report}");
}

#[test]
fn the_right_text_and_then_a_crash() {
    fails(hello("exit 0"), Cause::Reset, &["without an exit line", "all expected texts were seen"]);
    fails(hello("frame 0; exit 0"), Cause::Reset, &["after an exit line"]);
}

#[test]
fn a_reboot_before_any_text() {
    fails(Stage::new("exit 0"), Cause::Reset, &["nothing was printed"]);
}

#[test]
fn an_early_exit() {
    fails(hello("leave 0"), Cause::EarlyExit, &["without its exit line"]);
    fails(Stage::new("leave 0"), Cause::EarlyExit, &["nothing was printed"]);
    let cut = hello("printf '[selkie:exit status=0 no'; leave 0");
    fails(cut, Cause::EarlyExit, &["cut off"]);
    let inside = hello("printf 'x[selkie:exit status=0 nonce=%s]\\n' $nonce; leave 0");
    fails(inside, Cause::EarlyExit, &["not alone on its line"]);
}

#[test]
fn a_hang() {
    let silent =
        fails(Stage::hanging("sleep 60"), Cause::Timeout, &["no end within 1500 ms", "nothing was printed"]);
    assert!(silent.timing.end < Some(Duration::from_secs(15)));
    fails(
        Stage::hanging("line 'Hello, world'; sleep 60"),
        Cause::Timeout,
        &["1 of 2", "[0-9]+ MiB", "no exit line"],
    );
    let after = Stage::hanging(&format!("{HELLO} frame 0; sleep 60"));
    fails(after, Cause::Timeout, &["all expected texts were seen", "the exit line, too"]);
}

#[test]
fn text_that_comes_too_late() {
    let late = Stage::hanging(&format!("sleep 60; {HELLO} frame 0; leave 0"));
    fails(late, Cause::Timeout, &["nothing was printed"]);
}

#[test]
fn a_prefix_only() {
    let prefix = Stage::new("line 'Hello, wor' '64 MiB'; frame 0; leave 0");
    fails(
        prefix,
        Cause::WrongOutput,
        &["`Hello, world` is missing", "1 of 2", "nearest line is `Hello, wor`"],
    );
}

#[test]
fn the_wrong_order() {
    let order = Stage::new("line '64 MiB' 'Hello, world'; frame 0; leave 0");
    fails(order, Cause::WrongOutput, &["only before `Hello, world`"]);
}

#[test]
fn an_exit_line_without_output() {
    fails(Stage::new("frame 0; leave 0"), Cause::WrongOutput, &["nothing was printed"]);
}

#[test]
fn the_exit_line_itself_is_no_expected_text() {
    let mut stage = hello("frame 0; leave 0");
    stage.spec.expect.push(RawPattern::Regex { regex: "status=0".into() });
    fails(stage, Cause::WrongOutput, &["`status=0`", "3 of 3"]);
}

#[test]
fn expected_text_does_not_count_after_the_exit_line() {
    fails(Stage::new(&format!("frame 0; {HELLO} leave 0")), Cause::OutputAfterExit, &["Hello, world"]);
}

#[test]
fn another_status() {
    let report = fails(hello("frame 101; leave 101"), Cause::WrongStatus, &["101 (panic) instead of 0"]);
    assert_eq!(report.status, Some(101));
    let mut stage = hello("frame 0; leave 0");
    stage.spec.status = 3;
    fails(stage, Cause::WrongStatus, &["status 0 instead of 3"]);
}

#[test]
fn the_exit_line_says_one_thing_and_the_exit_port_another() {
    fails(hello("frame 0; leave 1"), Cause::ExitDisagrees, &["status 0 in the exit line, status 1 at"]);
    fails(hello("frame 1; leave 0"), Cause::ExitDisagrees, &["status 1 in the exit line, status 0 at"]);
    fails(hello("frame 256; leave 0"), Cause::ExitDisagrees, &["no valid status"]);
}

#[test]
fn a_guest_that_writes_to_the_exit_port_itself() {
    fails(hello("exit 1"), Cause::ForeignExit, &["wrote 0 to the exit port"]);
    fails(hello("frame 0; exit 1"), Cause::ForeignExit, &["wrote 0 to the exit port"]);
    let warned = hello("echo 'qemu-system-x86_64: warning: no such feature' >&2; frame 0; exit 1");
    fails(warned, Cause::ForeignExit, &["wrote 0"]);
    fails(hello("frame 0; exit 5"), Cause::ForeignExit, &["wrote 2 to the exit port"]);
}

#[test]
fn a_qemu_that_fails() {
    let failing = hello("echo 'qemu-system-x86_64: -cpu x: unable to find CPU model' >&2; exit 1");
    let report = fails(failing, Cause::QemuFailed, &["exit code 1", "unable to find CPU model"]);
    assert!(report.to_string().contains("qemu: qemu-system-x86_64: -cpu x"));
    let even = hello("frame 0; echo 'qemu-system-x86_64: odd' >&2; exit 34");
    fails(even, Cause::QemuFailed, &["exit code 34", "odd"]);
}

#[test]
fn a_qemu_that_is_killed() {
    fails(hello("frame 0; kill -KILL $$"), Cause::QemuKilled, &["SIGKILL", "the exit line, too"]);
    fails(hello("kill -SEGV $$"), Cause::QemuKilled, &["SIGSEGV"]);
}

#[test]
fn a_qemu_that_is_missing() {
    let mut stage = hello("frame 0; leave 0");
    stage.options.qemu = Some("no-such-qemu".into());
    let error = stage.try_run(&stage.context()).unwrap_err();
    assert_eq!(error.code(), ExitCode::HostLacks, "{error}");
    let report = RunReport::not_made("hello", Target::Qemu, &error);
    assert_eq!(failure(&report).0, Cause::HostLacks);
    let summary = Summary { reports: vec![report] };
    assert_eq!(summary.exit_code(false), ExitCode::HostLacks);
}

#[test]
fn an_image_that_is_missing() {
    let stage = hello("frame 0; leave 0");
    fs::remove_file(stage.boot.root_task()).unwrap();
    let error = stage.try_run(&stage.context()).unwrap_err();
    assert!(error.to_string().contains("root-task") && error.to_string().contains("build-image"), "{error}");
}

#[test]
fn a_forged_exit_line() {
    let forged = hello("frame 0 0123456789abcdef; leave 0");
    fails(forged, Cause::ForgedExit, &["0123456789abcdef"]);
    let twice = hello("frame 0 0123456789abcdef; frame 0; leave 0");
    fails(twice, Cause::ForgedExit, &["0123456789abcdef"]);
    fails(hello("frame 0; frame 0; leave 0"), Cause::OutputAfterExit, &["[selkie:exit"]);
}

#[test]
fn the_nonce_is_another_one_each_time() {
    let stage = hello("frame 0; leave 0");
    stage.run();
    let first = stage.log();
    stage.run();
    assert_ne!(first, stage.log());
}

#[test]
fn text_after_the_exit_line() {
    fails(hello("frame 0; line oops; leave 0"), Cause::OutputAfterExit, &["`oops`"]);
}

#[test]
fn forbidden_text_anywhere() {
    let before = Stage::new(&format!("line 'it panicked at x'; {HELLO} frame 0; leave 0"));
    fails(before, Cause::Forbidden, &["`panicked`", "`it panicked at x`"]);
    fails(hello("frame 0; line panicked; leave 0"), Cause::Forbidden, &["after the exit line"]);
    fails(Stage::hanging("line panicked; sleep 60"), Cause::Forbidden, &["`panicked`"]);
}

#[test]
fn a_flood() {
    let stage = hello("yes 'all work and no play'");
    let started = Instant::now();
    let report = stage.run();
    let (cause, detail) = failure(&report);
    assert!(cause == Cause::OutputTooLong && detail.contains("16 MiB"), "{report}");
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(fs::metadata(stage.boot.dir.join(LOG)).unwrap().len(), watch::LIMIT as u64 + 1);
    assert!(report.tail.len() <= 15);
}

#[test]
fn input_goes_to_the_guest_after_the_first_text() {
    let mut stage = Stage::new(
        "early=$(timeout 0.5 head -c 1); line \"too early: $early.\"
         line 'Hello, world'; read answer; line \"$answer MiB\"; frame 0; leave 0",
    );
    stage.spec.input = Some("64\n".into());
    stage.spec.forbid.push(RawPattern::Literal("too early: 6".into()));
    let report = stage.run();
    assert_eq!(report.verdict, Verdict::Pass, "{report}");
}

#[test]
fn a_guest_that_reads_no_input_is_still_heard() {
    let mut stage = hello("sleep 0.2; frame 0; leave 0");
    stage.spec.input = Some("x".repeat(1 << 20));
    assert_eq!(stage.run().verdict, Verdict::Pass);
}

#[test]
fn kvm_that_fails_is_no_time_out() {
    let stage = hello("echo 'KVM internal error. Suberror: 1' >&2; sleep 60");
    let report = fails(stage, Cause::KvmFailed, &["Suberror: 1", "--accel tcg"]);
    assert!(report.timing.end < Some(Duration::from_secs(15)));
}

#[test]
fn a_log_that_cannot_be_written_is_an_error() {
    let stage = hello("frame 0; leave 0");
    fs::create_dir(stage.boot.dir.join(LOG)).unwrap();
    let error = stage.try_run(&stage.context()).unwrap_err();
    assert!(error.to_string().contains("smoke.log"), "{error}");
}

#[test]
fn a_wrong_expression_is_the_recipes_fault() {
    let mut stage = hello("frame 0; leave 0");
    stage.spec.expect = vec![RawPattern::Regex { regex: "(".into() }];
    assert_eq!(stage.try_run(&stage.context()).unwrap_err().code(), ExitCode::Usage);
}

/// Whether a process runs: it is there and no zombie.
fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim().starts_with('Z'))
}

/// Waits until `log` names the processes of the guest `FAMILY`.
fn family(log: &Path) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        let text = fs::read_to_string(log).unwrap_or_default();
        if let Some(line) =
            text.lines().find_map(|line| line.strip_prefix("pids ").filter(|_| text.ends_with('\n')))
        {
            return line.split(' ').map(str::to_owned).collect();
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("the guest did not start");
}

/// A stand-in QEMU with a child; both run until they are killed.
const FAMILY: &str = "sleep 600 & printf 'pids %s %s\\n' $$ $!; wait";

#[track_caller]
fn assert_gone(pids: &[String]) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while pids.iter().any(|pid| runs(pid)) {
        assert!(Instant::now() < deadline, "still there: {pids:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn nothing_is_left_after_a_time_out() {
    let stage = Stage::hanging(FAMILY);
    fails_quietly(&stage, Cause::Timeout);
    assert_gone(&family(&stage.boot.dir.join(LOG)));
}

#[test]
fn nothing_is_left_after_qemu_has_ended_by_itself() {
    let stage = hello("sleep 600 & printf 'pids %s %s\\n' $$ $!; frame 0; leave 0");
    let started = Instant::now();
    assert_eq!(stage.run().verdict, Verdict::Pass);
    assert!(started.elapsed() < Duration::from_secs(15), "the child's copy of the pipe was waited for");
    assert_gone(&family(&stage.boot.dir.join(LOG)));
}

#[track_caller]
fn fails_quietly(stage: &Stage, cause: Cause) {
    assert_eq!(failure(&stage.run()).0, cause);
}

#[test]
fn nothing_is_left_after_the_user_has_cancelled() {
    let stage = Stage::new(FAMILY);
    let log = stage.boot.dir.join(LOG);
    let ctx = stage.context();
    let cancel = ctx.cancel.clone();
    let pids = thread::scope(|scope| {
        let canceller = scope.spawn(|| {
            let pids = family(&log);
            assert!(pids.iter().all(|pid| runs(pid)));
            cancel.0.store(true, std::sync::atomic::Ordering::Relaxed);
            pids
        });
        let error = stage.try_run(&ctx).unwrap_err();
        assert!(error.to_string().contains("stopped by the user"), "{error}");
        canceller.join().unwrap()
    });
    assert_gone(&pids);
}

#[test]
fn nothing_is_left_after_a_panic() {
    struct Panics(PathBuf);
    impl qemu::Peer for Panics {
        fn output(&mut self, bytes: &[u8], _: Duration, _: &mut Vec<u8>) -> io::Result<qemu::Flow> {
            fs::write(&self.0, bytes).unwrap();
            panic!("on purpose");
        }
    }
    let stage = Stage::new(FAMILY);
    let log = stage.boot.dir.join(LOG);
    let qemu = Binary::find(Some(&stand_in())).unwrap();
    let launch = stage.boot.launch(&qemu, Accel::Tcg, None, &[], None);
    let run = std::panic::AssertUnwindSafe(|| {
        let _ = qemu::drive(launch, None, &stage.context().cancel, &mut Panics(log.clone()));
    });
    assert!(std::panic::catch_unwind(run).is_err());
    assert_gone(&family(&log)[..1]);
}

/// Not a test: what [`nothing_is_left_after_a_sigkill`] runs in a process of its own.
#[test]
fn a_runner_to_be_killed() {
    let Some(dir) = std::env::var_os("SELKIE_TEST_IMAGE") else { return };
    let mut stage = Stage::new("");
    stage.boot.dir = dir.into();
    stage.spec.timeout = Duration::from_secs(600);
    let _ = stage.run();
}

#[test]
fn nothing_is_left_after_a_sigkill() {
    let stage = Stage::new(FAMILY);
    let mut runner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "smoke::tests::a_runner_to_be_killed"])
        .env("SELKIE_TEST_IMAGE", &stage.boot.dir)
        // What it leaves behind goes with this test's folder.
        .env("TMPDIR", &stage.boot.dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pids = family(&stage.boot.dir.join(LOG));
    assert!(runs(&pids[0]));
    runner.kill().unwrap();
    runner.wait().unwrap();
    // The host ends QEMU itself; a child of QEMU is beyond its reach, and a real QEMU has none.
    assert_gone(&pids[..1]);
    let child = pids[1].parse().ok().and_then(rustix::process::Pid::from_raw).unwrap();
    let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
}

#[test]
fn an_error_that_is_no_lack_is_a_failure() {
    let report = RunReport::not_made("hello", Target::Qemu, &Error::new(ExitCode::Usage, "wrong recipe"));
    assert_eq!(failure(&report), (Cause::NotMade, "wrong recipe"));
}

#[test]
fn two_runs_of_one_image_at_once_have_a_log_each() {
    let stage = hello("sleep 0.3; line \"mine is $nonce\"; frame 0; leave 0");
    let reports = thread::scope(|scope| {
        let runs: Vec<_> = (0..2).map(|_| scope.spawn(|| stage.run())).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(reports.iter().all(|report| report.verdict.passed()), "{reports:?}");
    let log = stage.log();
    assert_eq!(log.matches("mine is").count(), 1, "{log}");
    let names: Vec<_> =
        fs::read_dir(&stage.boot.dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 4, "kernel, root task, guest and log, but {names:?}");
}

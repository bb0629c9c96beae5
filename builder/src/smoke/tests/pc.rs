//! The same on an emulated PC that boots from a medium: it has no exit port, so that its own end counts.

use super::*;
use crate::{qemu::Pc, recipe::AtExit};

/// A stage with a CD.
fn stage(guest: &str) -> Stage {
    let stage = Stage::new(guest);
    fs::write(stage.boot.dir.join("hello.iso"), "iso").unwrap();
    stage
}

fn hello(rest: &str) -> Stage {
    stage(&format!("{HELLO}{rest}"))
}

fn try_boot(stage: &Stage, at_exit: AtExit) -> Result<RunReport> {
    let Stage { spec, boot, options, .. } = stage;
    let path = BootPath::IsoCdBios;
    let trial = Trial {
        name: "hello",
        target: Target::BareMetal,
        boot: Some(path),
        spec,
        net: None,
        own: None,
        disk: None,
        dir: &boot.dir,
        timeout: options.timeout,
    };
    let pc = Pc::stage(boot, path, "hello");
    trial.on_pc(&stage.context(), at_exit, &pc, Duration::ZERO, options)
}

fn boot(stage: &Stage) -> RunReport {
    try_boot(stage, AtExit::PowerOff).unwrap()
}

#[test]
fn a_function_that_switches_its_machine_off_passes() {
    let stage = hello("frame 0; stop guest-shutdown");
    let report = boot(&stage);
    assert_eq!((&report.verdict, report.status), (&Verdict::Pass, Some(0)), "{report}");
    assert!(report.log.as_ref().unwrap().ends_with("smoke-iso-cd-bios.log"), "{report:?}");
    let summary = Summary { reports: vec![report] };
    assert!(summary.to_string().starts_with("PASS  hello  bare-metal iso/cd/bios "), "{summary}");
    assert!(junit(&summary, false).contains("classname=\"smoke.bare-metal\" name=\"hello iso/cd/bios\""));
    assert_eq!(serde_json::to_value(&summary).unwrap()["reports"][0]["boot"], "iso/cd/bios");
}

#[test]
fn another_status_is_wrong_even_when_the_machine_ends_well() {
    let report = failed(
        boot(&hello("frame 101; stop guest-shutdown")),
        Cause::WrongStatus,
        &["101 (panic) instead of 0"],
    );
    assert_eq!(report.status, Some(101));
    failed(boot(&hello("frame 112; stop guest-shutdown")), Cause::ExitDisagrees, &["no valid status"]);
}

#[test]
fn a_machine_that_ends_without_an_exit_line() {
    let off = boot(&hello("stop guest-shutdown"));
    failed(off, Cause::EarlyExit, &["switched off, but without its exit line"]);
    failed(boot(&hello("stop guest-reset")), Cause::Reset, &["triple fault", "without an exit line"]);
    let forged = boot(&hello("frame 0 0123456789abcdef; stop guest-shutdown"));
    failed(forged, Cause::ForgedExit, &["0123456789abcdef"]);
    let late = boot(&hello("frame 0; line oops; stop guest-shutdown"));
    failed(late, Cause::OutputAfterExit, &["oops"]);
}

#[test]
fn a_machine_that_is_not_switched_off() {
    let mut hang = hello("frame 0; sleep 60");
    hang.options.timeout = Some(Duration::from_millis(1500));
    failed(boot(&hang), Cause::Timeout, &["1500 ms", "the exit line, too"]);
    let reset = boot(&hello("frame 0; stop guest-reset"));
    failed(reset, Cause::WrongEnd, &["was reset, and not switched off", "`power-off`"]);
    // QEMU's exit code alone does not tell which of the two it was.
    failed(boot(&hello("frame 0; exit 0")), Cause::QemuFailed, &["exit code 0"]);
    failed(boot(&hello("frame 0; echo no >&2; exit 1")), Cause::QemuFailed, &["exit code 1", "no"]);
    failed(boot(&hello("frame 0; kill -KILL $$")), Cause::QemuKilled, &["SIGKILL"]);
}

#[test]
fn a_machine_ends_as_its_recipe_says() {
    let reboot = |guest| try_boot(&hello(guest), AtExit::Reboot).unwrap();
    assert_eq!(reboot("frame 0; stop guest-reset").verdict, Verdict::Pass);
    failed(reboot("frame 0; stop guest-shutdown"), Cause::WrongEnd, &["switched off", "`reboot`"]);
    failed(reboot("stop guest-reset"), Cause::Reset, &[]);
    let halt = |guest| try_boot(&hello(guest), AtExit::Halt).unwrap();
    let report = halt("frame 0; sleep 60");
    assert_eq!(report.verdict, Verdict::Pass, "{report}");
    assert!(report.timing.end < Some(Duration::from_secs(15)));
    failed(halt("frame 0; stop guest-shutdown"), Cause::WrongEnd, &["switched off", "`halt`"]);
    failed(halt("frame 0; sleep 0.2; line oops; sleep 60"), Cause::OutputAfterExit, &["oops"]);
}

#[test]
fn a_failed_boot_shows_what_firmware_and_loader_said() {
    let mut stage = stage(
        "log 'Booting from DVD/CD...' 'Boot failed: not a bootable disk'
         printf '\\033[2J\\033[1;1HGRUB: error: file `/kernel` not found.\\r\\n'; sleep 60",
    );
    stage.options.timeout = Some(Duration::from_millis(1500));
    let report = failed(boot(&stage), Cause::Timeout, &["1500 ms", "no exit line"]);
    let text = report.to_string();
    assert!(text.contains("\n  firmware: Boot failed: not a bootable disk"), "{text}");
    assert!(text.contains("\n  | GRUB: error: file `/kernel` not found."), "{text}");
    let xml = junit(&Summary { reports: vec![report] }, true);
    assert!(xml.contains("firmware: Boot failed"), "{xml}");
}

#[test]
fn a_medium_that_is_missing_is_an_error() {
    let stage = hello("frame 0; stop guest-shutdown");
    fs::remove_file(stage.boot.dir.join("hello.iso")).unwrap();
    let error = try_boot(&stage, AtExit::PowerOff).unwrap_err();
    assert!(error.to_string().contains("hello.iso") && error.to_string().contains("build-image"), "{error}");
}

#[test]
fn a_real_firmware_that_finds_nothing_to_boot_says_so() {
    let mut stage = Stage::new("");
    fs::write(stage.boot.dir.join("hello.iso"), vec![0; 1 << 20]).unwrap();
    (stage.options.qemu, stage.options.timeout) = (None, Some(Duration::from_secs(6)));
    let report = failed(boot(&stage), Cause::Timeout, &["nothing was printed"]);
    assert!(report.firmware.iter().any(|line| line.contains("Boot failed")), "{report}");
    assert!(report.screen.iter().any(|line| line.contains("Boot failed")), "{report}");
}

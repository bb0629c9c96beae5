//! The same with a real QEMU: a tiny guest (`tests/stand-in/guest.c`) does what its multiboot module says.

use super::*;
use std::{io::Write as _, sync::LazyLock};

/// The tiny guest, compiled once.
static GUEST: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let elf = dir.path().join("guest");
    let output = Command::new("cc")
        .args([
            "-m32",
            "-Os",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-ffreestanding",
            "-fno-pic",
            "-fno-stack-protector",
        ])
        .args(["-fno-asynchronous-unwind-tables", "-nostdlib", "-static", "-no-pie"])
        .args(["-Wl,--build-id=none,-z,noexecstack,-z,max-page-size=4096,-Ttext=0x200000", "-o"])
        .arg(&elf)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stand-in/guest.c"))
        .output()
        .expect("a C compiler is there: `cargo xtask doctor` names the package");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read(elf).unwrap()
});

/// An image whose guest does what `script` says, on a real QEMU.
fn guest(script: &str) -> Stage {
    let mut stage = Stage::new("");
    fs::write(stage.boot.kernel(), &*GUEST).unwrap();
    fs::write(stage.boot.root_task(), script).unwrap();
    stage.options.qemu = None;
    stage
}

const HELLO: &str = "print Hello, world\nprint with 64 MiB\n";

fn hello(rest: &str) -> Stage {
    guest(&format!("{HELLO}{rest}"))
}

#[test]
fn a_good_run_passes_on_both_machines() {
    for machine in [Machine::Q35, Machine::Pc] {
        let mut stage = hello("frame 0\nport 16\n");
        stage.boot.vm.machine = machine;
        let report = stage.run();
        assert_eq!(report.verdict, Verdict::Pass, "{report}");
        assert_eq!(report.tail[..2], ["Hello, world", "with 64 MiB"]);
    }
}

#[test]
fn the_highest_status_comes_through() {
    let mut stage = hello("frame 111\nport 127\n");
    stage.spec.status = 111;
    let report = stage.run();
    assert_eq!((&report.verdict, report.status), (&Verdict::Pass, Some(111)), "{report}");
}

#[test]
fn input_reaches_the_guest() {
    let mut stage = guest("print Hello, world\nread\nframe 0\nport 16\n");
    stage.spec.input = Some("the answer is 64 MiB\n".into());
    let report = stage.run();
    assert_eq!(report.verdict, Verdict::Pass, "{report}");
}

#[test]
fn a_triple_fault_resets() {
    fails(hello("reset\n"), Cause::Reset, &["triple fault", "without an exit line"]);
    fails(hello("frame 0\nreset\n"), Cause::Reset, &["after an exit line"]);
}

#[test]
fn a_power_off_is_no_status() {
    fails(hello("frame 0\noff\n"), Cause::Reset, &["switched off", "after an exit line"]);
}

#[test]
fn a_write_of_0_or_another_value_to_the_exit_port() {
    fails(hello("frame 0\nport 0\n"), Cause::ForeignExit, &["wrote 0"]);
    fails(hello("frame 0\nport 15\n"), Cause::ForeignExit, &["wrote 15"]);
}

#[test]
fn a_wrong_exit_line() {
    fails(hello("frame 0 0123456789abcdef\nport 16\n"), Cause::ForgedExit, &[]);
    fails(hello("frame 1\nport 16\n"), Cause::ExitDisagrees, &[]);
    fails(hello("frame 3\nport 19\n"), Cause::WrongStatus, &["status 3 instead of 0"]);
    fails(hello("port 16\n"), Cause::EarlyExit, &[]);
    fails(hello("frame 0\nprint late\nport 16\n"), Cause::OutputAfterExit, &["late"]);
}

#[test]
fn a_hang_of_the_guest() {
    let mut stage = hello("frame 0\nhang\n");
    stage.options.timeout = Some(Duration::from_secs(4));
    fails(stage, Cause::Timeout, &["the exit line, too"]);
}

#[test]
fn a_qemu_that_does_not_know_the_cpu() {
    let mut stage = hello("frame 0\nport 16\n");
    stage.boot.vm.cpu = "no-such-cpu".into();
    fails(stage, Cause::QemuFailed, &["no-such-cpu"]);
}

#[test]
fn a_kernel_that_is_none() {
    let stage = hello("frame 0\nport 16\n");
    fs::write(stage.boot.kernel(), "no kernel").unwrap();
    let report = stage.run();
    assert!(matches!(failure(&report).0, Cause::QemuFailed | Cause::Timeout), "{report}");
}

#[test]
fn kvm_boots_where_a_probe_says_so() {
    let mut stage = hello("frame 0\nport 16\n");
    stage.options.accel = AccelRequest::Auto;
    let host = Host::read();
    let report = stage.run_on(&stage.context(), &host).unwrap();
    assert_eq!(report.verdict, Verdict::Pass, "{report}");
    let accelerator = report.accelerator.unwrap();
    if accelerator.accel == Accel::Tcg {
        // Past libtest's capture: `cargo xtask test` counts it as skipped.
        let _ = writeln!(io::stderr(), "SKIP kvm_boots_where_a_probe_says_so: {}", accelerator.reason);
    }
}

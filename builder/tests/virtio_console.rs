//! A function whose output goes by a virtio console, on machines with the device and without.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use builder::{
    Context, Project, Target, build,
    context::Silent,
    image::name::{KERNEL, ROOT_TASK},
    kernel_config::KernelConfig,
    plan,
    qemu::{Accel, AccelRequest},
    recipe::Recipe,
    smoke::{self, SmokeOptions, Verdict},
};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

const LINES: usize = 1000;

#[test]
#[ignore = "the suite `network` runs it"]
fn lines_come_by_a_virtio_console_and_without_one_by_the_serial_port() {
    // Shares its builds with the test of conformance.
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance");
    let project = Project { out, ..Project::here() };
    let ctx = Context::new(&project, &Silent);
    let recipe = project.root.join("tests/fixtures/console/console.toml");
    let recipe = Recipe::load(&project, &recipe.to_string_lossy()).unwrap();
    for target in [Target::Qemu, Target::Process] {
        let image = build::build(&ctx, &plan::plan(&ctx, &recipe, target).unwrap()).unwrap();
        let options = SmokeOptions { accel: AccelRequest::Only(Accel::Tcg), ..SmokeOptions::default() };
        let report = smoke::smoke(&ctx, &recipe, target, &image.dir, &options).unwrap();
        assert_eq!(report.verdict, Verdict::Pass, "{target}: {report:?}");
        if target == Target::Qemu {
            let cpu = KernelConfig::load(&project, &recipe.kernel).unwrap().qemu_cpu;
            for device in ["virtio-serial-pci", "virtio-serial-pci-non-transitional"] {
                let (serial, console) = boot(&image.dir, &cpu, Some(device));
                assert_eq!((lines(&serial), lines(&console)), (0, LINES), "{device}: {serial}");
                // The last words need no driver.
                assert!(
                    serial.contains("[selkie:exit status=0 ") && !console.contains("[selkie:"),
                    "{serial}"
                );
            }
            let (serial, _) = boot(&image.dir, &cpu, None);
            assert_eq!(lines(&serial), LINES);
        }
    }
}

/// The lines of the function that `text` has, all of them in their order.
fn lines(text: &str) -> usize {
    let lines = text.lines().filter(|line| line.contains(": a line that is as long as"));
    lines.enumerate().filter(|(number, line)| line.starts_with(&format!("first {number:06}: "))).count()
}

/// What a machine with this device, if any, has said at its serial port and at its console.
fn boot(image: &Path, cpu: &str, device: Option<&str>) -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    let (serial, console) = (dir.path().join("serial"), dir.path().join("console"));
    fs::write(&console, "").unwrap();
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.current_dir(image)
        .args([
            "-accel",
            "tcg",
            "-nodefaults",
            "-no-user-config",
            "-machine",
            "q35",
            "-cpu",
            cpu,
            "-m",
            "64M",
        ])
        .args(["-display", "none", "-no-reboot", "-kernel", KERNEL, "-initrd", ROOT_TASK])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"])
        .arg("-serial")
        .arg(format!("file:{}", serial.display()));
    if let Some(device) = device {
        qemu.args(["-device", device, "-device", "virtconsole,chardev=console0", "-chardev"])
            .arg(format!("null,id=console0,logfile={}", console.display()));
    }
    let status = qemu.stdin(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(33), "{device:?}");
    (fs::read_to_string(serial).unwrap(), fs::read_to_string(console).unwrap())
}

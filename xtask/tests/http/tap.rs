//! A function at a tap device, in a user and network namespace of the test's own.

use super::{has, interop, service::root, skip};
use std::process::{Command, Stdio};

const RECIPE: &str = "tests/fixtures/tap/tap.toml";
const SCRIPT: &str = include_str!("tap.sh");

/// Whether a namespace with a tap device can be had.
fn can(test: &str) -> bool {
    if !has(test, "curl") {
        return false;
    }
    let script = "ip tuntap add tap0 mode tap";
    let tried =
        Command::new("unshare").args(["--user", "--map-root-user", "--net", "sh", "-c", script]).output();
    match tried {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            skip(test, &format!("no tap device in a namespace of its own: {said}"));
            false
        }
        Err(error) => {
            skip(test, &format!("unshare: {error}"));
            false
        }
    }
}

fn streams(test: &str, target: &str, bytes: u64) {
    if !can(test) {
        return;
    }
    let xtask = env!("CARGO_BIN_EXE_xtask");
    let run = |command: &mut Command| {
        let output = command.current_dir(root()).stdin(Stdio::null()).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&said));
    };
    run(Command::new(xtask).args(["build-image", RECIPE, "--target", target]));
    let dir = tempfile::tempdir().unwrap();
    interop::write_noise(&dir.path().join("sent"), bytes);
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "sh", "-c", SCRIPT, "sh", xtask, RECIPE, target]);
    run(command.arg(dir.path()));
}

#[test]
#[ignore = "the suite `http` runs it"]
fn a_process_streams_over_a_tap() {
    streams("a_process_streams_over_a_tap", "process", 64 << 20);
}

#[test]
#[ignore = "the suite `http` runs it"]
fn a_machine_streams_over_a_tap() {
    streams("a_machine_streams_over_a_tap", "qemu", 8 << 20);
}

mod long {
    #[test]
    #[ignore = "1 GiB"]
    fn a_process_streams_much_over_a_tap() {
        super::streams("a_process_streams_much_over_a_tap", "process", 1 << 30);
    }
}

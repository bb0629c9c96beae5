//! A function at a tap device, in a user and network namespace of the test's own: the test runs itself again in one.

use super::{
    has, interop, load,
    service::{Service, root},
    skip,
};
use std::{
    env,
    process::{Command, Stdio},
};

/// Set for the test that runs in the namespace: what it does.
const INSIDE: &str = "SELKIE_TAP";
const RECIPE: &str = "tests/fixtures/tap/tap.toml";
const NAMESPACE: [&str; 5] = ["--user", "--map-root-user", "--net", "sh", "-ec"];
/// Makes the device, and becomes what follows.
const SCRIPT: &str = "ip tuntap add tap0 mode tap; ip address add 10.0.2.2/24 dev tap0; ip link set lo up; \
                      ip link set tap0 up; exec \"$0\" \"$@\"";

/// Whether a namespace with a tap device can be had.
fn can(test: &str) -> bool {
    match Command::new("unshare").args(NAMESPACE).args([SCRIPT, "true"]).output() {
        Ok(output) if output.status.success() => return true,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            skip(test, &format!("no tap device in a namespace of its own: {said}"));
        }
        Err(error) => skip(test, &format!("unshare: {error}")),
    }
    false
}

/// Does something with the function of a recipe in a namespace.
fn within(recipe: &str, target: &str, what: &str) {
    let run = |command: &mut Command| {
        let output = command.current_dir(root()).stdin(Stdio::null()).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "{}: {said}", output.status);
        said
    };
    run(Command::new(env!("CARGO_BIN_EXE_xtask")).args(["build-image", recipe, "--target", target]));
    let mut command = Command::new("unshare");
    command.args(NAMESPACE).arg(SCRIPT).arg(env::current_exe().unwrap());
    command.args(["tap::within_the_namespace", "--exact", "--ignored", "--nocapture"]);
    let said = run(command.env(INSIDE, format!("{what} {target}")));
    // What did not run did not pass.
    assert!(said.contains("all of it was done"), "{said}");
    println!("{said}");
}

/// Runs for the other tests, in the namespace.
#[test]
#[ignore = "the suite `http` runs it by the other tests, each in a namespace"]
fn within_the_namespace() {
    let Ok(words) = env::var(INSIDE) else { return };
    let words: Vec<_> = words.split(' ').collect();
    let [what, number, target] = words[..] else { panic!("{words:?}") };
    let number: u32 = number.parse().unwrap();
    let service = Service::at_tap(if what == "load" { load::RECIPE } else { RECIPE }, target);
    match what {
        "load" => load::bears(&service, number),
        _ => interop::streams_through(&service, u64::from(number) << 20),
    }
    service.stop();
    println!("all of it was done");
}

fn streams(test: &str, target: &str, mib: u32) {
    if has(test, "curl") && can(test) {
        within(RECIPE, target, &format!("stream {mib}"));
    }
}

fn load(test: &str, target: &str, seconds: u32) {
    if load::has_wrk(test) && can(test) {
        within(load::RECIPE, target, &format!("load {seconds}"));
    }
}

#[test]
#[ignore = "the suite `http` runs it"]
fn a_process_streams_over_a_tap() {
    streams("a_process_streams_over_a_tap", "process", 32);
}

#[test]
#[ignore = "the suite `http` runs it"]
fn a_machine_streams_over_a_tap() {
    streams("a_machine_streams_over_a_tap", "qemu", 4);
}

#[test]
#[ignore = "the suite `http` runs it"]
fn a_machine_bears_load_over_a_tap() {
    load("a_machine_bears_load_over_a_tap", "qemu", 2);
}

mod long {
    #[test]
    #[ignore = "1 GiB"]
    fn a_process_streams_much_over_a_tap() {
        super::streams("a_process_streams_much_over_a_tap", "process", 1 << 10);
    }

    #[test]
    #[ignore = "a minute and a half"]
    fn a_machine_bears_load_over_a_tap_for_long() {
        super::load("a_machine_bears_load_over_a_tap_for_long", "qemu", 30);
    }
}

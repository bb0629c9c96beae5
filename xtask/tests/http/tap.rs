//! A function at a tap device, in a user and network namespace of the test's own: the test runs itself again in one.

use super::{
    has, interop, load,
    namespace::{DONE, INSIDE, can, within},
    service::{Service, root},
    skip,
};
use std::{env, path::Path, process::Command};

const RECIPE: &str = "tests/fixtures/tap/tap.toml";
const WITHIN: &str = "tap::within_the_namespace";

/// Runs for the other tests, in the namespace.
#[test]
#[ignore = "the suite `http` runs it by the other tests, each in a namespace"]
fn within_the_namespace() {
    let Ok(words) = env::var(INSIDE) else { return };
    let words: Vec<_> = words.split(' ').collect();
    if words == [SMOKE] {
        return smoke_passes();
    }
    let [what, number, target] = words[..] else { panic!("{words:?}") };
    let number: u32 = number.parse().unwrap();
    let service = Service::at_tap(if what == "load" { load::RECIPE } else { RECIPE }, target);
    match what {
        "load" => load::bears(&service, number),
        _ => interop::streams_through(&service, u64::from(number) << 20),
    }
    service.stop();
    println!("{DONE}");
}

/// What a test in the namespace is told to do a smoke test there.
const SMOKE: &str = "smoke";
/// A recipe that names the device itself.
const NAMES_IT: &str = "tests/fixtures/tap/tap-mode.toml";

/// What `xtask` with these words exits with and says.
fn xtask(words: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask")).args(words).current_dir(root()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

fn smoke_passes() {
    let (code, said) = xtask(&["smoke", NAMES_IT, "--strict"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("3 passed, 0 failed, 0 skipped"), "{said}");
    println!("{DONE}");
}

#[test]
#[ignore = "the suite `http` runs it"]
fn a_recipe_that_names_a_tap_is_tested_at_it_on_every_target() {
    if can("a_recipe_that_names_a_tap_is_tested_at_it_on_every_target") {
        within(&[NAMES_IT], WITHIN, SMOKE);
    }
}

#[test]
#[ignore = "the suite `http` runs it"]
fn a_tap_that_is_not_there_is_told_with_what_makes_it() {
    if Path::new("/sys/class/net/tap0").exists() {
        return skip("a_tap_that_is_not_there_is_told_with_what_makes_it", "this host has a tap0");
    }
    let lacks = "this host has no tap device `tap0`";
    let words = ["smoke", NAMES_IT, "--target", "process"];
    let (code, said) = xtask(&words);
    assert!(
        code == Some(0) && said.contains(lacks) && said.contains("0 passed, 0 failed, 1 skipped"),
        "{said}"
    );
    let (code, said) = xtask(&[&words[..], &["--strict"]].concat());
    assert_eq!(code, Some(4), "{said}");
    let (code, said) = xtask(&["run", NAMES_IT, "--target", "process"]);
    assert!(code == Some(3) && said.contains(lacks) && said.contains("ip tuntap add tap0"), "{said}");
    let (code, said) = xtask(&["run", NAMES_IT, "--port", "0:80", "--net", "tap:lo"]);
    assert!(code == Some(2) && said.contains("`--net user`"), "{said}");
}

fn streams(test: &str, target: &str, mib: u32) {
    if has(test, "curl") && can(test) {
        within(&[RECIPE, "--target", target], WITHIN, &format!("stream {mib} {target}"));
    }
}

fn load(test: &str, target: &str, seconds: u32) {
    if load::has_wrk(test) && can(test) {
        within(&[load::RECIPE, "--target", target], WITHIN, &format!("load {seconds} {target}"));
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

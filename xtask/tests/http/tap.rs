//! A function at a tap device, in a user and network namespace of the test's own: the test runs itself again in one.

use super::{
    has, interop, load,
    namespace::{DONE, INSIDE, can, within},
    service::Service,
};
use std::env;

const RECIPE: &str = "tests/fixtures/tap/tap.toml";
const WITHIN: &str = "tap::within_the_namespace";

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
    println!("{DONE}");
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

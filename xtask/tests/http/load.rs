//! Many requests at once, by wrk: no error, no memory that stays taken, and nothing to do afterwards.

use super::{
    has_network,
    service::{Service, descendant},
    skip,
};
use std::{fs, process::Command, thread, time::Duration};

/// How long it is looked at afterwards, and the most ticks of 10 ms of processor that it may take meanwhile: 1 %.
const IDLE: Duration = Duration::from_secs(5);
const IDLE_TICKS: u64 = 5;

/// The recipe, and the name of the process that is the function, or its machine. The kernel cuts names off.
pub(crate) const RECIPE: &str = "tests/fixtures/load/load.toml";
const PROCESS: &str = "load";
const MACHINE: &str = "qemu-system-x86";

pub(crate) fn has_wrk(test: &str) -> bool {
    let there = Command::new("wrk").arg("--version").output().is_ok();
    if !there {
        skip(test, "there is no wrk");
    }
    there
}

fn load(test: &str, seconds: u32) {
    if has_wrk(test) && has_network(test, "process") {
        let service = Service::start(RECIPE, "process");
        bears(&service, seconds);
        service.stop();
    }
}

/// Loads the function for so many seconds at each number of connections, and looks at what is left of it.
pub(crate) fn bears(service: &Service, seconds: u32) {
    let machine = descendant(service.id(), MACHINE);
    let process = machine.or_else(|| descendant(service.id(), PROCESS)).unwrap();
    // Timers wake a machine some thirty times a second, which takes just below one percent, not always as much.
    let at_rest = machine.map_or(0, idle);
    // wrk first tries the address with one more connection, which a slow machine may not have ended when all others come:
    // a function has at most 256.
    let most = if machine.is_some() { 255 } else { 256 };
    wrk(service, most, 1);
    let before = service.metric("heap_used_bytes");
    for connections in [1, 64, most] {
        wrk(service, connections, seconds);
    }
    let after = service.metric("heap_used_bytes");
    assert!(after <= before + 4096.0, "{before} bytes of heap before, {after} after");
    let used = idle(process);
    assert!(used <= 2 * at_rest + IDLE_TICKS, "{used} ticks in {IDLE:?}, {at_rest} before");
    println!("{used} ticks in {IDLE:?}, {at_rest} before");
}

/// The ticks that a process takes for nothing.
fn idle(process: u32) -> u64 {
    let begin = ticks(process);
    thread::sleep(IDLE);
    ticks(process) - begin
}

/// Loads the service, and sees that every request was answered with success.
fn wrk(service: &Service, connections: u32, seconds: u32) {
    let [connections, seconds] = [connections.to_string(), seconds.to_string()];
    let args = ["--threads", "1", "--connections", &connections, "--duration", &seconds, "--latency"];
    let output = Command::new("wrk").args(args).arg(service.url("/")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let good = output.status.success() && !text.contains("Non-2xx") && !text.contains("Socket errors");
    assert!(good && text.contains("requests in"), "{connections} connections: {text}");
    println!("{connections} connections: {text}");
}

/// Processor time of a process in ticks: the fields `utime` and `stime` of proc(5).
fn ticks(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    rest.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
}

#[test]
#[ignore = "the suite `http` runs it"]
fn a_process_bears_load() {
    load("a_process_bears_load", 2);
}

mod long {
    #[test]
    #[ignore = "a minute and a half"]
    fn a_process_bears_load_for_long() {
        super::load("a_process_bears_load_for_long", 30);
    }
}

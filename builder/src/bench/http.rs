//! Figures of `http-hello`: against a native program with the same handler, in network namespaces of their own, and from
//! its start to the first byte of its first answer.
//!
//! The programs and scripts lie in `tests/fixtures/http/`.

use super::{
    Figure, Measured, Options, Unit,
    lab::{Lab, failed},
    process::executable,
};
use crate::{
    Result, Target,
    exec::{self, Tool},
    image::name,
    recipe::Recipe,
};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Loads of each server, in turn, and seconds of each; an odd number of loads.
const ROUNDS: usize = 5;
const SECONDS: usize = 4;
/// Starts for the first byte in a process, and in QEMU.
const STARTS: usize = 21;
const BOOTS: usize = 5;

/// What the two namespaces and the loads need, with their packages.
const PROGRAMS: [(&str, &str); 6] = [
    ("wrk", "wrk"),
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("taskset", "util-linux"),
    ("awk", "mawk"),
];

/// The figures; docs/SPECIFICATION.md has the same.
pub(super) const FIGURES: &[Figure] = &[
    Figure {
        what: "http: time for a request of http-hello at a tap / of hyper at a veth pair, 64 connections",
        unit: Unit::Ratio,
        // 0.8 times the requests per second.
        limit: Some(1.0 / 0.8),
        measure: |lab, _, _| ratio(lab, Server::Tap, |load| load.seconds / load.requests),
    },
    Figure {
        what: "http: p99 of http-hello at a tap / of hyper at a veth pair, 64 connections",
        unit: Unit::Ratio,
        limit: None,
        measure: |lab, _, _| ratio(lab, Server::Tap, |load| load.p99),
    },
    Figure {
        what: "http: CPU time of a request of http-hello at a tap / of hyper at a veth pair",
        unit: Unit::Ratio,
        limit: None,
        measure: |lab, _, _| ratio(lab, Server::Tap, |load| load.cpu / load.requests),
    },
    Figure {
        what: "http: time for a request of http-hello behind passt / of hyper at a veth pair, 64 connections",
        unit: Unit::Ratio,
        limit: None,
        measure: |lab, _, _| ratio(lab, Server::Passt, |load| load.seconds / load.requests),
    },
    Figure {
        what: "http: start to first byte answered, process",
        unit: Unit::Seconds,
        limit: Some(0.005),
        measure: first_byte,
    },
    Figure {
        what: "http: start to first byte answered, QEMU with TCG",
        unit: Unit::Seconds,
        limit: None,
        measure: first_byte_in_qemu,
    },
];

/// Who is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    /// `http-hello` at a tap device.
    Tap,
    /// hyper, behind a veth pair.
    Native,
    /// `http-hello` behind passt.
    Passt,
}

/// One load of a server.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Load {
    server: Server,
    requests: f64,
    /// How long it took, how long all but one of a hundred requests took at most, and the server's CPU time.
    seconds: f64,
    p99: f64,
    cpu: f64,
}

/// What `measure` says of a server's loads, against the native program's.
fn ratio(lab: &Lab<'_>, server: Server, measure: impl Fn(&Load) -> f64) -> Result<Measured> {
    if let Some(missing) = missing(&PROGRAMS) {
        return Ok(Measured::Nothing(missing));
    }
    let loads = lab.loads(loads)?;
    let of = |server| loads.iter().filter(|load| load.server == server).map(&measure).collect();
    let samples: Vec<f64> = of(server);
    if samples.is_empty() {
        return Ok(Measured::Nothing("there is no `passt` (package passt)".into()));
    }
    Ok(Measured::Ratio(samples, of(Server::Native)))
}

/// What of `programs` the host lacks.
pub(super) fn missing(programs: &[(&str, &str)]) -> Option<String> {
    let lacks = |(program, _): &&(&str, &str)| exec::which(Path::new(program)).is_none();
    programs
        .iter()
        .find(lacks)
        .map(|(program, package)| format!("there is no `{program}` (package {package})"))
}

/// A script of the fixtures.
fn script(lab: &Lab<'_>, name: &str) -> Tool {
    within_namespaces(&folder(lab).join(name))
}

/// A script as root of namespaces of its own: whatever ends it ends all that it started.
pub(super) fn within_namespaces(script: &Path) -> Tool {
    let within =
        ["--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh"];
    Tool::new("unshare", Path::new("/")).args(within).arg(script)
}

fn folder(lab: &Lab<'_>) -> PathBuf {
    lab.ctx.project.root.join("tests/fixtures/http")
}

/// The fixtures' programs, compiled.
fn programs(lab: &Lab<'_>) -> Result<PathBuf> {
    let target = lab.folder("http")?;
    let build = ["build", "--quiet", "--locked", "--release", "--target-dir"];
    lab.cargo(&folder(lab)).args(build).arg(&target).run(&lab.ctx.cancel)?;
    Ok(target.join("release"))
}

/// `http-hello` at 10.9.0.2.
fn recipe(lab: &Lab<'_>) -> Result<Recipe> {
    Recipe::load(lab.ctx.project, &folder(lab).join("http.toml").to_string_lossy())
}

/// Loads all of them, in turn.
fn loads(lab: &Lab<'_>) -> Result<Vec<Load>> {
    let image = executable(&lab.image_for(&recipe(lab)?, Target::Process)?)?;
    let native = programs(lab)?.join("native");
    let script = script(lab, "load.sh")
        .args([&image, &native])
        .args([ROUNDS, SECONDS].map(|number| number.to_string()))
        .arg(lab.folder("loads")?);
    let output = script.run(&lab.ctx.cancel)?;
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    parse(&output.stdout, ticks).map_err(|what| failed("wrk", what))
}

/// The loads that `load.sh` tells.
fn parse(text: &str, ticks: f64) -> Result<Vec<Load>, String> {
    let parts = text.split("load ").skip(1);
    parts
        .map(|part| one(part, ticks).ok_or_else(|| format!("this is no load without errors:\n{part}")))
        .collect()
}

fn one(text: &str, ticks: f64) -> Option<Load> {
    let mut words = text.lines().next()?.split(' ');
    let server = match words.next()? {
        "tap" => Server::Tap,
        "native" => Server::Native,
        "passt" => Server::Passt,
        _ => return None,
    };
    let cpu = words.next()?.parse::<f64>().ok()? / ticks;
    // wrk says these only when there were some.
    if text.contains("Socket errors:") || text.contains("Non-2xx or 3xx responses:") {
        return None;
    }
    let total = text.lines().find(|line| line.contains(" requests in "))?;
    let mut words = total.trim().split([' ', ',']);
    let requests = words.next()?.parse().ok().filter(|requests| *requests > 0.0)?;
    let seconds = span(words.nth(2)?)?;
    let p99 = text.lines().find_map(|line| line.trim().strip_prefix("99%"))?;
    Some(Load { server, requests, seconds, p99: span(p99.trim())?, cpu })
}

/// Seconds of a time as wrk writes it.
fn span(text: &str) -> Option<f64> {
    let units = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0)];
    let (number, unit) = units.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    number.parse::<f64>().ok().map(|number| number * unit)
}

/// From the start of a process to the first byte.
fn first_byte(lab: &Lab<'_>, _: &Recipe, _: &Options) -> Result<Measured> {
    let image = executable(&lab.image_for(&recipe(lab)?, Target::Process)?)?;
    let server = ["10.9.0.2:80".into(), image.into_os_string(), "--net".into(), "tap:tap0".into()];
    first_bytes(lab, STARTS, &server)
}

/// From QEMU's start to the first byte. The image's own script takes TCG and the port 8080.
fn first_byte_in_qemu(lab: &Lab<'_>, _: &Recipe, _: &Options) -> Result<Measured> {
    if let Some(missing) = missing(&[("qemu-system-x86_64", "qemu-system-x86")]) {
        return Ok(Measured::Nothing(missing));
    }
    let image = lab.image(&Recipe::load(lab.ctx.project, "http-hello")?)?;
    let run = image.file(name::RUN).into_os_string();
    first_bytes(lab, BOOTS, &["127.0.0.1:8080".into(), "sh".into(), run])
}

/// So many starts of a server, which its address and command line are.
fn first_bytes(lab: &Lab<'_>, count: usize, server: &[OsString]) -> Result<Measured> {
    if let Some(missing) = missing(&[("ip", "iproute2"), ("unshare", "util-linux")]) {
        return Ok(Measured::Nothing(missing));
    }
    let client = programs(lab)?.join("first_byte");
    let script = script(lab, "first.sh").arg(&client).arg(count.to_string()).args(server);
    let output = script.run(&lab.ctx.cancel)?;
    let seconds = |line: &str| line.parse::<f64>().ok().map(|nanoseconds| nanoseconds / 1e9);
    let times: Option<Vec<f64>> = output.stdout.lines().map(seconds).collect();
    let times = times.filter(|times| times.len() == count);
    Ok(Measured::Samples(times.ok_or_else(|| failed("first_byte", output.stdout))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "load tap 150\n\
        Running 4s test @ http://10.9.0.2/\n  1 threads and 64 connections\n\
        Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency     1.51ms  309.70us   8.59ms   91.71%\n\
        Latency Distribution\n     50%    1.44ms\n     75%    1.56ms\n     90%    1.71ms\n     99%  950.00us\n\
        80000 requests in 4.00s, 12.76MB read\nRequests/sec:  20000.00\nTransfer/sec:      3.19MB\n";

    #[test]
    fn loads_are_read_as_wrk_tells_them() {
        let text = format!("{SAID}{}", SAID.replace("tap 150", "native 100").replace("950.00us", "1.50ms"));
        let loads = parse(&text, 100.0).unwrap();
        let first = Load { server: Server::Tap, requests: 80_000.0, seconds: 4.0, p99: 950e-6, cpu: 1.5 };
        assert_eq!(loads.len(), 2);
        assert!((loads[0].p99 - first.p99).abs() < 1e-12);
        assert_eq!(Load { p99: first.p99, ..loads[0].clone() }, first);
        assert_eq!((loads[1].server, loads[1].p99, loads[1].cpu), (Server::Native, 1.5e-3, 1.0));
    }

    #[test]
    fn loads_with_errors_are_none() {
        let errors = format!("{SAID}Socket errors: connect 0, read 3, write 0, timeout 1\n");
        assert!(parse(&errors, 100.0).is_err());
        assert!(parse(&SAID.replace("80000", "0"), 100.0).is_err());
        assert!(parse(&SAID.replace("99%", "98%"), 100.0).is_err());
    }

    #[test]
    fn the_specification_names_every_limit() {
        let text = include_str!("../../../docs/SPECIFICATION.md");
        for limit in ["0.8 × the requests per second", "5 ms"] {
            assert!(text.contains(limit), "{limit}");
        }
    }
}

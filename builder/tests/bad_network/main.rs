//! A bad network: between a function and Linux's own TCP stack lies a relay that loses, doubles, delays, reorders and
//! damages frames, on every target in the same way, and each time the same for the same seed. Then it sends hostile ones.
//!
//! The network is that of a network namespace of its own, so that no rights are needed: the test runs itself again in
//! one. There a tap is one end, and the other is the socket that a process takes its frames from, or QEMU's card.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod client;
#[path = "../common/mod.rs"]
mod common;
mod faults;
mod hostile;
mod leases;
mod names;
mod relay;

use builder::{Context, Project, Target, build, context::Silent, image::Role, plan, recipe::Recipe};
use common::{from, skip};
use faults::{Faults, Random};
use relay::Relay;
use std::{
    env, fs,
    io::{Read, Write},
    net::{IpAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Set for the test that runs in the namespace: which target, and what the image is started with.
const INSIDE: &str = "SELKIE_BAD_NETWORK";
/// The function's address and port, and the host's.
const FUNCTION: ([u8; 4], u16) = ([10, 0, 2, 15], 80);
const HOST: &str = "10.0.2.2/24";
const FOUR: [u8; 4] = [10, 0, 2, 2];
/// The same by IPv6, where the function has such an address, too.
const FUNCTION6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x15];
const HOST6: &str = "addr add fd00::2/64 dev tap0 nodad";
const SIX: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
/// How long the function may take until it answers at all, and then for each request: TCP waits longer after each loss.
const START: Duration = Duration::from_secs(60);
const ANSWER: Duration = Duration::from_secs(60);

/// How many hostile frames there are of a kind, and until when the function has to answer again.
const HOSTILE: usize = 20_000;
const RECOVERY: Duration = Duration::from_secs(120);

/// What goes wrong, in thousandths of all frames, and with how many requests.
const TRIALS: &[(&str, u64, usize, Faults)] = &[
    ("nothing", 1, 10, Faults::NONE),
    ("loss", 2, 20, Faults { lost: 30, ..Faults::NONE }),
    ("doubles", 3, 20, Faults { doubled: 100, ..Faults::NONE }),
    ("another order", 4, 20, Faults { delayed: 100, ..Faults::NONE }),
    ("damage", 5, 20, Faults { damaged: 30, ..Faults::NONE }),
    ("everything", 6, 40, Faults { lost: 20, doubled: 20, delayed: 50, damaged: 20 }),
];

const RECIPE: &str = r#"
[function]
name = "NAME"
version = "1.0.0"
[root-task]
crate = "CRATE"
libos = "native"
stack = "256 KiB"
heap = "HEAP"
[devices.net]
mode = "MODE"
[run.net]
NET
"#;

/// The card that the machine has in place of the recipe's: one whose frames go to a socket.
const CARD: &str = r#"
[targets.qemu]
extra-args = ["-netdev", "stream,id=net0,server=off,addr.type=unix,addr.path=SOCKET", "-device", "virtio-net-pci,netdev=net0,romfile="]
"#;

/// A function, and the test that asks it in the namespace.
struct Subject {
    name: &'static str,
    /// The crate.
    function: &'static str,
    heap: &'static str,
    /// The recipe's `[run.net]`.
    net: &'static str,
    within: &'static str,
}

const SUBJECT: Subject = Subject {
    name: "bad-network",
    function: "functions/http-echo",
    heap: "2 MiB",
    net: "addresses = [\"10.0.2.15/24\", \"fd00::15/64\"]",
    within: "within_the_namespace",
};

/// What is done for a target: a folder, the image in it, the relay's socket.
struct Stage {
    socket: PathBuf,
    command: Vec<String>,
}

impl Stage {
    fn new(target: Target, subject: &Subject) -> Self {
        let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let dir = tmp.join(subject.name);
        fs::create_dir_all(&dir).unwrap();
        let function = from(&dir, &Project::here().root.join(subject.function));
        let name = format!("{}-{target}", subject.name);
        let socket = dir.join(format!("{target}.socket"));
        let mut recipe = RECIPE.replace("NAME", &name).replace("CRATE", &function);
        recipe = recipe.replace("HEAP", subject.heap).replace("NET", subject.net);
        match target {
            Target::Process => recipe = recipe.replace("MODE", "user"),
            _ => {
                recipe = recipe.replace("MODE", "none") + &CARD.replace("SOCKET", &socket.to_string_lossy());
            }
        }
        let path = dir.join(format!("{name}.toml"));
        fs::write(&path, recipe).unwrap();
        // Shares its builds with the test of conformance.
        let project = Project { out: tmp.join("conformance"), ..Project::here() };
        let ctx = Context::new(&project, &Silent);
        let recipe = Recipe::load(&project, &path.to_string_lossy()).unwrap();
        let image = build::build(&ctx, &plan::plan(&ctx, &recipe, target).unwrap()).unwrap();
        let file = |name: &str| image.file(name).to_string_lossy().into_owned();
        let command = match image.member(Role::Executable) {
            Some(member) => {
                vec![file(&member.name), "--net".into(), format!("unix:{}", socket.to_string_lossy())]
            }
            None => vec!["sh".into(), file("run.sh")],
        };
        Self { socket, command }
    }
}

fn on(test: &str, target: Target, subject: &Subject) {
    for (program, package) in [("unshare", "util-linux"), ("ip", "iproute2")] {
        if Command::new(program).arg("-V").output().is_err() {
            return skip(test, &format!("there is no `{program}` (package {package})"));
        }
    }
    let within = ["--user", "--map-root-user", "--net", "--"];
    let probe = "ip tuntap add mode tap name probe0";
    let probed = Command::new("unshare").args(within).args(probe.split(' ')).output().unwrap();
    if !probed.status.success() {
        let said = String::from_utf8_lossy(&probed.stderr);
        return skip(test, &format!("no network namespace with a tap can be made here: {}", said.trim()));
    }
    let stage = Stage::new(target, subject);
    let mut words = vec![stage.socket.to_string_lossy().into_owned()];
    words.extend(stage.command);
    let output = Command::new("unshare")
        .args(within)
        .arg(env::current_exe().unwrap())
        .args([subject.within, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(INSIDE, words.join("\n"))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}");
    // What did not run did not pass.
    assert!(said.contains("all were answered"), "{said}");
    println!("{said}");
}

#[test]
#[ignore = "the suite `network` runs it"]
fn a_bad_network_is_survived_in_a_process() {
    on("a_bad_network_is_survived_in_a_process", Target::Process, &SUBJECT);
}

#[test]
#[ignore = "the suite `network` runs it"]
fn a_bad_network_is_survived_in_qemu() {
    on("a_bad_network_is_survived_in_qemu", Target::Qemu, &SUBJECT);
}

/// A namespace with the host's addresses, and a function behind the relay that answers.
struct Namespace {
    relay: Relay,
    function: Function,
}

impl Namespace {
    /// Sets up the namespace that the test runs in, with `more` for `ip`; none where it runs in none.
    fn enter(more: &str) -> Option<Self> {
        let words = env::var(INSIDE).ok()?;
        let words: Vec<_> = words.lines().collect();
        let (socket, command) = words.split_first().unwrap();
        let relay = Relay::new("tap0", Path::new(socket));
        ip(&format!("addr add {HOST} dev tap0"));
        more.split("; ").filter(|line| !line.is_empty()).for_each(ip);
        ip("link set lo up");
        ip("link set tap0 up");
        let mut function = Function::start(command);
        assert!(relay.serve(START), "it does not take the network: {}", function.end());
        function.wait_for_start();
        Some(Self { relay, function })
    }

    fn end(mut self) {
        self.function.end();
    }
}

/// Runs for the other tests, in the namespace.
#[test]
#[ignore = "the suite `network` runs it by the other tests, each in a namespace"]
fn within_the_namespace() {
    let Some(Namespace { relay, mut function }) = Namespace::enter(HOST6) else { return };
    // A request of each size by IPv4, then by IPv6, and so on.
    let ask = |seed: u64, number: usize| match number / 4 % 2 {
        0 => ask(FUNCTION.0.into(), seed, number as u64),
        _ => ask(FUNCTION6.into(), seed, number as u64),
    };
    for (what, seed, requests, faults) in TRIALS {
        let start = Instant::now();
        let before = client::metric("net_frames_malformed_total");
        relay.set(*seed, *faults);
        for number in 0..*requests {
            let asked = ask(*seed, number);
            assert!(asked.is_ok(), "{what}, request {number} of {requests}: {asked:?}; {}", function.end());
        }
        relay.set(0, Faults::NONE);
        let (frames, hurt) = relay.counted();
        let counted = client::metric("net_frames_malformed_total") - before;
        println!(
            "{what}: {requests} requests, {frames} frames, {hurt} of them hurt, {counted} counted, {:?}",
            start.elapsed()
        );
        assert_eq!(hurt > 0, *faults != Faults::NONE, "{what}");
        assert_eq!(counted > 0, faults.damaged > 0, "{what}: damage is counted, and nothing else is");
    }
    let before = client::metric("net_frames_malformed_total");
    relay.throw_good();
    relay.wait_until_thrown();
    assert_eq!(client::metric("net_frames_malformed_total"), before, "what is good is not counted");
    for what in ["damaged frames", "begun connections"] {
        let start = Instant::now();
        match what {
            "damaged frames" => relay.throw_damaged(7, HOSTILE),
            _ => relay.throw_begins(HOSTILE as u64),
        }
        relay.wait_until_thrown();
        // Neighbours believe whatever they are told: the host's question tells the function where the host is.
        ip("neigh flush dev tap0");
        for number in 0..8 {
            // It may be busy with what was thrown, and refuse others meanwhile.
            while let Err(error) = ask(8, number) {
                assert!(start.elapsed() < RECOVERY, "{what}, request {number}: {error}; {}", function.end());
                thread::sleep(Duration::from_millis(100));
            }
        }
        let counted = client::metric("net_frames_malformed_total");
        println!("{HOSTILE} {what}: answered again after {:?}, {counted} counted", start.elapsed());
        assert!(counted > 1000, "damaged frames are counted: {counted}");
    }
    println!("all were answered");
    drop(function.end());
}

/// Sets something of the namespace's network.
fn ip(line: &str) {
    let status = Command::new("ip").args(line.split(' ')).status().unwrap();
    assert!(status.success(), "ip {line}");
}

/// The running image.
struct Function(Child);

impl Function {
    fn start(command: &[&str]) -> Self {
        let mut child = Command::new(command[0]);
        child.args(&command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(child.spawn().unwrap())
    }

    fn wait_for_start(&mut self) {
        let start = Instant::now();
        while TcpStream::connect_timeout(&FUNCTION.into(), Duration::from_secs(1)).is_err() {
            assert!(start.elapsed() < START, "it does not answer: {}", self.end());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends it; what it said.
    fn end(&mut self) -> String {
        // It may have ended by itself.
        let _ = self.0.kill();
        let mut said = String::new();
        let _ = self.0.stdout.take().map(|mut pipe| pipe.read_to_string(&mut said));
        let _ = self.0.stderr.take().map(|mut pipe| pipe.read_to_string(&mut said));
        drop(self.0.wait());
        said
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.end();
    }
}

/// Sends an event and checks that its data comes back as it was.
fn ask(function: IpAddr, seed: u64, number: u64) -> Result<(), String> {
    let mut random = Random::new(seed << 32 | number);
    let size = [10, 1000, 20_000, 60_000][number as usize % 4];
    let data: Vec<u8> = (0..size).map(|_| random.next() as u8).collect();
    let head = format!(
        "POST / HTTP/1.1\r\nhost: f\r\nconnection: close\r\ncontent-length: {size}\r\ncontent-type: application/octet-stream\r\n\
         ce-specversion: 1.0\r\nce-id: {number}\r\nce-source: /test\r\nce-type: t\r\n\r\n"
    );
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect_timeout(&(function, FUNCTION.1).into(), ANSWER).map_err(text)?;
    stream.set_read_timeout(Some(ANSWER)).map_err(text)?;
    stream.set_write_timeout(Some(ANSWER)).map_err(text)?;
    stream.write_all(&[head.as_bytes(), &data].concat()).map_err(text)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(text)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or("no head")?;
    let head = String::from_utf8_lossy(&answer[..end]);
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(head.into_owned());
    }
    let back = &answer[end + 4..];
    let first = back.iter().zip(&data).position(|(back, sent)| back != sent);
    if back == data { Ok(()) } else { Err(format!("{} of {size} bytes, another at {first:?}", back.len())) }
}

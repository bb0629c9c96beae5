//! `posix-echo` under load: much at once, many one after another, and for long, with memory that stays what it is.

use super::{
    namespace::{DONE, INSIDE, can, within},
    program,
    service::{Service, descendant},
    tree,
};
use std::{
    env, fs,
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket},
    thread,
    time::{Duration, Instant},
};

/// The recipe, and the name of the process that is the function.
const RECIPE: &str = "posix-echo";
/// The same function with an address of its own, for a tap device.
const AT_TAP: &str = "tests/fixtures/posix/posix-tap.toml";
const TAP_ADDRESS: ([u8; 4], u16) = ([10, 9, 0, 2], 7);
/// What it says when it serves.
const READY: &str = "echo: port 7 for TCP and UDP";
/// More memory than this it does not take once it has served for a while: NetBSD keeps what it once had for buffers.
const GROWTH: u64 = 256 << 10;
/// After so many rounds it is warm.
const WARM: u64 = 1000;
/// How often a datagram is sent that nobody answers.
const TRIES: u32 = 5;

/// The function, and where it serves.
struct Echo {
    service: Service,
    udp: SocketAddr,
}

/// What it has served, as it says when it ends.
#[derive(Debug, Default, PartialEq, Eq)]
struct Served {
    connections: u64,
    datagrams: u64,
    bytes: u64,
}

impl Echo {
    /// Starts it; none where something is missing, after a line that says SKIP.
    fn start(test: &str, target: &str) -> Option<Self> {
        let tree = tree(test)?;
        if target == "process" {
            program(test, "passt")?;
        }
        let args = [RECIPE, "--target", target, "--rumprun", &tree, "--port", "0:7", "--port", "0:7/udp"];
        let service = Service::started(&args, READY, |log| listens(log, "(tcp port 7 "));
        let udp = listens(&service.log(), "(udp port 7 ").unwrap();
        Some(Self { service, udp })
    }

    /// Bytes of memory that the process has.
    fn memory(&self) -> u64 {
        let process = descendant(self.service.id(), RECIPE).unwrap();
        let pages = fs::read_to_string(format!("/proc/{process}/statm")).unwrap();
        let resident: u64 = pages.split_whitespace().nth(1).unwrap().parse().unwrap();
        resident * rustix::param::page_size() as u64
    }
}

/// Ends it, and has it say what it served.
fn stop(service: Service) -> Served {
    let log = service.stop();
    let line = log.lines().find_map(|line| line.trim().strip_prefix("echo: stopped after "));
    let words = line.unwrap().split(' ');
    let numbers: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
    let [connections, datagrams, bytes] = numbers[..] else { panic!("{log}") };
    Served { connections, datagrams, bytes }
}

/// Where this host reaches the port of `what`, as `run` says.
fn listens(log: &str, what: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains(what))?;
    line.split_once("listening on ")?.1.split_whitespace().next()?.parse().ok()
}

/// Bytes that are no pattern, the same for the same seed.
struct Noise(u64);

impl Noise {
    fn new(seed: u64) -> Self {
        // No seed gives the one state that stays.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            part.copy_from_slice(&self.0.to_le_bytes()[..part.len()]);
        }
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.fill(&mut bytes);
        bytes
    }
}

/// Sends bytes and has them come back.
fn comes_back(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).unwrap();
    assert!(back == bytes, "{} bytes came back otherwise", bytes.len());
}

/// That nothing more comes: the function has ended the connection.
fn ends(mut stream: TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

/// Sends so much through the function as it takes, at a tap device, and compares all that comes back. Behind passt of
/// Debian 12 it may stand still: docs/rumprun.md says so.
fn streams(test: &str, target: &str, mib: usize) {
    let Some(tree) = tree(test) else { return };
    if can(test) {
        let image = [AT_TAP, "--target", target, "--rumprun", &tree];
        within(&image, "load::within_the_namespace", &format!("{mib} {target}"));
    }
}

/// Runs for the other tests, in the namespace.
#[test]
#[ignore = "the suite `rumprun tree` runs it by the other tests, each in a namespace"]
fn within_the_namespace() {
    const PART: usize = 64 << 10;
    let (Ok(words), Some(tree)) = (env::var(INSIDE), tree("within_the_namespace")) else { return };
    let (mib, target) = words.split_once(' ').unwrap();
    let bytes = mib.parse::<usize>().unwrap() << 20;
    let args = [AT_TAP, "--target", target, "--rumprun", &tree, "--net", "tap:tap0"];
    let service = Service::started(&args, READY, |_| Some(TAP_ADDRESS.into()));
    let mut stream = service.connect();
    let mut sender = stream.try_clone().unwrap();
    let sent = thread::spawn(move || {
        let mut noise = Noise::new(64);
        (0..bytes / PART).for_each(|_| sender.write_all(&noise.bytes(PART)).unwrap());
    });
    let (mut noise, mut back) = (Noise::new(64), vec![0; PART]);
    for part in 0..bytes / PART {
        stream.read_exact(&mut back).unwrap();
        assert!(back == noise.bytes(PART), "between {} and {} bytes", part * PART, (part + 1) * PART);
    }
    sent.join().unwrap();
    ends(stream);
    assert_eq!(stop(service), Served { connections: 1, datagrams: 0, bytes: bytes as u64 });
    println!("{DONE}: {mib} MiB");
}

/// So many connections, each after the last; of a process three times as many, of which the last third adds no memory.
fn one_after_another(test: &str, target: &str, connections: u64) {
    let Some(echo) = Echo::start(test, target) else { return };
    let mut noise = Noise::new(connections);
    let mut all = 0;
    let mut serve = || {
        for _ in 0..connections {
            let mut stream = echo.service.connect();
            comes_back(&mut stream, &noise.bytes(100));
            ends(stream);
        }
        all += connections;
    };
    serve();
    if target == "process" {
        serve();
        let before = echo.memory();
        serve();
        holds(before, echo.memory());
    }
    assert_eq!(stop(echo.service), Served { connections: all, datagrams: 0, bytes: 100 * all });
}

fn holds(before: u64, after: u64) {
    println!("{before} bytes of memory, then {after}");
    assert!(after <= before + GROWTH, "{before} bytes of memory before, {after} after");
}

/// Sends a datagram, again when it is lost, and has it come back.
fn datagram_comes_back(socket: &UdpSocket, bytes: &[u8]) {
    let mut back = [0; 2048];
    for _ in 0..TRIES {
        socket.send(bytes).unwrap();
        // What comes late is the answer to another one.
        while let Ok(size) = socket.recv(&mut back) {
            if back[..size] == *bytes {
                return;
            }
        }
    }
    panic!("{TRIES} datagrams were lost one after another");
}

/// Serves connections that stay, new ones and datagrams: first until it is warm, and then for so long, which adds no memory.
fn soaks(test: &str, seconds: u64) {
    let Some(echo) = Echo::start(test, "process") else { return };
    let mut kept: Vec<TcpStream> = (0..4).map(|_| echo.service.connect()).collect();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect(echo.udp).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut noise = Noise::new(seconds);
    let mut rounds = 0;
    let mut round = || {
        kept.iter_mut().for_each(|stream| comes_back(stream, &noise.bytes(16 << 10)));
        let mut fresh = echo.service.connect();
        comes_back(&mut fresh, &noise.bytes(4 << 10));
        ends(fresh);
        datagram_comes_back(&socket, &noise.bytes(1000));
        rounds += 1;
    };
    (0..WARM).for_each(|_| round());
    let (before, begin) = (echo.memory(), Instant::now());
    while begin.elapsed() < Duration::from_secs(seconds) {
        round();
        thread::sleep(Duration::from_millis(10));
    }
    let after = echo.memory();
    kept.into_iter().for_each(ends);
    let served = stop(echo.service);
    println!("{rounds} rounds, {WARM} of them before {seconds} s: {served:?}");
    holds(before, after);
    assert_eq!((served.connections, served.bytes), (4 + rounds, rounds * (68 << 10)));
    assert!(served.datagrams >= rounds);
}

#[test]
fn a_process_sends_64_mib_back() {
    streams("a_process_sends_64_mib_back", "process", 64);
}

#[test]
fn a_machine_sends_64_mib_back() {
    streams("a_machine_sends_64_mib_back", "qemu", 64);
}

#[test]
fn a_process_serves_a_thousand_connections() {
    one_after_another("a_process_serves_a_thousand_connections", "process", 1000);
}

#[test]
fn a_process_soaks() {
    soaks("a_process_soaks", 20);
}

mod long {
    #[test]
    #[ignore = "takes minutes: cargo xtask test --rumprun DIR --long"]
    fn a_machine_serves_a_thousand_connections() {
        super::one_after_another("a_machine_serves_a_thousand_connections", "qemu", 1000);
    }

    #[test]
    #[ignore = "takes ten minutes: cargo xtask test --rumprun DIR --long"]
    fn a_process_soaks_for_ten_minutes() {
        super::soaks("a_process_soaks_for_ten_minutes", 600);
    }
}

//! The function `kv`: killed at random moments, on a full disk, and on one that fails.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod failing;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask/ lies in the checkout")
}

/// Says past the test's captured output why it did not run.
fn skip(test: &str, reason: &str) {
    let _ = writeln!(io::stderr(), "SKIP {test}: {reason}");
}

/// The program, where it is there: its folder is not in everybody's PATH.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Whether there is what a process needs for its network; a line that says SKIP when there is not.
fn has_network(test: &str) -> bool {
    let there = program("passt").is_some();
    if !there {
        skip(test, "passt is not installed");
    }
    there
}

/// The function, running on a disk.
struct Kv {
    xtask: Child,
    /// The function itself.
    pid: u32,
    port: u16,
}

impl Kv {
    /// Starts it as a process with the file as its disk, and waits until it listens.
    fn start(disk: &Path) -> Self {
        Self::started(xtask(&["run", "kv", "--target", "process", "--port", "0:80", "--disk"]).arg(disk))
    }

    /// As [`start`](Self::start), by a program that becomes `xtask run`.
    fn started(command: &mut Command) -> Self {
        let xtask =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut kv = Self { xtask, pid: 0, port: 0 };
        // Where it listens is said beside the console, before anything is on it.
        let mut errors = BufReader::new(kv.xtask.stderr.take().unwrap());
        let at = wait_for(&mut errors, "listening on http://127.0.0.1:");
        kv.port = at.trim_end_matches('/').parse().unwrap();
        drain(errors);
        let mut console = BufReader::new(kv.xtask.stdout.take().unwrap());
        wait_for(&mut console, "Listening on http://");
        drain(console);
        kv.pid = function(kv.xtask.id()).expect("the function is a child of the program");
        kv
    }

    fn connect(&self) -> Client {
        Client::new(self.port).unwrap()
    }

    /// Kills the function.
    fn kill(mut self) {
        let killed = Command::new("kill").args(["-KILL", &self.pid.to_string()]).status().unwrap();
        assert!(killed.success());
        assert!(!self.xtask.wait().unwrap().success());
    }

    /// Ends it as its user does.
    fn stop(mut self) {
        self.xtask.stdin.take().unwrap().write_all(b"\x03").unwrap();
        assert!(self.xtask.wait().unwrap().success());
    }
}

impl Drop for Kv {
    /// A test that fails leaves nothing behind.
    fn drop(&mut self) {
        if matches!(self.xtask.try_wait(), Ok(None)) {
            if let Some(pid) = function(self.xtask.id()) {
                let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
            }
            let _ = self.xtask.kill();
            let _ = self.xtask.wait();
        }
    }
}

/// Reads lines until one begins with `begin`; returns what follows it there.
fn wait_for(lines: &mut impl BufRead, begin: &str) -> String {
    let mut said = String::new();
    loop {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).unwrap() > 0, "it ended before `{begin}`: {said}");
        if let Some(rest) = line.strip_prefix(begin) {
            return rest.trim_end().to_owned();
        }
        said.push_str(&line);
    }
}

/// Reads what a program says, to its end: else the program would wait.
fn drain(mut from: impl Read + Send + 'static) {
    thread::spawn(move || io::copy(&mut from, &mut io::sink()));
}

/// The program of the command line in this checkout.
fn xtask(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(args).current_dir(root());
    command
}

/// The function that `parent` has started, or its machine. The kernel cuts names off.
fn function(parent: u32) -> Option<u32> {
    ["kv", "qemu-system-x86"].iter().find_map(|name| child(parent, name))
}

/// The process called `name` that `parent` has started.
fn child(parent: u32, name: &str) -> Option<u32> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).ok()?;
    let children = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let children: Vec<String> = children.collect();
    let mut pids =
        children.iter().flat_map(|list| list.split_whitespace()).filter_map(|pid| pid.parse().ok());
    pids.find(|pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name)
    })
}

/// A connection to the function, which is kept.
struct Client(BufReader<TcpStream>);

impl Client {
    fn new(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// The status and the body of the answer.
    fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: kv\r\ncontent-length: {length}\r\n\r\n");
        self.0.get_mut().write_all(&[head.as_bytes(), body].concat())?;
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end();
            if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest.get(..3).and_then(|code| code.parse().ok()).unwrap_or_default();
            } else if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok((status, body))
    }

    fn put(&mut self, key: &str, value: &[u8]) -> u16 {
        self.ask("PUT", &format!("/v1/{key}"), value).unwrap().0
    }

    fn get(&mut self, key: &str) -> (u16, Vec<u8>) {
        self.ask("GET", &format!("/v1/{key}"), b"").unwrap()
    }

    fn metric(&mut self, name: &str) -> u64 {
        let (status, text) = self.ask("GET", "/metrics", b"").unwrap();
        assert_eq!(status, 200);
        let text = String::from_utf8(text).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name}: {text}")).parse().unwrap()
    }
}

/// An empty disk.
fn disk(folder: &Path, mib: u64) -> PathBuf {
    let path = folder.join("disk.img");
    File::create(&path).unwrap().set_len(mib << 20).unwrap();
    path
}

/// That the host finds nothing wrong with the file system of a disk.
fn check(disk: &Path, test: &str) {
    let Some(fsck) = program("fsck.fat") else {
        return skip(
            test,
            "fsck.fat is not installed (Debian: dosfstools), so nothing checked the file system",
        );
    };
    let output = Command::new(fsck).arg("-n").arg(disk).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn build(target: &str) {
    let output = xtask(&["build-image", "kv", "--target", target]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// What a client knows of a key: the value that was acknowledged, and one that was on its way.
type Known = BTreeMap<String, (Option<Vec<u8>>, Option<Vec<u8>>)>;

/// Writes until the function is gone; tells what it knows then.
fn write(port: u16, number: usize, round: usize, mut known: Known) -> Known {
    let Ok(mut client) = Client::new(port) else { return known };
    for step in 0.. {
        let key = format!("{number}-{}", step % 7);
        let size = [10, 300, 5000, 20_000][(step + round) % 4];
        let value: Vec<u8> = format!("{round}/{step} ").into_bytes().repeat(size / 6);
        let entry = known.entry(key.clone()).or_default();
        entry.1 = Some(value.clone());
        match client.ask("PUT", &format!("/v1/{key}"), &value) {
            Ok((201 | 204, _)) => *entry = (Some(value), None),
            Ok((status, body)) => panic!("{status}: {}", String::from_utf8_lossy(&body)),
            Err(_) => break,
        }
    }
    known
}

/// Kills the function so many times, while three clients write.
fn killed(rounds: usize, test: &str) {
    if !has_network(test) {
        return;
    }
    build("process");
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(folder.path(), 3);
    let mut known: Vec<Known> = vec![Known::new(); 3];
    for round in 0..=rounds {
        let kv = Kv::start(&disk);
        let mut client = kv.connect();
        for (key, (acknowledged, under_way)) in known.iter_mut().flatten() {
            let (status, value) = client.get(key);
            let found = (status == 200).then_some(value);
            assert!(
                found == *acknowledged || found == *under_way,
                "round {round}: `{key}`: {status}, none of what may be there"
            );
            // What is seen once stays.
            (*acknowledged, *under_way) = (found, None);
        }
        if round == rounds {
            let moves = client.metric("kv_compactions_total");
            println!("{rounds} kills; {} keys, {moves} moves in the last run", client.metric("kv_keys"));
            kv.stop();
            break;
        }
        let port = kv.port;
        let writers: Vec<_> = known
            .drain(..)
            .enumerate()
            .map(|(number, known)| thread::spawn(move || write(port, number, round, known)))
            .collect();
        // Anywhere: spread by the golden ratio, the same each time.
        thread::sleep(Duration::from_millis(round as u64 * 618 % 400));
        kv.kill();
        known = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
    }
    assert!(known.iter().flatten().any(|(_, (value, _))| value.is_some()), "something was written");
    check(&disk, test);
}

#[test]
fn kills_lose_nothing_that_was_acknowledged() {
    killed(10, "kills_lose_nothing_that_was_acknowledged");
}

#[test]
#[ignore = "long: two hundred kills"]
fn two_hundred_kills_lose_nothing_that_was_acknowledged() {
    killed(200, "two_hundred_kills_lose_nothing_that_was_acknowledged");
}

#[test]
fn a_full_disk_is_told_and_the_function_goes_on() {
    const TEST: &str = "a_full_disk_is_told_and_the_function_goes_on";
    if !has_network(TEST) {
        return;
    }
    build("process");
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(folder.path(), 2);
    let kv = Kv::start(&disk);
    let mut client = kv.connect();
    let value = vec![b'x'; 50_000];
    let full = (0..).find(|number| client.put(&format!("k{number}"), &value) != 201).unwrap();
    assert!(full > 4, "{full}");
    for _ in 0..20 {
        assert_eq!(client.put("more", &value), 507);
        assert_eq!(client.put("k0", &value), 204, "what is there can be replaced");
    }
    assert_eq!(client.get("k1"), (200, value.clone()));
    assert_eq!(client.ask("DELETE", "/v1/k1", b"").unwrap().0, 204);
    assert_eq!(client.put("more", &value), 201);
    assert_eq!(client.metric("kv_disk_failures_total"), 0);
    kv.stop();
    check(&disk, TEST);
}

#[test]
fn a_disk_that_fails_is_told_and_counted() {
    if !has_network("a_disk_that_fails_is_told_and_counted") {
        return;
    }
    build("process");
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(folder.path(), 2);
    let kv = Kv::start(&disk);
    let mut client = kv.connect();
    assert_eq!(client.put("k", b"value"), 201);
    // What the file does not have any more cannot be read.
    File::options().write(true).open(&disk).unwrap().set_len(4096).unwrap();
    let (status, said) = client.get("k");
    assert_eq!((status, said.as_slice()), (500, &b"the disk failed\n"[..]));
    assert_eq!(client.ask("GET", "/healthz", b"").unwrap().0, 200);
    assert_eq!(client.metric("kv_disk_failures_total"), 1);
    kv.stop();
}

#[test]
fn a_smoke_test_that_is_killed_leaves_no_disk_and_no_process() {
    if !has_network("a_smoke_test_that_is_killed_leaves_no_disk_and_no_process") {
        return;
    }
    // A folder of its own, with the results of steps in the checkout's cache.
    let out = tempfile::tempdir().unwrap();
    fs::create_dir_all(root().join("out/.cache")).unwrap();
    symlink(root().join("out/.cache"), out.path().join(".cache")).unwrap();
    let command = |verb: &str| {
        let mut command = xtask(&[verb, "kv", "--target", "process", "--out"]);
        command.arg(out.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    assert!(command("build-image").status().unwrap().success());
    let image = out.path().join("kv/process");
    let files = || {
        let of = |folder: &Path| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = of(&image).chain(of(image.parent().unwrap())).collect();
        files.retain(|path| !path.ends_with("smoke.log"));
        files.sort();
        files
    };
    let before = files();
    let mut smoke = command("smoke").spawn().unwrap();
    let log = || fs::read_to_string(image.join("smoke.log")).unwrap_or_default();
    while !log().contains("Listening on ") {
        assert!(smoke.try_wait().unwrap().is_none(), "it has ended: {}", log());
        thread::sleep(Duration::from_millis(10));
    }
    let kv = function(smoke.id()).unwrap();
    smoke.kill().unwrap();
    smoke.wait().unwrap();
    assert_eq!(files(), before);
    // It ends with its parent, if not at the same moment.
    let begin = Instant::now();
    while fs::read_to_string(format!("/proc/{kv}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(begin.elapsed() < Duration::from_secs(60), "the function goes on");
        thread::sleep(Duration::from_millis(10));
    }
}

//! A function that runs, and the plainest of clients.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Building, booting, or any answer that takes longer does not come any more.
const PATIENCE: Duration = Duration::from_secs(60);
const BUILD: Duration = Duration::from_secs(900);

/// What a function that serves HTTP says when it does.
const LISTENING: &str = "Listening on http://";

/// Where a function at a tap device is.
const AT_TAP: ([u8; 4], u16) = ([10, 0, 2, 15], 80);

/// A function that serves at an address that this host reaches.
pub(crate) struct Service {
    child: Child,
    input: Option<ChildStdin>,
    dir: tempfile::TempDir,
    address: SocketAddr,
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

impl Service {
    /// Starts the function of a recipe, at a port of this host.
    pub(crate) fn start(recipe: &str, target: &str) -> Self {
        Self::started(&[recipe, "--target", target, "--port", "0:80"], LISTENING, |log| {
            let port = log.split_once("listening on http://127.0.0.1:")?.1.split_once('/')?.0;
            Some(([127, 0, 0, 1], port.parse().unwrap()).into())
        })
    }

    /// Starts it with its card in the tap device `tap0`.
    pub(crate) fn at_tap(recipe: &str, target: &str) -> Self {
        let args = [recipe, "--target", target, "--net", "tap:tap0"];
        Self::started(&args, LISTENING, |_| Some(AT_TAP.into()))
    }

    /// Starts it, and waits until it is `ready`, as it says then. `address` takes from the log where it serves.
    pub(crate) fn started(args: &[&str], ready: &str, address: impl Fn(&str) -> Option<SocketAddr>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.arg("run").args(args).current_dir(root());
        command.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        let mut service = Self { child, input, dir, address: AT_TAP.into() };
        let begin = Instant::now();
        loop {
            thread::sleep(Duration::from_millis(50));
            let log = service.log();
            let ended = service.child.try_wait().unwrap();
            assert!(ended.is_none() && begin.elapsed() < BUILD, "it does not start: {log}");
            if let (Some(address), true) = (address(&log), log.contains(ready)) {
                service.address = address;
                return service;
            }
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// A file of the test's own.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        self.try_connect().unwrap()
    }

    pub(crate) fn try_connect(&self) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// Sends bytes and gives all that comes until the end of the connection.
    pub(crate) fn exchange(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        // Who is refused early may not take all of it.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    }

    /// The status and the body of what is at `path`; none when there was no answer.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, String)> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let answer = String::from_utf8(self.exchange(request.as_bytes())).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((status(head.as_bytes())?, body.to_owned()))
    }

    /// Asks until there is an answer: whatever was done to it, the service goes on.
    pub(crate) fn answers(&self, path: &str) -> String {
        let begin = Instant::now();
        loop {
            match self.get(path) {
                Some((200, body)) => return body,
                other => assert!(begin.elapsed() < PATIENCE, "no answer but {other:?}: {}", self.log()),
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// A number of its metrics.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.answers("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name}: {text}")).parse().unwrap()
    }

    /// Ends it as a user does, by Ctrl-C, and sees it end well. Returns all that it has said.
    pub(crate) fn stop(mut self) -> String {
        self.input.as_mut().unwrap().write_all(&[3]).unwrap();
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let log = self.log();
                let told = log.contains("Stopped after") || log.contains("stopped after");
                assert!(status.success() && told, "{status}: {log}");
                return log;
            }
            assert!(begin.elapsed() < PATIENCE, "it does not stop: {}", self.log());
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // `run` ends what it has started when its input and its terminal are gone, or when it is told so.
        drop(self.input.take());
        let id = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let (Ok(None), Some(id)) = (self.child.try_wait(), id) {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// The status of an answer.
pub(crate) fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\r').next()?;
    str::from_utf8(line).ok()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// The process below `parent` whose program is called `name`.
pub(crate) fn descendant(parent: u32, name: &str) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children.split_whitespace().find_map(|child| {
        let child = child.parse().ok()?;
        let own = fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
        if own.trim() == name { Some(child) } else { descendant(child, name) }
    })
}

//! TLS of built functions: whom `fetch` does not believe, what OpenSSL and a scanner find at `https-hello`, and that no
//! two boots of a function show the same random bytes.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod scanner;

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::{fs::symlink, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask/ lies in the checkout")
}

fn file(name: &str) -> PathBuf {
    root().join("tests/fixtures/tls").join(name)
}

/// Whether there is what the tests need. Says so past the test's captured output when not.
fn can_run(test: &str) -> bool {
    has(test, &[("openssl", "version"), ("passt", "--version")])
}

/// Whether there are programs, each with an argument that it ends with.
fn has(test: &str, programs: &[(&str, &str)]) -> bool {
    let there = |program: &str, argument: &str| Command::new(program).arg(argument).output().is_ok();
    let lacking = programs.iter().find(|(program, argument)| !there(program, argument));
    if let Some((program, _)) = lacking {
        let _ = writeln!(io::stderr(), "SKIP {test}: there is no {program}");
    }
    lacking.is_none()
}

/// A folder for images, with the results of steps in the checkout's cache.
fn out() -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    let cache = root().join("out/.cache");
    fs::create_dir_all(&cache).unwrap();
    symlink(cache, out.path().join(".cache")).unwrap();
    out
}

fn xtask(out: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.current_dir(root()).arg("--out").arg(out).args(args).stdin(Stdio::null());
    command
}

fn shown(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// A program that ends with this, and all that it started.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).output();
        let _ = self.0.wait();
    }
}

fn start(command: &mut Command) -> Running {
    Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn().unwrap())
}

/// What of a line that begins with `sign` follows the last colon, as far as it is a number.
fn port_after(lines: impl Read, sign: &str) -> u16 {
    let mut lines = BufReader::new(lines).lines();
    let line = lines.find_map(|line| Some(line.unwrap().split_once(sign)?.1.to_owned())).unwrap();
    let digits = line.rsplit_once(':').map_or(line.as_str(), |(_, port)| port);
    digits.split(|letter: char| !letter.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[test]
fn fetch_believes_the_right_server_only() {
    if !can_run("fetch_believes_the_right_server_only") {
        return;
    }
    let (out, served) = (out(), tempfile::tempdir().unwrap());
    fs::write(served.path().join("greeting"), "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nhi\n").unwrap();
    fs::write(served.path().join("gone"), "HTTP/1.0 410 Gone\r\n\r\n").unwrap();
    fs::write(served.path().join("half"), "HTTP/1.0 200 OK\r\nContent-Length: 30\r\n\r\nhi\n").unwrap();
    fs::write(served.path().join("none"), "hi\n").unwrap();
    for (name, path, expected) in [
        ("server", "greeting", Ok("status 200, 3 bytes")),
        ("server-p384", "greeting", Ok("status 200, 3 bytes")),
        ("server-ed25519", "greeting", Ok("status 200, 3 bytes")),
        ("expired", "greeting", Err("certificate expired")),
        ("other-name", "greeting", Err("not valid for name")),
        ("unknown", "greeting", Err("UnknownIssuer")),
        ("server", "gone", Err("status 410")),
        ("server", "half", Err("not whole")),
        ("server", "none", Err("none of HTTP")),
    ] {
        let mut command = Command::new("openssl");
        command
            .args(["s_server", "-accept", "127.0.0.1:0", "-HTTP", "-cert"])
            .arg(file(&format!("{name}.pem")));
        command.arg("-key").arg(file(&format!("{name}.key"))).current_dir(served.path()).stdin(Stdio::null());
        let mut server = start(&mut command);
        let port = port_after(server.0.stdout.as_mut().unwrap(), "ACCEPT ");
        let url = format!("URL=https://10.0.2.2:{port}/{path}");
        let output =
            xtask(out.path(), &["run", "fetch", "--target", "process", "--env", &url]).output().unwrap();
        let said = shown(&output);
        match expected {
            Ok(text) => assert!(output.status.success() && said.contains(text), "{name}/{path}: {said}"),
            Err(text) => {
                assert!(!output.status.success(), "{name}/{path}: {said}");
                assert!(said.contains(text) && said.contains("status=1 "), "{name}/{path}: {said}");
                assert!(!said.contains("status 200"), "{name}/{path}: {said}");
            }
        }
    }
}

/// Starts a function that serves at the port `guest`, and gives the host's port for it.
fn serve(out: &Path, guest: u16, args: &[&str]) -> (Running, u16) {
    let port = format!("0:{guest}");
    let args = [&["run", "--port", &port], args].concat();
    let mut server = start(xtask(out, &args).stdin(Stdio::piped()));
    let port = port_after(server.0.stderr.as_mut().unwrap(), "listening on ");
    // The host takes connections before the function does.
    let mut console = BufReader::new(server.0.stdout.as_mut().unwrap());
    let mut line = String::new();
    while !line.contains("Listening on http") {
        line.clear();
        assert!(console.read_line(&mut line).unwrap() > 0, "it has ended");
    }
    (server, port)
}

/// Starts `https-hello` in the same way.
fn serve_https(out: &Path, target: &str) -> (Running, u16) {
    let key = format!("KEY=@{}", file("server.key").display());
    serve(out, 443, &["https-hello", "--target", target, "--secret", &key])
}

/// What a client of OpenSSL, which believes the tests' root alone, finds out about `https-hello`.
struct Found {
    /// All that it prints.
    text: String,
    /// The random bytes of the server's first message.
    random: String,
    /// The name of the request.
    id: String,
}

/// Starts `https-hello` and asks it once.
fn ask(out: &Path, target: &str) -> Found {
    let (_server, port) = serve_https(out, target);
    let mut command = Command::new("openssl");
    let strict = ["-verify_return_error", "-verify_hostname", "fetch.test", "-msg", "-ign_eof", "-CAfile"];
    command.args(["s_client", "-connect", &format!("127.0.0.1:{port}")]).args(strict).arg(file("root.pem"));
    let mut client =
        Running(command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).spawn().unwrap());
    let request = b"GET / HTTP/1.1\r\nhost: fetch.test\r\nconnection: close\r\n\r\n";
    client.0.stdin.as_mut().unwrap().write_all(request).unwrap();
    let mut bytes = Vec::new();
    client.0.stdout.as_mut().unwrap().read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    // Four bytes of type and length, two of the version, then 32 random ones (RFC 8446, 4.1.3).
    let hello = text.split("ServerHello").nth(1).unwrap_or_default();
    let hex: String = hello.lines().skip(1).take(3).flat_map(str::split_whitespace).collect();
    let random = hex.get(12..76).unwrap_or_default().to_owned();
    Found { id: id(&text), random, text }
}

/// What of a request's name is the same for all of a boot, and random.
fn id(answer: &str) -> String {
    let id = answer.split("x-request-id: ").nth(1).and_then(|rest| rest.get(..16)).unwrap_or_default();
    id.to_owned()
}

/// That OpenSSL believes two boots of `https-hello`, and that they show other random bytes.
fn boots_differ(test: &str, target: &str) {
    if !can_run(test) {
        return;
    }
    let out = out();
    let found = [ask(out.path(), target), ask(out.path(), target)];
    for Found { text, random, id } in &found {
        for sign in ["Hello, and nobody else heard it.", "Verification: OK", "TLSv1.3", "HTTP/1.1 200 OK"] {
            assert!(text.contains(sign), "{sign}: {text}");
        }
        assert!(random.len() == 64 && id.len() == 16, "{text}");
    }
    assert_ne!(found[0].random, found[1].random);
    assert_ne!(found[0].id, found[1].id);
}

#[test]
fn openssl_believes_https_hello_and_no_two_processes_show_the_same_random_bytes() {
    boots_differ("openssl_believes_https_hello_and_no_two_processes_show_the_same_random_bytes", "process");
}

#[test]
fn openssl_believes_https_hello_and_no_two_machines_show_the_same_random_bytes() {
    boots_differ("openssl_believes_https_hello_and_no_two_machines_show_the_same_random_bytes", "qemu");
}

/// A machine of its own takes no key: there it is the names of requests alone.
#[test]
fn no_two_boots_by_firmware_show_the_same_random_bytes() {
    if !has("no_two_boots_by_firmware_show_the_same_random_bytes", &[("xorriso", "--version")]) {
        return;
    }
    let out = out();
    let ids = [(); 2].map(|()| {
        let (_server, port) = serve(out.path(), 80, &["http-hello", "--target", "bare-metal"]);
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        id(&answer)
    });
    assert!(ids[0].len() == 16 && ids[0] != ids[1], "{ids:?}");
}

#[test]
fn without_its_key_https_hello_does_not_serve_and_the_key_is_in_no_file() {
    if !can_run("without_its_key_https_hello_does_not_serve_and_the_key_is_in_no_file") {
        return;
    }
    let out = out();
    let run = |args: &[&str]| {
        let args = [&["run", "https-hello", "--target", "process"], args].concat();
        xtask(out.path(), &args).output().unwrap()
    };
    let none = run(&[]);
    assert!(!none.status.success() && shown(&none).contains("--secret KEY=@FILE"), "{}", shown(&none));
    let key = format!("KEY=@{}", file("expired.key").display());
    let other = run(&["--secret", &key]);
    assert!(
        !other.status.success() && shown(&other).contains("not that of the certificate"),
        "{}",
        shown(&other)
    );
    // The smoke test hands over the right one, and leaves a log.
    let smoke =
        xtask(out.path(), &["smoke", "https-hello", "--target", "process", "--strict"]).output().unwrap();
    assert!(smoke.status.success(), "{}", shown(&smoke));
    let keys = ["server.key", "expired.key"].map(|name| fs::read_to_string(file(name)).unwrap());
    let secrets: Vec<_> = keys.iter().flat_map(|key| key.lines().filter(|line| line.len() > 40)).collect();
    let image = out.path().join("https-hello/process");
    let files: Vec<_> = fs::read_dir(image).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.iter().any(|path| path.ends_with("smoke.log")), "{files:?}");
    for path in files {
        let bytes = fs::read(&path).unwrap();
        let has = |secret: &&&str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert_eq!(secrets.iter().find(has), None, "{}", path.display());
    }
}

#[test]
fn no_function_uses_registers_that_a_target_does_not_keep() {
    let out = out();
    for name in ["fetch", "https-hello", "thumbnail"] {
        let built = xtask(out.path(), &["build-image", name, "--target", "qemu"]).output().unwrap();
        assert!(built.status.success(), "{}", shown(&built));
        // It comes with the linker's package, without which gcc links nothing.
        let root_task = out.path().join(name).join("qemu/root-task");
        let code = Command::new("objdump").arg("-d").arg(root_task).output().unwrap();
        let code = String::from_utf8_lossy(&code.stdout);
        assert!(code.contains("%xmm"), "{name}");
        assert!(!code.contains("%ymm") && !code.contains("%zmm"), "{name}");
    }
}

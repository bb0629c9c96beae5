//! What curl and a plain socket understand.

use super::{
    has, has_network,
    service::{Service, status},
};
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    process::Command,
};

fn curl(args: &[&str]) -> (String, String) {
    let output =
        Command::new("curl").args(["--silent", "--show-error", "--max-time", "3600"]).args(args).output();
    let output = output.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "curl {args:?}: {}: {errors}", output.status);
    (String::from_utf8_lossy(&output.stdout).into_owned(), errors)
}

fn greeting(test: &str, target: &str) {
    if !has(test, "curl") || !has_network(test, target) {
        return;
    }
    let service = Service::start("http-hello", target);
    let url = service.url("/");
    let (answer, _) = curl(&["--http1.0", "--include", &url]);
    assert!(
        answer.contains("connection: close\r\n") && answer.ends_with("\r\n\r\nHello, world!\n"),
        "{answer}"
    );
    // A connection is kept: the second request needs none of its own.
    let (answer, _) = curl(&["--write-out", "%{num_connects};", &url, &url]);
    assert_eq!(answer, "Hello, world!\n1;Hello, world!\n0;");
    let (answer, _) = curl(&[
        "--http1.0",
        "--header",
        "Connection: keep-alive",
        "--write-out",
        "%{num_connects};",
        &url,
        &url,
    ]);
    assert_eq!(answer, "Hello, world!\n1;Hello, world!\n0;");
    let (answer, _) = curl(&["--head", &url]);
    assert!(answer.contains("content-length: 14\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    let (answer, _) =
        curl(&["--request", "DELETE", "--output", "/dev/null", "--write-out", "%{http_code}", &url]);
    assert_eq!(answer, "405");
    // Several requests at once, answered in their order.
    let request = |path: &str, close: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\n{close}\r\n");
    let requests =
        [request("/", ""), request("/nothing", ""), request("/healthz", "Connection: close\r\n")].concat();
    let answer = String::from_utf8(service.exchange(requests.as_bytes())).unwrap();
    let places =
        ["Hello, world!\n", "There is nothing here.\n", "\r\n\r\nok\n"].map(|text| answer.find(text));
    assert!(places.is_sorted() && places.iter().all(Option::is_some), "{answer}");
    service.stop();
}

fn bodies(test: &str, target: &str) {
    if !has(test, "curl") || !has_network(test, target) {
        return;
    }
    let service = Service::start("http-echo", target);
    let (url, text) = (service.url("/"), "x".repeat(5000));
    let event =
        ["ce-specversion: 1.0", "ce-id: 1", "ce-source: /test", "ce-type: test", "content-type: text/plain"];
    let event: Vec<_> = event.iter().flat_map(|field| ["--header", field]).collect();
    for more in [&[][..], &["--header", "Transfer-Encoding: chunked"], &["--http1.0"]] {
        let (answer, _) = curl(&[&event[..], more, &["--data-binary", &text, &url]].concat());
        assert_eq!(answer, text, "{more:?}");
    }
    let expect = ["--verbose", "--header", "Expect: 100-continue", "--data-binary", &text, &url];
    let (answer, said) = curl(&[&event[..], &expect].concat());
    assert!(answer == text && said.contains("HTTP/1.1 100 Continue"), "{said}");
    // A stream of no bytes is one, too.
    let (answer, _) = curl(&["--data-binary", "", "--write-out", "%{http_code}", &service.url("/stream")]);
    assert_eq!(answer, "200");
    // A client that ends in the middle of its body gets no whole answer.
    let mut stream = service.connect();
    stream.write_all(b"POST /stream HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.ends_with(b"abcdefg") && status(&answer).is_none_or(|status| status == 200));
    service.stop();
}

fn streams(test: &str, target: &str, bytes: u64) {
    if has(test, "curl") && has_network(test, target) {
        let service = Service::start("http-echo", target);
        streams_through(&service, bytes);
        service.stop();
    }
}

/// Streams so many bytes through the function, with a length and in chunks: the same come back, and no memory stays taken.
pub(crate) fn streams_through(service: &Service, bytes: u64) {
    let (sent, back) = (service.file("sent"), service.file("back"));
    write_noise(&sent, bytes);
    let (sent_text, back_text) = (sent.to_str().unwrap(), back.to_str().unwrap());
    curl(&["--data-binary", "warm up", &service.url("/stream")]);
    let before = service.metric("heap_used_bytes");
    for more in [&[][..], &["--header", "Transfer-Encoding: chunked"]] {
        let args = ["--upload-file", sent_text, "--output", back_text, &service.url("/stream")];
        curl(&[more, &args].concat());
        assert!(same(&sent, &back), "{more:?}: another content came back");
        assert_eq!(fs::metadata(&back).unwrap().len(), bytes);
    }
    let (after, peak) = (service.metric("heap_used_bytes"), service.metric("heap_peak_bytes"));
    assert!(after <= before + 4096.0, "{before} bytes of heap before, {after} after");
    // What it takes does not grow with the stream.
    assert!(peak <= before + 128.0 * 1024.0, "{before} bytes of heap before, {peak} at most");
}

/// A file of bytes that repeat after a long time only.
fn write_noise(path: &std::path::Path, bytes: u64) {
    let mut file = io::BufWriter::new(File::create(path).unwrap());
    let mut state = 1u64;
    for _ in 0..bytes / 8 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        file.write_all(&(state ^ state >> 32).to_le_bytes()).unwrap();
    }
    file.flush().unwrap();
}

fn same(one: &std::path::Path, other: &std::path::Path) -> bool {
    Command::new("cmp").arg(one).arg(other).output().unwrap().status.success()
}

#[test]
#[ignore = "the suite `http` runs it"]
fn a_process_answers_curl() {
    greeting("a_process_answers_curl", "process");
}

#[test]
#[ignore = "the suite `http` runs it"]
fn a_machine_answers_curl() {
    greeting("a_machine_answers_curl", "qemu");
}

#[test]
#[ignore = "the suite `http` runs it"]
fn a_process_takes_bodies_of_all_kinds() {
    bodies("a_process_takes_bodies_of_all_kinds", "process");
}

#[test]
#[ignore = "the suite `http` runs it"]
fn a_machine_takes_bodies_of_all_kinds() {
    bodies("a_machine_takes_bodies_of_all_kinds", "qemu");
}

#[test]
#[ignore = "the suite `http` runs it"]
fn a_process_streams() {
    // passt of Debian 12 stands still for seconds now and then.
    streams("a_process_streams", "process", 8 << 20);
}

#[test]
#[ignore = "the suite `http` runs it"]
fn a_machine_streams() {
    streams("a_machine_streams", "qemu", 64 << 20);
}

mod long {
    #[test]
    #[ignore = "64 MiB by passt"]
    fn a_process_streams_much() {
        super::streams("a_process_streams_much", "process", 64 << 20);
    }

    #[test]
    #[ignore = "1 GiB"]
    fn a_machine_streams_much() {
        super::streams("a_machine_streams_much", "qemu", 1 << 30);
    }
}

//! A scanner of TLS servers: sslyze, in an environment of its own.

use crate::{Running, can_run, file, out, port_after, serve_https, start};
use builder::{Context, Project, context::Silent, inputs::python::Python};
use serde_json::Value;
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What is looked for, and where in its answer the versions before 1.3 are.
const VERSIONS: &str = "--sslv2 --sslv3 --tlsv1 --tlsv1_1 --tlsv1_2 --tlsv1_3 --mozilla_config=disable";
const REST: &str = "--compression --early_data --openssl_ccs --fallback --heartbleed --robot --reneg --resum \
                    --elliptic_curves --slow_connection";
const OLD: [&str; 5] = ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2"];

/// A Python with the scanner; none where it cannot be had.
fn scanner(test: &str) -> Option<PathBuf> {
    // The environment is kept from one run to the next.
    let project = Project { out: Path::new(env!("CARGO_TARGET_TMPDIR")).join("sslyze"), ..Project::here() };
    let ctx = Context::new(&project, &Silent);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls");
    let python = Python::find(&ctx, &folder.join("requirements.txt"))
        .and_then(|python| python.with_sources(&folder.join("sources.txt")))
        .and_then(|python| python.environment(&ctx));
    match python {
        Ok(environment) => Some(environment.python),
        Err(error) => {
            // Past libtest's capture: the suites count it as skipped.
            let _ = writeln!(io::stderr(), "SKIP {test}: sslyze cannot be had: {error}");
            None
        }
    }
}

/// What the scanner says of the server at `port`.
fn scan(python: &Path, port: u16, more: &str) -> Value {
    let mut command = Command::new(python);
    command
        .args(["-B", "-I", "-m", "sslyze", "--json_out=-"])
        .args(VERSIONS.split(' '))
        .args(more.split_whitespace());
    let output = command.arg(format!("127.0.0.1:{port}")).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        let said = [output.stdout, output.stderr].concat();
        panic!("{error}: {}", String::from_utf8_lossy(&said))
    });
    let server = answer["server_scan_results"][0].clone();
    assert_eq!(server["scan_status"], "COMPLETED", "{server}");
    server["scan_result"].clone()
}

/// The result of a scan.
fn result<'a>(found: &'a Value, name: &str) -> &'a Value {
    assert_eq!(found[name]["status"], "COMPLETED", "{name}: {}", found[name]);
    &found[name]["result"]
}

/// The old versions that the scanner has found.
fn old(found: &Value) -> Vec<String> {
    let supported = |version: &str| {
        result(found, &format!("{version}_cipher_suites"))["is_tls_version_supported"] != false
    };
    OLD.iter().filter(|version| supported(version)).map(|version| (*version).to_owned()).collect()
}

/// What no server should have, of what the scanner has found.
fn weak(found: &Value) -> Vec<String> {
    let mut weak = old(found);
    for (scan, sign) in [
        ("tls_compression", "supports_compression"),
        ("tls_1_3_early_data", "supports_early_data"),
        ("openssl_ccs_injection", "is_vulnerable_to_ccs_injection"),
        ("heartbleed", "is_vulnerable_to_heartbleed"),
        ("session_renegotiation", "is_vulnerable_to_client_renegotiation_dos"),
    ] {
        if result(found, scan)[sign] != false {
            weak.push(sign.to_owned());
        }
    }
    let robot = &result(found, "robot")["robot_result"];
    if !robot.as_str().is_some_and(|robot| robot.starts_with("NOT_VULNERABLE")) {
        weak.push(format!("robot: {robot}"));
    }
    weak
}

/// The names in a list of the answer, sorted.
fn names<'a>(list: &'a Value, name: impl Fn(&'a Value) -> &'a Value) -> Vec<&'a str> {
    let mut names: Vec<_> =
        list.as_array().unwrap().iter().map(|entry| name(entry).as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_scanner_finds_nothing_weak_at_https_hello() {
    const TEST: &str = "a_scanner_finds_nothing_weak_at_https_hello";
    if !can_run(TEST) {
        return;
    }
    let Some(python) = scanner(TEST) else { return };
    let out = out();
    let (_server, port) = serve_https(out.path(), "process");
    let found = scan(&python, port, REST);
    assert_eq!(weak(&found), Vec::<String>::new());
    let suites = &found["tls_1_3_cipher_suites"]["result"]["accepted_cipher_suites"];
    assert_eq!(
        names(suites, |suite| &suite["cipher_suite"]["name"]),
        ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]
    );
    let curves = &found["elliptic_curves"]["result"]["supported_curves"];
    assert_eq!(names(curves, |curve| &curve["name"]), ["X25519", "secp256r1"]);
    // It does find what is old elsewhere. That server takes one connection at a time: not all scans come to an end.
    let (_server, port) = weak_server();
    assert_eq!(old(&scan(&python, port, "")), ["tls_1_2"]);
}

/// A server of a version of TLS that `https-hello` does not speak.
fn weak_server() -> (Running, u16) {
    let mut command = Command::new("openssl");
    command.args(["s_server", "-accept", "127.0.0.1:0", "-www", "-tls1_2", "-cert"]).arg(file("server.pem"));
    command.arg("-key").arg(file("server.key")).stdin(Stdio::null());
    let mut server = start(&mut command);
    let port = port_after(server.0.stdout.as_mut().unwrap(), "ACCEPT ");
    (server, port)
}

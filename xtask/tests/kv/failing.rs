//! Disks that fail below the function: the host has no room for them, or QEMU reports errors. Each is told to the client
//! and counted; the function goes on, and what was acknowledged is there.

use super::{Kv, build, check, disk, drain, has_network, root, skip, wait_for, xtask};
use std::{
    fs,
    io::BufReader,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Runs all arguments but the first where the folder is a file system of 2 MiB with a copy of the disk, which takes no
/// room for zeros, and has little room besides.
const SMALL: &str = "mount -t tmpfs -o size=2m none \"$0\" && cp --sparse=always \"$1\" \"$0/disk.img\" && \
                     head -c 1M /dev/zero >\"$0/ballast\" && shift && exec \"$@\"";

fn a_full_host(test: &str, target: &str) {
    if target == "process" && !has_network(test) {
        return;
    }
    let (small, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let disk = disk(kept.path(), 8);
    let small_has = |program: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", SMALL]);
        command.args([small.path(), &disk]).arg(program);
        command
    };
    match small_has("true").output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => return skip(test, String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => return skip(test, &format!("unshare: {error}")),
    }
    build(target);
    let run = |disk: &Path, command: &mut Command| {
        let run = ["run", "kv", "--target", target, "--port", "0:80", "--disk"];
        Kv::started(command.args(run).arg(disk).current_dir(root()))
    };
    // The function fills its files with zeros when it makes them.
    run(&disk, &mut xtask(&[])).stop();
    let kv = run(&small.path().join("disk.img"), &mut small_has(env!("CARGO_BIN_EXE_xtask")));
    let mut client = kv.connect();
    let value = vec![b'x'; 20_000];
    let key = |number| format!("k{number}");
    let mut there = 0;
    let refused = loop {
        match client.put(&key(there), &value) {
            201 => there += 1,
            other => break other,
        }
        assert!(there < 100, "the disk is never full");
    };
    assert!(refused == 500 && there > 5, "{refused} after {there} values");
    assert_eq!(client.put("more", &value), 500);
    assert_eq!(client.get("k0"), (200, value.clone()));
    assert_eq!(client.ask("GET", "/healthz", b"").unwrap().0, 200);
    assert!(client.metric("kv_disk_failures_total") >= 2);
    // Where its file system is, from outside.
    let inside = PathBuf::from(format!("/proc/{}/root", kv.xtask.id()));
    let inside = inside.join(small.path().strip_prefix("/").unwrap());
    fs::remove_file(inside.join("ballast")).unwrap();
    assert_eq!(client.put("more", &value), 201);
    fs::copy(inside.join("disk.img"), &disk).unwrap();
    kv.stop();
    check(&disk, test);
    let kv = run(&disk, &mut xtask(&[]));
    let mut client = kv.connect();
    assert!((0..there).all(|number| client.get(&key(number)) == (200, value.clone())));
    assert_eq!(client.get("more"), (200, value));
    kv.stop();
}

#[test]
fn a_host_without_room_is_told_in_a_process() {
    a_full_host("a_host_without_room_is_told_in_a_process", "process");
}

#[test]
fn a_host_without_room_is_told_in_a_machine() {
    a_full_host("a_host_without_room_is_told_in_a_machine", "qemu");
}

/// For QEMU's `blkdebug`: after the first flush the second fails, then a write, then a read, each once.
const RULES: &str = r#"
[set-state]
event = "flush_to_disk"
state = "1"
new_state = "2"

[inject-error]
event = "flush_to_disk"
state = "2"
once = "on"

[set-state]
event = "flush_to_disk"
state = "2"
new_state = "3"

[inject-error]
event = "write_aio"
state = "3"
once = "on"

[set-state]
event = "write_aio"
state = "3"
new_state = "4"

[inject-error]
event = "read_aio"
state = "4"
once = "on"

[set-state]
event = "read_aio"
state = "4"
new_state = "5"
"#;

/// Boots the image by its script, which hands `more` on to QEMU.
fn boot(disk: &Path, more: &[&str]) -> Kv {
    // Free when it was asked for.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut machine = Command::new("sh")
        .arg(root().join("out/kv/qemu/run.sh"))
        .args(more)
        .env("SELKIE_DISK", disk)
        .env("SELKIE_PORT_80", port.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut console = BufReader::new(machine.stdout.take().unwrap());
    let kv = Kv { pid: machine.id(), xtask: machine, port };
    wait_for(&mut console, "Listening on http://");
    drain(console);
    kv
}

#[test]
fn a_machines_disk_that_fails_is_told_and_counted() {
    const TEST: &str = "a_machines_disk_that_fails_is_told_and_counted";
    build("qemu");
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(folder.path(), 2);
    let kv = boot(&disk, &[]);
    assert_eq!(kv.connect().put("old", b"is kept"), 201);
    kv.kill();
    let rules = folder.path().join("rules");
    fs::write(&rules, RULES).unwrap();
    let file = format!("drive.disk0.file=blkdebug:{}:{}", rules.display(), disk.display());
    let kv = boot(&disk, &["-set", &file]);
    let mut client = kv.connect();
    assert_eq!(client.put("a", b"is flushed"), 201);
    assert_eq!(client.put("b", b"is not flushed"), 500);
    assert_eq!(client.put("b", b"is not written"), 500);
    let (status, said) = client.get("old");
    assert_eq!((status, said.as_slice()), (500, &b"the disk failed\n"[..]));
    assert_eq!(client.metric("kv_disk_failures_total"), 3);
    assert_eq!(client.ask("GET", "/healthz", b"").unwrap().0, 200);
    // It was for once.
    assert_eq!(client.get("old"), (200, b"is kept".into()));
    assert_eq!(client.get("b").0, 404);
    assert_eq!(client.put("b", b"is there"), 201);
    kv.kill();
    check(&disk, TEST);
    let kv = boot(&disk, &[]);
    let mut client = kv.connect();
    for (key, value) in [("old", "is kept"), ("a", "is flushed"), ("b", "is there")] {
        assert_eq!(client.get(key), (200, value.into()), "{key}");
    }
    kv.kill();
}

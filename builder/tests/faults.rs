//! What goes wrong around a build: tools that are missing, folders that are full or cannot be written,
//! builds that are stopped, killed or run twice at once, a cache that was damaged. Each ends with a clear
//! error or the right image, never with a wrong one.

#![allow(clippy::unwrap_used, reason = "tests may fail")]

mod common;

use common::{Built, Checkout, skip};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::Duration,
};

/// Moments at which builds are stopped, in ms: spread over a build by the golden ratio, the same each time.
fn moments(count: u64, longest: u64) -> impl Iterator<Item = Duration> {
    (1..=count).map(move |n| Duration::from_millis(n * 618 % 1000 * longest / 1000))
}

/// Sends a signal to a process that this test started.
fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn partials(folder: &Path) -> Vec<PathBuf> {
    let output = Command::new("find").arg(folder).args(["-name", "*.partial"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(PathBuf::from).collect()
}

/// Whether mounts in a name space of our own are possible.
fn can_mount() -> bool {
    let mount = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "tmpfs", "/tmp"]).output();
    mount.is_ok_and(|output| output.status.success())
}

/// The build, in a name space where the shell commands `prepare` were run first.
fn in_name_space(checkout: &Checkout, prepare: &str) -> Built {
    let command = checkout.command("tiny.toml");
    let mut unshare = Command::new("unshare");
    unshare.args(["-m", "sh", "-ec", &format!("{prepare}\nexec \"$@\""), "sh"]);
    unshare.arg(command.get_program()).args(command.get_args()).env("OUT", &checkout.out);
    Built::of(unshare.output().unwrap())
}

#[test]
fn a_missing_tool_is_named_with_its_package() {
    let mut checkout = Checkout::new();
    fs::create_dir(checkout.path("bin")).unwrap();
    let only = checkout.path("bin").display().to_string();
    checkout.env.insert("PATH".into(), only);
    for (tool, package) in [("cc", "debian: gcc"), ("python3", "debian: python3")] {
        let built = checkout.build();
        assert_eq!(built.code, Some(3), "{}", built.stderr);
        let named =
            built.stderr.contains(&format!("`{tool}` was not found")) && built.stderr.contains(package);
        assert!(named, "{}", built.stderr);
        for name in ["cc", "as", "ld"] {
            let _ = symlink(Path::new("/usr/bin").join(name), checkout.path("bin").join(name));
        }
    }
}

#[test]
fn without_cargo_the_way_to_rust_is_shown() {
    let checkout = Checkout::new();
    let mut command = checkout.command("tiny.toml");
    let built = Built::of(command.env_remove("CARGO").env("PATH", checkout.path("none")).output().unwrap());
    assert_eq!(built.code, Some(3), "{}", built.stderr);
    assert!(built.stderr.contains("https://rustup.rs"), "{}", built.stderr);
}

#[test]
fn a_compiler_that_fails_is_shown_with_its_words() {
    let mut checkout = Checkout::new();
    checkout.program(
        "bin/cc",
        "#!/bin/sh\ncase \"$*\" in *--version*|*-print*) exec /usr/bin/cc \"$@\" ;; esac\n\
         echo 'cc1: fatal error: cannot write x.o: No space left on device' >&2\nexit 1\n",
    );
    let path = std::env::var("PATH").unwrap();
    checkout.env.insert("PATH".into(), format!("{}:{path}", checkout.path("bin").display()));
    let built = checkout.build();
    assert_eq!(built.code, Some(1), "{}", built.stderr);
    for part in ["No space left on device", "command:", "cargo xtask clean"] {
        assert!(built.stderr.contains(part), "{part}: {}", built.stderr);
    }
    assert!(partials(&checkout.root).is_empty());
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let checkout = Checkout::cold("checkout");
    let built = if can_mount() {
        in_name_space(&checkout, "mkdir -p \"$OUT\"; mount -t tmpfs -o ro tmpfs \"$OUT\"")
    } else if rustix::process::geteuid().is_root() {
        return skip(
            "a_folder_that_cannot_be_written_is_named",
            "root writes everywhere, and nothing can be mounted",
        );
    } else {
        fs::create_dir(&checkout.out).unwrap();
        fs::set_permissions(&checkout.out, fs::Permissions::from_mode(0o555)).unwrap();
        checkout.build()
    };
    assert_eq!(built.code, Some(3), "{}", built.stderr);
    let path = checkout.out.display().to_string();
    assert!(built.stderr.contains(&path) && built.stderr.contains("--out"), "{}", built.stderr);
}

#[test]
fn a_file_in_the_place_of_the_folder_is_named() {
    let checkout = Checkout::cold("checkout");
    checkout.write("out", "");
    let built = checkout.build();
    assert_eq!(built.code, Some(1), "{}", built.stderr);
    assert!(built.stderr.contains(&checkout.out.display().to_string()), "{}", built.stderr);
}

#[test]
fn a_full_disk_is_an_error_or_the_image_is_right() {
    if !can_mount() {
        return skip("a_full_disk_is_an_error_or_the_image_is_right", "no file system can be mounted here");
    }
    let right = Checkout::new();
    let expected = right.build().good();
    let mut failures = 0;
    // From nothing fits to everything fits, with the steps before the root task already there.
    for room in ["4k", "64k", "256k", "1M", "2M", "4M", "64M"] {
        let checkout = Checkout::new();
        let built = in_name_space(
            &checkout,
            &format!(
                "cp -a \"$OUT\" \"$OUT.kept\"; mount -t tmpfs tmpfs \"$OUT\"; cp -aT \"$OUT.kept\" \"$OUT\"\n\
                 mount -o remount,size=$(($(du -sk \"$OUT\" | cut -f1) + $(echo {room} | sed 's/k//; s/M/*1024/')))k \"$OUT\""
            ),
        );
        if built.code == Some(0) {
            assert_eq!(built.members(), expected.members());
            continue;
        }
        failures += 1;
        let told =
            built.stderr.contains("No space left on device") && built.stderr.contains("cargo xtask clean");
        assert!(told, "{room}: {:?}\n{}{}", built.code, built.stdout, built.stderr);
    }
    assert!((1..7).contains(&failures), "{failures} of 7 failed");
}

#[test]
fn a_build_that_is_stopped_leaves_nothing_half_done() {
    stop_builds(8);
}

#[test]
#[ignore = "takes minutes: cargo xtask test --long"]
fn many_builds_that_are_stopped_leave_nothing_half_done() {
    stop_builds(80);
}

fn stop_builds(rounds: u64) {
    let checkout = Checkout::new();
    let expected = checkout.build().good();
    for (round, moment) in moments(rounds, 1500).enumerate() {
        checkout.forget("root-task");
        checkout.forget("cargo");
        let _ = fs::remove_dir_all(checkout.image());
        if round % 4 == 0 {
            checkout.forget("kernel");
        }
        let child = checkout.start();
        thread::sleep(moment);
        signal(&child, if round % 2 == 0 { Signal::INT } else { Signal::TERM });
        let stopped = Built::of(child.wait_with_output().unwrap());
        assert!(matches!(stopped.code, Some(0 | 130)), "{moment:?}: {:?} {}", stopped.code, stopped.stderr);
        assert_eq!(partials(&checkout.root), <[PathBuf; 0]>::default(), "{moment:?}");
        assert_eq!(checkout.build().good().members(), expected.members(), "{moment:?}");
    }
}

#[test]
fn a_build_that_is_killed_is_built_right_the_next_time() {
    kill_builds(8);
}

#[test]
#[ignore = "takes minutes: cargo xtask test --long"]
fn many_builds_that_are_killed_are_built_right_the_next_time() {
    kill_builds(80);
}

fn kill_builds(rounds: u64) {
    let checkout = Checkout::new();
    let expected = checkout.build().good();
    for (round, moment) in moments(rounds, 1500).enumerate() {
        checkout.forget("root-task");
        checkout.forget("cargo");
        if round % 4 == 0 {
            checkout.forget("kernel");
        }
        let mut child = checkout.start();
        thread::sleep(moment);
        child.kill().unwrap();
        child.wait().unwrap();
        let again = checkout.build().good();
        assert_eq!(again.members(), expected.members(), "{moment:?}");
        assert!(checkout.build().good().nothing_to_do());
    }
    checkout.forget("root-task");
    let _ = fs::remove_dir_all(checkout.image());
    checkout.build().good();
    assert_eq!(partials(&checkout.out.join("tiny")), <[PathBuf; 0]>::default());
}

#[test]
fn builds_at_once_wait_for_each_other() {
    let checkout = Checkout::new();
    let children: Vec<Child> = (0..4).map(|_| checkout.start()).collect();
    let built: Vec<Built> =
        children.into_iter().map(|child| Built::of(child.wait_with_output().unwrap()).good()).collect();
    assert_eq!(built.iter().filter(|built| built.ran("root task")).count(), 1);
    assert!(built.iter().any(|built| built.stdout.contains("note waiting for another process: tiny")));
    assert!(built.iter().all(|one| one.members() == built[0].members()));
}

#[test]
fn a_damaged_cache_is_noticed_and_repaired() {
    let checkout = Checkout::new();
    let expected = checkout.build().good();
    let entry = |step: &str| {
        let entries = fs::read_dir(checkout.out.join(".cache/steps").join(step)).unwrap();
        entries.map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap()
    };
    let flip = |path: PathBuf| {
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let truncate = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    };
    let damages: [(&str, &dyn Fn()); 5] = [
        ("kernel", &|| flip(entry("kernel").join("kernel"))),
        ("bindings", &|| truncate(entry("bindings").join("bindings.rs"))),
        ("root task", &|| flip(entry("root-task").join("root-task"))),
        ("root task", &|| truncate(entry("root-task").with_extension("list"))),
        ("root task", &|| fs::remove_file(entry("root-task").join("root-task.elf")).unwrap()),
    ];
    for (step, damage) in damages {
        damage();
        fs::remove_dir_all(checkout.image()).unwrap();
        let again = checkout.build().good();
        assert!(
            again.stdout.contains("in the cache is damaged") && again.ran(step),
            "{step}: {}",
            again.stdout
        );
        assert_eq!(again.members(), expected.members());
    }
}

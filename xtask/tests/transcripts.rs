//! The command line as users meet it: golden transcripts of what it prints, and how it ends.
//!
//! `cargo xtask test --bless` (or BLESS=1) writes the transcripts anew.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use serde_json::Value;
use std::{
    ffi::OsStr,
    fs,
    io::Read,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

const VERBS: &[&str] = &[
    "bench",
    "build-image",
    "build-kernel",
    "build-tender",
    "clean",
    "demo",
    "diff",
    "doctor",
    "explain",
    "inspect",
    "list",
    "lock",
    "publish",
    "repro",
    "run",
    "size",
    "smoke",
    "test",
    "verify",
];

fn xtask(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(args).stdin(Stdio::null()).env_remove("NO_COLOR");
    command
}

fn run(args: &[&str]) -> Output {
    xtask(args).output().unwrap()
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(name)
}

/// Runs the command line and compares what it prints and its exit code with a golden file.
fn transcript(name: &str, args: &[&str]) {
    let output = run(args);
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut text = format!("$ cargo xtask {}\n{}", args.join(" "), shown(&output.stdout));
    if !output.stderr.is_empty() {
        text.push_str(&format!("--- stderr\n{}", shown(&output.stderr)));
    }
    text.push_str(&format!("--- exit code {}\n", output.status.code().unwrap()));
    let path = golden(name);
    if std::env::var_os("BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &text).unwrap();
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text,
        wanted,
        "{} is not as it was; if that is meant: cargo xtask test --bless",
        path.display()
    );
}

/// The one JSON document of stdout, which must hold nothing else.
fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stdout)))
}

#[test]
fn help_is_as_it_was() {
    transcript("help.txt", &["--help"]);
    for verb in VERBS {
        transcript(&format!("help-{verb}.txt"), &[verb, "--help"]);
    }
}

#[test]
fn every_verb_has_a_transcript() {
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    let (_, verbs) = help.split_once("Commands:\n").unwrap();
    let listed: Vec<&str> = verbs
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    for verb in listed.into_iter().filter(|verb| *verb != "help") {
        assert!(VERBS.contains(&verb), "{verb}: add it to VERBS");
    }
}

#[test]
fn wrong_command_lines_are_as_they_were() {
    transcript("no-verb.txt", &[]);
    transcript("wrong-verb.txt", &["biuld-image"]);
    transcript("wrong-option.txt", &["list", "--fromat", "json"]);
    transcript("wrong-format.txt", &["--format", "yaml", "list"]);
    transcript("clean-path.txt", &["clean", "../hello"]);
    transcript("exclude-unknown.txt", &["smoke", "--all", "--exclude", "panic", "--exclude", "helo"]);
    transcript("exclude-alone.txt", &["build-image", "hello", "--exclude", "panic"]);
}

#[test]
fn without_a_recipe_the_names_are_shown() {
    for verb in ["build-image", "smoke", "run", "explain"] {
        let output = run(&[verb]);
        assert_eq!(output.status.code(), Some(2), "{verb}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("which RECIPE?") && text.contains("hello") && text.contains("panic"), "{text}");
    }
}

#[test]
fn what_is_no_text_is_an_error_like_others() {
    let wrong = OsStr::from_bytes(b"\xff.toml");
    for args in [&["list"][..], &["build-image"], &["run", "hello", "--arg"], &["--format", "json", "clean"]]
    {
        let output = xtask(args).arg(wrong).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        if args.contains(&"json") {
            assert_eq!(document(&output)["error"]["code"], 2);
        }
    }
}

#[test]
fn verdicts_that_cannot_be_written_are_told_before_the_first_boot() {
    let output = run(&["smoke", "hello", "--junit", "/no/such/folder/junit.xml"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "error: cannot write /no/such/folder/junit.xml: No such file or directory (os error 2)\n"
    );
}

#[test]
fn images_of_two_recipes_never_overwrite_each_other() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("main.c"), "").unwrap();
    let recipe = "[function]\nname = 'hello'\nversion = '1.0.0'\n[root-task]\nc-sources = ['main.c']\n";
    let path = dir.path().join("hello.toml");
    fs::write(&path, recipe).unwrap();
    let output = run(&["build-image", "hello", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("are both called `hello`"), "{text}");
}

#[test]
fn an_output_folder_that_the_tools_cannot_use_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for name in [&b"a:b"[..], b"a%s", b"a\xff"] {
        let out = dir.path().join(OsStr::from_bytes(name));
        let output = xtask(&["build-image", "hello", "--out"]).arg(&out).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("choose another folder with `--out`"), "{text}");
    }
}

#[test]
fn errors_are_json_too() {
    for args in [
        &["--format", "json", "biuld-image"][..],
        &["--format=json", "clean", "a/b"],
        &["clean", "a/b", "--format", "json"],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let error = &document(&output)["error"];
        assert_eq!(error["code"], 2, "{args:?}");
        assert!(!error["message"].as_str().unwrap().is_empty());
    }
}

#[test]
fn what_is_listed_is_one_document() {
    let output = run(&["--format", "json", "list"]);
    assert!(output.status.success());
    let listing = document(&output);
    assert!(listing["recipes"].is_array() && listing["kernels"].is_array(), "{listing}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = xtask(&["--help"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(errors, "");
}

#[test]
fn no_colours_but_when_asked_for() {
    let bad = ["clean", "a/b"];
    assert!(!run(&bad).stderr.contains(&0x1b));
    assert!(run(&["--color", "always", "clean", "a/b"]).stderr.contains(&0x1b));
}

/// A PATH with nothing on it: everything is missing, the exit code is 3, and the message names packages.
#[test]
fn what_the_host_lacks_is_named() {
    let empty = tempfile::tempdir().unwrap();
    let output = xtask(&["doctor", "--format", "json"]).env("PATH", empty.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let report = document(&output);
    let items = report["items"].as_array().unwrap();
    let mut base = items.iter().filter(|item| item["part"] == "base");
    assert!(base.all(|item| item["found"].is_null()), "{report}");
    let text = xtask(&["doctor"]).env("PATH", empty.path()).output().unwrap();
    assert!(String::from_utf8(text.stdout).unwrap().contains("qemu-system-x86"));
}

/// What is asked of this machine needs none of the host's tools, and answers in one document.
#[test]
fn this_machine_is_told_with_every_kernel_config() {
    let empty = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| xtask(words).env("PATH", empty.path()).output().unwrap();
    let output = run(&["doctor", "--this-machine", "--format", "json"]);
    assert_eq!(output.status.code(), Some(0));
    let report = document(&output);
    assert!(
        report["machine"]["cpu-features"].as_array().unwrap().iter().any(|one| one == "sse2"),
        "{report}"
    );
    let fits = report["kernels"].as_array().unwrap();
    let release = fits.iter().find(|fit| fit["kernel"] == "x86_64-release").unwrap();
    assert_eq!(release["uefi"]["boots"], "no", "{release}");
    assert!(release["missing-features"].as_array().unwrap().is_empty(), "{release}");
    let text = String::from_utf8(run(&["doctor", "--this-machine"]).stdout).unwrap();
    assert!(text.contains("x86_64-release") && text.contains("Multiboot 2"), "{text}");
    assert_eq!(run(&["doctor", "--this-machine", "--fix"]).status.code(), Some(2));
}

/// A PATH on which only apt-get is, which puts stand-ins for everything there and writes down what it was
/// asked.
fn host_with_apt(apt: &str) -> tempfile::TempDir {
    let host = tempfile::tempdir().unwrap();
    for tool in ["env", "chmod", "id"] {
        std::os::unix::fs::symlink(Path::new("/usr/bin").join(tool), host.path().join(tool)).unwrap();
    }
    let script = host.path().join("apt-get");
    fs::write(&script, format!("#!/bin/sh\ncd '{}'\n{apt}", host.path().display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    host
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

#[test]
fn doctor_installs_what_is_missing_without_a_question() {
    let apt = "[ $1 = --version ] && exit 0\necho \"$DEBIAN_FRONTEND $*\" >> asked\n[ $1 = install ] || exit 0\n\
        for tool in gcc ld python3 qemu-system-x86_64 passt openssl xorriso dpkg-source make tclsh cmake ninja xmllint dtc aarch64-linux-gnu-gcc riscv64-linux-gnu-gcc qemu-system-aarch64 qemu-system-riscv64; do echo '#!/bin/sh' > $tool; chmod +x $tool; done\n";
    let host = host_with_apt(apt);
    let output = xtask(&["doctor", "--fix", "--format", "json"]).env("PATH", host.path()).output().unwrap();
    if !is_root() {
        assert_eq!(output.status.code(), Some(3), "nothing is installed by a user who may not");
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(document(&output)["items"].as_array().unwrap().iter().all(|item| item["found"].is_string()));
    let asked = fs::read_to_string(host.path().join("asked")).unwrap();
    let (update, install) = asked.split_once('\n').unwrap();
    assert_eq!(update, "noninteractive update");
    for package in ["gcc", "libc6-dev", "binutils", "python3", "python3-venv", "qemu-system-x86"] {
        assert!(install.split_whitespace().any(|word| word == package), "{package} is not in {install}");
    }
    assert!(install.starts_with("noninteractive install -y --no-install-recommends "), "{install}");
}

#[test]
fn a_package_manager_that_fails_is_told() {
    let host = host_with_apt("echo 'E: the network is down' >&2\nexit 100\n");
    let output = xtask(&["demo", "--format", "json"]).env("PATH", host.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    if is_root() {
        let message = document(&output)["error"]["message"].to_string();
        assert!(message.contains("the network is down"), "{message}");
    }
}

/// A build is stopped by a signal: the exit code says by which, and the next build is none the worse.
#[test]
fn signals_end_a_build_cleanly() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let out = tempfile::tempdir().unwrap();
        let folder = out.path().to_str().unwrap();
        let mut child = xtask(&["build-image", "hello", "--out", folder, "--format", "json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The first step takes seconds.
        std::thread::sleep(std::time::Duration::from_millis(700));
        // The shell's own `kill`: the program comes with a package that small systems lack.
        let kill =
            Command::new("sh").args(["-c", &format!("kill -{signal} {}", child.id())]).status().unwrap();
        assert!(kill.success(), "the build was over before the signal");
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{text}");
        let error: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(error["error"]["code"], code);
        assert!(!out.path().join("hello/qemu").exists(), "an image was left");
    }
}

#[test]
fn a_plan_is_the_same_every_time_and_builds_nothing() {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().to_str().unwrap();
    let plan = || document(&run(&["explain", "hello", "--out", folder, "--format", "json"]));
    let first = plan();
    assert_eq!(first, plan());
    let plan = &first["plans"][0];
    assert_eq!(plan["name"], "hello");
    let names = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&plan["steps"]), ["kernel", "bindings", "root-task", "image"]);
    assert!(names(&plan["inputs"]).contains(&"kernel-source".to_owned()));
    assert!(!out.path().join("hello").exists(), "something was built");
    let text = String::from_utf8(run(&["explain", "hello", "--out", folder]).stdout).unwrap();
    assert!(text.contains(plan["key"].as_str().unwrap()), "{text}");
    assert!(text.contains("verified configuration: none"), "{text}");
}

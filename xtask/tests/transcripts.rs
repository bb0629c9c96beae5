//! The command line as users meet it: golden transcripts of what it prints, and how it ends.
//!
//! `cargo xtask test --bless` (or BLESS=1) writes the transcripts anew.

use serde_json::Value;
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

const VERBS: &[&str] = &[
    "bench",
    "build-image",
    "clean",
    "demo",
    "doctor",
    "explain",
    "inspect",
    "list",
    "run",
    "size",
    "smoke",
    "test",
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
    transcript("no-recipe.txt", &["build-image"]);
    transcript("run-no-recipe.txt", &["run"]);
    transcript("clean-path.txt", &["clean", "../hello"]);
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
    assert!(items.iter().all(|item| item["found"].is_null()), "{report}");
    let text = xtask(&["doctor"]).env("PATH", empty.path()).output().unwrap();
    assert!(String::from_utf8(text.stdout).unwrap().contains("qemu-system-x86"));
}

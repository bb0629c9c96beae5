//! The corpus of wrong recipes and kernel configs, one mistake each: `tests/recipes-bad/`.
//!
//! The folder is a small project of its own. Beside each `NAME.toml` lies `NAME.expected`, what a user
//! reads. `cargo xtask test --bless` (or BLESS=1) writes those files instead of comparing them.

#![allow(clippy::unwrap_used, reason = "a test ends by a panic")]

use builder::{Error, ExitCode, Project, kernel_config::KernelConfig, recipe::Recipe};
use std::{fs, path::PathBuf};

/// Kernel configs of the corpus that are right, for the recipes and for heirs.
const GOOD: [&str; 1] = ["x86_64-release"];

/// Files with several mistakes, to see all of them told at once.
const SEVERAL: [&str; 3] = ["unknown-keys", "several-keys-missing", "several-source-keys-missing"];

#[test]
fn wrong_recipes_are_explained() {
    check("recipes", |project, name| Recipe::load(project, name).err());
}

#[test]
fn wrong_kernel_configs_are_explained() {
    check("kernel-configs", |project, name| KernelConfig::load(project, name).err());
}

#[test]
fn the_corpus_is_large_enough() {
    let count = names("recipes").len() + names("kernel-configs").len() - GOOD.len();
    assert!(count >= 70, "{count} files");
}

#[test]
fn no_message_is_left_without_its_file() {
    for kind in ["recipes", "kernel-configs"] {
        let names = names(kind);
        for path in files(kind, "expected") {
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            assert!(names.contains(&stem), "{} has no TOML file beside it", path.display());
        }
    }
}

fn corpus() -> PathBuf {
    Project::here().root.join("tests/recipes-bad")
}

fn files(kind: &str, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(corpus().join(kind)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    paths.sort();
    paths
}

fn names(kind: &str) -> Vec<String> {
    files(kind, "toml").iter().map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
}

fn check(kind: &str, load: impl Fn(&Project, &str) -> Option<Error>) {
    let project = Project { root: corpus(), out: corpus().join("out") };
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    for name in names(kind) {
        let error = load(&project, &name);
        if kind == "kernel-configs" && GOOD.contains(&name.as_str()) {
            assert!(error.is_none(), "{name}: {}", error.unwrap());
            continue;
        }
        let Some(error) = error else {
            wrong.push(format!("{kind}/{name}.toml: no error"));
            continue;
        };
        wrong.extend(faults(&name, &error).map(|fault| format!("{kind}/{name}.toml: {fault}\n{error}")));
        let golden = corpus().join(kind).join(format!("{name}.expected"));
        let text = format!("{error}\n");
        if bless {
            fs::write(&golden, text).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != text {
            wrong.push(format!("{kind}/{name}.toml: another message than in {name}.expected\n{error}"));
        }
    }
    let help = "when the new messages are right: `cargo xtask test --bless`";
    assert!(wrong.is_empty(), "{}\n\n{help}", wrong.join("\n\n"));
}

/// What every message must have.
fn faults(name: &str, error: &Error) -> impl Iterator<Item = &'static str> {
    let diagnostics = error.diagnostics().unwrap_or_default();
    let placed = diagnostics.iter().all(|one| one.spot.is_some());
    let several = diagnostics.len() > 1;
    let helped = diagnostics.iter().all(|one| one.help.iter().any(|help| !help.trim().is_empty()));
    let machine = error.to_string().contains(&*corpus().to_string_lossy());
    [
        (error.code() != ExitCode::Usage).then_some("the exit code is not 2"),
        (several != SEVERAL.contains(&name)).then_some("there is not one diagnostic, or not several"),
        diagnostics.is_empty().then_some("there is no diagnostic"),
        (!placed).then_some("a diagnostic has no place"),
        (!helped).then_some("a diagnostic has no remedy"),
        machine.then_some("the message has a path of this machine"),
    ]
    .into_iter()
    .flatten()
}

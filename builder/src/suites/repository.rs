//! The suites of this repository.

use super::{Options, job::Job, judge::Judge};
use crate::{Project, recipe::Recipe};
use std::path::{Path, PathBuf};

/// The recipe whose function panics: it shows that the smoke test reports a failure.
const MUST_FAIL: &str = "panic";

/// The suites in the order of their run: what is quick to fail first.
pub(super) fn suites(project: &Project, options: &Options) -> Vec<(&'static str, Vec<Job>)> {
    let all = [
        ("format", format(project)),
        ("lints", lints(project)),
        ("host", tests(project, &["--workspace"], options)),
        ("guest", guest_tests(project, options)),
        ("boots", boots(project, options)),
    ];
    let Some(filter) = options.filter.as_deref() else { return all.into() };
    if all.iter().any(|(name, _)| *name == filter) {
        return all.into_iter().filter(|(name, _)| *name == filter).collect();
    }
    let narrowed = all.into_iter().map(|(name, mut jobs)| {
        jobs.retain_mut(|job| narrow(job, filter));
        (name, jobs)
    });
    narrowed.collect()
}

/// Narrows a job to what a filter names; whether anything of it is left.
fn narrow(job: &mut Job, filter: &str) -> bool {
    if job.judge == Judge::Tests {
        // After `--`: the filter of libtest, which no option of Cargo can be mistaken for.
        job.args.push(filter.into());
        return true;
    }
    job.name.contains(filter)
}

fn format(project: &Project) -> Vec<Job> {
    let check = |(name, dir): (&str, PathBuf)| {
        cargo(format!("format of {name}"), &dir, &["fmt", "--all", "--", "--check", "--color", "never"])
    };
    workspaces(project).into_iter().map(check).collect()
}

fn lints(project: &Project) -> Vec<Job> {
    let args = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    vec![cargo("clippy".into(), &project.root, &args)]
}

fn tests(project: &Project, what: &[&str], options: &Options) -> Vec<Job> {
    vec![cargo_test("cargo test".into(), &project.root, what, options)]
}

/// The parts of the runtime that need no kernel are tested on the host.
fn guest_tests(project: &Project, options: &Options) -> Vec<Job> {
    if !project.runtime().join("Cargo.toml").is_file() {
        return Vec::new();
    }
    vec![cargo_test("cargo test of the runtime".into(), &project.runtime(), &[], options)]
}

/// Every recipe is built, booted and tested; one must be reported as failed.
fn boots(project: &Project, options: &Options) -> Vec<Job> {
    let recipes = Recipe::all(project).unwrap_or_default();
    let boot = |(name, _): (String, crate::Result<Recipe>)| {
        let (title, code) = match name.as_str() {
            MUST_FAIL => (format!("{name} is reported as failed"), 4),
            _ => (format!("{name} boots"), 0),
        };
        Job {
            name: title,
            program: options.xtask.clone(),
            args: ["smoke", &name, "--strict", "--out"]
                .map(Into::into)
                .into_iter()
                .chain([project.out.clone().into()])
                .collect(),
            cwd: project.root.clone(),
            env: Vec::new(),
            judge: Judge::Exit(code),
            skip: None,
        }
    };
    recipes.into_iter().map(boot).collect()
}

/// The workspaces of the repository, those that exist.
fn workspaces(project: &Project) -> Vec<(&'static str, PathBuf)> {
    let all = [
        ("the builder", project.root.clone()),
        ("the runtime", project.runtime()),
        ("the functions", project.root.join("functions")),
    ];
    all.into_iter().filter(|(_, dir)| dir.join("Cargo.toml").is_file()).collect()
}

fn cargo(name: String, dir: &Path, args: &[&str]) -> Job {
    Job {
        name,
        program: std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from),
        args: args.iter().map(Into::into).collect(),
        cwd: dir.to_owned(),
        env: vec![("CARGO_TERM_COLOR", "never".into())],
        judge: Judge::Exit(0),
        skip: None,
    }
}

fn cargo_test(name: String, dir: &Path, what: &[&str], options: &Options) -> Job {
    let mut job = cargo(name, dir, &["test", "--locked", "--no-fail-fast"]);
    job.args.extend(what.iter().map(Into::into));
    job.args.push("--".into());
    job.args.extend(options.long.then(|| "--include-ignored".into()));
    // What a failed test says is enough; backtraces bury it.
    job.env.push(("RUST_BACKTRACE", "0".into()));
    job.env.extend(options.bless.then(|| ("BLESS", "1".into())));
    job.judge = Judge::Tests;
    job
}

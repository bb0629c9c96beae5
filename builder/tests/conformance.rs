//! The self-test on the kernel in QEMU and under the tender: the same answers, line by line.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use builder::{
    Context, Project, Target, build,
    conformance::{self, Differences},
    context::Silent,
    plan,
    recipe::Recipe,
    smoke::{self, SmokeOptions},
};
use std::path::Path;

/// Fewer checks than this are no conformance suite.
const LEAST: usize = 200;

/// What the self-test prints on `target`. Its verdict does not matter here: each line is looked at.
fn console(project: &Project, target: Target) -> String {
    let ctx = Context::new(project, &Silent);
    let recipe = Recipe::load(project, "selftest").unwrap();
    let image = build::build(&ctx, &plan::plan(&ctx, &recipe, target).unwrap()).unwrap();
    let report = smoke::smoke(&ctx, &recipe, target, &image.dir, &SmokeOptions::default()).unwrap();
    let log = report.log.unwrap();
    String::from_utf8_lossy(&std::fs::read(log).unwrap()).into_owned()
}

#[test]
#[ignore = "the suite `conformance` runs it: it boots the self-test twice"]
fn the_tender_answers_as_the_kernel() {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance");
    let project = Project { out, ..Project::here() };
    let known = Differences::load(&project.root.join("tests/conformance/differences.toml")).unwrap();
    let kernel = console(&project, Target::Qemu);
    let tender = console(&project, Target::Process);
    let outcome = conformance::compare(&kernel, &tender, &known);
    let deviations: Vec<_> = outcome.deviations.iter().map(|one| one.to_string()).collect();
    assert!(deviations.is_empty(), "{} deviations\n{}", deviations.len(), deviations.join("\n"));
    assert!(outcome.checks >= LEAST, "only {} checks", outcome.checks);
}

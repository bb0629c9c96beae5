//! The self-test on the kernel in QEMU and under the tender: the same answers, line by line.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use builder::{
    Context, Project, Target, build,
    conformance::{self, Differences},
    context::Silent,
    kernel,
    kernel_config::{KernelConfig, UserSource},
    plan,
    recipe::{KernelChoice, Recipe},
    smoke::{self, SmokeOptions, Verdict},
};
use std::{
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Fewer checks than this are no conformance suite.
const LEAST: usize = 200;
/// Source trees of seL4 whose kernels are compared too, separated as in `PATH`.
const TREES: &str = "SELKIE_KERNEL_SOURCES";
/// The kernel configs that they are compared with, separated by spaces; all that accept the tree unless given.
const CONFIGS: &str = "SELKIE_KERNEL_CONFIGS";

fn project() -> Project {
    Project { out: Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance"), ..Project::here() }
}

/// What the self-test prints on `target`, or why it cannot run there. Its verdict does not matter here: each line is
/// looked at.
fn console(project: &Project, recipe: &Recipe, target: Target) -> Result<String, String> {
    let ctx = Context::new(project, &Silent);
    let plan = plan::plan(&ctx, recipe, target).unwrap_or_else(|error| panic!("{error}"));
    let image = build::build(&ctx, &plan).unwrap_or_else(|error| panic!("{error}"));
    let report = smoke::smoke(&ctx, recipe, target, &image.dir, &SmokeOptions::default()).unwrap();
    if let Verdict::Skip { reason } = &report.verdict {
        return Err(reason.clone());
    }
    let log = report.log.unwrap();
    Ok(String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned())
}

/// Where the tender does not answer as the kernel of `choice`, one line each; or why that kernel does not boot here.
fn deviations(project: &Project, choice: &KernelChoice) -> Result<Vec<String>, String> {
    let recipe = Recipe::load(project, "selftest").unwrap().with_kernel(project, choice).unwrap();
    let known = Differences::load(&project.root.join("tests/conformance/differences.toml")).unwrap();
    let kernel = console(project, &recipe, Target::Qemu)?;
    let tender = console(project, &recipe, Target::Process)?;
    let outcome = conformance::compare(&kernel, &tender, &known.of(&recipe.kernel));
    let mut found: Vec<_> = outcome.deviations.iter().map(ToString::to_string).collect();
    if outcome.checks < LEAST {
        found.push(format!("only {} checks", outcome.checks));
    }
    Ok(found)
}

#[test]
#[ignore = "the suite `conformance` runs it: it boots the self-test twice"]
fn the_tender_answers_as_the_kernel() {
    let found = deviations(&project(), &KernelChoice::default()).unwrap();
    assert!(found.is_empty(), "{} deviations\n{}", found.len(), found.join("\n"));
}

/// The kernel configs that are made for the release in `tree`, of those that were asked for.
fn configs(project: &Project, tree: &Path) -> Vec<String> {
    let asked = env::var(CONFIGS).ok();
    let wanted = |name: &String| {
        asked.as_ref().is_none_or(|asked| asked.split_whitespace().any(|one| one == name.as_str()))
    };
    let all = KernelConfig::all_for(project, tree).unwrap().into_iter().map(|config| config.name);
    all.filter(wanted).collect()
}

#[test]
#[ignore = "it boots the self-test twice for each config that a named tree has"]
fn the_tender_answers_as_the_kernels_from_named_trees() {
    let trees: Vec<PathBuf> = env::var_os(TREES).iter().flat_map(env::split_paths).collect();
    if trees.is_empty() {
        // Past libtest's capture: the suites count it as skipped.
        let reason = format!("no source tree of seL4 is named in {TREES}");
        let _ = writeln!(io::stderr(), "SKIP the_tender_answers_as_the_kernels_from_named_trees: {reason}");
    }
    let project = project();
    let mut found = Vec::new();
    for tree in trees {
        let configs = configs(&project, &tree);
        assert!(!configs.is_empty(), "{} is no tree that a kernel config is for", tree.display());
        for config in configs {
            let source = Some(UserSource::Tree(tree.clone()));
            let choice = KernelChoice { config: Some(config.clone()), source };
            let place = format!("{config} of {}", kernel::version_of(&tree));
            // Each takes a while.
            match deviations(&project, &choice) {
                Ok(here) => {
                    let _ = writeln!(io::stderr(), "{place}: {} deviations", here.len());
                    found.extend(here.into_iter().map(|one| format!("{place}: {one}")));
                }
                Err(reason) => {
                    let _ = writeln!(io::stderr(), "SKIP the tender answers as {place}: {reason}");
                }
            }
        }
    }
    assert!(found.is_empty(), "{} deviations\n{}", found.len(), found.join("\n"));
}

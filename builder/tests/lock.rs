//! Lock files on a real build: written, held, and told what moved.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod common;

use builder::{Context, Error, ExitCode, Project, Target, context::Silent, lockfile, recipe::Recipe};
use common::Checkout;
use std::fs;

#[test]
fn a_lock_holds_until_something_moves_and_says_what_it_was() {
    let checkout = Checkout::new();
    let project = Project { root: checkout.root.clone(), out: checkout.out.clone() };
    let ctx = Context::new(&project, &Silent);
    let recipe = || Recipe::load(&project, checkout.path("tiny.toml").to_str().unwrap()).unwrap();
    let build = |target| lockfile::build(&ctx, &recipe(), target);
    let failed = |target, code: ExitCode| -> String {
        let error: Error = build(target).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        error.to_string()
    };

    let text = failed(Target::Qemu, ExitCode::Failed);
    assert!(text.contains("tiny.lock: there is no lock") && text.contains("cargo xtask lock /"), "{text}");

    // The target `process` needs a tender, which this checkout does not have.
    checkout.edit("tiny.toml", "[kernel]", "needs = [\"io-ports\"]\n[kernel]");
    let written = lockfile::lock(&ctx, &recipe(), None).unwrap();
    assert!(written.changed && written.targets == [Target::Qemu]);
    let lock = fs::read_to_string(&written.path).unwrap();
    assert!(!lock.contains(checkout.root.to_str().unwrap()), "the place of a checkout is in it: {lock}");
    assert!(!lockfile::lock(&ctx, &recipe(), None).unwrap().changed);
    assert_eq!(fs::read_to_string(&written.path).unwrap(), lock);
    assert!(!build(Target::Qemu).unwrap().1.fresh);

    let text = failed(Target::BareMetal, ExitCode::Failed);
    assert!(
        text.contains("target `bare-metal` is not locked") && text.contains("--target bare-metal"),
        "{text}"
    );

    // Everything that moved, not the first only.
    checkout.edit("functions/tiny/src/main.rs", "\"one\"", "\"two\"");
    checkout.edit("part/src/lib.rs", "= 1", "= 2");
    let text = failed(Target::Qemu, ExitCode::Failed);
    assert!(text.contains("2 inputs moved"), "{text}");
    assert!(text.contains("`source functions/tiny`") && text.contains("`source part`"), "{text}");
    checkout.edit("functions/tiny/src/main.rs", "\"two\"", "\"one\"");
    checkout.edit("part/src/lib.rs", "= 2", "= 1");
    build(Target::Qemu).unwrap();

    // The same inputs and another image.
    let line = lock.lines().find(|line| line.starts_with("root-task = ")).unwrap();
    fs::write(&written.path, lock.replace(line, &format!("root-task = \"{}\"", "0".repeat(64)))).unwrap();
    let text = failed(Target::Qemu, ExitCode::NotReproducible);
    assert!(
        text.contains("though every input is the same") && text.contains("root-task\n    locked"),
        "{text}"
    );

    fs::write(&written.path, "format = 1\n").unwrap();
    let text = failed(Target::Qemu, ExitCode::Usage);
    assert!(text.contains("this is no lock file"), "{text}");
    // Whatever lies there, `lock` puts it right.
    lockfile::lock(&ctx, &recipe(), None).unwrap();
    assert_eq!(fs::read_to_string(&written.path).unwrap(), lock);
}

//! Images for target `process`: what is in them, and what they are made from.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod common;

use builder::{
    Context, Digest, Project, Target,
    context::Silent,
    image::{Manifest, Role},
    inspect::{self, Kind},
    plan,
    process::assemble,
    recipe::{Need, Recipe},
};
use common::{Built, Checkout};
use std::{fs, process::Command};

/// A checkout with everything that `hello` and the tender need.
fn checkout() -> Checkout {
    let checkout = Checkout::new();
    ["runtime", "functions", "recipes", "tender"].iter().for_each(|folder| checkout.take(folder));
    checkout
}

fn build(checkout: &Checkout, target: &str) -> Built {
    Built::of(checkout.command("recipes/hello.toml").arg(target).output().unwrap()).good()
}

#[test]
fn the_root_task_is_the_same_for_every_target_and_inside_the_executable() {
    let checkout = checkout();
    let machine = build(&checkout, "qemu");
    let process = build(&checkout, "process");
    assert!(machine.ran("root task") && !process.ran("root task") && process.ran("tender"));
    let folder = |target| checkout.out.join("hello").join(target);
    let [one, other] = ["qemu", "process"].map(|target| fs::read(folder(target).join("root-task")).unwrap());
    assert_eq!(Digest::of(&one), Digest::of(&other));
    let manifest = Manifest::read(&folder("process")).unwrap();
    assert_eq!(manifest.root_task, Manifest::read(&folder("qemu")).unwrap().root_task);

    let executable = fs::read(folder("process").join("hello")).unwrap();
    let contents = assemble::contents(&executable).unwrap();
    assert_eq!(contents.root_task, one);
    let identity = manifest.process.unwrap();
    assert_eq!(identity.tender, assemble::tender_digest(&executable).unwrap());
    assert_eq!(identity.tables[0].interface, manifest.kernel.interface);
    let roles: Vec<_> = manifest.members.iter().map(|member| (member.name.as_str(), member.role)).collect();
    let wanted = [("hello", Role::Executable), ("root-task", Role::RootTask), ("recipe.toml", Role::Recipe)];
    assert_eq!(roles, wanted);

    let report = inspect::inspect(&folder("process")).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(inspect::inspect(&folder("process").join("hello")).unwrap().kind, Kind::Executable);
    // It starts, in an empty environment, from anywhere.
    let output = Command::new(folder("process").join("hello")).env_clear().current_dir("/").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("Hello, world!"), "{text}\n{output:?}");
}

#[test]
fn a_change_of_the_tender_builds_nothing_else_and_a_change_of_the_function_not_the_tender() {
    let checkout = checkout();
    build(&checkout, "process");
    assert!(build(&checkout, "process").nothing_to_do());
    checkout.edit("tender/host/src/main.rs", "//! Runs an seL4", "//! Runs one seL4");
    let built = build(&checkout, "process");
    assert!(built.ran("tender") && !built.ran("root task") && !built.ran("kernel"), "{}", built.stdout);
    // The runtime's part that both share.
    checkout.edit("runtime/base/src/devices.rs", "//! Host devices", "//! The host's devices");
    let built = build(&checkout, "process");
    assert!(built.ran("tender") && built.ran("root task"), "{}", built.stdout);
    checkout.edit("functions/hello/src/main.rs", "Hello, ", "Good day, ");
    let built = build(&checkout, "process");
    assert!(!built.ran("tender") && built.ran("root task"), "{}", built.stdout);
    assert!(build(&checkout, "process").nothing_to_do());
}

#[test]
fn what_a_process_cannot_have_is_refused_with_the_reason() {
    let project = Project::here();
    let ctx = Context::new(&project, &Silent);
    let mut recipe = Recipe::load(&project, "hello").unwrap();
    recipe.needs = vec![Need::IoPorts];
    assert!(!recipe.targets().contains(&Target::Process));
    let error = plan::plan(&ctx, &recipe, Target::Process).unwrap_err();
    let text = error.to_string();
    for part in ["`hello` cannot be built for target `process`", "`io-ports`", "no IO ports", "`wants`"] {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
    recipe.needs = Vec::new();
    recipe.wants = vec![Need::IoPorts];
    assert!(plan::plan(&ctx, &recipe, Target::Process).is_ok());
}

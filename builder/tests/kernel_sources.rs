//! Kernels from source trees that the user names, and from prefixes. `cargo xtask test --kernel-source DIR…` says
//! where trees lie; without one these tests say SKIP.

#![allow(clippy::unwrap_used, reason = "a test")]

use builder::{
    Context, Digest, Project,
    context::Silent,
    inputs::tree,
    kernel::{self, KernelBuild, KernelTree, TreeKind},
    kernel_config::{KernelConfig, UserSource},
};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// The variable with the trees, separated as in PATH.
const TREES: &str = "SELKIE_KERNEL_SOURCES";

/// The trees that the user named; a line that says SKIP when there are none.
fn trees() -> Vec<PathBuf> {
    let trees = env::var_os(TREES).map(|paths| env::split_paths(&paths).collect()).unwrap_or_default();
    let trees: Vec<PathBuf> = trees;
    if trees.is_empty() {
        println!("SKIP: no source tree of seL4 was named (`cargo xtask test --kernel-source DIR`)");
    }
    trees
}

fn kept() -> Project {
    Project { out: Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernel"), ..Project::here() }
}

fn located(project: &Project, config: &str, root: &Path) -> Option<(KernelConfig, KernelTree)> {
    let ctx = Context::new(project, &Silent);
    let user = UserSource::Tree(root.to_owned());
    let config = KernelConfig::load_with(project, config, Some(&user)).unwrap();
    match kernel::locate(&ctx, &config) {
        Ok(tree) => Some((config, tree)),
        Err(error) => {
            // Only a release that the config is not made for may be left out.
            assert!(error.to_string().contains(" is for "), "{error}");
            None
        }
    }
}

fn build(project: &Project, config: &KernelConfig, tree: &KernelTree) -> KernelBuild {
    kernel::build(&Context::new(project, &Silent), config, tree).unwrap_or_else(|error| panic!("{error}"))
}

const CONFIGS: [&str; 5] = [
    "x86_64-current-release",
    "x86_64-current-debug",
    "x86_64-current-mcs-release",
    "x86_64-current-mcs-debug",
    "x86_64-current-verified",
];

#[test]
fn every_current_config_builds_from_every_tree() {
    let project = kept();
    for root in trees() {
        let before = tree::digest(&Context::new(&project, &Silent), &root).unwrap();
        for name in CONFIGS {
            let Some((config, tree)) = located(&project, name, &root) else { continue };
            assert_eq!(tree.kind, TreeKind::Cmake);
            let kernel = build(&project, &config, &tree);
            let file = fs::read(&kernel.multiboot).unwrap();
            println!("{} {name}: {} bytes, tree {}", tree.version, file.len(), tree.digest);
            assert!(kernel::multiboot_header(&file).is_some(), "{name}: Multiboot 1");
            assert!(kernel::multiboot2_header(&file).is_some(), "{name}: Multiboot 2");
            assert_eq!(kernel.is_mcs(), name.contains("mcs"), "{name}");
            assert_eq!(kernel.has("PRINTING"), name.ends_with("debug"), "{name}");
            assert_eq!(kernel.has("VERIFICATION_BUILD"), name.ends_with("verified"), "{name}");
            assert!(kernel.api.interfaces.iter().all(|file| file.is_file()));
            assert!(!build(&project, &config, &tree).fresh, "{name} is built twice");
        }
        let after =
            Digest::of_json(&(tree::digest(&Context::new(&project, &Silent), &root).unwrap(), pyc(&root)));
        assert_eq!(after, Digest::of_json(&(before, false)), "{} was written to", root.display());
    }
}

/// Whether Python left something beside the generators.
fn pyc(root: &Path) -> bool {
    walkdir::WalkDir::new(root).into_iter().any(|entry| entry.unwrap().file_name() == "__pycache__")
}

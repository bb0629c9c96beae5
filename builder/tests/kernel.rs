//! Builds the real kernels, in seconds. Needs a C compiler and Python, as every user does.

use builder::{
    Context, Project,
    context::Silent,
    kernel::{self, KernelBuild, KernelTree},
    kernel_config::KernelConfig,
};
use std::path::{Path, PathBuf};

/// A checkout whose output goes to a folder of its own.
fn project(out: &Path) -> Project {
    Project { out: out.to_owned(), ..Project::here() }
}

/// Output that is kept from one run of the tests to the next: Python's modules are fetched only once.
fn kept() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernel")
}

fn build(out: &Path, name: &str) -> (KernelTree, KernelBuild) {
    let project = project(out);
    let ctx = Context::new(&project, &Silent);
    let config = KernelConfig::load(&project, name).unwrap();
    let tree = kernel::locate(&ctx, &config).unwrap();
    let build = kernel::build(&ctx, &config, &tree).unwrap();
    (tree, build)
}

#[test]
fn kernels() {
    let (_, release) = build(&kept(), "x86_64-release");
    println!("{release:?}");
}

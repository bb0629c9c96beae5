//! A kernel alone, `out/kernels/NAME/`, of the default kernel; those of other architectures need a user's tree and are
//! in `kernel_sources.rs`.

#![allow(clippy::unwrap_used, reason = "a test")]

use builder::{
    Context, Digest, ExitCode, Project, Target,
    context::Silent,
    kernel_alone::{self, KernelAlone},
    plan,
    recipe::{KernelChoice, Recipe},
};
use std::{fs, os::unix::fs::symlink, path::Path};

/// The checkout with an output folder of its own, but the kernels and the Python of the tests of kernels.
fn project(out: &Path) -> Project {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernel/.cache");
    fs::create_dir_all(&kept).unwrap();
    symlink(kept, out.join(".cache")).unwrap();
    Project { out: out.to_owned(), ..Project::here() }
}

fn build(project: &Project) -> KernelAlone {
    let ctx = Context::new(project, &Silent);
    let plan = plan::kernel_alone::plan(&ctx, "x86_64-release", None).unwrap();
    kernel_alone::build(&ctx, &plan).unwrap()
}

#[test]
fn a_kernel_alone_is_written_once_and_mended_when_it_was_changed() {
    let dir = tempfile::tempdir().unwrap();
    let project = project(dir.path());
    let first = build(&project);
    assert!(first.fresh && first.has_interface && first.dir == project.kernel("x86_64-release"));
    let names: Vec<_> = first.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["VERSION", "bin/kernel", "bin/kernel.elf", "interface.json", "manifest.json"]);
    for file in &first.files {
        let content = fs::read(first.dir.join(&file.name)).unwrap();
        assert_eq!((file.size, file.sha256), (content.len() as u64, Digest::of(content)));
    }
    let same = |kernel: &KernelAlone| kernel.files == first.files;
    let second = build(&project);
    assert!(!second.fresh && same(&second));

    // A file that was changed, one that is gone, and one that is nobody's.
    let kernel = first.dir.join("bin/kernel");
    fs::write(&kernel, "changed").unwrap();
    assert!(build(&project).fresh && fs::read(&kernel).unwrap() != b"changed");
    fs::remove_file(first.dir.join("VERSION")).unwrap();
    assert!(build(&project).fresh);
    fs::write(first.dir.join("stray"), "").unwrap();
    assert!(build(&project).fresh && !first.dir.join("stray").exists());
    let beside: Vec<_> = fs::read_dir(project.out.join("kernels")).unwrap().collect();
    assert_eq!(beside.len(), 1, "{beside:?}");
}

#[test]
fn an_image_for_another_architecture_is_not_there_yet_and_that_is_said() {
    let project = Project::here();
    let ctx = Context::new(&project, &Silent);
    for config in ["aarch64-qemu-arm-virt", "riscv64-qemu-riscv-virt-debug"] {
        let choice = KernelChoice { config: Some(config.to_owned()), source: None };
        let recipe = Recipe::load(&project, "hello").unwrap().with_kernel(&project, &choice).unwrap();
        for target in Target::ALL {
            let error = plan::plan(&ctx, &recipe, *target).unwrap_err();
            let text = error.to_string();
            assert_eq!(error.code(), ExitCode::Usage);
            let help = format!("`cargo xtask build-kernel {config}` builds the kernel alone");
            assert!(text.contains("no image can be made for") && text.contains(&help), "{text}");
        }
    }
}

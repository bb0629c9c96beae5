//! The platform beneath a rump kernel, without one: `tests/fixtures/rumprun/contract.c` stands in for rumprun and calls each
//! of the platform's functions as that would. It lies in a folder in the shape of a rumprun tree, whose other libraries are
//! empty, and boots like any other function.

#![allow(clippy::unwrap_used, reason = "a test ends by a panic")]

use builder::{
    Context, Project, Target, build,
    context::Silent,
    plan,
    recipe::Recipe,
    smoke::{self, SmokeOptions},
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

const RECIPE: &str = r#"
[function]
name = "contract"
version = "0.1.0"
[root-task]
libos = "rumprun"
c-sources = ["main.c"]
heap = "8 MiB"
[rumprun]
components = ["net", "ffs"]
hostname = "contract-host"
[[rumprun.mount]]
source = "d0"
type = "ffs"
path = "/data"
[devices.net]
[devices.disk]
size = "4 MiB"
[files]
from = "files"
[run]
args = ["it's an \"argument\""]
[run.env]
LOG = "info"
NAME = "a \\value\\"
[run.net]
addresses = ["10.0.2.15/24"]
gateways = ["10.0.2.2"]
[smoke]
expect = ["ok 1 - ", { regex = "^1\\.\\.[0-9]+$" }]
forbid = ["not ok"]
status = 33
timeout = "2 min"
"#;

/// Libraries of a tree, which are empty here: what is needed of them the contract has itself.
const LIBRARIES: &[(&str, &[&str])] = &[
    (
        "rumprun/rumprun-x86_64/lib/rumprun-hw",
        &[
            "rump",
            "rumpdev",
            "rumpdev_bpf",
            "rumpdev_disk",
            "rumpdev_rnd",
            "rumpfs_ffs",
            "rumpfs_tmpfs",
            "rumpkern_bmktc",
            "rumpkern_mman",
            "rumpnet",
            "rumpnet_config",
            "rumpnet_net",
            "rumpnet_netinet",
            "rumpnet_virtif",
            "rumprun_base",
            "rumprunfs_base",
            "rumpvfs",
        ],
    ),
    ("rumprun/rumprun-x86_64/lib", &["c", "crypt", "m", "pthread", "util", "z"]),
    ("obj-amd64-hw/lib/libbmk_rumpuser", &["bmk_rumpuser"]),
];

/// What the contract and the check of the compiler include.
const HEADERS: &[(&str, &str)] = &[
    ("stddef.h", "typedef __SIZE_TYPE__ size_t;\n#define NULL ((void *)0)\n"),
    (
        "stdint.h",
        "typedef __UINT8_TYPE__ uint8_t;\ntypedef __UINT32_TYPE__ uint32_t;\ntypedef __UINT64_TYPE__ uint64_t;\n\
         typedef __INT64_TYPE__ int64_t;\n",
    ),
    ("stdio.h", ""),
];

/// The program, whose work the stand-in does.
const MAIN: &str = "int contract_program(int, char **, char **);\n\
    int main(int argc, char **argv, char **environment) { return contract_program(argc, argv, environment); }\n";

/// A file of the tree, or of what is built from it.
fn write(path: PathBuf, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A folder in the shape of a rumprun tree, with the host's own compiler.
fn tree(root: &Path) {
    let sysroot = root.join("rumprun/rumprun-x86_64");
    write(root.join("build-rr.sh"), "");
    write(root.join("rumprun/etc/rumprun-bake.conf"), "version 20160209\n");
    write(sysroot.join("include/sys/param.h"), "#define __NetBSD_Version__ 799003400\n");
    for name in ["specs-compile_or_ferment", "specs-stub"] {
        write(sysroot.join("lib").join(name), "");
    }
    for (folder, names) in LIBRARIES {
        for name in *names {
            write(root.join(folder).join(format!("lib{name}.a")), "!<arch>\n");
        }
    }
    for (name, text) in HEADERS {
        write(sysroot.join("include").join(name), text);
    }
    let sysroot = sysroot.display();
    let compiler = format!(
        "cc -nostdinc -isystem {sysroot}/include -D__NetBSD__ -ffreestanding -fno-stack-protector -mno-red-zone \
         -fno-asynchronous-unwind-tables"
    );
    for (name, program) in [("gcc", &*compiler), ("ld", "ld"), ("objcopy", "objcopy")] {
        let path = root.join("rumprun/bin").join(format!("x86_64-rumprun-netbsd-{name}"));
        write(path.clone(), &format!("#!/bin/sh\n# --sysroot {sysroot}\nexec {program} \"$@\"\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/rumprun/contract.c");
    let folder = root.join("obj-amd64-hw/lib/libbmk_core");
    fs::create_dir_all(&folder).unwrap();
    let mut compile = Command::new(root.join("rumprun/bin/x86_64-rumprun-netbsd-gcc"));
    done(
        compile.args(["-O2", "-fno-pic", "-fcf-protection=none", "-c", "-o", "contract.o"]).arg(contract),
        &folder,
    );
    done(Command::new("ar").args(["rcsD", "libbmk_core.a", "contract.o"]), &folder);
}

fn done(command: &mut Command, folder: &Path) {
    let output = command.current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn keeps_its_contract_on(target: Target) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    tree(&root.join("tree"));
    write(root.join("main.c"), MAIN);
    write(root.join("files/folder/a.txt"), "a file\n");
    write(root.join("contract.toml"), RECIPE);

    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rumprun");
    let project = Project { out, ..Project::here() };
    let ctx = Context::new(&project, &Silent);
    let recipe = Recipe::load(&project, root.join("contract.toml").to_str().unwrap()).unwrap();
    let recipe = recipe.with_rumprun(Some(&root.join("tree")));
    let plan = plan::plan(&ctx, &recipe, target).unwrap_or_else(|error| panic!("{error}"));
    let image = build::build(&ctx, &plan).unwrap_or_else(|error| panic!("{error}"));
    let report = smoke::smoke(&ctx, &recipe, target, &image.dir, &SmokeOptions::default()).unwrap();
    assert!(report.verdict.passed(), "{report}");
}

#[test]
fn the_platform_keeps_its_contract_in_a_process() {
    keeps_its_contract_on(Target::Process);
}

#[test]
fn the_platform_keeps_its_contract_under_qemu() {
    keeps_its_contract_on(Target::Qemu);
}

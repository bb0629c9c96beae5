//! Kernels from source trees that the user names, and from prefixes. `cargo xtask test --kernel-source DIR…` says
//! where trees lie; without one these tests say SKIP.

#![allow(clippy::unwrap_used, reason = "a test")]

use builder::{
    Context, Digest, Project, bindings,
    context::Silent,
    doctor::{self, Part},
    image::Verified,
    inputs::tree,
    kernel::{self, KernelBuild, KernelTree, TreeKind},
    kernel_alone::{self, KernelAlone},
    kernel_config::{KernelConfig, OptionValue, Source, UserSource},
    plan,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::{self, Write as _},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};
use walkdir::WalkDir;

/// The variable with the trees, separated as in PATH.
const TREES: &str = "SELKIE_KERNEL_SOURCES";

/// The trees that the user named; a line that says SKIP for `test` when there are none.
fn trees(test: &str) -> Vec<PathBuf> {
    let trees = env::var_os(TREES).map(|paths| env::split_paths(&paths).collect()).unwrap_or_default();
    let trees: Vec<PathBuf> = trees;
    if trees.is_empty() {
        // Past libtest's capture: the suites count it as skipped.
        let reason = "no source tree of seL4 was named (`cargo xtask test --kernel-source DIR`)";
        let _ = writeln!(io::stderr(), "SKIP {test}: {reason}");
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
    for root in trees("every_current_config_builds_from_every_tree") {
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
            // A feature that the config does not say is an error of the build.
            assert_eq!(
                config.cpu_features.iter().any(|feature| feature == "xsaveopt"),
                kernel.has("XSAVE_XSAVEOPT"),
                "{name}: of some releases only"
            );
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

/// What the tree's own file says of its verified configuration, read without the builder's help.
fn verified_options(root: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(root.join("configs/X64_verified.cmake")).unwrap();
    let set = |line: &str| {
        let words = line.trim().strip_prefix("set(")?;
        let mut words = words.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.trim_matches('"').to_owned()))
    };
    text.lines().filter_map(set).collect()
}

#[test]
fn the_verified_config_has_exactly_the_options_of_the_trees_own_file() {
    let project = kept();
    for root in trees("the_verified_config_has_exactly_the_options_of_the_trees_own_file") {
        let Some((config, tree)) = located(&project, "x86_64-current-verified", &root) else { continue };
        let mut ours: BTreeMap<String, String> =
            config.options.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
        ours.insert("KernelPlatform".to_owned(), config.platform.name().to_owned());
        ours.insert("KernelSel4Arch".to_owned(), config.arch.to_string());
        assert_eq!(ours, verified_options(&root), "{}", tree.version);
        assert!(config.overlays.is_empty());
        assert_eq!(kernel::verified(&config, &tree), Verified::OptionsAndSourceMatch);
        assert_eq!(config.beyond_tcg(), ["pcid", "invpcid"]);

        let changed = KernelTree { digest: Digest::of("changed"), ..tree.clone() };
        assert_eq!(kernel::verified(&config, &changed), Verified::OptionsMatch);
        // One option that would make it boot here, and the word is gone: the kernel is not built.
        for (name, value) in [("KernelFSGSBase", "msr"), ("KernelSupportPCID", "OFF")] {
            let mut other = config.clone();
            other.options.insert(name.to_owned(), OptionValue::Text(value.to_owned()));
            let ctx = Context::new(&project, &Silent);
            let text = kernel::build(&ctx, &other, &tree).unwrap_err().to_string();
            assert!(text.contains(name) && text.contains("verified configuration"), "{text}");
        }
    }
}

#[test]
fn options_that_the_tree_does_not_take_are_explained() {
    let project = kept();
    for root in trees("options_that_the_tree_does_not_take_are_explained") {
        // Trees before 13 take more than later ones.
        let Some((config, tree)) = located(&project, "x86_64-current-mcs-release", &root) else { continue };
        let refused = |name: &str, value: OptionValue| {
            let mut config = config.clone();
            config.options.insert(name.to_owned(), value);
            kernel::build(&Context::new(&project, &Silent), &config, &tree).unwrap_err().to_string()
        };
        let text = refused("KernelPrintin", OptionValue::Flag(true));
        assert!(
            text.contains("no option `KernelPrintin`") && text.contains("did you mean `KernelPrinting`"),
            "{text}"
        );
        // Several nodes and several domains exclude each other.
        let text = refused("KernelColourPrinting", OptionValue::Flag(true));
        assert!(text.contains("`KernelColourPrinting`"), "{text}");
        let text = refused("KernelHugePage", OptionValue::Flag(true));
        assert!(text.contains("needs pdpe1gb of the CPU") && text.contains("`cpu-features` in"), "{text}");
        return;
    }
}

/// The checkout with an output folder of its own, but the same Python.
fn elsewhere(out: &Path) -> Project {
    let kept = kept();
    let steps = out.join(".cache/steps");
    fs::create_dir_all(&steps).unwrap();
    symlink(kept.cache().join("steps/python"), steps.join("python")).unwrap();
    Project { out: out.to_owned(), ..kept }
}

fn copy(from: &Path, to: &Path) {
    for entry in WalkDir::new(from).sort_by_file_name() {
        let entry = entry.unwrap();
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(target).unwrap();
        } else if entry.file_type().is_symlink() {
            symlink(fs::read_link(entry.path()).unwrap(), target).unwrap();
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn contents(dir: &Path) -> BTreeMap<PathBuf, Digest> {
    let files = WalkDir::new(dir).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    let relative = |path: &Path| path.strip_prefix(dir).unwrap().to_owned();
    files.map(|entry| (relative(entry.path()), Digest::of_file(entry.path()).unwrap())).collect()
}

#[test]
fn a_kernel_is_the_same_wherever_tree_and_build_lie() {
    let here = kept();
    let mut releases = BTreeSet::new();
    for root in trees("a_kernel_is_the_same_wherever_tree_and_build_lie") {
        let dir = tempfile::tempdir().unwrap();
        let moved = dir.path().join("another tree");
        copy(&root, &moved);
        let project = elsewhere(&dir.path().join("another folder"));
        let Some((config, tree)) = located(&here, "x86_64-current-debug", &root) else { continue };
        if !releases.insert(tree.version.clone()) {
            continue;
        }
        let one = build(&here, &config, &tree);
        let (config, tree) = located(&project, "x86_64-current-debug", &moved).unwrap();
        let other = build(&project, &config, &tree);
        assert!(other.fresh && one.key == other.key, "{}", tree.version);
        assert_eq!(contents(&one.dir), contents(&other.dir), "{}", tree.version);
    }
}

/// The kernel of `config` alone, as `build-kernel` makes it.
fn alone(project: &Project, config: &str, user: &UserSource) -> KernelAlone {
    let ctx = Context::new(project, &Silent);
    let plan = plan::kernel_alone::plan(&ctx, config, Some(user)).unwrap_or_else(|error| panic!("{error}"));
    kernel_alone::build(&ctx, &plan).unwrap_or_else(|error| panic!("{config}: {error}"))
}

/// The kernel configs for machines that no image can be made for yet, and the number that ELF has for each
/// (EM_AARCH64, EM_RISCV).
const OTHERS: [(&str, u16); 4] = [
    ("aarch64-qemu-arm-virt", 183),
    ("aarch64-qemu-arm-virt-debug", 183),
    ("riscv64-qemu-riscv-virt", 243),
    ("riscv64-qemu-riscv-virt-debug", 243),
];

#[test]
fn kernels_for_other_architectures_are_built_and_are_the_same_in_another_folder() {
    let name = "kernels_for_other_architectures_are_built_and_are_the_same_in_another_folder";
    let here = kept();
    let lacks = doctor::check(&here.root).missing_names(&[Part::OtherArchitectures]);
    if !lacks.is_empty() {
        let _ = writeln!(io::stderr(), "SKIP {name}: the host lacks {lacks}");
        return;
    }
    let mut built = 0;
    for root in trees(name) {
        let dir = tempfile::tempdir().unwrap();
        let moved = dir.path().join("tree");
        copy(&root, &moved);
        let other = elsewhere(&dir.path().join("out"));
        for (config, machine) in OTHERS {
            if located(&here, config, &root).is_none() {
                continue;
            }
            let one = alone(&here, config, &UserSource::Tree(root.clone()));
            let again = alone(&here, config, &UserSource::Tree(root.clone()));
            assert!(!again.fresh, "{config} is written twice");
            let file = fs::read(one.dir.join("bin/kernel.elf")).unwrap();
            assert_eq!(&file[..4], b"\x7fELF");
            assert_eq!(u16::from_le_bytes([file[18], file[19]]), machine, "{config}");
            let device_tree = fs::read(one.dir.join("support/kernel.dtb")).unwrap();
            assert_eq!(device_tree[..4], [0xd0, 0x0d, 0xfe, 0xed], "{config}: a flattened device tree");
            assert!(one.files.iter().any(|file| file.name == "support/platform_gen.json"), "{config}");
            println!("{} {config}: {} bytes", one.version, file.len());
            let there = alone(&other, config, &UserSource::Tree(moved.clone()));
            assert_eq!(contents(&one.dir), contents(&there.dir), "{} {config}", one.version);
            built += 1;
        }
    }
    assert!(built > 0 || env::var_os(TREES).is_none(), "no tree was for another architecture");
}

#[test]
fn a_kernel_alone_is_a_prefix_that_images_can_be_made_with() {
    let project = kept();
    let ctx = Context::new(&project, &Silent);
    for root in trees("a_kernel_alone_is_a_prefix_that_images_can_be_made_with") {
        let name = "x86_64-current-mcs-release";
        let Some((config, tree)) = located(&project, name, &root) else { continue };
        let built = build(&project, &config, &tree);
        let alone = alone(&project, name, &UserSource::Tree(root.clone()));
        let prefix = UserSource::Prefix(alone.dir);
        let installed = KernelConfig::load_with(&project, name, Some(&prefix)).unwrap();
        let found = kernel::locate(&ctx, &installed).unwrap();
        assert_eq!((found.kind, &found.version), (TreeKind::Prefix, &tree.version));
        let taken = build(&project, &installed, &found);
        assert_eq!(fs::read(&taken.multiboot).unwrap(), fs::read(&built.multiboot).unwrap());
        let digest = |config: &KernelConfig, tree: &KernelTree, kernel: &KernelBuild| {
            bindings::generate(&ctx, config, tree, kernel).unwrap().interface_digest
        };
        assert_eq!(digest(&installed, &found, &taken), digest(&config, &tree, &built), "{}", tree.version);
        return;
    }
}

/// An installed kernel made of the default one: the layout of a prefix with the files of 5.0.0.
fn prefix_of_default(project: &Project, dir: &Path) -> (KernelConfig, KernelTree, KernelBuild) {
    let ctx = Context::new(project, &Silent);
    let config = KernelConfig::load(project, "x86_64-release").unwrap();
    let tree = kernel::locate(&ctx, &config).unwrap();
    let built = build(project, &config, &tree);
    let include = dir.join("libsel4/include");
    for folder in built.include_dirs.iter().rev() {
        copy(folder, &include);
    }
    fs::create_dir_all(dir.join("bin")).unwrap();
    fs::copy(&built.elf, dir.join("bin/kernel.elf")).unwrap();
    let names = ["object-api.xml", "object-api-sel4-arch.xml", "object-api-arch.xml"];
    for (file, name) in built.api.interfaces.iter().zip(names) {
        fs::copy(file, include.join("interfaces").join(name)).unwrap();
    }
    // What a build of today passes as macros, in the header that all of libsel4 includes.
    let header = include.join("autoconf.h");
    let macros: Vec<String> = built
        .defines
        .iter()
        .map(|define| {
            let (name, value) = define.split_once('=').unwrap_or((define, "1"));
            format!("#ifndef {name}\n#define {name} {value}\n#endif\n")
        })
        .collect();
    fs::write(&header, macros.concat() + &fs::read_to_string(&header).unwrap()).unwrap();
    let json = |value: &OptionValue| match value {
        OptionValue::Flag(on) => serde_json::Value::Bool(*on),
        value => serde_json::Value::String(value.to_string()),
    };
    let mut options: serde_json::Map<_, _> =
        config.options.iter().map(|(name, value)| (name.clone(), json(value))).collect();
    options.insert("SEL4_ARCH".to_owned(), "x86_64".into());
    options.insert("PLAT".to_owned(), "pc99".into());
    fs::create_dir_all(include.join("kernel")).unwrap();
    fs::write(include.join("kernel/gen_config.json"), serde_json::to_vec(&options).unwrap()).unwrap();
    fs::write(dir.join("VERSION"), "5.0.0\n").unwrap();
    (config, tree, built)
}

#[test]
fn a_prefix_gives_the_very_kernel_and_interface_that_it_was_installed_from() {
    let project = kept();
    let ctx = Context::new(&project, &Silent);
    let dir = tempfile::tempdir().unwrap();
    let (config, tree, built) = prefix_of_default(&project, dir.path());
    let prefix =
        Source::Prefix { path: dir.path().to_owned(), versions: "=5.0.0".parse().unwrap(), digest: None };
    let mut installed = KernelConfig { source: prefix, ..config.clone() };
    let found = kernel::locate(&ctx, &installed).unwrap();
    assert_eq!((found.kind, found.version.as_str()), (TreeKind::Prefix, "5.0.0"));
    assert_eq!(kernel::verified(&installed, &found), Verified::None);
    let taken = build(&project, &installed, &found);
    assert_eq!(fs::read(&taken.multiboot).unwrap(), fs::read(&built.multiboot).unwrap());
    let digest = |config: &KernelConfig, tree: &KernelTree, kernel: &KernelBuild| {
        bindings::generate(&ctx, config, tree, kernel).unwrap().interface_digest
    };
    assert_eq!(digest(&installed, &found, &taken), digest(&config, &tree, &built));

    // Pinned: the mismatch has both digests, and the one to write down.
    let Source::Prefix { digest, .. } = &mut installed.source else { panic!("a prefix") };
    *digest = Some(Digest::of("another"));
    let text = kernel::locate(&ctx, &installed).unwrap_err().to_string();
    for part in [
        format!("pinned: {}", Digest::of("another")),
        format!("found:  {}", found.digest),
        format!("write `digest = \"{}\"`", found.digest),
    ] {
        assert!(text.contains(&part), "{text}");
    }
}

#[test]
fn what_is_no_tree_and_no_prefix_is_explained() {
    let project = kept();
    let ctx = Context::new(&project, &Silent);
    let dir = tempfile::tempdir().unwrap();
    let locate = |name: &str, user: Option<&UserSource>| {
        let config = KernelConfig::load_with(&project, name, user)?;
        kernel::locate(&ctx, &config)
    };
    let refused = |user: Option<UserSource>, expected: &str| {
        let text = locate(CONFIGS[0], user.as_ref()).unwrap_err().to_string();
        assert!(text.contains(expected) && text.contains("help: "), "{text}");
    };
    let tree = |path: &Path| Some(UserSource::Tree(path.to_owned()));
    let prefix = |path: &Path| Some(UserSource::Prefix(path.to_owned()));
    refused(None, "is for a kernel of your own, and none is named");
    refused(tree(dir.path()), "is not a source tree of seL4: it has no `VERSION`");
    refused(tree(&dir.path().join("gone")), "there is no such folder");
    refused(prefix(dir.path()), "is not an installed seL4 kernel: it has no `bin/kernel.elf`");
    prefix_of_default(&project, dir.path());
    refused(prefix(dir.path()), "is seL4 5.0.0, and x86_64-current-release is for >=10.1, <17");
    fs::remove_file(dir.path().join("VERSION")).unwrap();
    let json = dir.path().join("libsel4/include/kernel/gen_config.json");
    let machine = r#""SEL4_ARCH": "x86_64", "PLAT": "pc99""#;
    fs::write(&json, format!("{{{machine}}}")).unwrap();
    refused(prefix(dir.path()), "does not say which release of seL4 it is");
    fs::write(dir.path().join("VERSION"), "99.0.0\n").unwrap();
    refused(prefix(dir.path()), "is seL4 99.0.0");
    // Without a VERSION, options tell the release.
    fs::remove_file(dir.path().join("VERSION")).unwrap();
    fs::write(&json, format!(r#"{{{machine}, "NUM_DOMAIN_SCHEDULES": "2"}}"#)).unwrap();
    let found = locate(CONFIGS[0], prefix(dir.path()).as_ref()).unwrap();
    assert_eq!((found.version.as_str(), found.kind), ("15.0.0", TreeKind::Prefix));
    fs::write(&json, r#"{"SEL4_ARCH": "aarch64", "PLAT": "qemu-arm-virt"}"#).unwrap();
    refused(prefix(dir.path()), "is a kernel for aarch64 (qemu-arm-virt), and");
    // A crate's kernel config hands over to another one, by what it says itself.
    let text = locate("x86_64-debug", tree(dir.path()).as_ref()).unwrap_err().to_string();
    assert!(text.contains("is not a source tree of seL4"), "{text}");
}

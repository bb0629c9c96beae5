//! Builds the real kernels, in seconds. Needs a C compiler and Python, as every user does.

#![allow(clippy::unwrap_used, reason = "a test")]

use builder::{
    Context, Digest, Error, ExitCode, Project,
    context::{Cancel, Silent},
    kernel::{self, KernelBuild, KernelTree},
    kernel_config::{KernelConfig, OptionValue, Source},
};
use object::{Object as _, ObjectSymbol as _};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
};
use walkdir::WalkDir;

const RELEASE: &str = "x86_64-release";
const DEBUG: &str = "x86_64-debug";

/// The checkout, with output that outlives the test run: Python's modules are fetched only once.
fn kept() -> Project {
    Project { out: Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernel"), ..Project::here() }
}

/// The checkout with an output folder of its own, but the same Python.
fn elsewhere(out: &Path) -> Project {
    let kept = kept();
    kernel::python(&Context::new(&kept, &Silent)).unwrap();
    let steps = out.join(".cache/steps");
    fs::create_dir_all(&steps).unwrap();
    symlink(kept.cache().join("steps/python"), steps.join("python")).unwrap();
    Project { out: out.to_owned(), ..kept }
}

fn locate(project: &Project, name: &str) -> (KernelConfig, KernelTree) {
    let config = KernelConfig::load(project, name).unwrap();
    let tree = kernel::locate(&Context::new(project, &Silent), &config).unwrap();
    (config, tree)
}

fn build(project: &Project, name: &str) -> KernelBuild {
    let (config, tree) = locate(project, name);
    kernel::build(&Context::new(project, &Silent), &config, &tree).unwrap()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn both_kernels_are_what_a_multiboot_loader_takes() {
    let project = kept();
    for (name, limit) in [(RELEASE, 131_000), (DEBUG, 200_000)] {
        let kernel = fs::read(build(&project, name).multiboot).unwrap();
        assert!(kernel.len() < limit, "{name}: {} bytes", kernel.len());
        assert!(kernel::multiboot_header(&kernel).unwrap() < 8192);
        assert!(!build(&project, name).fresh, "{name} is built twice");
        // Printing is what tells the two apart.
        assert_eq!(contains(&kernel, "Booting all finished, dropped to user space"), name == DEBUG);
    }
}

#[test]
fn the_overlays_are_in_effect() {
    let elf = fs::read(build(&kept(), DEBUG).elf).unwrap();
    let elf_file = object::File::parse(&*elf).unwrap();
    let stack = elf_file.symbols().find(|symbol| symbol.name() == Ok("kernel_stack_alloc")).unwrap();
    assert_eq!(stack.address() % 4096, 0);
    // The branch that reads the VBE fields is gone, the other one is not.
    assert!(!contains(&elf, "Got VBE info in multiboot"));
    assert!(contains(&elf, "Multiboot gave us no video information"));
}

#[test]
fn the_headers_for_users_compile() {
    let dir = tempfile::tempdir().unwrap();
    let build = build(&kept(), RELEASE);
    let source = dir.path().join("probe.c");
    fs::write(
        &source,
        "#include <sel4/types.h>\n#include <sel4/bootinfo.h>\n#include <sel4/constants.h>\n\
        #include <sel4/invocation.h>\n#include <sel4/arch/invocation.h>\n#include <sel4/syscall.h>\n\
        _Static_assert(nArchInvocationLabels == 52, \"\"); _Static_assert(seL4_SysCall == -1, \"\");\n",
    )
    .unwrap();
    let status = std::process::Command::new("cc")
        .args(["-c", "-ffreestanding", "-nostdinc", "-o", "/dev/null"])
        .args(build.include_dirs.iter().map(|folder| format!("-I{}", folder.display())))
        .args(build.defines.iter().map(|define| format!("-D{define}")))
        .arg(&source)
        .status();
    assert!(status.unwrap().success());
}

/// All that `stat` says of a tree that a write would change.
fn stats(root: &Path) -> BTreeMap<PathBuf, (u64, i64, i64, i64, i64)> {
    WalkDir::new(root)
        .into_iter()
        .map(|entry| {
            let entry = entry.unwrap();
            let m = entry.metadata().unwrap();
            (entry.into_path(), (m.size(), m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec()))
        })
        .collect()
}

#[test]
fn kernels_are_the_same_wherever_they_are_built_and_the_tree_is_only_read() {
    let here = kept();
    let dir = tempfile::tempdir().unwrap();
    let project = elsewhere(&dir.path().join("another folder"));
    let (_, tree) = locate(&here, RELEASE);
    let copy = dir.path().join("tree");
    copy_tree(&tree.root, &copy);
    let before = stats(&tree.root);
    for name in [RELEASE, DEBUG] {
        let one = build(&here, name);
        let (config, moved) = locate(&project, name);
        let moved = KernelTree { root: copy.clone(), ..moved };
        let other = kernel::build(&Context::new(&project, &Silent), &config, &moved).unwrap();
        assert!(other.fresh);
        assert_eq!(one.key, other.key, "{name}");
        let files = |dir: &Path| -> BTreeMap<PathBuf, Digest> {
            let files = WalkDir::new(dir).into_iter().map(Result::unwrap).filter(|e| e.file_type().is_file());
            let relative = |path: &Path| path.strip_prefix(dir).unwrap().to_owned();
            files.map(|e| (relative(e.path()), Digest::of_file(e.path()).unwrap())).collect()
        };
        assert_eq!(files(&one.dir), files(&other.dir), "{name}");
        for leak in [dir.path(), &here.root, &tree.root] {
            assert!(!contains(&fs::read(&other.elf).unwrap(), leak.to_str().unwrap()), "{name}: {leak:?}");
        }
    }
    assert_eq!(stats(&tree.root), before);
}

fn copy_tree(from: &Path, to: &Path) {
    for entry in WalkDir::new(from) {
        let entry = entry.unwrap();
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(target).unwrap();
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A checkout with the real kernel configs and one more.
fn with_config(root: &Path, text: &str) -> Project {
    copy_tree(&Project::here().kernel_configs(), &root.join("kernel-configs"));
    fs::write(root.join("kernel-configs/mine.toml"), text).unwrap();
    Project { root: root.to_owned(), out: elsewhere(&root.join("out")).out }
}

fn failure(text: &str) -> Error {
    let dir = tempfile::tempdir().unwrap();
    let project = with_config(dir.path(), text);
    let (config, tree) = locate(&project, "mine");
    kernel::build(&Context::new(&project, &Silent), &config, &tree).unwrap_err()
}

#[test]
fn options_that_do_not_fit_the_tree_are_shown_with_their_place() {
    let error = failure(
        "inherits = \"x86_64-release\"\ndescription = \"Wrong.\"\n[options]\nFASTPTH = true\nX2APIC = true\n\
         ROOT_CNODE_SIZE_BITS = 40\nIRQ_REPORTING = true\nKERNEL_CFLAGS = \"-O0\"\nFSGSBASE_MSR = false\n\
         [[overlay]]\nheader = \"mode/stack.h\"\nfile = \"overlays/sel4-5.0.0/mode/kernel/stack.h\"\nreason = \"None.\"\n",
    );
    assert_eq!(error.code(), ExitCode::Usage);
    let place = "kernel-configs/mine.toml";
    assert_eq!(
        error.to_string(),
        format!(
            "{place}:4:1: this kernel has no option `FASTPTH`
    4 | FASTPTH = true
      | ^^^^^^^
  help: did you mean `FASTPATH`?
{place}:7:1: `IRQ_REPORTING` needs PRINTING
    7 | IRQ_REPORTING = true
      | ^^^^^^^^^^^^^
{place}:6:1: `ROOT_CNODE_SIZE_BITS` must be between 4 and 27, not 40
    6 | ROOT_CNODE_SIZE_BITS = 40
      | ^^^^^^^^^^^^^^^^^^^^
{place}:5:1: `XAPIC`, `X2APIC` exclude each other (\"Local APIC mode\")
    5 | X2APIC = true
      | ^^^^^^
  help: keep one of them
{place}:3:2: nothing is chosen for \"Setting FS/GS Base Addresses\"
    3 | [options]
      |  ^^^^^^^
  help: set one of `FSGSBASE_MSR`, `FSGSBASE_INST` to true
{place}:8:1: `KERNEL_CFLAGS` would have no effect: only the tree's own Makefiles look at it
    8 | KERNEL_CFLAGS = \"-O0\"
      | ^^^^^^^^^^^^^
  help: take it out
{place}:11:10: this kernel's sources have no header `mode/stack.h`
   11 | header = \"mode/stack.h\"
      |          ^^^^^^^^^^^^^^
  help: name it as the sources include it, or take the overlay out: it would have no effect"
        )
    );
}

#[test]
fn a_compiler_failure_shows_the_compilers_last_words() {
    // Nothing in the tree says that this option is needed, so the compiler has to.
    let error = failure(
        "inherits = \"x86_64-release\"\ndescription = \"Wrong.\"\n[options]\nMAX_NUM_NODES = false\n",
    );
    let text = error.to_string();
    assert_eq!(error.code(), ExitCode::Failed, "{text}");
    assert!(text.contains("failed (exit status: 1)") && text.contains("  | "), "{text}");
    assert!(text.contains("CONFIG_MAX_NUM_NODES"), "{text}");
}

#[test]
fn another_source_than_the_pinned_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let project = with_config(dir.path(), "inherits = \"x86_64-release\"\ndescription = \"Wrong.\"\n");
    let mut config = KernelConfig::load(&project, "mine").unwrap();
    let ctx = Context::new(&project, &Silent);
    let pinned = config.source.digest().unwrap();
    let mut refused = |change: fn(&mut String, &mut String, &mut Digest)| {
        let Source::Crate { subdir, version, digest, .. } = &mut config.source else { panic!("a crate") };
        change(subdir, version, digest);
        kernel::locate(&ctx, &config).unwrap_err().to_string()
    };
    let other = Digest::of("another tree");
    let text = refused(|_, _, digest| *digest = Digest::of("another tree"));
    let both = text.contains(&format!("pinned: {other}")) && text.contains(&format!("found:  {pinned}"));
    assert!(both && text.contains("help: "), "{text}");

    let text = refused(|_, version, _| *version = "5.0.1".to_owned());
    assert!(text.contains("is seL4 5.0.0, not 5.0.1"), "{text}");

    let text = refused(|subdir, _, _| *subdir = "sel5".to_owned());
    assert!(text.contains("has no folder `sel5`"), "{text}");
}

#[test]
fn everything_that_the_kernel_depends_on_counts() {
    let dir = tempfile::tempdir().unwrap();
    let project = with_config(dir.path(), "inherits = \"x86_64-release\"\ndescription = \"Mine.\"\n");
    let (config, tree) = locate(&project, "mine");
    let ctx = Context::new(&project, &Silent);
    let cancelled = Cancel::default();
    cancelled.request();
    let stopped = Context::with_cancel(&project, &Silent, cancelled);

    // A build that is not to run gives away what would be run: only a known key is found.
    let first = kernel::build(&ctx, &config, &tree).unwrap();
    assert!(first.fresh);
    assert!(!kernel::build(&ctx, &config, &tree).unwrap().fresh);
    let rebuilt = |config: &KernelConfig, tree: &KernelTree| kernel::build(&stopped, config, tree).is_err();
    assert!(!rebuilt(&config, &tree));

    let mut changed = config.clone();
    changed.options.insert("TIME_SLICE".to_owned(), OptionValue::Number(6));
    assert!(rebuilt(&changed, &tree), "option");
    assert!(rebuilt(&config, &KernelTree { digest: Digest::of("x"), ..tree.clone() }), "tree");
    let overlay = project.kernel_configs().join(&config.overlays[0].file);
    let text = fs::read_to_string(&overlay).unwrap();
    fs::write(&overlay, format!("{text}\n")).unwrap();
    assert!(rebuilt(&config, &tree), "overlay");
    fs::write(&overlay, text).unwrap();
    assert!(!rebuilt(&config, &tree), "nothing");
    let requirements = project.kernel_configs().join("python/requirements.txt");
    fs::write(&requirements, format!("{}# changed\n", fs::read_to_string(&requirements).unwrap())).unwrap();
    assert!(rebuilt(&config, &tree), "Python's modules");

    // What was stopped left nothing behind that could be taken for a kernel.
    let steps: Vec<_> =
        fs::read_dir(project.cache().join("steps/kernel")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(steps.iter().filter(|path| path.is_dir()).count(), 1, "{steps:?}");
}

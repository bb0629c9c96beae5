//! What the tests of whole builds share: a checkout of their own with a small function in Rust and one
//! that needs nothing of the runtime.

#![allow(dead_code, reason = "not every test uses everything")]

mod entry;

pub(crate) use entry::ENTRY;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

/// A function that uses what it includes.
const MAIN: &str = r#"const INCLUDED: &str = include_str!("../../../shared/included.txt");

extern "C" fn main() {
    black_box((INCLUDED, part::NUMBER, "one"));
    unsafe { stub() }
}
"#;

const RECIPE: &str = "[function]\nname = \"tiny\"\nversion = \"0.1.0\"\n\
    [root-task]\ncrate = \"functions/tiny\"\nstack = \"16 KiB\"\n\
    [kernel]\nconfig = \"test\"\n\
    [smoke]\nexpect = [\"x\"]\n";

/// A checkout of its own.
pub(crate) struct Checkout {
    dir: tempfile::TempDir,
    pub(crate) root: PathBuf,
    pub(crate) out: PathBuf,
    pub(crate) env: BTreeMap<String, String>,
}

impl Checkout {
    /// A checkout in a fresh folder; Python, kernel and bindings come from the cache that the tests share.
    pub(crate) fn new() -> Self {
        let checkout = Self::cold("checkout");
        ["python", "kernel", "bindings"].iter().for_each(|step| checkout.warm(step));
        checkout
    }

    /// Takes the results of a step from the cache that the tests share.
    pub(crate) fn warm(&self, step: &str) {
        copy(&seed().join("steps").join(step), &self.out.join(".cache/steps").join(step));
    }

    /// A checkout in a folder `name` of a fresh folder, with an empty cache.
    pub(crate) fn cold(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join(name);
        let real = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        copy(&real.join("kernel-configs"), &root.join("kernel-configs"));
        let checkout = Self { out: root.join("out"), root, dir, env: BTreeMap::new() };
        let package = |name: &str, rest: &str| {
            format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{rest}")
        };
        for (file, text) in [
            ("rust-toolchain.toml", fs::read_to_string(real.join("rust-toolchain.toml")).unwrap()),
            ("tiny.toml", RECIPE.to_owned()),
            ("kernel-configs/test.toml", "inherits = \"x86_64-release\"\n".to_owned()),
            ("shared/included.txt", "included".to_owned()),
            ("functions/tiny/src/main.rs", format!("{ENTRY}{MAIN}")),
            (
                "functions/tiny/Cargo.toml",
                package("tiny", "[dependencies]\npart = { path = \"../../part\" }\n[workspace]\n"),
            ),
            (
                "functions/tiny/Cargo.lock",
                "version = 4\n[[package]]\nname = \"part\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"tiny\"\n\
                 version = \"0.1.0\"\ndependencies = [\n \"part\",\n]\n"
                    .to_owned(),
            ),
            ("part/Cargo.toml", package("part", "[workspace]\n")),
            ("part/src/lib.rs", "#![no_std]\npub const NUMBER: u32 = 1;\n".to_owned()),
        ] {
            checkout.write(file, &text);
        }
        checkout
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Writes a program.
    pub(crate) fn program(&self, name: &str, text: &str) {
        self.write(name, text);
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The folder of the image of `tiny`.
    pub(crate) fn image(&self) -> PathBuf {
        self.out.join("tiny/qemu")
    }

    /// A build of `recipe`, not yet started.
    pub(crate) fn command(&self, recipe: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_build-one"));
        command.arg(&self.root).arg(&self.out).arg(self.path(recipe)).envs(&self.env);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn start(&self) -> Child {
        self.command("tiny.toml").spawn().unwrap()
    }

    pub(crate) fn build(&self) -> Built {
        Built::of(self.command("tiny.toml").output().unwrap())
    }

    /// Copies a folder of the real checkout, without what Cargo built in it.
    pub(crate) fn take(&self, folder: &str) {
        let real = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(folder);
        fs::create_dir_all(self.path(folder)).unwrap();
        for entry in fs::read_dir(real).unwrap().map(Result::unwrap) {
            if entry.file_name() != "target" {
                copy(&entry.path(), &self.path(folder).join(entry.file_name()));
            }
        }
    }

    /// Forgets the results of a step.
    pub(crate) fn forget(&self, step: &str) {
        for folder in [format!("steps/{step}"), format!("work/{step}")] {
            let _ = fs::remove_dir_all(self.out.join(".cache").join(folder));
        }
    }

    /// Replaces a text in a file.
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{name}: {text}");
        self.write(name, &text.replace(from, to));
    }
}

/// What a build said.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Built {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Panics with everything that was said unless the build succeeded.
    #[track_caller]
    pub(crate) fn good(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// The members' names and digests.
    pub(crate) fn members(&self) -> Vec<&str> {
        self.stdout.lines().filter_map(|line| line.strip_prefix("member ")).collect()
    }

    pub(crate) fn nothing_to_do(&self) -> bool {
        self.stdout.lines().any(|line| line == "nothing to do")
    }

    /// Whether the step that begins with `name` ran.
    pub(crate) fn ran(&self, name: &str) -> bool {
        let begin = format!("end {name}");
        self.stdout.lines().any(|line| line.starts_with(&begin) && line.ends_with(": built"))
    }
}

/// `path` as a recipe in the folder `dir` names it, whose paths are relative: up to the root, and down again.
pub(crate) fn from(dir: &Path, path: &Path) -> String {
    let up = "../".repeat(dir.components().count() - 1);
    format!("{up}{}", path.strip_prefix("/").unwrap().display())
}

/// Says past libtest's capture why a test did not run.
pub(crate) fn skip(name: &str, reason: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "SKIP {name}: {reason}");
}

/// A cache that the tests of one build folder share: the kernel and Python, built once.
fn seed() -> PathBuf {
    static SEED: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    SEED.get_or_init(|| {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("whole-builds");
        let (maker, steps) = (kept.join("maker"), kept.join(".cache/steps"));
        if fs::read_to_string(&maker).unwrap_or_default() != builder::cache::BUILDER {
            ["kernel", "bindings"].iter().for_each(|step| drop(fs::remove_dir_all(steps.join(step))));
        }
        let checkout = Checkout::cold("seed");
        let mut command = Command::new(env!("CARGO_BIN_EXE_build-one"));
        let output = command.arg(&checkout.root).arg(&kept).arg(checkout.path("tiny.toml")).output().unwrap();
        Built::of(output).good();
        fs::write(maker, builder::cache::BUILDER).unwrap();
        kept.join(".cache")
    })
    .clone()
}

/// Copies a folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    let status = Command::new("cp").arg("-aT").args([from, to]).status();
    assert!(status.unwrap().success());
}

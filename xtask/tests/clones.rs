//! Two clones of the checkout, by other settings in other folders: the same images, and the same of all that is
//! published, to the last byte.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use builder::{repro::link_registry, root_task::cargo_home};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
};

/// How a clone is built.
struct Settings {
    folder: PathBuf,
    umask: &'static str,
    /// What its `xtask` runs with, and all that this starts.
    env: Vec<(&'static str, PathBuf)>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Runs to the end; panics with what was said unless that was a success.
fn done(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap();
    // With `--format json` the error is on the standard output.
    let [said, errors] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "{command:?}: {said}\n{errors}");
    output
}

impl Settings {
    /// `words` under this umask, in these surroundings.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("umask {}; exec \"$0\" \"$@\"", self.umask)]).args(words);
        command.env_remove("CARGO_TARGET_DIR").envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Clones what is committed, and gives the clone the private Python of the checkout, if it has one: it is no
    /// result of a build, and the network is spared.
    fn clone(&self) {
        done(self.command(&["git", "clone", "--quiet", "--no-hardlinks"]).arg(root()).arg(&self.folder));
        let python = "out/.cache/steps/python";
        if root().join(python).is_dir() {
            let to = self.folder.join(python);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            done(Command::new("cp").arg("-aT").args([root().join(python), to]));
        }
    }

    /// Builds the clone's own `xtask`, of its own sources. What the registry has of it is taken from the checkout where
    /// that was compiled: whether it fits is Cargo's to find out, which compiles the rest. No image has a byte of it.
    fn build_xtask(&self) {
        let from = Path::new(env!("CARGO_BIN_EXE_xtask")).parent().unwrap();
        let names = registry_crates(&self.folder.join("Cargo.lock"));
        for part in [".fingerprint", "build", "deps"] {
            let to = self.folder.join("target/debug").join(part);
            fs::create_dir_all(&to).unwrap();
            let entries =
                fs::read_dir(from.join(part)).into_iter().flatten().map(|entry| entry.unwrap().path());
            let compiled: Vec<_> = entries.filter(|path| names.contains(&crate_of(path))).collect();
            // None where this program was built elsewhere, by a profile of another name for instance.
            if !compiled.is_empty() {
                done(Command::new("cp").arg("-at").arg(to).args(compiled));
            }
        }
        let mut cargo = self.command(&["cargo", "build", "--quiet", "--locked", "--package", "xtask"]);
        // Cargo knows what it compiled by the folder of the crates' sources, too.
        match std::env::var_os("CARGO_HOME") {
            Some(own) => cargo.env("CARGO_HOME", own),
            None => cargo.env_remove("CARGO_HOME"),
        };
        done(cargo.env("CARGO_INCREMENTAL", "0").current_dir(&self.folder));
    }

    /// The clone's own `xtask`.
    fn xtask_command(&self, words: &[&str]) -> Command {
        let program = self.folder.join("target/debug/xtask");
        let mut command = self.command(&[program.to_str().unwrap()]);
        command.args(words).current_dir(&self.folder);
        command
    }

    /// What the clone's own `xtask` prints for programs.
    fn xtask(&self, words: &[&str]) -> Vec<u8> {
        done(self.xtask_command(&["--format", "json"]).args(words)).stdout
    }

    /// Builds every recipe for all its targets: the digest of every file.
    fn images(&self) -> BTreeMap<String, String> {
        let images: Value = serde_json::from_slice(&self.xtask(&["build-image", "--all"])).unwrap();
        let mut sums = BTreeMap::new();
        for image in images["images"].as_array().unwrap() {
            assert!(Path::new(image["dir"].as_str().unwrap()).starts_with(&self.folder), "{image}");
            for member in image["members"].as_array().unwrap() {
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                let name = [&image["name"], &image["target"], &member["name"]].map(text).join("/");
                sums.insert(name, text(&member["sha256"]));
            }
        }
        sums
    }

    /// Publishes every recipe for all its targets: what was printed, and the digest of every published file.
    fn publish(&self, more: &[&str]) -> (Vec<u8>, BTreeMap<String, String>) {
        let printed = self.xtask(&[&["publish", "--all", "--strict", "--to", "dist"], more].concat());
        let sums = fs::read_to_string(self.folder.join("dist/SHA256SUMS")).unwrap();
        let line = |line: &str| line.split_once("  ").map(|(sum, path)| (path.to_owned(), sum.to_owned()));
        (printed, sums.lines().map(|text| line(text).unwrap()).collect())
    }
}

/// The crates that a lock file takes from the registry, as files are named after them.
fn registry_crates(lock: &Path) -> BTreeSet<String> {
    let lock: toml::Table = fs::read_to_string(lock).unwrap().parse().unwrap();
    let packages = lock["package"].as_array().unwrap().iter();
    let names = packages.filter(|package| package.get("source").is_some()).map(|package| &package["name"]);
    names.map(|name| name.as_str().unwrap().replace('-', "_")).collect()
}

/// The crate that Cargo made a file or folder for: `libserde_json-0123….rlib`, `serde_json-0123…`.
fn crate_of(path: &Path) -> String {
    let name = path.file_name().unwrap().to_string_lossy();
    let name = name.rsplit_once('-').map_or(&*name, |(name, _)| name);
    let library =
        matches!(path.extension(), Some(end) if ["rlib", "rmeta", "so"].iter().any(|one| end == *one));
    name.strip_prefix("lib").filter(|_| library).unwrap_or(name).replace('-', "_")
}

/// `hello` as the one publishes it is built again by the other; where a source is not what it was, that is named.
fn built_again(here: &Settings, there: &Settings, verdicts: &str) {
    here.xtask(&["publish", "hello", "--strict", "--to", "hello-alone", "--tested", verdicts]);
    let again = |published: &str| {
        let mut command = there.xtask_command(&["verify", "--rebuild"]);
        let output = command.arg(here.folder.join(published)).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = again("hello-alone");
    assert_eq!(code, Some(0), "{said}");
    for target in ["process", "qemu"] {
        let row = format!("hello-{target}.tar.gz");
        let same = |line: &str| line.contains(&row) && line.ends_with("it is the same to the last byte");
        assert!(said.lines().any(same), "{said}");
    }
    let source = there.folder.join("functions/hello/src/main.rs");
    let text = fs::read_to_string(&source).unwrap();
    fs::write(&source, text.replace("Hello, ", "Howdy, ")).unwrap();
    let (code, said) = again("hello-alone/hello-qemu.tar.gz");
    assert_eq!(code, Some(5), "{said}");
    let moved: Vec<_> = said.lines().filter(|line| line.contains("  input ")).collect();
    assert!(moved.iter().any(|line| line.contains("input source functions/hello:")), "{said}");
    // And the digest of all sources together, which follows from it.
    assert!(moved.iter().all(|line| line.contains("input source")), "{said}");
    assert!(said.contains("built again, `root-task` is another"), "{said}");
}

/// That both made the same files, `least` of them at least.
#[track_caller]
fn same([here, there]: [BTreeMap<String, String>; 2], least: usize) {
    assert!(here.len() >= least, "{here:#?}");
    let names: BTreeSet<_> = here.keys().chain(there.keys()).collect();
    let differ: Vec<_> = names.into_iter().filter(|name| here.get(*name) != there.get(*name)).collect();
    assert!(differ.is_empty(), "these differ: {differ:#?}");
}

#[test]
#[ignore = "the suite `clones` runs it: it builds two clones of the checkout, each by an `xtask` of its own"]
fn two_clones_publish_the_same() {
    let git = Command::new("git").arg("-C").arg(root()).args(["rev-parse", "HEAD"]).output();
    if !git.is_ok_and(|output| output.status.success()) {
        let reason = "there is no git, or it does not read the checkout as a repository";
        let _ = writeln!(std::io::stderr(), "SKIP two_clones_publish_the_same: {reason}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let other_home = dir.path().join("cargo home of another");
    cargo_home().iter().for_each(|own| link_registry(own, &other_home).unwrap());
    let here = Settings {
        folder: dir.path().join("a"),
        umask: "022",
        env: vec![("TZ", "UTC".into()), ("LC_ALL", "C".into())],
    };
    let there = Settings {
        folder: dir.path().join(format!("{}/with spaces, Ümlauten/und 海豹", "long ".repeat(40).trim())),
        umask: "077",
        env: vec![
            ("TZ", "<+0545>-5:45".into()),
            ("LC_ALL", "C.UTF-8".into()),
            ("LANGUAGE", "tr:de".into()),
            ("CARGO_HOME", other_home),
        ],
    };
    let images = thread::scope(|scope| {
        let built = [&here, &there].map(|settings| {
            scope.spawn(|| {
                settings.clone();
                settings.build_xtask();
                settings.images()
            })
        });
        built.map(|built| built.join().unwrap())
    });
    // Five recipes and more, two targets and more, four files and more.
    same(images, 40);
    // Here every image is booted. There, what is the same to the last byte is not booted again, and nothing else is
    // taken for tested: the digest of an image decides.
    let (printed, published) = here.publish(&[]);
    let file = dir.path().join("verdicts.json");
    fs::write(&file, printed).unwrap();
    let verdicts = file.to_str().unwrap();
    let (_, again) = there.publish(&["--tested", verdicts]);
    // Each image as an archive, a layout of four files and more, and three documents.
    same([published, again], 80);
    built_again(&here, &there, verdicts);
}

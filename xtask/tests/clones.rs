//! Two clones of the checkout, by other settings in other folders: the same images to the last byte.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use builder::{repro::link_registry, root_task::cargo_home};
use serde_json::Value;
use std::{
    collections::BTreeMap,
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

    /// Builds every recipe for all its targets, by an `xtask` of the clone's own: the digest of every file.
    fn sums(&self) -> BTreeMap<String, String> {
        let words = ["cargo", "xtask", "--format", "json", "build-image", "--all"];
        let output = done(self.command(&words).current_dir(&self.folder));
        let images: Value = serde_json::from_slice(&output.stdout).unwrap();
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
}

#[test]
#[ignore = "the suite `clones` runs it: it builds two clones of the checkout, each by an `xtask` of its own"]
fn two_clones_make_the_same_images() {
    let git = Command::new("git").arg("-C").arg(root()).args(["rev-parse", "HEAD"]).output();
    if !git.is_ok_and(|output| output.status.success()) {
        let reason = "there is no git, or it does not read the checkout as a repository";
        let _ = writeln!(std::io::stderr(), "SKIP two_clones_make_the_same_images: {reason}");
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
    let (here, there) = thread::scope(|scope| {
        let built = [&here, &there].map(|settings| {
            scope.spawn(|| {
                settings.clone();
                settings.sums()
            })
        });
        let [here, there] = built.map(|built| built.join().unwrap());
        (here, there)
    });
    // Five recipes and more, two targets and more, four files and more.
    assert!(here.len() >= 40, "{here:#?}");
    let names: Vec<_> = here.keys().chain(there.keys()).collect();
    let differ: Vec<_> = names.into_iter().filter(|name| here.get(*name) != there.get(*name)).collect();
    assert!(differ.is_empty(), "these differ: {differ:#?}");
}

//! Publishing that is ended at any moment, or on a full disk: what is left is never taken for what it is not, and the
//! next one is right.

use super::{good, published, recipe, skip, text, xtask};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

const PUBLISH: [&str; 6] = ["publish", "hello.toml", "--target", "process", "--to", "dist"];

fn partials(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "partial")).collect()
}

fn start(dir: &Path) -> Child {
    xtask(dir, &PUBLISH).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Whether `verify` accepts a folder.
fn accepted(dir: &Path, folder: &Path) -> bool {
    let output = xtask(dir, &["verify"]).arg(folder).output().unwrap();
    output.status.success()
}

#[test]
fn publishing_that_is_killed_leaves_nothing_wrong() {
    if published("publishing_that_is_killed_leaves_nothing_wrong").is_none() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let dir = place.path();
    recipe(dir, "");
    good(xtask(dir, &PUBLISH));
    let sums = |folder: &Path| fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    let expected = sums(&dir.join("dist"));
    for round in 0..20_u64 {
        if round % 4 == 0 {
            fs::remove_dir_all(dir.join("dist")).unwrap();
        }
        let mut child = start(dir);
        if round % 2 == 0 {
            // Anywhere: spread by the golden ratio, the same each time.
            thread::sleep(Duration::from_millis(round * 618 % 1000));
        } else {
            // While it writes: as soon as there is something, and some more each time.
            let before = partials(dir);
            while partials(dir).iter().all(|path| before.contains(path))
                && child.try_wait().unwrap().is_none()
            {
                thread::sleep(Duration::from_micros(200));
            }
            thread::sleep(Duration::from_millis(3 * round));
        }
        // It may be over already.
        let _ = child.kill();
        child.wait().unwrap();
        for folder in partials(dir).into_iter().chain([dir.join("dist")]).filter(|folder| folder.exists()) {
            let right = || folder.join("SHA256SUMS").exists() && sums(&folder) == expected;
            assert!(!accepted(dir, &folder) || right(), "round {round}: {}", folder.display());
        }
        if dir.join("dist").exists() {
            assert!(accepted(dir, &dir.join("dist")), "round {round}: what was there is not what it was");
        } else {
            good(xtask(dir, &PUBLISH));
        }
    }
    good(xtask(dir, &PUBLISH));
    assert_eq!(sums(&dir.join("dist")), expected);
    assert_eq!(partials(dir), <[PathBuf; 0]>::default());
}

#[test]
fn on_a_full_disk_nothing_is_published() {
    let test = "on_a_full_disk_nothing_is_published";
    if published(test).is_none() {
        return;
    }
    let mount = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "tmpfs", "/tmp"]).output();
    if !mount.is_ok_and(|output| output.status.success()) {
        return skip(test, "no file system can be mounted here");
    }
    let place = tempfile::tempdir().unwrap();
    let dir = place.path();
    recipe(dir, "");
    fs::create_dir(dir.join("small")).unwrap();
    let program = xtask(dir, &["publish", "hello.toml", "--target", "process", "--to", "small/dist"]);
    for room in ["4k", "100k", "300k"] {
        let mut unshare = Command::new("unshare");
        let script = format!(
            "mount -t tmpfs -o size={room} tmpfs small\n\"$@\" && code=0 || code=$?\nls -A small\nexit $code"
        );
        unshare.args(["-m", "sh", "-c", &script, "sh"]).arg(program.get_program()).args(program.get_args());
        let output = unshare.current_dir(dir).stdin(Stdio::null()).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{room}: {said}");
        assert!(said.contains("No space left on device"), "{room}: {said}");
        assert_eq!(text(&output.stdout), "", "{room}: something was left");
    }
}

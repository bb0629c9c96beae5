//! What is published is what others can use: read by skopeo and umoci, run by runc, booted as urunc boots it.
//! `hello` for every target, published once for all of these tests.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod given;
mod hostile;
mod killed;

use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask/ lies in the checkout")
}

/// Says past the test's captured output why it did not run.
fn skip(test: &str, reason: &str) {
    let _ = writeln!(io::stderr(), "SKIP {test}: {reason}");
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// The program under test. Images go below `dir`, results of steps to the checkout's cache.
fn xtask(dir: &Path, args: &[&str]) -> Command {
    let (out, cache) = (dir.join("out"), root().join("out/.cache"));
    fs::create_dir_all(&cache).unwrap();
    fs::create_dir_all(&out).unwrap();
    if !out.join(".cache").exists() {
        symlink(cache, out.join(".cache")).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("--out").arg(&out).args(args).stdin(Stdio::null()).current_dir(dir);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn good(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// A recipe of `hello` with `more` in it.
fn recipe(dir: &Path, more: &str) -> PathBuf {
    let text = fs::read_to_string(root().join("recipes/hello.toml")).unwrap();
    // A recipe's paths are relative: up to the root of all, then down into the checkout.
    let up = "/..".repeat(dir.components().count() - 1);
    let text = text.replace("../functions", &format!("{}{}/functions", &up[1..], root().display()));
    let path = dir.join("hello.toml");
    fs::write(&path, format!("{text}{more}")).unwrap();
    path
}

/// `hello`, published; on a host without boot loader not for bare metal. None where nothing can be booted.
fn published(test: &str) -> Option<&'static Path> {
    static PLACE: OnceLock<Option<tempfile::TempDir>> = OnceLock::new();
    let place = PLACE.get_or_init(|| {
        if !has("qemu-system-x86_64") {
            return None;
        }
        let place = tempfile::tempdir().unwrap();
        let dir = place.path();
        recipe(dir, if has("grub-mkimage") { "[targets.bare-metal]\nformats = [\"disk\"]\n" } else { "" });
        good(xtask(dir, &["publish", "hello.toml", "--to", "dist", "--strict"]));
        Some(place)
    });
    if place.is_none() {
        skip(test, "there is no qemu-system-x86_64");
    }
    place.as_ref().map(tempfile::TempDir::path)
}

/// The layout of `hello` for `target`, as skopeo and umoci call it.
fn layout(dir: &Path, target: &str) -> Option<String> {
    let path = dir.join(format!("dist/hello-{target}.oci"));
    path.exists().then(|| format!("{}:0.1.0", path.display()))
}

#[test]
fn what_is_published_verifies_and_is_the_same_again() {
    let Some(dir) = published("what_is_published_verifies_and_is_the_same_again") else { return };
    let shown = good(xtask(dir, &["verify", "dist"]));
    assert!(shown.ends_with("dist is what was published\n") && !shown.contains("FAIL"), "{shown}");
    let shown = good(xtask(dir, &["verify", "dist/hello-process.tar.gz"]));
    assert!(shown.contains("OK    SHA256SUMS"), "{shown}");
    let mut sums = Command::new("sha256sum");
    sums.args(["-c", "--quiet", "--strict", "SHA256SUMS"]).current_dir(dir.join("dist"));
    good(sums);
    // Again, in the place of a folder that was published before, under another mask and in another time zone.
    fs::create_dir_all(dir.join("again")).unwrap();
    for round in 0..2 {
        let command = xtask(dir, &["publish", "hello.toml", "--to", "again", "--strict", "--quiet"]);
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "umask 077; exec \"$@\"", "sh"])
            .arg(command.get_program())
            .args(command.get_args());
        good({
            shell.current_dir(dir).env("TZ", "Asia/Kathmandu").env("LC_ALL", "C");
            shell
        });
        let sums = |folder: &str| fs::read_to_string(dir.join(folder).join("SHA256SUMS")).unwrap();
        assert_eq!(sums("again"), sums("dist"), "round {round}");
    }
    let left = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(!left.into_iter().any(|name| name.ends_with(".partial")));
}

#[test]
fn a_folder_with_other_things_in_it_is_left_alone() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path();
    recipe(dir, "");
    let listed = format!("{}  mine\n", "0".repeat(64));
    for (name, files) in [
        ("other", &[("mine", "x")][..]),
        ("unlisted", &[("SHA256SUMS", listed.as_str()), ("mine", "x"), ("also", "y")]),
        ("no-list", &[("SHA256SUMS", "hello")]),
    ] {
        let folder = dir.join(name);
        fs::create_dir(&folder).unwrap();
        files.iter().for_each(|(file, content)| fs::write(folder.join(file), content).unwrap());
        let output = xtask(dir, &["publish", "hello.toml", "--to", name]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
        assert!(
            text(&output.stderr).contains("choose another folder with `--to`"),
            "{}",
            text(&output.stderr)
        );
        files.iter().for_each(|(file, content)| {
            assert_eq!(fs::read_to_string(folder.join(file)).unwrap(), *content);
        });
    }
    symlink("other", dir.join("link")).unwrap();
    let output = xtask(dir, &["publish", "hello.toml", "--to", "link"]).output().unwrap();
    assert!(text(&output.stderr).contains("it is a symbolic link"), "{}", text(&output.stderr));
}

#[test]
fn what_fails_its_smoke_test_is_not_published() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path();
    let path = recipe(dir, "status = 3\n");
    let publish = |args: &[&str]| -> Output {
        xtask(dir, &[&["publish", "--to", "dist"], args].concat()).output().unwrap()
    };
    let failed = publish(&[path.to_str().unwrap(), "--target", "process"]);
    assert_eq!(failed.status.code(), Some(4), "{}", text(&failed.stderr));
    assert!(text(&failed.stdout).ends_with("nothing was published\n"), "{}", text(&failed.stdout));
    let unwanted = publish(&["panic"]);
    assert_eq!(unwanted.status.code(), Some(2));
    assert!(
        text(&unwanted.stderr).contains("its recipe says `publish = false`"),
        "{}",
        text(&unwanted.stderr)
    );
    // Without a smoke test there is a skip, which is told, and refused by `--strict`.
    let text_of = fs::read_to_string(&path).unwrap();
    fs::write(&path, text_of.split("[smoke]").next().unwrap()).unwrap();
    let process = [path.to_str().unwrap(), "--target", "process"];
    assert_eq!(publish(&[&process[..], &["--strict"]].concat()).status.code(), Some(4));
    assert!(!dir.join("dist").exists());
    assert_eq!(publish(&process).status.code(), Some(0));
    let result = fs::read_to_string(dir.join("dist/hello-process.test-result.json")).unwrap();
    let result: Value = serde_json::from_str(&result).unwrap();
    let skipped = &result["predicate"]["configuration"][0]["annotations"]["skipped"];
    assert_eq!(skipped[0], "smoke hello process", "{result}");
}

#[test]
fn what_passed_earlier_is_not_booted_again_unless_it_is_another_image() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path();
    let path = recipe(dir, "");
    let process = ["hello.toml", "--target", "process"];
    let verdicts = good(xtask(dir, &[&["--format", "json", "smoke"], &process[..]].concat()));
    fs::write(dir.join("verdicts.json"), verdicts).unwrap();
    let publish = |more: &[&str]| {
        let words = [&["publish", "--strict", "--to", "dist"], &process[..], more].concat();
        xtask(dir, &words).output().unwrap()
    };
    let sums = || fs::read(dir.join("dist/SHA256SUMS")).unwrap();
    let booted = publish(&[]);
    let (said, first) = (text(&booted.stderr), sums());
    assert!(booted.status.success() && !said.contains("earlier"), "{said}");
    let tested = ["--tested", "verdicts.json"];
    let earlier = publish(&tested);
    let said = text(&earlier.stderr);
    assert!(earlier.status.success(), "{said}");
    assert!(said.contains("smoke test hello on process: PASS, earlier"), "{said}");
    assert_eq!(sums(), first, "whoever booted it, and when, stands nowhere");
    let recipe = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{recipe}status = 3\n")).unwrap();
    assert_eq!(publish(&tested).status.code(), Some(4), "the verdict is of another image");
    fs::write(dir.join("verdicts.json"), "{}").unwrap();
    let refused = publish(&tested);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("these are no verdicts of a smoke run"));
}

#[test]
fn skopeo_reads_every_layout() {
    let Some(dir) = published("skopeo_reads_every_layout") else { return };
    if !has("skopeo") {
        return skip("skopeo_reads_every_layout", "there is no skopeo");
    }
    for target in ["qemu", "process", "bare-metal"] {
        let Some(layout) = layout(dir, target) else { continue };
        let copy = format!("dir:{}", dir.join(format!("copy-{target}")).display());
        let skopeo = |args: &[&str]| {
            let mut command = Command::new("skopeo");
            command.args(args);
            good(command)
        };
        let raw: Value =
            serde_json::from_str(&skopeo(&["inspect", "--raw", &format!("oci:{layout}")])).unwrap();
        assert_eq!(raw["schemaVersion"], 2);
        skopeo(&["copy", "--quiet", &format!("oci:{layout}"), &copy]);
        if target != "bare-metal" {
            let seen: Value = serde_json::from_str(&skopeo(&["inspect", &copy])).unwrap();
            assert_eq!(seen["Labels"]["org.opencontainers.image.title"], "hello");
            assert_eq!(seen["Created"], "1970-01-01T00:00:00Z");
        }
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Unpacks the container for `target` with a configuration for a runtime beside it.
fn unpacked(dir: &Path, target: &str) -> PathBuf {
    let bundle = dir.join(format!("bundle-{target}"));
    let mut umoci = Command::new("umoci");
    umoci.arg("unpack").args((!is_root()).then_some("--rootless"));
    good({
        umoci.args(["--image", &layout(dir, target).unwrap()]).arg(&bundle);
        umoci
    });
    bundle
}

#[test]
fn a_container_engine_runs_the_process_image() {
    let test = "a_container_engine_runs_the_process_image";
    let Some(dir) = published(test) else { return };
    if !has("umoci") || !has("runc") {
        return skip(test, "there is no umoci, or no runc");
    }
    let bundle = unpacked(dir, "process");
    let path = bundle.join("config.json");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let process = &mut config["process"];
    assert_eq!(process["args"], serde_json::json!(["/hello-process/hello"]));
    assert_eq!(process["user"], serde_json::json!({ "uid": 65534, "gid": 65534 }));
    process["terminal"] = false.into();
    if !is_root() {
        // A user name space of an ordinary user has one user in it.
        process["user"] = serde_json::json!({ "uid": 0, "gid": 0 });
    }
    process["args"].as_array_mut().unwrap().extend(["--".into(), "Ada".into()]);
    fs::write(&path, config.to_string()).unwrap();
    let state = dir.join("state");
    let mut runc = Command::new("runc");
    runc.arg("--root").arg(&state).args(["--rootless", "true", "run", "--bundle"]).arg(&bundle);
    let output = runc.arg(format!("selkie-test-{}", std::process::id())).output().unwrap();
    let said = text(&output.stderr);
    // Before the container begins: name spaces that are not to be had.
    if !output.status.success() && output.stdout.is_empty() && said.contains("runc") {
        return skip(test, &format!("runc cannot start containers here: {}", said.trim()));
    }
    assert_eq!(output.status.code(), Some(0), "{said}");
    let shown = text(&output.stdout);
    assert!(shown.contains("Hello, Ada!") && shown.contains("[selkie:exit status=0"), "{shown}");
}

/// The command line that urunc makes of what it is told (`hypervisors/qemu.go` and `unikernels/linux.go`), with the
/// paths in the container and another accelerator and processor.
fn as_urunc(told: &BTreeMap<String, String>, rootfs: &Path) -> Vec<String> {
    let word = |word: &str| told[&format!("com.urunc.unikernel.{word}")].clone();
    assert_eq!([word("unikernelType"), word("hypervisor")], ["linux", "qemu"]);
    let inside = |path: &str| format!("{}{path}", rootfs.display());
    let cmdline = word("cmdline");
    let mut init = cmdline.split_whitespace();
    let (app, rest) = (init.next().unwrap(), init.collect::<Vec<_>>().join(" "));
    let net = "ip=10.0.0.2::10.0.0.1:255.255.255.0:urunc:eth0:off";
    let append = format!("panic=-1 console=ttyS0 root=/dev/ram0 rw {net} PATH=/bin rdinit={app} -- {rest}");
    let fixed = "-m 256M -L /usr/share/qemu -cpu qemu64 -accel tcg -nographic -vga none --sandbox \
         on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny -nic none -no-reboot -serial stdio \
         -nodefaults";
    let mut args: Vec<String> = fixed.split_whitespace().map(str::to_owned).collect();
    args.extend(["-kernel".into(), inside(&word("binary")), "-initrd".into(), inside(&word("initrd"))]);
    args.extend(["-append".into(), append]);
    args
}

#[test]
fn what_urunc_is_told_boots_and_ends() {
    let test = "what_urunc_is_told_boots_and_ends";
    let Some(dir) = published(test) else { return };
    if !has("umoci") {
        return skip(test, "there is no umoci");
    }
    let bundle = unpacked(dir, "qemu");
    let rootfs = bundle.join("rootfs");
    let encoded: BTreeMap<String, String> =
        serde_json::from_str(&fs::read_to_string(rootfs.join("urunc.json")).unwrap()).unwrap();
    let told: BTreeMap<String, String> = encoded
        .into_iter()
        .map(|(key, value)| {
            let mut decode = Command::new("sh");
            decode.args(["-c", "printf %s \"$1\" | base64 -d", "sh", &value]);
            (key, good(decode))
        })
        .collect();
    // What a runtime finds in the configuration that is made of the image's own annotations is the same.
    let config: Value =
        serde_json::from_str(&fs::read_to_string(bundle.join("config.json")).unwrap()).unwrap();
    for (key, value) in &told {
        assert_eq!(config["annotations"][key], value.as_str(), "{key}");
    }
    let mut qemu = Command::new("timeout");
    qemu.args(["60", "qemu-system-x86_64"]).args(as_urunc(&told, &rootfs)).stdin(Stdio::null());
    let output = qemu.output().unwrap();
    let shown = text(&output.stdout);
    // Status 0 is power-off: nothing here has an exit port, and a time-out is 124.
    assert_eq!(output.status.code(), Some(0), "{shown}{}", text(&output.stderr));
    assert!(shown.contains("Hello, world!") && shown.contains("[selkie:exit status=0"), "{shown}");
}

/// Makes a key pair with minisign, with a password when it has one.
fn minisign_keys(dir: &Path, password: Option<&str>) {
    let mut command = Command::new("minisign");
    command.args(["-G", "-f", "-p", "key.pub", "-s", "key"]).args(password.is_none().then_some("-W"));
    command.current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let password = password.map(|password| format!("{password}\n{password}\n")).unwrap_or_default();
    child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn signatures_are_those_of_minisign_both_ways() {
    let test = "signatures_are_those_of_minisign_both_ways";
    if Command::new("minisign").arg("-v").output().is_err() {
        return skip(test, "there is no minisign");
    }
    let place = tempfile::tempdir().unwrap();
    let dir = place.path();
    recipe(dir, "");
    minisign_keys(dir, None);
    let publish = ["publish", "hello.toml", "--target", "process", "--sign", "key", "--to", "dist"];
    good(xtask(dir, &publish));
    let signature = || fs::read(dir.join("dist/SHA256SUMS.minisig")).unwrap();
    let first = signature();
    let by_minisign = |arguments: &[&str]| {
        let mut command = Command::new("minisign");
        command.args(arguments).current_dir(dir).stdin(Stdio::null());
        good(command)
    };
    let shown = by_minisign(&["-V", "-p", "key.pub", "-m", "dist/SHA256SUMS"]);
    assert!(shown.contains("file:SHA256SUMS"), "{shown}");
    good(xtask(dir, &["verify", "dist", "--key", "key.pub"]));
    good(xtask(dir, &publish));
    assert_eq!(signature(), first, "the same files and key give the same signature");
    // The other way, and a folder that is signed when it is handed on.
    for kind in ["-H", "-l"] {
        by_minisign(&["-S", kind, "-s", "key", "-m", "dist/SHA256SUMS", "-t", "a comment"]);
        let shown = good(xtask(dir, &["verify", "dist", "--key", "key.pub"]));
        assert!(shown.contains("by that key: a comment"), "{shown}");
    }
    let line = fs::read_to_string(dir.join("key.pub")).unwrap();
    good(xtask(dir, &["verify", "dist/hello-process.tar.gz", "--key", line.lines().nth(1).unwrap()]));
    let refused = |what: &str| {
        let output = xtask(dir, &["verify", "dist", "--key", "key.pub"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stdout).contains(what), "{}", text(&output.stdout));
    };
    minisign_keys(dir, None);
    refused("FAIL  SHA256SUMS.minisig");
    fs::remove_file(dir.join("dist/SHA256SUMS.minisig")).unwrap();
    refused("it is not signed");
}

#[test]
#[ignore = "takes a gigabyte of memory, as minisign does: cargo xtask test --long"]
fn a_key_with_a_password_signs() {
    let test = "a_key_with_a_password_signs";
    if Command::new("minisign").arg("-v").output().is_err() {
        return skip(test, "there is no minisign");
    }
    let place = tempfile::tempdir().unwrap();
    let dir = place.path();
    recipe(dir, "");
    minisign_keys(dir, Some("grey seal"));
    let publish = |password: &str| {
        let mut command =
            xtask(dir, &["publish", "hello.toml", "--target", "process", "--sign", "key", "--to", "dist"]);
        command.env("SELKIE_SIGN_PASSWORD", password);
        command
    };
    let output = publish("eel").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("the password is not that of this key"),
        "{}",
        text(&output.stderr)
    );
    good(publish("grey seal"));
    good(xtask(dir, &["verify", "dist", "--key", "key.pub"]));
}

//! The commands of the documentation, run as they stand there: a block ```` ```LANGUAGE file=PATH ```` is
//! written to a file, a block ```` ```sh run ```` is run.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use serde_json::Value;
use std::{
    fs,
    io::{self, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask/ lies in the checkout")
}

/// A block of code: what stands behind the three ticks, and the text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(info), None) => open = Some((info.to_owned(), String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some((_, code))) => {
                code.push_str(line);
                code.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// A folder to follow a page in. Images go to a folder of their own, results of steps to the checkout's
/// cache, so that no kernel is built again.
fn workplace() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let (out, cache) = (place.path().join("out"), root().join("out/.cache"));
    fs::create_dir_all(&cache).unwrap();
    fs::create_dir_all(&out).unwrap();
    symlink(cache, out.join(".cache")).unwrap();
    (place, out)
}

/// Runs a block in `dir`, with `cargo xtask` being the program under test.
fn sh(code: &str, dir: &Path, out: &Path) -> String {
    let script = format!(
        "set -eu\ncargo() {{ if [ \"$1\" = xtask ]; then shift; \"$XTASK\" --out \"$OUT\" \"$@\"; else \"$CARGO\" \"$@\"; fi; }}\n{code}"
    );
    let output = Command::new("sh")
        .args(["-c", &script])
        .env("XTASK", env!("CARGO_BIN_EXE_xtask"))
        .env("CARGO", env!("CARGO"))
        .env("OUT", out)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let stdout = shown(&output.stdout);
    assert!(output.status.success(), "{code}\n{stdout}\n{}", shown(&output.stderr));
    stdout
}

/// Whether images can be booted here. Says so past the test's captured output when not.
fn can_boot(test: &str) -> bool {
    let found = Command::new("qemu-system-x86_64").arg("--version").output().is_ok();
    if !found {
        let _ = writeln!(io::stderr(), "SKIP {test}: there is no qemu-system-x86_64");
    }
    found
}

#[test]
fn the_page_on_writing_a_function_works() {
    if !can_boot("the_page_on_writing_a_function_works") {
        return;
    }
    let (place, out) = workplace();
    let checkout = format!("{}/", root().display());
    let mut shown = String::new();
    for (info, code) in blocks("docs/writing-a-function.md") {
        if let Some((_, file)) = info.split_once(" file=") {
            let path = place.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, code.replace("../selkie/", &checkout)).unwrap();
        } else if info == "sh run" {
            shown.push_str(&sh(&code, place.path(), &out));
        }
    }
    for text in ["Ahoy, all!", "2 passed, 0 failed, 0 skipped"] {
        assert!(shown.contains(text), "{text} is not in\n{shown}");
    }
}

#[test]
fn the_five_steps_of_the_readme_work() {
    if !can_boot("the_five_steps_of_the_readme_work") {
        return;
    }
    let (place, out) = workplace();
    for folder in ["functions", "recipes"] {
        copy(&root().join(folder), &place.path().join(folder));
    }
    let mut shown = String::new();
    for (_, code) in blocks("README.md").into_iter().filter(|(info, _)| info == "sh run") {
        // A name is looked up in the checkout's own recipes/; here it is a path.
        let code = code.replace("cargo xtask run mine", "cargo xtask run recipes/mine.toml");
        let code = code.replace("cargo xtask smoke mine", "cargo xtask smoke recipes/mine.toml");
        shown.push_str(&sh(&code, place.path(), &out));
    }
    for text in ["Hello, world!", "PASS  mine"] {
        assert!(shown.contains(text), "{text} is not in\n{shown}");
    }
}

/// A text with the numbers that differ from build to build left out.
fn masked(text: &str) -> String {
    let words = text.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric());
    let mask = |word: &str| {
        let plain = word.trim_end_matches(|letter: char| !letter.is_ascii_alphanumeric());
        let address = plain.strip_prefix("0x").is_some_and(|digits| digits.len() >= 6);
        let nonce = plain.len() == 16 && plain.chars().all(|letter| letter.is_ascii_hexdigit());
        if address || nonce { word.replacen(plain, "…", 1) } else { word.to_owned() }
    };
    words.map(mask).collect()
}

#[test]
fn the_page_on_the_process_target_works() {
    let (place, out) = workplace();
    for folder in ["tests", "runtime"] {
        symlink(root().join(folder), place.path().join(folder)).unwrap();
    }
    let mut shown = String::new();
    let mut examples = 0;
    for (info, code) in blocks("docs/process.md") {
        if info == "sh run" {
            // Reports and traces are on standard error.
            shown = masked(&sh(&format!("exec 2>&1\n{code}"), place.path(), &out));
        } else if info == "text" {
            for line in masked(&code).lines() {
                let is_it = |other: &str| {
                    line.strip_suffix(": …").map_or(other == line, |begin| other.starts_with(begin))
                };
                assert!(shown.lines().any(is_it), "{line}\nis not in\n{shown}");
            }
            examples += 1;
        }
    }
    assert!(examples >= 3);
    assert!(shown.contains("Hello, friend!"), "{shown}");
}

/// A text with all numbers and digests left out, and columns of one width.
fn without_numbers(text: &str) -> String {
    let words = text.split_whitespace().map(|word| {
        let plain = word.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
        let number = |plain: &str| {
            let digits = plain.strip_prefix("0x").unwrap_or(plain);
            !digits.is_empty()
                && digits.chars().all(|letter| letter.is_ascii_hexdigit())
                && digits.contains(|letter: char| letter.is_ascii_digit())
        };
        if number(plain) { "…".to_owned() } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_page_on_looking_into_images_works() {
    let (place, out) = workplace();
    for folder in ["functions", "recipes"] {
        copy(&root().join(folder), &place.path().join(folder));
    }
    let (mut shown, mut examples) = (String::new(), 0);
    for (info, code) in blocks("docs/inspecting.md") {
        if info == "sh run" {
            // A name is looked up in the checkout's own recipes/; here it is a path.
            let code = code.replace("build-image hello", "build-image recipes/hello.toml");
            shown = sh(&format!("exec 2>&1\n{code}"), place.path(), &out);
        } else if info == "text" {
            let lines: Vec<_> = shown.lines().map(without_numbers).collect();
            for line in code.lines().map(without_numbers) {
                assert!(lines.contains(&line), "{line}\nis not in\n{shown}");
            }
            examples += 1;
        }
    }
    assert_eq!(examples, 6);
}

#[test]
fn the_page_on_publishing_works() {
    if !can_boot("the_page_on_publishing_works") {
        return;
    }
    let (place, out) = workplace();
    let mut shown = String::new();
    for (_, code) in blocks("docs/publishing.md").into_iter().filter(|(info, _)| info == "sh run") {
        shown.push_str(&sh(&code, place.path(), &out));
    }
    for text in
        ["/dist/SHA256SUMS", "dist is what was published", "dist/hello-process.tar.gz is what was published"]
    {
        assert!(shown.contains(text), "{text} is not in\n{shown}");
    }
}

/// The stick is a file; the machine that is left is QEMU's, by the tables of its firmware.
#[test]
fn the_page_on_bare_metal_works() {
    let test = "the_page_on_bare_metal_works";
    if !can_boot(test) {
        return;
    }
    for tool in ["grub-mkimage", "xorriso"] {
        if Command::new(tool).arg("--version").output().is_err() {
            let _ = writeln!(io::stderr(), "SKIP {test}: there is no {tool}");
            return;
        }
    }
    let (place, out) = workplace();
    for folder in ["functions", "runtime"] {
        symlink(root().join(folder), place.path().join(folder)).unwrap();
    }
    let stick = place.path().join("stick");
    fs::write(&stick, vec![0x55; 4 << 20]).unwrap();
    let (mut shown, mut recipe) = (String::new(), String::new());
    let mut writing = format!("sudo() {{ \"$@\"; }}\nSTICK='{}'\n", stick.display());
    for (info, code) in blocks("docs/bare-metal.md") {
        if let Some((_, file)) = info.split_once(" file=") {
            fs::create_dir_all(place.path().join(file).parent().unwrap()).unwrap();
            fs::write(place.path().join(file), &code).unwrap();
            recipe = code;
        } else if info == "sh run" {
            shown.push_str(&sh(&code, place.path(), &out));
        } else if info == "sh stick" {
            writing.push_str(&code);
        }
    }
    shown.push_str(&sh(&writing, place.path(), &out));
    for text in ["PASS  kiosk  bare-metal iso/usb/bios", "x86_64-release", "the stick has the image"] {
        assert!(shown.contains(text), "{text} is not in\n{shown}");
    }
    // What docs/SPECIFICATION.md promises of media for a BIOS alone.
    for (name, limit) in [("kiosk.iso", 1_500_000), ("kiosk.img", 2_000_000)] {
        let size = fs::metadata(out.join("kiosk/bare-metal").join(name)).unwrap().len();
        assert!(size <= limit, "{name} has {size} bytes");
    }
    let reboot = recipe.replace("power-off", "reboot").replace("kiosk", "again");
    assert!(reboot.contains("at-exit = \"reboot\""), "{reboot}");
    fs::write(place.path().join("recipes/again.toml"), reboot).unwrap();
    let smoke = "cargo xtask smoke recipes/again.toml --target bare-metal --boot disk/bios\n";
    assert!(sh(smoke, place.path(), &out).contains("PASS  again"));
}

#[test]
fn every_command_on_an_image_answers_with_one_document() {
    if !can_boot("every_command_on_an_image_answers_with_one_document") {
        return;
    }
    let (place, out) = workplace();
    let image = "out/hello/qemu";
    let document = |command: &str| -> Value {
        let text = sh(&format!("cargo xtask --format json {command}\n"), place.path(), &out);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command}: {error}\n{text}"))
    };
    let built = document("build-image hello");
    assert_eq!(built["images"][0]["members"][0]["role"], "kernel");
    assert_eq!(document("build-image hello")["images"][0]["fresh"], false);
    assert_eq!(document("run hello --arg you --accel tcg")["status"], 0);
    assert_eq!(document("run hello --target process --arg you")["status"], 0);
    let reports = document("smoke hello --junit smoke.xml")["reports"].clone();
    for (report, target) in reports.as_array().unwrap().iter().zip(["qemu", "process"]) {
        assert_eq!((&report["target"], &report["verdict"]["kind"]), (&target.into(), &"pass".into()));
    }
    assert!(fs::read_to_string(place.path().join("smoke.xml")).unwrap().contains("<testcase"));
    assert_eq!(document(&format!("inspect {image}"))["kind"], "image");
    assert_eq!(document("inspect out/hello/process/hello")["kind"], "executable");
    let tender = document("build-tender");
    assert_eq!(document("inspect out/selkie-tender")["executable"]["tender"], tender["tender"]);
    assert!(document(&format!("size {image}"))["total"].as_u64().is_some_and(|total| total > 100_000));
    let small = document(&format!("size {image} --top 1"));
    assert!(small["elf"]["symbols-left-out"].as_u64().is_some_and(|count| count > 10), "{small}");
    assert_eq!(document(&format!("size hello --compare {image}"))["total"]["growth"], 0);
    assert_eq!(document(&format!("diff hello {image}/manifest.json"))["same"], true);
    assert_eq!(document("clean hello")["folders"].as_array().map(Vec::len), Some(2));
    assert!(!out.join("hello").exists());
}

#[test]
fn what_fails_has_the_exit_code_of_its_kind() {
    if !can_boot("what_fails_has_the_exit_code_of_its_kind") {
        return;
    }
    let (place, out) = workplace();
    let shown = sh(
        "code=0; cargo xtask smoke panic >/dev/null 2>&1 || code=$?; echo smoke $code\n\
         code=0; cargo xtask run panic >/dev/null 2>&1 || code=$?; echo run $code\n\
         code=0; cargo xtask build-image absent >/dev/null 2>&1 || code=$?; echo absent $code\n\
         code=0; cargo xtask inspect absent >/dev/null 2>&1 || code=$?; echo inspect $code\n\
         code=0; cargo xtask diff absent absent >/dev/null 2>&1 || code=$?; echo diff $code\n\
         code=0; cargo xtask diff panic \"$OUT/panic/process\" >/dev/null 2>&1 || code=$?; echo differ $code\n",
        place.path(),
        &out,
    );
    assert_eq!(shown, "smoke 4\nrun 1\nabsent 2\ninspect 1\ndiff 2\ndiffer 1\n");
}

/// Copies a folder. The copies lie elsewhere than the runtime, so manifests name its place.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let runtime = format!("\"{}/runtime", root().display());
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.file_name() != "target")
    {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if entry.file_name() == "Cargo.toml" {
            let text = fs::read_to_string(entry.path()).unwrap();
            fs::write(target, text.replace("\"../../runtime", &runtime).replace("\"../runtime", &runtime))
                .unwrap();
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

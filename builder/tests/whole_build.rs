//! Whole builds, from a recipe to an image: what is built when, and that it is the same everywhere.

#![allow(clippy::unwrap_used, reason = "tests may fail")]

mod common;

#[allow(dead_code, reason = "a program of its own")]
#[path = "../build.rs"]
mod build_script;

use builder::{repro, root_task};
use common::{Built, Checkout, copy};
use std::{fs, path::Path, process::Command};

/// A change to an input, and the first step that has to run because of it.
type Edit = (&'static str, fn(&mut Checkout), &'static str);

const EDITS: &[Edit] = &[
    ("source", |c| c.edit("functions/tiny/src/main.rs", "\"one\"", "\"two\""), "root task"),
    ("path dependency", |c| c.edit("part/src/lib.rs", "= 1", "= 2"), "root task"),
    ("included file", |c| c.write("shared/included.txt", "changed"), "root task"),
    ("build script", |c| c.write("functions/tiny/build.rs", "fn main() {}"), "root task"),
    (
        "manifest",
        |c| c.edit("functions/tiny/Cargo.toml", "[dep", "[lints.rust]\nunused = \"warn\"\n[dep"),
        "root task",
    ),
    (
        "lock file",
        |c| {
            c.edit("part/Cargo.toml", "0.1.0", "0.1.1");
            c.edit(
                "functions/tiny/Cargo.lock",
                "\"part\"\nversion = \"0.1.0\"",
                "\"part\"\nversion = \"0.1.1\"",
            );
        },
        "root task",
    ),
    ("Cargo's configuration", |c| c.write(".cargo/config.toml", "[term]\nquiet = true\n"), "root task"),
    ("recipe", |c| c.edit("tiny.toml", "16 KiB", "32 KiB"), "root task"),
    ("smoke test", |c| c.edit("tiny.toml", "[\"x\"]", "[\"y\"]"), "image"),
    ("epoch", |c| drop(c.env.insert("SOURCE_DATE_EPOCH".into(), "1".into())), "image"),
    ("era", |c| c.edit("kernel-configs/eras/kconfig-5.toml", "\n", "\n# changed\n"), "image"),
    (
        "kernel option",
        |c| c.edit("kernel-configs/test.toml", "\n", "\n[options]\nTIME_SLICE = 6\n"),
        "kernel",
    ),
    (
        "overlay",
        |c| {
            c.edit(
                "kernel-configs/overlays/sel4-5.0.0/mode/kernel/stack.h",
                "\n#endif",
                "\n/* changed */\n#endif",
            )
        },
        "kernel",
    ),
    ("compiler", |c| compiler(c, "# one"), "kernel"),
    ("changed compiler", |c| compiler(c, "# two"), "kernel"),
];

/// Puts a compiler first on PATH that keeps a list of its runs.
fn compiler(checkout: &mut Checkout, comment: &str) {
    let log = checkout.path("compiler.log");
    let script = format!("#!/bin/sh\n{comment}\necho run >>'{}'\nexec /usr/bin/cc \"$@\"\n", log.display());
    checkout.program("bin/cc", &script);
    let path = std::env::var("PATH").unwrap();
    checkout.env.insert("PATH".into(), format!("{}:{path}", checkout.path("bin").display()));
}

#[test]
fn every_kind_of_input_counts_and_nothing_else() {
    let mut checkout = Checkout::new();
    assert!(checkout.build().good().ran("root task"));
    assert!(checkout.build().good().nothing_to_do());
    for (what, edit, first) in EDITS {
        edit(&mut checkout);
        let built = checkout.build().good();
        assert!(!built.nothing_to_do(), "{what} was overlooked");
        for step in ["kernel", "bindings", "root task"] {
            let below = step == "root task" && *first == "kernel";
            let expected = step == *first || (step == "bindings" && *first == "kernel");
            assert!(below || built.ran(step) == expected, "{what}: {step}\n{}", built.stdout);
        }
        let runs = fs::read_to_string(checkout.path("compiler.log")).unwrap_or_default();
        assert!(checkout.build().good().nothing_to_do(), "{what} was not remembered");
        let more = fs::read_to_string(checkout.path("compiler.log")).unwrap_or_default();
        assert_eq!(runs, more, "the compiler ran though there was nothing to do");
    }
}

#[test]
fn c_sources_count_with_their_headers_and_the_runtime() {
    let checkout = Checkout::new();
    checkout.take("runtime");
    checkout.write(
        "functions/c/main.c",
        "#include \"near.h\"\n#include \"../../shared/far.h\"\nint main(void) { return NEAR + FAR; }\n",
    );
    checkout.write("functions/c/near.h", "#define NEAR 1\n");
    checkout.write("shared/far.h", "#define FAR 1\n");
    checkout.edit("tiny.toml", "crate = \"functions/tiny\"", "c-sources = [\"functions/c/main.c\"]");
    assert!(checkout.build().good().ran("root task"));
    assert!(checkout.build().good().nothing_to_do());
    let edits: [(&str, &str, &str); 4] = [
        ("functions/c/main.c", "NEAR + FAR", "FAR + NEAR + 0"),
        ("functions/c/near.h", "NEAR 1", "NEAR 2"),
        ("shared/far.h", "FAR 1", "FAR 2"),
        ("runtime/c/src/main.rs", "\n", "\n// changed\n"),
    ];
    for (file, from, to) in edits {
        checkout.edit(file, from, to);
        assert!(checkout.build().good().ran("root task"), "{file}");
        assert!(checkout.build().good().nothing_to_do(), "{file}");
    }
}

#[test]
fn a_build_with_nothing_to_do_writes_nothing() {
    let checkout = Checkout::new();
    let first = checkout.build().good();
    // By now no file is too young to be remembered.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    checkout.build().good();
    let state = || {
        let output = Command::new("find").arg(&checkout.root).args(["-printf", "%p %T@ %C@ %i\n"]).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let before = state();
    let again = checkout.build().good();
    assert!(again.nothing_to_do());
    assert_eq!(again.members(), first.members());
    assert_eq!(state(), before);
}

#[test]
fn an_image_that_somebody_changed_is_made_anew() {
    let checkout = Checkout::new();
    let first = checkout.build().good();
    let image = checkout.image();
    let changes: [&dyn Fn(); 4] = [
        &|| fs::write(image.join("run.sh"), "exit").unwrap(),
        &|| fs::write(image.join("kernel"), "").unwrap(),
        &|| fs::remove_file(image.join("root-task")).unwrap(),
        &|| fs::remove_dir_all(&image).unwrap(),
    ];
    for change in changes {
        change();
        let again = checkout.build().good();
        assert!(!again.nothing_to_do() && !again.ran("root task"));
        assert_eq!(again.members(), first.members());
        assert!(checkout.build().good().nothing_to_do());
    }
}

/// A build script puts a text of the machine into the root task that no source has.
#[test]
fn what_a_build_script_says_of_the_machine_is_an_error() {
    let mut checkout = Checkout::new();
    checkout.edit("functions/tiny/src/main.rs", "\"one\"", "env!(\"LEAK\")");
    let leak = |checkout: &mut Checkout, text: &str| {
        let script = format!("fn main() {{ println!(\"cargo::rustc-env=LEAK=by {{}}\", {text}); }}\n");
        checkout.write("functions/tiny/build.rs", &script);
        checkout.build()
    };
    checkout.env.insert("USER".into(), "marmaduke".into());
    let built = leak(&mut checkout, "[\"marma\", \"duke\"].concat()");
    assert_eq!(built.code, Some(1), "{}", built.stderr);
    let said =
        "`root-task` of the image contains the user name `marmaduke` of this machine, at file offset 0x";
    assert!(built.stderr.contains(said) && built.stderr.contains("(section .rodata)"), "{}", built.stderr);
    assert!(!checkout.image().exists(), "an image was written");
    let built = leak(&mut checkout, "std::env::var(\"OUT_DIR\").unwrap()");
    assert_eq!(built.code, Some(1), "{}", built.stderr);
    assert!(built.stderr.contains("contains the path `/"), "{}", built.stderr);
    // What a source says is the same on every machine, and so is what the recipe says.
    leak(&mut checkout, "\"marmaduke\"").good();
    let root = checkout.root.display().to_string();
    checkout.edit("tiny.toml", "[smoke]", &format!("[run]\nargs = [\"{root}/x\"]\n[smoke]"));
    checkout.build().good();
}

#[test]
fn a_table_in_cargos_home_that_changes_images_is_an_error() {
    let mut checkout = Checkout::new();
    let home = checkout.path("cargo-home");
    root_task::cargo_home().iter().for_each(|own| repro::link_registry(own, &home).unwrap());
    let _ = fs::remove_file(home.join("config.toml"));
    checkout.write("cargo-home/config.toml", "[profile.release]\noverflow-checks = true\n");
    checkout.env.insert("CARGO_HOME".into(), home.display().to_string());
    let built = checkout.build();
    assert_eq!(built.code, Some(1), "{}", built.stderr);
    assert!(built.stderr.contains("cargo-home/config.toml: its table [profile.release]"), "{}", built.stderr);
}

#[test]
fn a_malformed_epoch_is_refused() {
    let mut checkout = Checkout::new();
    checkout.env.insert("SOURCE_DATE_EPOCH".into(), "yesterday".into());
    let built = checkout.build();
    assert_eq!(built.code, Some(2));
    assert!(built.stderr.contains("SOURCE_DATE_EPOCH is `yesterday`"), "{}", built.stderr);
}

#[test]
fn a_source_that_is_saved_during_the_build_ends_up_in_the_image() {
    let mut checkout = Checkout::new();
    let main = checkout.path("functions/tiny/src/main.rs");
    // The compiler changes its own source the first time it runs, as an editor may.
    let wrapper = format!(
        "#!/bin/sh\nif mkdir '{0}.done' 2>/dev/null; then sed -i 's/\"one\"/\"two\"/' '{0}'; fi\nexec /usr/bin/cc \"$@\"\n",
        main.display()
    );
    checkout.program("bin/cc", &wrapper);
    let path = std::env::var("PATH").unwrap();
    checkout.env.insert("PATH".into(), format!("{}:{path}", checkout.path("bin").display()));
    checkout.build().good();
    assert!(fs::read_to_string(&main).unwrap().contains("\"two\""));
    let root_task = fs::read(checkout.image().join("root-task")).unwrap();
    assert!(root_task.windows(3).any(|bytes| bytes == b"two"));
    assert!(checkout.build().good().nothing_to_do());
}

/// Builds several images from nothing, after the shell commands `settings`: all their members.
fn build_from_nothing(folder: &str, settings: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let checkout = Checkout::cold(folder);
    checkout.warm("python");
    checkout.write("kernel-configs/test.toml", "inherits = \"x86_64-debug\"\n");
    ["runtime", "functions", "recipes", "tender"].iter().for_each(|folder| checkout.take(folder));
    let mut members = Vec::new();
    for (recipe, target, new) in [
        ("tiny.toml", "qemu", ["kernel", "root task"].as_slice()),
        ("recipes/hello.toml", "qemu", &["kernel", "root task"]),
        ("recipes/hello-c.toml", "qemu", &["root task"]),
        ("recipes/hello.toml", "process", &["tender"]),
    ] {
        let mut command = checkout.command(recipe);
        command.arg(target);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{settings}; exec \"$0\" \"$@\"")]).arg(command.get_program());
        shell.args(command.get_args()).envs(environment.iter().copied()).current_dir(&checkout.root);
        let built = Built::of(shell.output().unwrap()).good();
        for step in ["kernel", "root task", "tender"] {
            assert_eq!(built.ran(step), new.contains(&step), "{step}\n{}", built.stdout);
        }
        members.extend(built.members().iter().map(|member| format!("{recipe} {member}")));
    }
    members
}

#[test]
fn the_same_everywhere() {
    let here = build_from_nothing("a", "umask 022", &[("TZ", "UTC"), ("LC_ALL", "C")]);
    // All that changes what tools do where it reaches them, in variables and in Cargo's own home.
    let home = tempfile::tempdir().unwrap();
    let cargo_home = home.path().join(".cargo");
    root_task::cargo_home().iter().for_each(|own| repro::link_registry(own, &cargo_home).unwrap());
    let _ = fs::remove_file(cargo_home.join("config.toml"));
    let hostile = "[build]\nrustflags = ['-Copt-level=0']\nrustc-workspace-wrapper = '/bin/false'\nincremental = true\n\
        [target.x86_64-unknown-linux-gnu]\nrustflags = ['-Copt-level=0']\nlinker = '/bin/false'\n";
    fs::write(cargo_home.join("config.toml"), hostile).unwrap();
    let mut environment = repro::noise();
    let python = ["import os", "os._exit(1)"].join("\n");
    fs::write(home.path().join("sitecustomize.py"), python).unwrap();
    let shown = |path: &Path| path.display().to_string();
    for (name, value) in [
        ("TZ", "Asia/Kathmandu".to_owned()),
        ("LC_ALL", "C.UTF-8".to_owned()),
        ("USER", "x".to_owned()),
        ("LD_PRELOAD", "/nonexistent/noise.so".to_owned()),
        ("PYTHONPATH", shown(home.path())),
        ("CARGO_HOME", shown(&cargo_home)),
    ] {
        environment.insert(name.to_owned(), value);
    }
    let environment: Vec<_> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let there = build_from_nothing(
        "a much longer path/with spaces and ümlauts/in it",
        "umask 077; ulimit -n 200",
        &environment,
    );
    assert_eq!(here.len(), 19);
    assert_eq!(here, there);
}

#[test]
fn a_changed_template_is_another_builder() {
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let dir = tempfile::tempdir().unwrap();
    for source in ["builder/src", "builder/data", "templates", "tender/table/src", "Cargo.lock"] {
        copy(&real.join(source), &dir.path().join(source));
    }
    let before = build_script::digest(dir.path()).unwrap();
    assert_eq!(before, build_script::digest(real).unwrap(), "the place of a checkout counts for nothing");
    let template = dir.path().join("templates/root-task.ld.hbs");
    let text = fs::read_to_string(&template).unwrap();
    fs::write(&template, text + "\n").unwrap();
    assert_ne!(build_script::digest(dir.path()).unwrap(), before);
}

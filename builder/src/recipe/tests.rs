//! Loading recipes: what is found, what is refused, and that no text whatever makes it panic.

use super::{load::parse, *};
use crate::{ExitCode, Project, document::Source};
use std::{fs, path::Path};

/// A project with one crate, one kernel config, and the recipe `hello`.
struct Sandbox {
    project: Project,
    _folder: tempfile::TempDir,
}

const HELLO: &str = r#"
[function]
name = "hello"
version = "1.2.3"
license = "MIT"

[root-task]
crate = "../functions/hello"
stack = "128 KiB"
heap = 8192

[run]
args = ["a", ""]
[run.env]
"strange.name" = "x"
[run.qemu]
args = []

[targets.qemu]
memory = "32 MiB"
extra-args = ["-device", "virtio-rng-pci"]

[smoke]
expect = ["hello", { regex = '[0-9]+ MiB' }]
timeout = "1500 ms"
status = 111
input = "quit\r"
"#;

/// What a recipe says of the libOS rumprun.
const RUMPRUN: &str = r#"
[devices.disk]
format = "ext2"

[rumprun]
tree = "../../rumprun"
components = ["kernfs", "ext2", "tmpfs"]
cflags = ["-DX=a b"]
hostname = "seal"

[[rumprun.mount]]
source = "d0"
type = "ext2"
path = "/data"

[[rumprun.mount]]
type = "kernfs"
path = "/kern"
"#;

impl Sandbox {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        for path in ["recipes", "kernel-configs", "functions/hello"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        fs::write(root.join("functions/hello/Cargo.toml"), "").unwrap();
        fs::write(root.join("functions/hello.c"), "").unwrap();
        fs::write(root.join("functions/hello.elf"), "").unwrap();
        fs::write(root.join("kernel-configs/x86_64-release.toml"), "").unwrap();
        let sandbox = Self { project: Project { out: root.join("out"), root }, _folder: folder };
        sandbox.write("hello", HELLO);
        sandbox
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.project.recipes().join(format!("{name}.toml"));
        fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    }

    fn error(&self, arg: &str) -> String {
        let error = Recipe::load(&self.project, arg).unwrap_err();
        assert_eq!(error.code(), ExitCode::Usage, "{error}");
        assert!(error.diagnostics().unwrap().iter().all(|one| !one.help.is_empty()), "{error}");
        error.to_string()
    }
}

#[test]
fn a_good_recipe_is_read_with_its_defaults() {
    let sandbox = Sandbox::new();
    let recipe = Recipe::load(&sandbox.project, "hello").unwrap();
    let crate_dir = sandbox.project.root.join("functions/hello");
    let written = "../functions/hello".to_owned();
    assert_eq!(recipe.source, RootTaskSource::Crate(InputPath { written, path: crate_dir }));
    assert_eq!((recipe.stack, recipe.heap), (128 * KIB, 8192));
    assert_eq!(recipe.kernel, "x86_64-release");
    assert_eq!((recipe.qemu.memory, recipe.qemu.machine), (32 * MIB, Machine::Q35));
    assert_eq!(recipe.run.qemu.args, Some(vec![]));
    let smoke = recipe.smoke.unwrap();
    assert_eq!((smoke.status, smoke.timeout), (111, std::time::Duration::from_millis(1500)));
    assert_eq!(smoke.expect[1], RawPattern::Regex { regex: "[0-9]+ MiB".into() });
}

#[test]
fn acpi_is_read_where_a_recipe_is_built_for_bare_metal_or_says_so() {
    let sandbox = Sandbox::new();
    let acpi = |task: &str, end: &str| {
        let text = HELLO.replace("[root-task]\n", &format!("[root-task]\n{task}")) + end;
        fs::write(sandbox.project.root.join("recipes/hello.toml"), text).unwrap();
        Recipe::load(&sandbox.project, "hello").unwrap().acpi
    };
    assert!(!acpi("", ""));
    assert!(acpi("", "\n[targets.bare-metal]\n"));
    assert!(acpi("acpi = true\n", ""));
    assert!(!acpi("acpi = false\n", "\n[targets.bare-metal]\n"));
}

#[test]
fn a_recipe_is_found_by_name_and_by_path() {
    let sandbox = Sandbox::new();
    let elsewhere = sandbox.project.root.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("hello.toml"), HELLO).unwrap();
    let by_path = Recipe::load(&sandbox.project, elsewhere.join("hello.toml").to_str().unwrap()).unwrap();
    let roundabout = elsewhere.join("../recipes/./hello.toml");
    let roundabout = Recipe::load(&sandbox.project, roundabout.to_str().unwrap()).unwrap();
    let by_name = Recipe::load(&sandbox.project, "hello").unwrap();
    assert_eq!(roundabout.path, by_name.path);
    assert_eq!(by_path.source, by_name.source);
    assert_eq!(crate::Digest::of_json(&by_path), crate::Digest::of_json(&by_name));
}

#[test]
fn what_is_digested_and_put_into_an_image_names_no_path_of_this_machine() {
    let sandbox = Sandbox::new();
    let recipe = Recipe::load(&sandbox.project, "hello").unwrap();
    let machine = sandbox.project.root.to_str().unwrap();
    assert!(!serde_json::to_string(&recipe).unwrap().contains(machine));
    assert!(!recipe.expanded().contains(machine));
}

#[test]
fn the_expanded_recipe_reads_as_the_same_recipe() {
    let sandbox = Sandbox::new();
    let short = |source: &str| HELLO.replace("crate = \"../functions/hello\"", source);
    let bare = |source: &str| short(source).replace("stack = \"128 KiB\"\nheap = 8192\n", "");
    for text in [
        HELLO.to_owned(),
        short("c-sources = [\"../functions/hello.c\"]"),
        bare("prebuilt = \"../functions/hello.elf\""),
        bare("libos = \"rumprun\"\nprogram = \"../functions/hello.elf\""),
        bare("libos = \"rumprun\"\nc-sources = [\"../functions/hello.c\"]") + RUMPRUN,
        HELLO.replace("[root-task]\n", "[root-task]\nlibos = \"native\"\n")
            + "\n[devices.console]\nkind = \"virtio\"\n",
        bare("crate = \"../functions/hello\"\nfeatures = [\"fast\"]"),
        HELLO[..HELLO.find("[run]").unwrap()].to_owned(),
    ] {
        sandbox.write("hello", &text);
        let first = Recipe::load(&sandbox.project, "hello").unwrap();
        sandbox.write("hello", first.expanded());
        let second = Recipe::load(&sandbox.project, "hello").unwrap();
        assert_eq!(serde_json::to_value(&first).unwrap(), serde_json::to_value(&second).unwrap());
        assert_eq!(first.expanded(), second.expanded());
    }
}

#[test]
fn comments_and_order_change_no_digest() {
    let sandbox = Sandbox::new();
    let first = Recipe::load(&sandbox.project, "hello").unwrap();
    sandbox.write("hello", format!("# A remark.\r\n{HELLO}"));
    let second = Recipe::load(&sandbox.project, "hello").unwrap();
    assert_eq!(crate::Digest::of_json(&first), crate::Digest::of_json(&second));
    assert_ne!(first.digest, second.digest);
}

#[test]
fn a_missing_recipe_is_answered_with_the_closest() {
    let sandbox = Sandbox::new();
    assert!(sandbox.error("helo").contains("did you mean `hello`?"));
    assert!(sandbox.error("zzzzzz").contains("recipes in `recipes`: `hello`"));
    assert!(sandbox.error("").contains("`cargo xtask list`"));
    let path = sandbox.project.recipes().join("helo.toml");
    assert!(sandbox.error(path.to_str().unwrap()).contains("did you mean `recipes/hello.toml`?"));
    assert!(sandbox.error("/no/such/folder/x.toml").contains("there is no such file"));
    assert!(sandbox.error("hello.toml").contains("did you mean the recipe `hello`?"));
}

#[test]
fn what_is_no_text_file_is_refused() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.project.recipes().join("folder.toml")).unwrap();
    assert!(sandbox.error("folder").contains("this is a folder"));
    assert!(sandbox.error(sandbox.project.root.to_str().unwrap()).contains("this is a folder"));
    assert!(sandbox.error("/dev/zero").contains("this is a device or a pipe"));
    sandbox.write("large", vec![b'#'; (1 << 20) + 1]);
    assert!(sandbox.error("large").contains("larger than 1 MiB"));
    sandbox.write("largest", vec![b'#'; 1 << 20]);
    assert!(sandbox.error("largest").contains("there is nothing in this file"));
}

#[test]
fn a_byte_order_mark_and_dos_line_ends_are_no_mistake() {
    let sandbox = Sandbox::new();
    sandbox.write("hello", format!("\u{feff}{}", HELLO.replace('\n', "\r\n")));
    assert!(Recipe::load(&sandbox.project, "hello").is_ok());
}

#[test]
fn all_lists_every_recipe_in_order_and_the_wrong_ones_too() {
    let sandbox = Sandbox::new();
    sandbox.write("bad", "x");
    fs::write(sandbox.project.recipes().join("README.md"), "").unwrap();
    let all = Recipe::all(&sandbox.project).unwrap();
    let names: Vec<_> = all.iter().map(|(name, recipe)| (name.as_str(), recipe.is_ok())).collect();
    assert_eq!(names, [("bad", false), ("hello", true)]);
    fs::remove_dir_all(sandbox.project.recipes()).unwrap();
    assert!(Recipe::all(&sandbox.project).unwrap().is_empty());
}

#[test]
fn all_but_some_leaves_these_out_and_takes_no_name_that_no_recipe_has() {
    let sandbox = Sandbox::new();
    for name in ["bad", "other"] {
        sandbox.write(
            name,
            if name == "bad" { "x".to_owned() } else { HELLO.replace("\"hello\"", "\"other\"") },
        );
    }
    let all_but = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let recipes = Recipe::all_but(&sandbox.project, &names);
        recipes.map(|recipes| recipes.into_iter().map(|recipe| recipe.function.name).collect::<Vec<_>>())
    };
    // What is wrong with one that is left out does not matter.
    assert!(all_but(&[]).is_err());
    assert_eq!(all_but(&["bad"]).unwrap(), ["hello", "other"]);
    assert_eq!(all_but(&["bad", "other", "bad"]).unwrap(), ["hello"]);
    for (names, said) in [
        (
            &["bad", "helo"][..],
            "`--exclude helo`: there is no such recipe in `recipes`\n  help: did you mean `hello`?",
        ),
        (&["recipes/bad.toml"], "help: recipes: `bad`, `hello`, `other`"),
        (&["bad", "hello", "other"], "`--exclude` leaves no recipe"),
    ] {
        let error = all_but(names).unwrap_err();
        assert_eq!(error.code(), ExitCode::Usage);
        assert!(error.to_string().contains(said), "{error}");
    }
}

/// Every error has its place inside the text, so that none points nowhere.
fn try_text(project: &Project, path: &Path, text: String) {
    let rows = text.matches('\n').count() + 1;
    let source = Source { file: "recipes/hello.toml".into(), text };
    if let Err(error) = parse(project, path, &source) {
        assert!(!error.0.is_empty());
        for one in &error.0 {
            let spot = one.spot.as_ref().unwrap_or_else(|| panic!("{one}"));
            assert!((1..=rows).contains(&spot.row) && spot.column >= 1, "{one}");
            assert!(!one.help.is_empty(), "{one}");
            assert!(!one.to_string().is_empty());
        }
    }
}

#[test]
fn recipes_cut_off_anywhere_do_not_panic() {
    let sandbox = Sandbox::new();
    let path = sandbox.project.recipes().join("hello.toml");
    for end in 0..HELLO.len() {
        try_text(&sandbox.project, &path, HELLO[..end].to_owned());
        try_text(&sandbox.project, &path, HELLO[end..].to_owned());
    }
}

#[test]
fn recipes_with_any_byte_changed_do_not_panic() {
    let sandbox = Sandbox::new();
    let path = sandbox.project.recipes().join("hello.toml");
    for at in 0..HELLO.len() {
        for new in ["", "\"", "[", "]", "{", "=", ".", "\n", "\\", "0", "é", "[[", "#"] {
            try_text(&sandbox.project, &path, format!("{}{new}{}", &HELLO[..at], &HELLO[at + 1..]));
        }
    }
}

#[test]
fn recipes_with_lines_moved_or_doubled_do_not_panic() {
    let sandbox = Sandbox::new();
    let path = sandbox.project.recipes().join("hello.toml");
    let lines: Vec<_> = HELLO.lines().collect();
    for from in 0..lines.len() {
        for to in 0..lines.len() {
            let mut moved = lines.clone();
            moved.insert(to, lines[from]);
            try_text(&sandbox.project, &path, moved.join("\n"));
            moved.remove(if to <= from { from + 1 } else { from });
            try_text(&sandbox.project, &path, moved.join("\n"));
        }
    }
}

#[test]
fn the_recipes_of_this_checkout_are_sound() {
    for (name, recipe) in Recipe::all(&Project::here()).unwrap() {
        recipe.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

//! POSIX programs and a real rumprun tree. `cargo xtask test --rumprun DIR` says which; without one these tests say SKIP.
//! What needs no tree is tested beside the code.

#![allow(clippy::unwrap_used, reason = "a test ends by a panic")]

use builder::{
    Context, Project, Result, Target, build,
    context::{Progress, Silent},
    image::Image,
    plan,
    recipe::Recipe,
    root_task::rumprun::tree::{Survey, Tree},
    smoke::{self, SmokeOptions},
};
use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

/// The variable with the tree.
const TREE: &str = "SELKIE_RUMPRUN_TREE";

/// The tree that the user named; a line that says SKIP for `test` when there is none.
fn tree(test: &str) -> Option<PathBuf> {
    let tree = env::var_os(TREE).filter(|tree| !tree.is_empty()).map(PathBuf::from);
    if tree.is_none() {
        // Past libtest's capture: the suites count it as skipped.
        let reason = "no rumprun tree was named (`cargo xtask test --rumprun DIR`)";
        let _ = writeln!(io::stderr(), "SKIP {test}: {reason}");
    }
    tree
}

/// Keeps what is noted.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Progress for Notes {
    fn begin(&self, _: &str) {}
    fn end(&self, _: &str, _: &str) {}
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

/// Programs with recipes of their own.
struct Programs {
    dir: tempfile::TempDir,
    project: Project,
    tree: PathBuf,
}

impl Programs {
    fn new(tree: PathBuf) -> Self {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rumprun");
        Self { dir: tempfile::tempdir().unwrap(), project: Project { out, ..Project::here() }, tree }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn recipe(&self, name: &str, root_task: &str) -> Recipe {
        let text = format!(
            "[function]\nname = \"{name}\"\nversion = \"0.1.0\"\n[root-task]\nlibos = \"rumprun\"\n{root_task}\n\
             [smoke]\nexpect = [\"It is here.\"]\nstatus = 7\n"
        );
        let path = self.write(&format!("{name}.toml"), &text);
        let recipe = Recipe::load(&self.project, path.to_str().unwrap()).unwrap();
        recipe.with_rumprun(Some(&self.tree))
    }

    fn build(&self, progress: &dyn Progress, recipe: &Recipe) -> Result<Image> {
        let ctx = Context::new(&self.project, progress);
        build::build(&ctx, &plan::plan(&ctx, recipe, Target::Process)?)
    }
}

const MAIN: &str = "#include <stdio.h>\nint main(void) { puts(\"It is here.\"); return 7; }\n";

#[test]
fn the_tree_is_whole() {
    let Some(tree) = tree("the_tree_is_whole") else { return };
    let project = Project::here();
    let survey = Survey::of(&Context::new(&project, &Silent), &tree);
    assert_eq!(survey.fault, None);
    assert!(survey.version.unwrap().starts_with("NetBSD 7.99."));
    let lacks: Vec<_> = survey.components.iter().filter_map(|one| one.lacks.as_ref()).collect();
    assert!(lacks.is_empty(), "{lacks:?}");
}

#[test]
fn what_rumpruns_compiler_linked_runs_as_it_is() {
    let Some(tree) = tree("what_rumpruns_compiler_linked_runs_as_it_is") else { return };
    let programs = Programs::new(tree);
    let source = programs.write("main.c", MAIN);
    let compiler = programs.tree.join("rumprun/bin/x86_64-rumprun-netbsd-gcc");
    let mut linker = Command::new(compiler);
    linker.arg(source).arg("-o").arg(programs.dir.path().join("linked"));
    assert!(linker.output().unwrap().status.success());
    let recipe = programs.recipe("linked-elsewhere", "program = \"linked\"");
    let image = programs.build(&Silent, &recipe).unwrap_or_else(|error| panic!("{error}"));
    let ctx = Context::new(&programs.project, &Silent);
    let report = smoke::smoke(&ctx, &recipe, Target::Process, &image.dir, &SmokeOptions::default()).unwrap();
    assert!(report.verdict.passed(), "{report}");
}

#[test]
fn a_program_in_cxx_runs() {
    let Some(tree) = tree("a_program_in_cxx_runs") else { return };
    let programs = Programs::new(tree);
    programs.write("cxx.cc", include_str!("../../tests/fixtures/posix/cxx.cc"));
    let recipe = programs.recipe("cxx", "c-sources = [\"cxx.cc\"]\n[rumprun]\ncflags = [\"-std=c++11\"]");
    let image = programs.build(&Silent, &recipe).unwrap_or_else(|error| panic!("{error}"));
    let ctx = Context::new(&programs.project, &Silent);
    let report = smoke::smoke(&ctx, &recipe, Target::Process, &image.dir, &SmokeOptions::default()).unwrap();
    assert!(report.verdict.passed(), "{report}");
}

#[test]
fn what_the_tree_lacks_is_told_with_function_and_file() {
    let Some(tree) = tree("what_the_tree_lacks_is_told_with_function_and_file") else { return };
    let programs = Programs::new(tree);
    programs.write(
        "watch.c",
        "int epoll_create(int);\nint watch(void) { return epoll_create(1); }\nint main(void) { return watch(); }\n",
    );
    let recipe = programs.recipe("lacking", "c-sources = [\"watch.c\"]");
    let error = programs.build(&Silent, &recipe).unwrap_err().to_string();
    assert!(error.contains("nobody defines `epoll_create`, used by "), "{error}");
    assert!(error.contains("`watch` in watch.c"), "{error}");
}

#[test]
fn what_fails_at_run_time_is_noted_when_it_is_linked() {
    let Some(tree) = tree("what_fails_at_run_time_is_noted_when_it_is_linked") else { return };
    let programs = Programs::new(tree);
    // Each time another one: what is cached is not linked.
    let number = std::process::id();
    let text =
        format!("#include <unistd.h>\nint number = {number};\nint main(void) {{ return fork() == -1; }}\n");
    programs.write("forks.c", &text);
    let recipe = programs.recipe("forks", "c-sources = [\"forks.c\"]");
    let notes = Notes::default();
    programs.build(&notes, &recipe).unwrap_or_else(|error| panic!("{error}"));
    let notes = notes.0.into_inner().unwrap();
    assert!(notes.iter().any(|note| note.starts_with("forks.c: `main` calls `fork`, ")), "{notes:?}");
}

#[test]
fn a_file_that_does_not_compile_is_shown_and_a_changed_header_builds_anew() {
    let Some(tree) = tree("a_file_that_does_not_compile_is_shown_and_a_changed_header_builds_anew") else {
        return;
    };
    let programs = Programs::new(tree);
    programs.write("part.h", "#define NUMBER 1\n");
    programs.write("main.c", "#include \"part.h\"\nint main(void) { return NUMBER; }\n");
    let recipe = programs.recipe("header", "c-sources = [\"main.c\"]");
    let first = programs.build(&Silent, &recipe).unwrap_or_else(|error| panic!("{error}"));
    assert!(!programs.build(&Silent, &recipe).unwrap().fresh);
    programs.write("part.h", "#define NUMBER 2\n");
    let second = programs.build(&Silent, &recipe).unwrap_or_else(|error| panic!("{error}"));
    let root_task = |image: &Image| image.members.iter().find(|one| one.name == "root-task").unwrap().sha256;
    assert_ne!(root_task(&first), root_task(&second));
    programs.write("part.h", "#define NUMBER nothing\n");
    let error = programs.build(&Silent, &recipe).unwrap_err().to_string();
    assert!(error.contains("main.c does not build") && error.contains("nothing"), "{error}");
}

#[test]
fn nothing_of_this_machine_is_in_the_image() {
    let Some(tree) = tree("nothing_of_this_machine_is_in_the_image") else { return };
    let programs = Programs::new(tree);
    programs.write(
        "main.c",
        "#include <assert.h>\n#include <stdio.h>\nint main(int c, char **v) { assert(c < 9); puts(__FILE__); return 7; }\n",
    );
    let recipe = programs.recipe("paths", "c-sources = [\"main.c\"]");
    let image = programs.build(&Silent, &recipe).unwrap_or_else(|error| panic!("{error}"));
    let bytes = fs::read(image.dir.join("root-task")).unwrap();
    let ctx = Context::new(&programs.project, &Silent);
    let places = [programs.dir.path().to_owned(), Tree::find(&ctx, &programs.tree).unwrap().root];
    for place in places {
        let place = place.to_string_lossy().into_owned();
        assert!(!bytes.windows(place.len()).any(|text| text == place.as_bytes()), "{place}");
    }
    let there = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(there("main.c"), "the file's own name stays");
}

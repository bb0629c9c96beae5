//! Trees in miniature, and object files of the host's compiler.

use super::{
    examine::Program,
    libraries::{ALWAYS, Place},
    program, section,
    tree::{Error, Survey, TUPLE, Tree},
    unnamed,
};
use crate::{Context, ExitCode, Project, context::Silent, recipe::Recipe, root_task};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// A folder with a rumprun tree in miniature, and a project beside it.
struct Sandbox {
    dir: tempfile::TempDir,
    project: Project,
}

const SYSROOT: &str = "tree/rumprun/rumprun-x86_64";

impl Sandbox {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let project = Project { root: dir.path().join("checkout"), out: dir.path().join("out") };
        let sandbox = Self { dir, project };
        sandbox.write("tree/build-rr.sh", "");
        sandbox.compiler("-D__NetBSD__");
        for tool in ["ld", "objcopy"] {
            sandbox.write(&format!("tree/rumprun/bin/{TUPLE}-{tool}"), "#!/bin/sh\n");
        }
        sandbox.write("tree/rumprun/etc/rumprun-bake.conf", "#\nversion 20160209\n");
        sandbox.write(
            &format!("{SYSROOT}/include/sys/param.h"),
            " *\t#define __NetBSD_Version__ MMmmrrpp00\n#define\t__NetBSD_Version__\t799003400\t/* x */\n",
        );
        sandbox.write(&format!("{SYSROOT}/include/stdio.h"), "");
        for name in ["specs-compile_or_ferment", "specs-stub"] {
            let root = sandbox.root();
            sandbox
                .write(&format!("{SYSROOT}/lib/{name}"), &format!("-isystem {}/include\n", root.display()));
        }
        for (place, name) in ALWAYS {
            sandbox.write(&library(place, name), "!<arch>\n");
        }
        sandbox
    }

    fn compiler(&self, flags: &str) {
        let sysroot = self.dir.path().join(SYSROOT);
        // As upstream's script, whose words are looked at.
        let sysroot = sysroot.display();
        let script = format!(
            "#!/bin/sh\n# --sysroot {sysroot}\nexec cc -nostdinc -I {sysroot}/include {flags} \"$@\"\n"
        );
        self.write(&format!("tree/rumprun/bin/{TUPLE}-gcc"), &script);
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn find(&self) -> Result<Tree, Error> {
        Tree::find(&Context::new(&self.project, &Silent), &self.root())
    }

    fn complaint(&self) -> String {
        let error = self.find().unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::HostLacks, "{error}");
        assert!(error.to_string().contains("\n  help: "), "{error}");
        error.to_string()
    }

    /// The recipe `text` for a program whose source is there.
    fn recipe(&self, text: &str) -> Recipe {
        for folder in ["recipes", "kernel-configs", "functions"] {
            fs::create_dir_all(self.project.root.join(folder)).unwrap();
        }
        self.write("checkout/kernel-configs/x86_64-release.toml", "");
        self.write("checkout/functions/p.c", "int main(void) { return 0; }\n");
        let head = "[function]\nname = \"p\"\nversion = \"1.0.0\"\n[root-task]\nlibos = \"rumprun\"\n\
                    c-sources = [\"../functions/p.c\"]\n";
        let path = self.write("checkout/recipes/p.toml", &format!("{head}{text}"));
        Recipe::load(&self.project, path.to_str().unwrap()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The object file of a C file, compiled by the host's compiler.
    fn object(&self, name: &str, source: &str) -> (String, PathBuf) {
        let source = self.write(&format!("{name}.c"), source);
        let object = source.with_extension("o");
        let mut compiler = Command::new("cc");
        compiler.args(["-c", "-O1", "-fno-pic"]).arg(&source).arg("-o").arg(&object);
        assert!(compiler.status().unwrap().success());
        (format!("{name}.c"), object)
    }
}

fn library(place: Place, name: &str) -> String {
    match place {
        Place::Kernel => format!("{SYSROOT}/lib/rumprun-hw/lib{name}.a"),
        Place::Program => format!("{SYSROOT}/lib/lib{name}.a"),
        Place::Objects => format!("tree/obj-amd64-hw/lib/lib{name}/lib{name}.a"),
    }
}

#[test]
fn a_tree_is_found_by_itself_and_by_its_installed_part() {
    let sandbox = Sandbox::new();
    let tree = sandbox.find().unwrap();
    assert_eq!((tree.version.as_str(), &tree.root), ("NetBSD 7.99.34", &sandbox.root()));
    let ctx = Context::new(&sandbox.project, &Silent);
    let inner = Tree::find(&ctx, &sandbox.root().join("rumprun")).unwrap();
    assert_eq!((inner.root, inner.digest), (tree.root, tree.digest));
}

#[test]
fn what_a_tree_lacks_is_told_apart() {
    let lacking = |path: &str, message: &str| {
        let sandbox = Sandbox::new();
        let path = sandbox.dir.path().join(path);
        crate::files::remove(&path).unwrap();
        let complaint = sandbox.complaint();
        assert!(complaint.contains(message), "{}: {complaint}", path.display());
    };
    lacking("tree", "this is no rumprun tree");
    lacking("tree/rumprun", "it is not built yet");
    lacking("tree/obj-amd64-hw", "its folder `obj-amd64-hw` is missing");
    lacking("tree/rumprun/bin/x86_64-rumprun-netbsd-objcopy", "objcopy` is missing");
    for (place, name) in ALWAYS {
        lacking(&library(place, name), &format!("lib{name}.a` is missing"));
    }
    let sandbox = Sandbox::new();
    sandbox.write("tree/rumprun/etc/rumprun-bake.conf", "version 20990101\n");
    assert!(sandbox.complaint().contains("of version 20990101"));
}

#[test]
fn a_tree_that_was_moved_is_told_so() {
    let sandbox = Sandbox::new();
    let moved = sandbox.dir.path().join("elsewhere");
    fs::rename(sandbox.root(), &moved).unwrap();
    let error = Tree::find(&Context::new(&sandbox.project, &Silent), &moved).unwrap_err().to_string();
    let built = sandbox.root().display().to_string();
    assert!(error.contains("was moved") && error.contains(&built), "{error}");
    // By a link to where it was, it is there again.
    std::os::unix::fs::symlink(&moved, sandbox.root()).unwrap();
    let tree = Tree::find(&Context::new(&sandbox.project, &Silent), &moved).unwrap();
    assert_eq!(tree.places(), [moved, sandbox.root()]);
}

#[test]
fn a_compiler_that_does_not_work_is_told_with_its_words() {
    let sandbox = Sandbox::new();
    sandbox.compiler("");
    assert!(sandbox.complaint().contains("not for NetBSD"));
    sandbox.compiler("-D__NetBSD__");
    assert!(sandbox.find().is_ok());
}

#[test]
fn the_digest_is_of_what_is_linked_and_not_of_the_place() {
    let (one, two) = (Sandbox::new(), Sandbox::new());
    let digest = one.find().unwrap().digest;
    assert_eq!(two.find().unwrap().digest, digest);
    two.write("tree/README.md", "changed");
    two.write("tree/obj-amd64-hw/lib/libbmk_core/x.o", "changed");
    assert_eq!(two.find().unwrap().digest, digest, "what is not used does not count");
    let mut seen = vec![digest];
    let changes = [
        (library(Place::Kernel, "rump"), "!<arch>\nx"),
        (library(Place::Program, "c"), "!<arch>\nx"),
        (library(Place::Objects, "bmk_core"), "!<arch>\nx"),
        (library(Place::Program, "c++"), "!<arch>\n"),
        (format!("{SYSROOT}/include/stdio.h"), "/* x */"),
        (format!("{SYSROOT}/lib/specs-stub"), "x"),
    ];
    for (path, text) in changes {
        two.write(&path, text);
        let digest = two.find().unwrap().digest;
        assert!(!seen.contains(&digest), "{path}");
        seen.push(digest);
    }
}

#[test]
fn a_component_that_the_tree_lacks_is_told_with_what_makes_it() {
    let sandbox = Sandbox::new();
    let ctx = Context::new(&sandbox.project, &Silent);
    let error = |recipe: &Recipe| Tree::of_recipe(&ctx, recipe).unwrap_err().to_string();
    let plain = sandbox.recipe("");
    assert!(unnamed(&plain).is_some());
    assert!(error(&plain).contains("no rumprun tree is named"));
    let root = sandbox.root();
    let plain = plain.with_rumprun(Some(&root));
    assert_eq!(unnamed(&plain), None);
    assert!(error(&plain).contains("the component `local` needs `librumpnet_local.a`"));
    for name in ["rumpnet_local", "rumpdev_rnd", "rumpfs_tmpfs"] {
        sandbox.write(&library(Place::Kernel, name), "!<arch>\n");
    }
    assert!(Tree::of_recipe(&ctx, &plain).unwrap().is_some());
    let net = sandbox.recipe("[devices.net]\n").with_rumprun(Some(&root));
    let message = error(&net);
    assert!(message.contains("rumpmake RUMPCOMP_USER_SRCS= MKPIC=no dependall"), "{message}");
    let survey = Survey::of(&ctx, &root);
    let lacks = |name: &str| survey.components.iter().any(|one| one.name == name && one.lacks.is_some());
    assert!(survey.fault.is_none() && lacks("net") && lacks("ext2") && !lacks("tmpfs"));
}

#[test]
fn the_user_comes_before_the_recipe() {
    let sandbox = Sandbox::new();
    let recipe = sandbox.recipe("[rumprun]\ntree = \"../../tree\"\n");
    let ctx = Context::new(&sandbox.project, &Silent);
    for name in ["rumpnet_local", "rumpdev_rnd", "rumpfs_tmpfs"] {
        sandbox.write(&library(Place::Kernel, name), "!<arch>\n");
    }
    assert_eq!(Tree::of_recipe(&ctx, &recipe).unwrap().unwrap().root, sandbox.root());
    let other = recipe.with_rumprun(Some(Path::new("/no/such/tree")));
    assert!(Tree::of_recipe(&ctx, &other).unwrap_err().to_string().starts_with("/no/such/tree: "));
    assert!(Tree::of_recipe(&ctx, &Recipe::load(&Project::here(), "hello").unwrap()).unwrap().is_none());
}

#[test]
fn components_follow_from_the_rest_of_the_recipe() {
    let sandbox = Sandbox::new();
    let components = |text: &str| {
        let recipe = sandbox.recipe(text);
        recipe.rumprun.unwrap().components.iter().map(|one| one.name()).collect::<Vec<_>>()
    };
    assert_eq!(components(""), ["local", "random", "tmpfs"]);
    assert_eq!(components("[rumprun]\ncomponents = [\"kernfs\", \"ffs\"]\n"), ["ffs", "kernfs"]);
    assert_eq!(components("[devices.net]\nmode = \"none\"\n"), ["local", "random", "tmpfs"]);
    let addresses = "[devices.net]\n[run.net]\naddresses = [\"10.0.2.15/24\", \"fec0::15/64\"]\n";
    assert_eq!(components(addresses), ["inet6", "local", "net", "random", "tmpfs"]);
    assert_eq!(components("[devices.disk]\nformat = \"ext2\"\n"), ["ext2", "local", "random", "tmpfs"]);
    let mount = "[devices.disk]\n[[rumprun.mount]]\nsource = \"d0\"\ntype = \"cd9660\"\npath = \"/cd\"\n";
    assert_eq!(components(mount), ["cd9660", "local", "random", "tmpfs"]);
}

#[test]
fn the_section_says_what_no_run_changes() {
    let sandbox = Sandbox::new();
    let text = |recipe: &Recipe| String::from_utf8(section(recipe).unwrap()).unwrap();
    assert_eq!(text(&sandbox.recipe("")), "program p\nhostname p\n");
    let full = sandbox.recipe(
        "[devices.net]\n[devices.disk]\n[rumprun]\nhostname = \"seal\"\n[[rumprun.mount]]\nsource = \"d0\"\n\
         type = \"ext2\"\npath = \"/data\"\n[[rumprun.mount]]\ntype = \"tmpfs\"\npath = \"/var/tmp\"\n",
    );
    assert_eq!(
        text(&full),
        "program p\nhostname seal\nnetwork\nmount d0 ext2 /data\nmount - tmpfs /var/tmp\n"
    );
    assert!(section(&Recipe::load(&Project::here(), "hello").unwrap()).is_none());
}

#[test]
fn who_calls_what_rumprun_lacks_is_told_with_function_and_file() {
    let sandbox = Sandbox::new();
    let main = sandbox.object(
        "main",
        "int fork(void); int helper(void);\n__attribute__((noinline)) static int twice(void) { return fork() + fork(); }\n\
         int main(void) { return twice() + helper(); }\n",
    );
    let helper = sandbox.object(
        "helper",
        "int epoll_create(int); int system(const char *);\nint helper(void) { return epoll_create(1) + system(\"x\"); }\n",
    );
    let program = Program::read(&[main, helper]).unwrap();
    let lines = program.lacking();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("main.c: `twice` calls `fork`, which fails on rumprun"), "{lines:?}");
    assert!(lines[1].starts_with("helper.c: `helper` calls `system`, "), "{lines:?}");
    let undefined: BTreeSet<String> = ["epoll_create", "bmk_platform_halt"].map(str::to_owned).into();
    let missing = program.users(&undefined);
    let error = root_task::Error::Lacking { what: "p".into(), missing }.to_string();
    assert!(
        error.starts_with("p does not link: nobody defines `epoll_create`, used by `helper` in helper.c\n"),
        "{error}"
    );
}

#[test]
fn what_a_program_defines_itself_is_not_lacking() {
    let sandbox = Sandbox::new();
    let own = sandbox.object("own", "int system(const char *c) { return *c; }\n");
    let main = sandbox.object("main", "int system(const char *);\nint main(void) { return system(\"\"); }\n");
    let program = Program::read(&[own, main]).unwrap();
    assert!(program.lacking().is_empty());
    assert!(program.fault().is_none());
}

#[test]
fn what_asks_for_names_of_cxx_is_taken_for_that() {
    let sandbox = Sandbox::new();
    let is_cxx = |name: &str, source: &str| Program::read(&[sandbox.object(name, source)]).unwrap().is_cxx();
    assert!(!is_cxx("c", "int _Zero; int other(void); int main(void) { return other(); }\n"));
    assert!(is_cxx("new", "void *_Znwm(unsigned long); int main(void) { return _Znwm(1) == 0; }\n"));
    assert!(is_cxx(
        "guard",
        "int __cxa_guard_acquire(long *); long x; int main(void) { return __cxa_guard_acquire(&x); }\n"
    ));
}

#[test]
fn a_program_without_main_and_one_with_wide_thread_locals_are_refused() {
    let sandbox = Sandbox::new();
    let fault = |name: &str, source: &str| {
        let object = sandbox.object(name, source);
        Program::read(&[object]).unwrap().fault().map(|error| error.to_string()).unwrap_or_default()
    };
    assert!(fault("a", "int start(void) { return 0; }\n").starts_with("the program has no function `main`"));
    let wide = "_Alignas(64) __thread char wide[64]; int main(void) { return wide[1]; }\n";
    let error = fault("b", wide);
    assert!(error.contains("b.c: its thread-local variables are aligned to 64 bytes: `wide`"), "{error}");
    assert_eq!(fault("c", "__thread long narrow; int main(void) { return (int)narrow; }\n"), "");
}

#[test]
fn only_what_rumpruns_compiler_linked_is_taken_for_its_program() {
    let sandbox = Sandbox::new();
    let note = format!(
        "__asm__(\".section .note.rumprun.bakerecipe,\\\"a\\\"\\n.asciz \\\"rumprun_tuple: {TUPLE}\\\"\\n.text\");\n"
    );
    let fault = |path: &Path| program::checked(path).unwrap_err().to_string();
    let (_, good) = sandbox.object("good", &format!("{note}int main(void) {{ return 0; }}\n"));
    assert_eq!(program::checked(&good).unwrap(), good);
    let (_, other) = sandbox.object("other", "int main(void) { return 0; }\n");
    assert!(fault(&other).contains("an object file that `x86_64-rumprun-netbsd-gcc` did not link"));
    let (_, library) = sandbox.object("library", &format!("{note}int f(void) {{ return 0; }}\n"));
    assert!(fault(&library).contains("it has no function `main`"));
    let linux = sandbox.dir.path().join("linux");
    assert!(Command::new("cc").arg(&other).arg("-o").arg(&linux).status().unwrap().success());
    let message = fault(&linux);
    assert!(message.contains("it is a program for this host's own system, Linux"), "{message}");
    assert!(message.contains("./configure --host=x86_64-rumprun-netbsd"), "{message}");
    let text = sandbox.write("text", "#!/bin/sh\n");
    assert!(fault(&text).contains("it is no ELF file"));
}

#[test]
fn damaged_object_files_are_errors_and_nothing_worse() {
    let sandbox = Sandbox::new();
    let (name, path) = sandbox.object("main", "int f(void); int main(void) { return f(); }\n");
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        for change in [0, 0xff, whole[at] ^ 0x10] {
            let mut damaged = whole.clone();
            damaged[at] = change;
            fs::write(&path, damaged).unwrap();
            let _ = Program::read(&[(name.clone(), path.clone())]);
            let _ = program::checked(&path);
        }
    }
    for end in 0..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        let _ = Program::read(&[(name.clone(), path.clone())]);
    }
}

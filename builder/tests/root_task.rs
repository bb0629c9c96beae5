//! Builds small crates and C-free programs for real, with Cargo and the linker, and looks at what
//! comes out or at what the user is told.

#![allow(clippy::unwrap_used, reason = "tests may fail")]

#[path = "common/entry.rs"]
mod entry;

use builder::{
    Context, Digest, Project,
    context::Silent,
    kernel_config::{Arch, KernelConfig, Platform, Source},
    note::Manifest,
    recipe::Recipe,
    root_task::{self, RootTask, RootTaskInputs, Toolchain},
    run_config,
};
use entry::ENTRY;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A program that does `body` once.
const MAIN: &str = r#"unsafe extern "C" {
    static __selkie_run_start: u8;
    static __selkie_heap_size: u8;
}

extern "C" fn main() {
    let numbers = [1u32, 2, 3];
    let index = unsafe { core::ptr::read_volatile(&raw const __selkie_run_start) } as usize;
    black_box((numbers[index], &raw const __selkie_heap_size));
    BODY
    unsafe { stub() }
}

EXTRA
"#;

struct Sandbox {
    dir: tempfile::TempDir,
}

impl Sandbox {
    /// A crate `f` whose `main` does `body`, with further files.
    fn new(body: &str, extra: &str, files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let main = ENTRY.to_owned() + &MAIN.replace("BODY", body).replace("EXTRA", extra);
        let manifest = "[package]\nname = \"f\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
        let lock = "version = 4\n\n[[package]]\nname = \"f\"\nversion = \"0.1.0\"\n";
        let recipe = "[function]\nname = \"f\"\nversion = \"0.1.0\"\n[root-task]\ncrate = \"f\"\n\
                      [run]\nargs = [\"a\"]\n[smoke]\nexpect = [\"x\"]\n";
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernel-configs");
        fs::create_dir(dir.path().join("checkout")).unwrap();
        std::os::unix::fs::symlink(configs, dir.path().join("checkout/kernel-configs")).unwrap();
        let sandbox = Self { dir };
        for (name, text) in [
            ("f/src/main.rs", main.as_str()),
            ("f/Cargo.toml", manifest),
            ("f/Cargo.lock", lock),
            ("f.toml", recipe),
            ("bindings/bindings.rs", "// none\n"),
        ] {
            sandbox.write(name, text);
        }
        for (name, text) in files {
            sandbox.write(name, text);
        }
        sandbox
    }

    /// A recipe `f` with one C file, and a stand-in for the runtime's C interface.
    fn with_c(text: &str) -> Self {
        let extra = "unsafe extern \"C\" { #[link_name = \"main\"] safe fn c_main() -> i32; }";
        let sandbox = Self::new(
            "core::hint::black_box(c_main());",
            extra,
            &[
                ("f/main.c", text),
                ("f/own.h", "#define ANSWER 42\n"),
                (
                    "f.toml",
                    "[function]\nname = \"f\"\nversion = \"0.1.0\"\n[root-task]\nc-sources = [\"f/main.c\"]\n[smoke]\nexpect = [\"x\"]\n",
                ),
                ("checkout/runtime/c/include/selkie.h", "void selkie_exit(int status);\n"),
            ],
        );
        for name in ["src/main.rs", "Cargo.toml", "Cargo.lock"] {
            sandbox.write(
                &format!("checkout/runtime/c/{name}"),
                &fs::read_to_string(sandbox.path(&format!("f/{name}"))).unwrap(),
            );
        }
        sandbox
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn build(&self) -> Result<RootTask, root_task::Error> {
        let project = Project { root: self.path("checkout"), out: self.path("out") };
        let ctx = Context::new(&project, &Silent);
        let recipe = Recipe::load(&project, self.path("f.toml").to_str().unwrap()).unwrap();
        let toolchain = Toolchain::find(&ctx).unwrap();
        let sources = root_task::sources(&ctx, &recipe, &toolchain)?;
        let inputs = RootTaskInputs {
            recipe: &recipe,
            kernel: &kernel(),
            version: "5.0.0",
            bindings: &self.path("bindings/bindings.rs"),
            interface: Digest::of("interface"),
            sources: root_task::digest(&root_task::contents(&ctx, &sources)?),
            toolchain: &toolchain,
            rumprun: None,
            package: None,
        };
        root_task::build(&ctx, &inputs)
    }

    fn complaint(&self) -> String {
        self.build().unwrap_err().to_string()
    }
}

/// The files of a crate `name` that `f` depends on by path, and those of `f` that say so.
fn dependency(name: &str, text: &str) -> [(String, String); 4] {
    let package =
        |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
    let locked = |name: &str| format!("\n[[package]]\nname = \"{name}\"\nversion = \"0.1.0\"\n");
    let manifest =
        format!("{}[workspace]\n[dependencies]\n{name} = {{ path = \"../{name}\" }}\n", package("f"));
    let lock = format!("version = 4\n{}dependencies = [\n \"{name}\",\n]\n{}", locked("f"), locked(name));
    [
        ("f/Cargo.toml".into(), manifest),
        ("f/Cargo.lock".into(), lock),
        (format!("{name}/Cargo.toml"), package(name)),
        (format!("{name}/src/lib.rs"), text.into()),
    ]
}

fn kernel() -> KernelConfig {
    KernelConfig {
        name: "test".into(),
        path: PathBuf::new(),
        description: String::new(),
        arch: Arch::X86_64,
        platform: Platform::Pc99,
        with_user_source: None,
        verified: false,
        emulation_only: false,
        published: std::collections::BTreeMap::new(),
        qemu_cpu: "qemu64".into(),
        cpu_features: vec![],
        cpu_features_of: vec![],
        source: Source::Crate {
            name: "sel4-sys".into(),
            subdir: "seL4".into(),
            version: "5.0.0".into(),
            digest: Digest::of(""),
        },
        options: [].into(),
        overlays: vec![],
    }
}

fn symbols(path: &Path) -> Vec<String> {
    let data = fs::read(path).unwrap();
    let elf = builder::elf::Elf::parse(&data).unwrap();
    elf.symbols.iter().map(|symbol| symbol.name.to_owned()).collect()
}

#[test]
fn a_good_crate_gives_a_small_checked_root_task_that_says_who_it_is() {
    let sandbox = Sandbox::new("", "", &[]);
    let built = sandbox.build().unwrap();
    assert!(built.fresh);
    let stripped = fs::read(&built.stripped).unwrap();
    assert!(stripped.len() < 8192, "{} bytes", stripped.len());
    let elf = builder::elf::Elf::parse(&stripped).unwrap();
    assert!(elf.symbols.is_empty());
    assert_eq!(elf.section_data(elf.section(".sel4_sites").unwrap()).unwrap().len(), 8);
    let manifest = Manifest::of_elf(&elf).unwrap().unwrap();
    assert_eq!((manifest.function.name.as_str(), manifest.kernel.config.as_str()), ("f", "test"));
    let run = run_config::decode(elf.section_data(elf.section(".selkie.run").unwrap()).unwrap()).unwrap();
    assert_eq!(run[0], ("arg".to_owned(), "a".to_owned()));
    assert!(run.contains(&("nonce".to_owned(), built.nonce.clone())));
    assert!(symbols(&built.elf).iter().any(|name| name == "stub"));

    assert!(!sandbox.build().unwrap().fresh);
    let text = fs::read_to_string(sandbox.path("f.toml")).unwrap();
    sandbox.write("f.toml", &text.replace("args = [\"a\"]", "args = [\"b\"]"));
    let changed = sandbox.build().unwrap();
    assert!(changed.fresh && changed.nonce != built.nonce);
}

#[test]
fn the_place_of_the_sources_leaves_no_trace() {
    let extra = "pub fn place() -> &'static str { concat!(env!(\"CARGO_MANIFEST_DIR\"), file!()) }";
    let files =
        dependency("place", "#![no_std]\n#[inline(never)] pub fn here() -> &'static str { file!() }\n");
    let files = files.each_ref().map(|(name, text)| (name.as_str(), text.as_str()));
    let [a, b] = [0, 1].map(|_| {
        let sandbox = Sandbox::new("core::hint::black_box((file!(), place::here()));", "", &files);
        fs::read(sandbox.build().unwrap().stripped).unwrap()
    });
    assert!(a == b);
    let named = |text: &[u8]| a.windows(text.len()).any(|window| window == text);
    assert!(named(b"src/main.rs") && named(b"place/src/lib.rs"));
    let leaking = Sandbox::new("core::hint::black_box(place());", extra, &[]).complaint();
    assert!(leaking.contains("of this machine, at file offset 0x"), "{leaking}");
    assert!(leaking.contains("section .rodata"), "{leaking}");
}

#[test]
fn a_file_included_from_outside_is_part_of_the_source() {
    let body = "core::hint::black_box(include_str!(\"../../outside.txt\"));";
    let sandbox = Sandbox::new(body, "", &[("outside.txt", "one")]);
    let one = sandbox.build().unwrap();
    assert!(!sandbox.build().unwrap().fresh);
    sandbox.write("outside.txt", "two");
    let two = sandbox.build().unwrap();
    assert!(two.fresh);
    assert_ne!(fs::read(one.stripped).unwrap(), fs::read(two.stripped).unwrap());
}

#[test]
fn a_crate_that_wants_a_c_library_is_told_which_function_of_which_crate() {
    let files = dependency(
        "greedy",
        "#![no_std]\n#[link(name = \"c\")] unsafe extern \"C\" { fn malloc(size: usize) -> *mut u8; }\n\
         #[inline(never)] pub fn grab() { core::hint::black_box(unsafe { malloc(1) }); }\n",
    );
    let files = files.each_ref().map(|(name, text)| (name.as_str(), text.as_str()));
    let sandbox = Sandbox::new("greedy::grab();", "", &files);
    let text = sandbox.complaint();
    assert!(text.contains("nobody defines `malloc`, used by `greedy::grab` of the crate `greedy`"), "{text}");
    assert!(text.contains("help: a root task has no C library"), "{text}");
}

#[test]
fn a_crate_that_wants_the_standard_library_is_named() {
    let files = dependency("needy", "#[inline(never)] pub fn hello() { println!(\"hello\"); }\n");
    let files = files.each_ref().map(|(name, text)| (name.as_str(), text.as_str()));
    let text = Sandbox::new("needy::hello();", "", &files).complaint();
    assert!(text.contains("crate `std` (which `needy` depends on)"), "{text}");
    assert!(text.contains("help: a root task has no standard library"), "{text}");
}

#[test]
fn a_system_call_of_linux_is_refused_by_name() {
    let body = "linux();";
    let extra = "#[inline(never)] fn linux() { unsafe { core::arch::asm!(\"syscall\", in(\"rax\") 39, lateout(\"rax\") _, out(\"rcx\") _, out(\"r11\") _) } }";
    let text = Sandbox::new(body, extra, &[]).complaint();
    assert!(
        text.contains("`syscall` at 0x") && text.contains("the function `f::linux` of the crate `f`"),
        "{text}"
    );
}

#[test]
fn mistakes_in_a_crate_are_named_with_their_remedy() {
    let sandbox = Sandbox::new("1 + \"x\";", "", &[]);
    let text = sandbox.complaint();
    assert!(text.contains("does not build") && text.contains("cannot add `&str` to"), "{text}");

    sandbox.write("f/src/bin/other.rs", "fn main() {}\n");
    assert!(sandbox.complaint().contains("several binary targets: f, other"));

    fs::remove_file(sandbox.path("f/src/bin/other.rs")).unwrap();
    sandbox.write("f/Cargo.lock", "version = 4\n");
    let text = sandbox.complaint();
    assert!(text.contains("does not fit the crate's Cargo.toml") && text.contains("cargo update"), "{text}");

    fs::remove_file(sandbox.path("f/Cargo.lock")).unwrap();
    assert!(sandbox.complaint().contains("cargo generate-lockfile"));
}

#[test]
fn c_sources_are_linked_with_the_interface_and_may_define_what_a_c_library_would() {
    let sandbox = Sandbox::with_c(
        "#include \"own.h\"\n#include <selkie.h>\n__attribute__((noinline)) int puts(const char *s) { return s[0]; }\n\
         int main(void) { return puts(__FILE__) + ANSWER; }\n",
    );
    let built = sandbox.build().unwrap();
    assert!(symbols(&built.elf).iter().any(|name| name == "puts"));
    assert!(!sandbox.build().unwrap().fresh);
    sandbox.write("f/own.h", "#define ANSWER 43\n");
    assert!(sandbox.build().unwrap().fresh);
}

#[test]
fn mistakes_in_c_are_told_in_the_compilers_words_or_with_a_remedy() {
    let text = Sandbox::with_c("int main(void) { return ANSWER; }\n").complaint();
    assert!(text.contains("main.c does not build") && text.contains("main.c:1:25: error: "), "{text}");
    let text =
        Sandbox::with_c("#include <stdio.h>\nint main(void) { printf(\"%d\", 1); return 0; }\n").complaint();
    assert!(
        text.contains("nobody defines `printf`, used by `main`") && text.contains("`selkie.h`"),
        "{text}"
    );
    let text = Sandbox::with_c("int other(void) { return 0; }\n").complaint();
    assert!(
        text.contains("nobody defines `main`") && text.contains("int main(int argc, char **argv)"),
        "{text}"
    );
    let text = Sandbox::with_c(
        "_Thread_local volatile int per_thread = 1;\nint main(void) { return per_thread; }\n",
    )
    .complaint();
    assert!(text.contains("main.c has thread-local variables: `per_thread`"), "{text}");
}

#[test]
fn a_prebuilt_elf_is_checked_and_never_changed() {
    let sandbox = Sandbox::new("", "", &[]);
    let built = sandbox.build().unwrap();
    fs::copy(&built.elf, sandbox.path("mine.elf")).unwrap();
    let recipe = "[function]\nname = \"f\"\nversion = \"0.1.0\"\n[root-task]\nprebuilt = \"mine.elf\"\n[smoke]\nexpect = [\"x\"]\n";
    sandbox.write("f.toml", recipe);
    let prebuilt = sandbox.build().unwrap();
    assert_eq!(fs::read(prebuilt.stripped).unwrap(), fs::read(built.elf).unwrap());
    // A program of the host is dynamic, has thread-local storage and a C library.
    fs::copy(std::env::current_exe().unwrap(), sandbox.path("mine.elf")).unwrap();
    let text = sandbox.complaint();
    for words in ["would not run on seL4", "not ET_EXEC", "PT_INTERP", "PT_TLS", "help: "] {
        assert!(text.contains(words), "{words}: {text}");
    }
    sandbox.write("mine.elf", "no ELF file");
    assert!(sandbox.complaint().contains("it is not an ELF file"));
}

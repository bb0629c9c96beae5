//! Bindings for the real kernels. Builds them first, in seconds, and needs a C compiler and Python.
#![allow(missing_docs, clippy::unwrap_used)]

mod stubs;

use builder::{
    Context, Project,
    bindings::{self, ApiFiles, Bindings, Era, Interface, probe},
    context::{Cancel, Silent},
    kernel::{self, KernelBuild, KernelTree},
    kernel_config::KernelConfig,
};
use object::{Object as _, ObjectSection as _};
use std::{fs, path::Path, process::Command};
use tempfile::TempDir;

/// A kernel config, its tree and its kernel. Python's modules are fetched only in the first run.
struct Real {
    project: Project,
    config: KernelConfig,
    tree: KernelTree,
    kernel: KernelBuild,
}

impl Real {
    fn new(config: &str) -> Self {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernel");
        let project = Project { out, ..Project::here() };
        let ctx = Context::new(&project, &Silent);
        let config = KernelConfig::load(&project, config).unwrap();
        let tree = kernel::locate(&ctx, &config).unwrap();
        let kernel = kernel::build(&ctx, &config, &tree).unwrap();
        Self { config, tree, kernel, project }
    }

    fn generate(&self) -> (Bindings, Interface) {
        let ctx = Context::new(&self.project, &Silent);
        let bindings = bindings::generate(&ctx, &self.config, &self.tree, &self.kernel).unwrap();
        let interface = serde_json::from_slice(&fs::read(&bindings.interface).unwrap()).unwrap();
        (bindings, interface)
    }
}

fn number(interface: &Interface, group: &str, name: &str) -> u64 {
    let group = interface.constants(group).unwrap();
    group.entries.iter().find(|entry| entry.name == name).unwrap().value
}

#[test]
fn release_and_debug_kernels_have_one_interface() {
    let (release, interface) = Real::new("x86_64-release").generate();
    assert!(!Real::new("x86_64-release").generate().0.fresh, "a second time nothing is done");
    let (debug, debug_interface) = Real::new("x86_64-debug").generate();
    assert_eq!(release.interface_digest, debug.interface_digest);
    assert_eq!(release.interface_digest, interface.digest());
    assert_ne!(interface, debug_interface);
    assert_eq!(interface.system_call("DebugPutChar"), None);
    assert_eq!(debug_interface.system_call("DebugPutChar"), Some(-9));
    let calls = ["Call", "ReplyRecv", "Send", "NBSend", "Recv", "Reply", "Yield", "NBRecv"];
    for (name, number) in calls.into_iter().zip(1..) {
        assert_eq!(interface.system_call(name), Some(-number), "{name}");
    }
    let labels: Vec<_> = interface.invocations.iter().map(|call| call.label).collect();
    assert_eq!(labels, (1..=51).collect::<Vec<_>>());
    assert_eq!(number(&interface, "slot", "IO_PORT"), 7);
    assert_eq!(number(&interface, "slot", "COUNT"), 12);
    assert_eq!((number(&interface, "object", "PDPT"), number(&interface, "object", "PAGE_4K")), (5, 7));
}

#[test]
fn boot_info_is_laid_out_as_the_kernel_writes_it() {
    let (_, interface) = Real::new("x86_64-release").generate();
    let boot_info = interface.structure("BootInfo").unwrap();
    for (name, offset) in [
        ("init_thread_cnode_size_bits", 136),
        ("init_thread_domain", 137),
        ("arch_info", 145),
        ("untyped", 153),
        ("untyped_list", 169),
    ] {
        let field = boot_info.fields.iter().find(|field| field.name == name).unwrap();
        assert_eq!(field.offset, offset, "{name}");
    }
    assert_eq!(interface.structure("UntypedDesc").unwrap().size, 12);
    assert_eq!(interface.structure("IpcBuffer").unwrap().size, 1024);
}

#[test]
fn a_wrong_era_is_refused_with_what_the_headers_say() {
    let real = Real::new("x86_64-release");
    let eras = real.project.kernel_configs().join("eras");
    let text = fs::read_to_string(eras.join("kconfig-5.toml")).unwrap();
    // The mistake of the crate's own Rust bindings.
    let wrong =
        text.replace(r#"c = "initThreadDomain", type = "word""#, r#"c = "initThreadDomain", type = "u32""#);
    assert_ne!(wrong, text);
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("kconfig-5.toml"), wrong).unwrap();
    let era = Era::load(&dir.path().join("kconfig-5.toml")).unwrap();
    let api = ApiFiles::find(&real.tree.root, real.config.arch);
    let interface =
        bindings::interface("kconfig-5", &era, &api, &real.config.options, &real.tree.version).unwrap();
    let headers = probe::Headers {
        compiler: &real.kernel.compiler,
        include_dirs: &real.kernel.include_dirs,
        defines: &real.kernel.defines,
    };
    let error = probe::check(&interface, &era, headers, dir.path(), &Cancel::default()).unwrap_err();
    let text = error.to_string();
    for expected in [
        "size of seL4_BootInfo.initThreadDomain is 4 here and 8 in the tree's headers",
        "offset of seL4_BootInfo.archInfo is 141 here and 145 in the tree's headers",
    ] {
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn an_era_for_another_release_is_refused() {
    let mut real = Real::new("x86_64-release");
    real.tree.version = "6.0.0".to_owned();
    let ctx = Context::new(&real.project, &Silent);
    let error = bindings::generate(&ctx, &real.config, &real.tree, &real.kernel).unwrap_err();
    assert!(error.to_string().starts_with("no era describes seL4 6.0.0 on x86_64"), "{error}");
}

/// Compiles with this repository's compiler; the guest crates' lints are errors.
fn rustc(bindings: &Bindings, dir: &Path, args: &[&str]) {
    let output = Command::new("rustc")
        .args(["--edition", "2024", "--target", "x86_64-unknown-linux-gnu", "-Dwarnings", "-Dmissing_docs"])
        .args(["-Copt-level=s", "-Cpanic=abort", "-Crelocation-model=static"])
        .args(args)
        .env("SELKIE_BINDINGS", &bindings.rust)
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Compiles `selkie-sys` in `dir`.
fn compile_sys(real: &Real, bindings: &Bindings, dir: &Path) {
    let source = real.project.runtime().join("sys/src/lib.rs");
    let source = source.to_str().unwrap();
    rustc(bindings, dir, &["--crate-name", "selkie_sys", "--crate-type", "rlib", source]);
}

#[test]
fn the_guest_crate_compiles_without_a_warning() {
    for config in ["x86_64-release", "x86_64-debug"] {
        let real = Real::new(config);
        compile_sys(&real, &real.generate().0, TempDir::new().unwrap().path());
    }
}

#[test]
fn only_the_sites_of_stubs_that_are_used_are_listed() {
    const MAIN: &str = "#![doc = \"Yields for ever.\"]
        #![no_std]
        #![no_main]
        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo<'_>) -> ! { loop {} }
        /// The entry point.
        #[unsafe(no_mangle)]
        pub extern \"C\" fn _start() -> ! { loop { unsafe { selkie_sys::yield_() } } }";
    let real = Real::new("x86_64-release");
    let (bindings, _) = real.generate();
    let dir = TempDir::new().unwrap();
    compile_sys(&real, &bindings, dir.path());
    fs::write(dir.path().join("main.rs"), MAIN).unwrap();
    let link = ["-nostartfiles", "-nostdlib", "-static", "-no-pie", "-Wl,--gc-sections"];
    let link: Vec<_> = link.iter().map(|arg| format!("-Clink-arg={arg}")).collect();
    let mut args = vec!["--crate-name", "main", "main.rs", "--extern", "selkie_sys=libselkie_sys.rlib"];
    args.extend(link.iter().map(String::as_str));
    rustc(&bindings, dir.path(), &args);

    let elf = fs::read(dir.path().join("main")).unwrap();
    let elf = object::File::parse(&*elf).unwrap();
    let sites = elf.section_by_name(".sel4_sites").expect("rust-lld keeps the section");
    let addresses: Vec<_> = sites
        .data()
        .unwrap()
        .chunks_exact(8)
        .map(|word| u64::from_le_bytes(word.try_into().unwrap()))
        .collect();
    assert_eq!(addresses.len(), 1, "the stubs that nothing calls are gone, and their sites");
    let text = elf.section_by_name(".text").unwrap();
    let site = text.data_range(addresses[0], 8).unwrap().expect("a site lies in the text");
    assert_eq!(site, [0x48, 0x89, 0xe0, 0x0f, 0x05, 0x48, 0x89, 0xc4], "mov rax, rsp; syscall; mov rsp, rax");
}

/// The tree's own stub generator writes C functions; each must marshal as the model says.
#[test]
fn parameters_travel_as_the_trees_own_stubs_send_them() {
    let real = Real::new("x86_64-release");
    let (_, interface) = real.generate();
    let libsel4 = real.tree.root.join("libsel4");
    let output = Command::new("python3")
        .args(["-B", "-W", "ignore"])
        .arg(libsel4.join("tools/syscall_stub_gen.py"))
        .args(["-a", "x86_64", "-w", "64"])
        .args(ApiFiles::find(&real.tree.root, real.config.arch).interfaces)
        .output()
        .unwrap();
    let stubs = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    stubs::check(&interface, &stubs);
}

//! Bindings for real kernels of the CMake era: from the source trees that `SELKIE_KERNEL_SOURCES` names, each built
//! as every shipped kernel config that accepts it and with all the options that shift numbers, and from installed
//! kernels, one in each folder of the folders that `SELKIE_KERNEL_PREFIXES` names. Without either they say SKIP.
#![allow(missing_docs, clippy::unwrap_used)]

mod stubs;

use builder::{
    Context, Project,
    bindings::{self, ApiFiles, Era, Interface, bitfields, probe, rust},
    context::{Cancel, Silent},
    kernel,
    kernel_config::{Arch, KernelConfig, OptionValue, UserSource},
};
use std::{
    collections::BTreeMap,
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};
use tempfile::TempDir;

/// One kernel.
struct Case {
    name: String,
    version: String,
    options: BTreeMap<String, OptionValue>,
    api: ApiFiles,
    include: PathBuf,
    era: Era,
}

impl Case {
    fn interface(&self) -> Interface {
        let interface = bindings::interface("era", &self.era, &self.api, &self.options, &self.version);
        interface.unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    fn probe(&self, interface: &Interface) -> Result<(), probe::Error> {
        let out = TempDir::new().unwrap();
        let include_dirs = [self.include.clone()];
        let headers = probe::Headers { compiler: Path::new("cc"), include_dirs: &include_dirs, defines: &[] };
        probe::check(interface, &self.era, headers, out.path(), &Cancel::default())
    }
}

fn era(version: &str) -> Era {
    Era::find(&Project::here().eras(), Arch::X86_64, version).unwrap().1
}

/// Since 13 there is one more.
const SHIFTING_SINCE_13: (&str, &str) = ("KernelX86_64VTX64BitGuests", "ON");

/// Options that shift labels and object numbers, beside what a kernel config says.
const SHIFTING: &[(&str, &str)] = &[
    ("KernelVTX", "ON"),
    ("KernelIOMMU", "ON"),
    ("KernelHugePage", "ON"),
    ("KernelMaxNumNodes", "4"),
    ("HardwareDebugAPI", "ON"),
    ("KernelFPU", "XSAVE"),
    ("KernelXSaveSize", "1088"),
];

/// The kernels of one source tree.
fn from_tree(root: &Path) -> Vec<Case> {
    let project = Project { out: Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernel"), ..Project::here() };
    let ctx = Context::new(&project, &Silent);
    let user = UserSource::Tree(root.to_owned());
    let mut cases = Vec::new();
    for name in KernelConfig::names(&project).unwrap() {
        let config = KernelConfig::load_with(&project, &name, Some(&user)).unwrap();
        let Ok(tree) = kernel::locate(&ctx, &config) else { continue };
        if !config.has_images() || config.name != name || tree.root != fs::canonicalize(root).unwrap() {
            continue;
        }
        let mut shifted = config.clone();
        let since_13 = !["10.", "11.", "12."].iter().any(|before| tree.version.starts_with(before));
        let options = SHIFTING.iter().chain(since_13.then_some(&SHIFTING_SINCE_13));
        let options = options.map(|(key, value)| ((*key).to_owned(), OptionValue::Text((*value).to_owned())));
        shifted.options.extend(options);
        let features = ["vmx", "pdpe1gb", "xsave", "xsaveopt"].map(str::to_owned);
        shifted.cpu_features.extend(features);
        let variants = [(name.clone(), config), (format!("{name}, shifted"), shifted)];
        for (name, config) in variants.into_iter().take(if name.ends_with("release") { 2 } else { 1 }) {
            let kernel =
                kernel::build(&ctx, &config, &tree).unwrap_or_else(|error| panic!("{name}: {error}"));
            cases.push(Case {
                name: format!("{} {name}", tree.version),
                version: tree.version.clone(),
                options: kernel.options.clone(),
                api: kernel.api.clone(),
                include: kernel.include_dirs[0].clone(),
                era: era(&tree.version),
            });
        }
    }
    assert!(!cases.is_empty(), "no kernel config accepts {}", root.display());
    cases
}

/// The kernel that is installed in `root`.
fn from_prefix(root: &Path) -> Case {
    let version = fs::read_to_string(root.join("VERSION")).unwrap().trim().to_owned();
    let include = root.join("libsel4/include");
    let json = fs::read(include.join("kernel/gen_config.json")).unwrap();
    let options: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&json).unwrap();
    let options = options.into_iter().map(|(name, value)| {
        let value = match value {
            serde_json::Value::Bool(on) => OptionValue::Flag(on),
            serde_json::Value::String(text) => {
                text.parse().map_or(OptionValue::Text(text), OptionValue::Number)
            }
            other => panic!("{name}: {other}"),
        };
        (name, value)
    });
    let name = root.file_name().unwrap().to_string_lossy().into_owned();
    let (api, era) = (ApiFiles::find(root, Arch::X86_64), era(&version));
    Case { name, options: options.collect(), api, include, era, version }
}

/// Every kernel; a line that says SKIP for `test` when there is none.
fn cases(test: &str) -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    let named = |variable| env::var_os(variable).map(|paths| env::split_paths(&paths).collect::<Vec<_>>());
    let cases = CASES.get_or_init(|| {
        let trees = named("SELKIE_KERNEL_SOURCES").unwrap_or_default();
        let mut cases: Vec<_> = trees.iter().flat_map(|root| from_tree(root)).collect();
        for folder in named("SELKIE_KERNEL_PREFIXES").unwrap_or_default() {
            let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            let mut roots: Vec<_> = entries.filter(|path| path.join("libsel4/include").is_dir()).collect();
            roots.sort();
            assert!(!roots.is_empty(), "SELKIE_KERNEL_PREFIXES names a folder without an installed kernel");
            cases.extend(roots.iter().map(|root| from_prefix(root)));
        }
        cases
    });
    if cases.is_empty() {
        // Past libtest's capture.
        let reason =
            "no source tree or installed kernel of seL4 was named (`cargo xtask test --kernel-source DIR`)";
        let _ = writeln!(std::io::stderr(), "SKIP {test}: {reason}");
    }
    cases
}

#[test]
fn every_number_is_what_the_headers_say() {
    for case in cases("every_number_is_what_the_headers_say") {
        let interface = case.interface();
        let held = bitfields::check(&interface, &case.era, std::slice::from_ref(&case.include));
        held.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        case.probe(&interface).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    }
}

#[test]
fn parameters_travel_as_the_trees_own_stubs_send_them() {
    for case in cases("parameters_travel_as_the_trees_own_stubs_send_them") {
        let path = case.include.join("interfaces/sel4_client.h");
        stubs::check(&case.interface(), &fs::read_to_string(path).unwrap());
    }
}

#[test]
fn the_guest_crate_compiles_without_a_warning() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("runtime/sys/src/lib.rs");
    for case in cases("the_guest_crate_compiles_without_a_warning") {
        let out = TempDir::new().unwrap();
        let bindings = out.path().join("bindings.rs");
        fs::write(&bindings, rust::render(&case.interface(), &case.era).unwrap()).unwrap();
        let output = Command::new("rustc")
            .args([
                "--edition",
                "2024",
                "--target",
                "x86_64-unknown-linux-gnu",
                "-Dwarnings",
                "-Dmissing_docs",
            ])
            .args(["--crate-type", "rlib", "--crate-name", "selkie_sys", "--emit", "metadata"])
            .args(["-Cpanic=abort", "-Crelocation-model=static"])
            .arg(&source)
            .env("SELKIE_BINDINGS", &bindings)
            .current_dir(out.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}: {}", case.name, String::from_utf8_lossy(&output.stderr));
    }
}

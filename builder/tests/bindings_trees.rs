//! Bindings for kernels of the CMake era, from installed prefixes that the user has: one test for each thing
//! to look at, over every prefix in the folders that `SELKIE_TEST_PREFIXES` names (separated by colons).
#![allow(missing_docs, clippy::unwrap_used)]

mod stubs;

use builder::{
    bindings::{self, ApiFiles, Era, Interface, bitfields, probe, rust},
    context::Cancel,
    kernel_config::{Arch, OptionValue},
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// An installed kernel.
struct Prefix {
    root: PathBuf,
    version: String,
    options: BTreeMap<String, OptionValue>,
    era: Era,
}

impl Prefix {
    fn load(root: PathBuf) -> Self {
        let version = fs::read_to_string(root.join("VERSION")).unwrap().trim().to_owned();
        let json = fs::read(root.join("libsel4/include/kernel/gen_config.json")).unwrap();
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
        let eras = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("kernel-configs/eras");
        let (_, era) = Era::find(&eras, Arch::X86_64, &version).unwrap();
        Self { options: options.collect(), root, version, era }
    }

    fn name(&self) -> String {
        self.root.file_name().unwrap().to_string_lossy().into_owned()
    }

    fn interface(&self) -> Interface {
        let api = ApiFiles::find(&self.root);
        bindings::interface("era", &self.era, &api, &self.options, &self.version).unwrap()
    }

    fn probe(&self, era: &Era, interface: &Interface) -> Result<(), probe::Error> {
        let out = TempDir::new().unwrap();
        let include_dirs = [self.root.join("libsel4/include")];
        let headers = probe::Headers { compiler: Path::new("cc"), include_dirs: &include_dirs, defines: &[] };
        probe::check(interface, era, headers, out.path(), &Cancel::default())
    }
}

/// Every prefix, or none with the reason.
fn prefixes() -> Vec<Prefix> {
    let Some(folders) = std::env::var_os("SELKIE_TEST_PREFIXES") else {
        println!("SKIP: SELKIE_TEST_PREFIXES names no folder with installed kernels");
        return Vec::new();
    };
    let mut roots = Vec::new();
    for folder in std::env::split_paths(&folders) {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        roots.extend(entries.filter(|path| path.join("libsel4/include").is_dir()));
    }
    roots.sort();
    assert!(!roots.is_empty(), "SELKIE_TEST_PREFIXES names folders without an installed kernel");
    roots.into_iter().map(Prefix::load).collect()
}

#[test]
fn every_number_is_what_the_headers_say() {
    for prefix in prefixes() {
        let interface = prefix.interface();
        bitfields::check(&interface, &prefix.era, &[prefix.root.join("libsel4/include")]).unwrap();
        if let Err(error) = prefix.probe(&prefix.era, &interface) {
            panic!("{}: {error}", prefix.name());
        }
        if let Some(out) = std::env::var_os("SELKIE_TEST_BINDINGS") {
            let out = Path::new(&out).join(prefix.name());
            fs::create_dir_all(&out).unwrap();
            fs::write(out.join("bindings.rs"), rust::render(&interface, &prefix.era).unwrap()).unwrap();
            let json = serde_json::to_string_pretty(&interface).unwrap();
            fs::write(out.join("interface.json"), json).unwrap();
        }
    }
}

#[test]
fn parameters_travel_as_the_trees_own_stubs_send_them() {
    for prefix in prefixes() {
        let path = prefix.root.join("libsel4/include/interfaces/sel4_client.h");
        stubs::check(&prefix.interface(), &fs::read_to_string(path).unwrap());
    }
}

#[test]
fn the_guest_crate_compiles_without_a_warning() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("runtime/sys/src/lib.rs");
    for prefix in prefixes() {
        let out = TempDir::new().unwrap();
        let bindings = out.path().join("bindings.rs");
        fs::write(&bindings, rust::render(&prefix.interface(), &prefix.era).unwrap()).unwrap();
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
        assert!(output.status.success(), "{}: {}", prefix.name(), String::from_utf8_lossy(&output.stderr));
    }
}

//! Loading kernel configs: inheritance, and that no text whatever makes it panic.

use super::*;
use crate::{ExitCode, Project};
use std::fs;

const BASE: &str = r#"description = "the base"
arch = "x86_64"
platform = "pc99"
qemu-cpu = "qemu64"
cpu-features = ["lm", "sse2"]

[source]
crate = "sel4-sys"
subdir = "seL4"
version = "5.0.0"
digest = "abababababababababababababababababababababababababababababababab"

[options]
WORD_SIZE = 64
FASTPATH = true
PRINTING = false
NAME = "text"

[[overlay]]
header = "a.h"
file = "overlays/a.h"
reason = "because"
"#;

fn sandbox() -> (Project, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let project = Project { root: folder.path().to_owned(), out: folder.path().join("out") };
    for path in ["overlays/a.h", "overlays/b.h", "sources/sel4-sys/Cargo.toml"] {
        let path = project.kernel_configs().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    write(&project, "base", BASE);
    (project, folder)
}

fn write(project: &Project, name: &str, text: &str) {
    fs::write(project.kernel_configs().join(format!("{name}.toml")), text).unwrap();
}

#[test]
fn an_heir_changes_options_and_adds_overlays() {
    let (project, _folder) = sandbox();
    write(
        &project,
        "heir",
        "inherits = \"base\"\nqemu-cpu = \"max\"\n[options]\nFASTPATH = false\nPRINTING = true\nWORD_SIZE = 32\n\
         [[overlay]]\nheader = \"b.h\"\nfile = \"overlays/b.h\"\nreason = \"too\"\n",
    );
    write(
        &project,
        "grandchild",
        "inherits = \"heir\"\ndescription = \"the last\"\nwithout = [\"WORD_SIZE\"]\n[options]\nNAME = \"new\"\n",
    );
    let base = KernelConfig::load(&project, "base").unwrap();
    assert!(base.has("FASTPATH") && !base.has("PRINTING") && !base.options.contains_key("PRINTING"));
    let config = KernelConfig::load(&project, "grandchild").unwrap();
    assert_eq!((config.name.as_str(), config.description.as_str()), ("grandchild", "the last"));
    assert_eq!((config.arch, config.qemu_cpu.as_str()), (Arch::X86_64, "max"));
    assert_eq!(config.source, base.source);
    assert_eq!(config.cpu_features, base.cpu_features);
    let options = [("NAME", OptionValue::Text("new".into())), ("PRINTING", OptionValue::Flag(true))];
    assert_eq!(config.options, options.map(|(name, value)| (name.to_owned(), value)).into());
    let headers: Vec<_> = config.overlays.iter().map(|overlay| overlay.header.as_str()).collect();
    assert_eq!(headers, ["a.h", "b.h"]);
}

#[test]
fn nothing_of_this_machine_is_digested() {
    let (project, _folder) = sandbox();
    let config = KernelConfig::load(&project, "base").unwrap();
    assert!(!serde_json::to_string(&config).unwrap().contains(project.root.to_str().unwrap()));
}

#[test]
fn features_of_some_releases_count_once_the_release_is_known() {
    let (project, folder) = sandbox();
    let source = BASE.find("[source]").unwrap()..BASE.find("[options]").unwrap();
    let user = "[[cpu-features-of]]\nversions = \"<14\"\nfeatures = [\"xsaveopt\"]\n\
                [[cpu-features-of]]\nversions = \">=14\"\nfeatures = [\"xsave\"]\n\
                [source]\nversions = \">=13\"\n";
    write(&project, "user", &BASE.replace(&BASE[source], user));
    let open = KernelConfig::load(&project, "user").unwrap();
    assert_eq!((open.cpu_features.len(), open.cpu_features_of.len()), (2, 2));
    let tree = folder.path().join("tree");
    fs::create_dir(&tree).unwrap();
    for (version, features) in [
        ("13.0.0", ["lm", "sse2", "xsaveopt"]),
        ("14.0.0", ["lm", "sse2", "xsave"]),
        ("14.0.0-dev", ["lm", "sse2", "xsave"]),
    ] {
        fs::write(tree.join("VERSION"), version).unwrap();
        let of = KernelConfig::load_with(&project, "user", Some(&UserSource::Tree(tree.clone()))).unwrap();
        assert_eq!(of.cpu_features, features, "{version}");
        assert!(of.cpu_features_of.is_empty());
    }
}

#[test]
fn a_missing_kernel_config_is_answered_with_the_closest() {
    let (project, _folder) = sandbox();
    let error = KernelConfig::load(&project, "bas").unwrap_err();
    assert_eq!(error.code(), ExitCode::Usage);
    assert!(error.to_string().contains("did you mean `base`?"), "{error}");
    assert_eq!(KernelConfig::names(&project).unwrap(), ["base"]);
}

#[test]
fn kernel_configs_cut_off_or_changed_anywhere_do_not_panic() {
    let (project, _folder) = sandbox();
    for at in 0..BASE.len() {
        for text in [BASE[..at].to_owned(), format!("{}\"{}", &BASE[..at], &BASE[at + 1..])] {
            write(&project, "changed", &text);
            if let Err(error) = KernelConfig::load(&project, "changed") {
                assert_eq!(error.code(), ExitCode::Usage);
                assert!(error.diagnostics().is_some_and(|all| !all.is_empty()), "{error}");
            }
        }
    }
}

#[test]
fn the_kernel_configs_of_this_checkout_are_sound() {
    let project = Project::here();
    for name in KernelConfig::names(&project).unwrap() {
        KernelConfig::load(&project, &name).unwrap_or_else(|error| panic!("{error}"));
    }
}

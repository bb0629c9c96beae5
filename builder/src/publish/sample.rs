//! A small image that was never built, and what would be published beside it.

use super::{
    Found, Published,
    parts::Crates,
    source::{Description, SourceArchive},
};
use crate::{
    Digest, image,
    image::{InputIdentity, Manifest, Member, Role, ToolIdentity},
    plan::InputKind,
    root_task::LinkedCrate,
};
use std::collections::BTreeMap;

pub(super) fn manifest() -> Manifest {
    let member = |name: &str, role| Member { name: name.into(), role, size: 1, sha256: Digest::of(name) };
    let input = |kind, name: &str, version: Option<&str>| {
        (
            name.to_owned(),
            InputIdentity { kind, digest: Digest::of(name), version: version.map(str::to_owned) },
        )
    };
    let tool = |name: &str, version: &str| {
        (name.to_owned(), ToolIdentity { version: version.into(), digest: Digest::of(name) })
    };
    Manifest {
        recipe: serde_json::json!({ "function": { "license": "MIT", "description": "Greets" } }),
        inputs: [
            input(InputKind::Overlay, "overlay mode/stack.h", None),
            input(InputKind::KernelSource, "kernel-source", Some("5.0.0")),
            input(InputKind::Tool, "cc", Some("cc 12.2.0")),
        ]
        .into(),
        tools: [
            tool("cc", "cc (Debian) 12.2.0\nmore"),
            tool("rustc", "rustc 1.95.0 (abc)\nrelease: 1.95.0\ncommit-hash: abc"),
        ]
        .into(),
        members: vec![
            member("kernel", Role::Kernel),
            member("root-task", Role::RootTask),
            member("recipe.toml", Role::Recipe),
        ],
        ..image::tests::manifest()
    }
}

pub(super) fn crates() -> Crates {
    let linked = |name: &str, registry: bool| LinkedCrate {
        name: name.into(),
        version: "1.2.3".into(),
        license: registry.then(|| "MIT OR Apache-2.0".to_owned()),
        source: registry.then(|| "registry+https://github.com/rust-lang/crates.io-index".to_owned()),
        checksum: registry.then(|| Digest::of(name)),
    };
    let kernel = Some(linked("sel4-sys", true));
    Crates { root_task: vec![linked("hello", false), linked("log", true)], tender: Vec::new(), kernel }
}

pub(super) fn artifacts() -> [(String, Digest); 2] {
    ["hello-qemu.tar.gz", "hello-qemu.oci"].map(|name| (name.to_owned(), Digest::of(name)))
}

pub(super) fn sources() -> Vec<SourceArchive> {
    let manifest = manifest();
    let description = Description::Kernel {
        config: manifest.kernel.config,
        version: manifest.kernel.version,
        tree: manifest.kernel.source,
    };
    vec![SourceArchive::new(
        "sel4-5.0.0-x86_64-release".into(),
        "GPL-2.0-only",
        description,
        b"source".into(),
    )]
}

/// Hands `with` what `verify` would have read.
pub(super) fn published<T>(with: impl FnOnce(&Published<'_>) -> T) -> T {
    let files = sources().into_iter().map(|one| (one.file, Found { sha256: one.sha256, size: one.size }));
    let files: BTreeMap<String, Found> = files.collect();
    with(&Published { manifest: &manifest(), artifacts: &artifacts(), files: &files })
}

/// Holds `content` against the golden file `name`.
#[track_caller]
pub(super) fn golden(name: &str, content: &[u8]) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/publish/golden").join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, content).unwrap();
    }
    let text = String::from_utf8(content.to_vec()).unwrap();
    assert_eq!(text, std::fs::read_to_string(&path).unwrap(), "`cargo xtask test --bless` accepts a change");
}

/// Holds that `check` finds nothing wrong with `document`, one thing when a value is changed as the cases say
/// (a JSON pointer, the new value, a part of the sentence), and that no damage makes it panic.
#[track_caller]
pub(super) fn holds(
    document: &[u8],
    check: impl Fn(&[u8]) -> Vec<String>,
    cases: &[(&str, serde_json::Value, &str)],
) {
    assert_eq!(check(document), Vec::<String>::new());
    for (pointer, value, why) in cases {
        let mut changed: serde_json::Value = serde_json::from_slice(document).unwrap();
        let place = changed.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}"));
        *place = value.clone();
        let wrong = check(&serde_json::to_vec(&changed).unwrap());
        assert!(wrong.iter().any(|one| one.contains(why)), "{pointer}: {wrong:?}");
    }
    for end in (0..document.len() - 1).step_by(7) {
        assert!(!check(&document[..end]).is_empty(), "cut at {end}");
    }
    for at in (0..document.len()).step_by(11) {
        let mut bad = document.to_vec();
        bad[at] ^= 1;
        let _ = check(&bad);
    }
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    assert!(!check(&deep).is_empty());
}

//! Bills of materials of images that were never built.

use super::{
    super::{
        Published, id, sample,
        source::{Description, SourceArchive},
        statement,
    },
    compose::{Compose, Content},
    *,
};
use crate::{
    Digest, Target,
    image::{self, Manifest, Role},
    inputs::debian,
    plan::InputKind,
    root_task::LinkedCrate,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The document of an image of this manifest.
fn compose(manifest: &Manifest, crates: &Crates, sources: &[SourceArchive]) -> Value {
    let names = manifest.members.iter().map(|member| member.name.as_str()).chain([image::name::MANIFEST]);
    let members: Vec<_> = names.map(|name| (name.to_owned(), Content::of(name.as_bytes()))).collect();
    let c_sources = [("src/a b.c".to_owned(), Content::of(b"int main;"))];
    let compose = Compose {
        manifest,
        members: &members,
        crates,
        c_sources: &c_sources,
        kernel_license: Some("GPL-2.0-only"),
        sources,
        created: "1970-01-01T00:00:00Z",
        prebuilt_root_task: false,
    };
    serde_json::to_value(compose.document()).unwrap()
}

fn sample() -> Value {
    compose(&sample::manifest(), &sample::crates(), &sample::sources())
}

fn find<'a>(list: &'a Value, key: &str, value: &str) -> Option<&'a Value> {
    list.as_array().unwrap().iter().find(|one| one[key] == value)
}

#[test]
fn the_same_image_gives_the_same_document() {
    sample::golden("hello-qemu.spdx.json", &statement::text(&sample()));
}

#[test]
fn another_image_has_another_namespace() {
    let mut manifest = sample::manifest();
    manifest.tools.get_mut("cc").unwrap().digest = Digest::of("another");
    let another = compose(&manifest, &sample::crates(), &sample::sources());
    assert_ne!(another["documentNamespace"], sample()["documentNamespace"]);
}

#[test]
fn what_nobody_says_of_a_licence_is_not_asserted() {
    let packages = &sample()["packages"];
    for (name, license) in [
        ("hello", "NOASSERTION"),
        ("log", "MIT OR Apache-2.0"),
        ("seL4", "GPL-2.0-only"),
        ("libsel4", "BSD-2-Clause"),
        ("cc", "NOASSERTION"),
    ] {
        assert_eq!(find(packages, "name", name).unwrap()["licenseConcluded"], license, "{name}");
    }
}

#[test]
fn a_process_has_no_kernel_and_a_tender() {
    let mut manifest = sample::manifest();
    manifest.target = Target::Process;
    manifest.members[0].name = "hello".into();
    manifest.members[0].role = Role::Executable;
    let mut crates = sample::crates();
    crates.tender = vec![LinkedCrate { name: "selkie-tender".into(), ..crates.root_task[0].clone() }];
    let document = compose(&manifest, &crates, &[]);
    let packages = &document["packages"];
    assert!(find(packages, "name", "seL4").is_none() && find(packages, "name", "libsel4").is_some());
    let link = json!({
        "spdxElementId": "SPDXRef-File-hello",
        "relationshipType": "STATIC_LINK",
        "relatedSpdxElement": "SPDXRef-Crate-selkie-tender-1.2.3",
    });
    assert!(document["relationships"].as_array().unwrap().contains(&link), "{document:#}");
}

#[test]
fn media_have_the_boot_loader_with_where_its_source_is() {
    let mut manifest = sample::manifest();
    manifest.target = Target::BareMetal;
    manifest.members[0].name = "hello.iso".into();
    manifest.members[0].role = Role::Iso;
    let description = Description::BootLoader {
        package: "grub2".into(),
        version: "2.06-13+deb12u1".into(),
        purl: "pkg:deb/debian/grub2@2.06-13%2Bdeb12u1?arch=source".into(),
        tool: "grub-mkimage (GRUB) 2.06-13+deb12u1".into(),
    };
    let mut sources = sample::sources();
    let component = "grub2-2.06-13+deb12u1".to_owned();
    sources.push(SourceArchive::new(component, "GPL-3.0-or-later", description, b"reference".into()));
    let document = compose(&manifest, &sample::crates(), &sources);
    let grub = find(&document["packages"], "name", "grub2").unwrap();
    assert_eq!(grub["licenseConcluded"], "GPL-3.0-or-later");
    assert_eq!(
        grub["externalRefs"][0]["referenceLocator"],
        "pkg:deb/debian/grub2@2.06-13%2Bdeb12u1?arch=source"
    );
    let related = document["relationships"].as_array().unwrap();
    let of = |one: &str| related.iter().filter(|it| it["spdxElementId"] == one).count();
    // Contains GRUB, generated from seL4.
    assert_eq!(of("SPDXRef-File-hello.iso"), 2, "{document:#}");
}

#[test]
fn a_program_from_a_source_package_says_which() {
    let mut manifest = sample::manifest();
    let dsc = image::InputIdentity {
        kind: InputKind::SourcePackage,
        digest: Digest::of("dsc"),
        version: Some("1:5.4.4-3+deb12u1".into()),
    };
    manifest.inputs.insert("source package lua5.4".into(), dsc);
    let file = |name: &str| debian::File { name: name.into(), size: 1, sha256: Digest::of(name) };
    let files = ["lua5.4_5.4.4-3+deb12u1.debian.tar.xz", "lua5.4_5.4.4.orig.tar.gz"].map(file);
    let description = Description::SourcePackage {
        name: "lua5.4".into(),
        version: "1:5.4.4-3+deb12u1".into(),
        sha256: Digest::of("dsc"),
        files: files.to_vec(),
    };
    let mut sources = sample::sources();
    sources.push(SourceArchive::new("lua5.4-1-5.4.4".into(), "MIT", description, b"package".into()));
    let document = compose(&manifest, &sample::crates(), &sources);
    let archive = find(&document["packages"], "name", "lua5.4-1-5.4.4").unwrap();
    assert_eq!(archive["packageFileName"], sources[1].file);
    let holds = archive["sourceInfo"].as_str().unwrap();
    for file in &files {
        assert!(holds.contains(&format!("{} with the SHA-256 digest {}", file.name, file.sha256)), "{holds}");
    }
    let package = find(&document["packages"], "name", "lua5.4").unwrap();
    assert_eq!(
        package["externalRefs"][0]["referenceLocator"],
        "pkg:deb/debian/lua5.4@1%3A5.4.4-3%2Bdeb12u1?arch=source"
    );
    assert_eq!(
        (&package["licenseConcluded"], &package["primaryPackagePurpose"]),
        (&json!("MIT"), &json!("SOURCE"))
    );
    let made = json!({
        "spdxElementId": "SPDXRef-File-root-task",
        "relationshipType": "GENERATED_FROM",
        "relatedSpdxElement": "SPDXRef-SourcePackage-lua5.4",
    });
    let contained = json!({
        "spdxElementId": archive["SPDXID"],
        "relationshipType": "CONTAINS",
        "relatedSpdxElement": "SPDXRef-SourcePackage-lua5.4",
    });
    for relationship in [made, contained] {
        assert!(document["relationships"].as_array().unwrap().contains(&relationship), "{document:#}");
    }
    let files = BTreeMap::new();
    let published = Published { manifest: &manifest, artifacts: &[], files: &files };
    let is_missed = |document: &Value| {
        check(&published, &statement::text(document)).contains(&"`lua5.4` is missing".to_owned())
    };
    assert!(!is_missed(&document) && is_missed(&sample()));
}

#[test]
fn a_kernel_from_elsewhere_asserts_nothing() {
    let mut manifest = sample::manifest();
    manifest.kernel.prebuilt =
        Some(image::Prebuilt { sha256: Digest::of("elsewhere"), origin: image::NOT_BUILT.into() });
    let document = compose(&manifest, &sample::crates(), &[]);
    let kernel = find(&document["packages"], "name", "prebuilt kernel").unwrap();
    assert_eq!((&kernel["licenseConcluded"], &kernel["versionInfo"]), (&json!("NOASSERTION"), &Value::Null));
    assert!(find(&document["packages"], "name", "seL4").is_none());
}

#[test]
fn a_document_that_is_not_about_the_image_is_told() {
    let check = |document: &[u8]| sample::published(|published| check(published, document));
    let document = sample();
    let index = |list: &str, key: &str, value: &str| {
        let at = document[list].as_array().unwrap().iter().position(|one| one[key] == value).unwrap();
        format!("/{list}/{at}")
    };
    let kernel = index("packages", "name", "seL4");
    let file = index("files", "fileName", "./root-task");
    let source = index("packages", "name", "sel4-5.0.0-x86_64-release");
    let describes = index("relationships", "relationshipType", "DESCRIBES");
    let at = |place: &str, rest: &str| format!("{place}/{rest}");
    sample::holds(
        &statement::text(&document),
        check,
        &[
            ("/spdxVersion", json!("SPDX-2.2"), "`spdxVersion` is `SPDX-2.2`, not `SPDX-2.3`"),
            ("/name", json!("other"), "`name`"),
            ("/creationInfo/created", json!("1970-01-01T00:00:01Z"), "`created`"),
            (&at(&kernel, "versionInfo"), json!("6.0.0"), "`seL4` is of version 6.0.0, not 5.0.0"),
            (&at(&kernel, "name"), json!("x"), "`seL4` is missing"),
            (&at(&kernel, "SPDXID"), json!("SPDXRef-x"), "names `SPDXRef-Kernel-seL4`, which is not there"),
            (&at(&kernel, "SPDXID"), json!("SPDXRef-Tool-cc"), "`SPDXRef-Tool-cc` is there twice"),
            (&at(&file, "checksums"), json!([]), "`./root-task` has another digest"),
            (&at(&file, "SPDXID"), json!("SPDXRef-x"), "`SPDXRef-File-root-task` is not among the files"),
            (&at(&source, "packageFileName"), json!("sources/x.tar.gz"), "which is not there"),
            (&at(&source, "checksums"), json!([]), "is not the file that it names"),
            (&describes, json!({}), "not an SPDX document"),
            (
                &at(&describes, "relatedSpdxElement"),
                json!("SPDXRef-Tool-cc"),
                "is not among the files of the image",
            ),
            ("/packages", json!([]), "`overlay mode/stack.h` is missing"),
            ("/files", json!([]), "is not among the files"),
            ("/packages/0/licenseConcluded", Value::Null, "not an SPDX document"),
        ],
    );
    assert_eq!(sources(&statement::text(&document)), [sample::sources()[0].file.clone()]);
    assert_eq!(sources(b"{"), Vec::<String>::new());
    assert_eq!(document["name"], id("hello", Target::Qemu));
}

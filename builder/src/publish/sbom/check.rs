//! A bill of materials, read back from bytes that nobody vouches for and compared with the image that it is about.

use super::{
    compose::member_id,
    spdx::{Checksum, DOCUMENT, Document, Package, Relation, Relationship},
};
use crate::{
    Digest, Target,
    image::Manifest,
    plan::InputKind,
    publish::{Published, id, source, time},
};
use std::collections::{BTreeMap, BTreeSet};

/// The archives with source that the untrusted `document` names, by their paths in the published folder.
pub fn sources(document: &[u8]) -> Vec<String> {
    let document: Option<Document> = serde_json::from_slice(document).ok();
    let packages = document.map(|document| document.packages).unwrap_or_default();
    packages
        .into_iter()
        .filter_map(|package| package.package_file_name)
        .filter(|file| source::named(file))
        .collect()
}

/// What is wrong with the untrusted `document` about `published`.
pub fn check(published: &Published<'_>, document: &[u8]) -> Vec<String> {
    let document: Document = match serde_json::from_slice(document) {
        Ok(document) => document,
        Err(error) => return vec![format!("it is not an SPDX document of Selkie's: {error}")],
    };
    let check = Check { published, document: &document };
    [check.head(), check.elements(), check.files(), check.parts(), check.archives()].concat()
}

struct Check<'a> {
    published: &'a Published<'a>,
    document: &'a Document,
}

impl Check<'_> {
    fn manifest(&self) -> &Manifest {
        self.published.manifest
    }

    fn head(&self) -> Vec<String> {
        let Manifest { name, target, epoch, .. } = self.manifest();
        let name = id(name, *target);
        let expected = [
            ("spdxVersion", &self.document.spdx_version, "SPDX-2.3".to_owned()),
            ("dataLicense", &self.document.data_license, "CC0-1.0".to_owned()),
            ("SPDXID", &self.document.id, DOCUMENT.to_owned()),
            ("name", &self.document.name, name),
            ("created", &self.document.creation_info.created, time::rfc3339(*epoch)),
        ];
        let wrong = expected.into_iter().filter(|(_, is, wanted)| *is != wanted);
        wrong.map(|(key, is, wanted)| format!("`{key}` is `{is}`, not `{wanted}`")).collect()
    }

    /// Every element has a name of its own, and relationships are between elements.
    fn elements(&self) -> Vec<String> {
        let packages = self.document.packages.iter().map(|one| one.id.as_str());
        let files = self.document.files.iter().map(|one| one.id.as_str());
        let mut known: BTreeSet<&str> = [DOCUMENT].into();
        let mut wrong: Vec<String> = packages
            .chain(files)
            .filter(|id| !known.insert(id))
            .map(|id| format!("`{id}` is there twice"))
            .collect();
        let ends = self.document.relationships.iter();
        let ends = ends.flat_map(|one| [one.spdx_element_id.as_str(), one.related_spdx_element.as_str()]);
        let unknown: BTreeSet<&str> = ends.filter(|id| !known.contains(id)).collect();
        wrong
            .extend(unknown.into_iter().map(|id| format!("a relationship names `{id}`, which is not there")));
        wrong
    }

    /// The image's files are those of the manifest, and the manifest itself.
    fn files(&self) -> Vec<String> {
        let members = self.manifest().members.iter().map(|member| (member_id(&member.name), member.sha256));
        let mut expected: BTreeMap<String, Option<Digest>> =
            members.map(|(id, sha256)| (id, Some(sha256))).collect();
        expected.insert(member_id(crate::image::name::MANIFEST), None);
        let image =
            self.document.relationships.iter().find(|one| one.relationship_type == Relation::Describes);
        let image = image.map(|one| one.related_spdx_element.as_str());
        let contained: BTreeSet<&str> = self.related(image.unwrap_or_default(), Relation::Contains).collect();
        let mut wrong = Vec::new();
        for (id, sha256) in &expected {
            let file = self.document.files.iter().find(|file| file.id == *id);
            let same = |file: &crate::publish::sbom::spdx::File| {
                sha256.is_none_or(|sha256| file.checksums.contains(&Checksum::sha256(sha256)))
            };
            match file {
                Some(file) if !same(file) => {
                    wrong.push(format!("`{}` has another digest than in the manifest", file.file_name));
                }
                Some(_) if contained.contains(id.as_str()) => {}
                _ => wrong.push(format!("`{id}` is not among the files of the image")),
            }
        }
        let others = contained.into_iter().filter(|id| !expected.contains_key(*id));
        wrong.extend(others.map(|id| format!("`{id}` is no file of the image")));
        wrong
    }

    fn related<'s>(&'s self, one: &'s str, relation: Relation) -> impl Iterator<Item = &'s str> {
        let related = move |it: &&Relationship| it.spdx_element_id == one && it.relationship_type == relation;
        self.document.relationships.iter().filter(related).map(|one| one.related_spdx_element.as_str())
    }

    fn package(&self, kind: &str, name: &str) -> Option<&Package> {
        let prefix = format!("SPDXRef-{kind}-");
        self.document.packages.iter().find(|one| one.name == name && one.id.starts_with(&prefix))
    }

    /// Kernel, overlays, tools and crates are there.
    fn parts(&self) -> Vec<String> {
        let manifest = self.manifest();
        let mut wrong = Vec::new();
        let mut expect = |kind: &str, name: &str, version: Option<&str>| match self.package(kind, name) {
            None => wrong.push(format!("`{name}` is missing")),
            Some(package) => {
                let is = package.version_info.as_deref();
                if let Some(version) = version.filter(|version| is != Some(*version)) {
                    wrong.push(format!("`{name}` is of version {}, not {version}", is.unwrap_or("none")));
                }
            }
        };
        if manifest.target != Target::Process {
            match &manifest.kernel.prebuilt {
                Some(_) => expect("Kernel", "prebuilt kernel", None),
                None => {
                    expect("Kernel", "seL4", Some(&manifest.kernel.version));
                    let overlays = manifest.inputs.iter().filter(|(_, one)| one.kind == InputKind::Overlay);
                    overlays.for_each(|(name, _)| expect("Overlay", name, None));
                }
            }
        }
        for package in source::packages(manifest) {
            expect("SourcePackage", &package.name, Some(&package.version));
        }
        for (name, tool) in &manifest.tools {
            expect("Tool", name, tool.version.lines().next());
        }
        if manifest.process.is_some() {
            expect("Crate", "selkie-tender", None);
        }
        wrong
    }

    /// The archives that it names are there, and are what it says.
    fn archives(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for package in &self.document.packages {
            let Some(file) = &package.package_file_name else { continue };
            let same =
                |found: &crate::publish::Found| package.checksums.contains(&Checksum::sha256(found.sha256));
            match self.published.files.get(file) {
                None => wrong.push(format!("it names `{file}`, which is not there")),
                Some(found) if !same(found) => wrong.push(format!("`{file}` is not the file that it names")),
                Some(_) => {}
            }
        }
        wrong
    }
}

//! The source package that a program is compiled from: its very files, as the distribution has them.

use super::{
    DESCRIPTION, Description, Error, MOST, SourceArchive, Subject,
    pack::{self, Nodes},
    plain,
};
use crate::{
    Context, Digest, Result, files,
    image::Manifest,
    inputs::{
        debian::{self, File, Package},
        tree::Node,
    },
    plan::{InputKind, SOURCE_PACKAGE},
    publish::statement,
    recipe::RootTaskSource,
    template,
};
use serde::Serialize;
use std::{collections::BTreeMap, path::Path};

/// Where the package's files lie in the archive.
const FOLDER: &str = "package";

const README: &str = include_str!("../../../../templates/publish/source-package.md.hbs");

#[derive(Serialize)]
struct Readme<'a> {
    name: &'a str,
    version: &'a str,
    dsc: &'a str,
    files: &'a [File],
}

/// The archive with the source package of `subject`; none when its program is not from one.
pub(super) fn archive(ctx: &Context<'_>, subject: &Subject<'_>) -> Result<Option<SourceArchive>> {
    let plan = subject.plan;
    let RootTaskSource::Package(source) = &plan.recipe.source else { return Ok(None) };
    let package = &source.package;
    let (dsc, described) = debian::whole(ctx, package).map_err(Error::from)?;
    let size = described.iter().map(|file| file.size).sum::<u64>();
    // The rest of the archive is small.
    if size > MOST / 2 {
        let Package { name, version, .. } = package.clone();
        return Err(Error::LargePackage { name, version, size }.into());
    }
    let paths = described.iter().map(|file| dsc.with_file_name(&file.name)).chain([dsc.clone()]);
    let mut contents = BTreeMap::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        contents.insert(name, files::read(&path).map_err(Error::from)?);
    }
    let license = plan.recipe.function.license.as_deref();
    Ok(Some(packed(package, license, contents, plan.epoch)?))
}

/// The archive with the files of `package`, by their names.
fn packed(
    package: &Package,
    license: Option<&str>,
    contents: BTreeMap<String, Vec<u8>>,
    epoch: u64,
) -> Result<SourceArchive, Error> {
    let Package { name, version, sha256 } = package;
    let listed = contents.iter().map(|(name, content)| File {
        name: name.clone(),
        size: content.len() as u64,
        sha256: Digest::of(content),
    });
    let files: Vec<_> = listed.collect();
    let dsc = contents.keys().find(|name| name.ends_with(".dsc")).map_or("", String::as_str);
    let readme = template::render(README, &Readme { name, version, dsc, files: &files });
    let (name, version) = (name.clone(), version.clone());
    let top = plain(&format!("{name}-{version}"));
    let description = Description::SourcePackage { name, version, sha256: *sha256, files };
    let mut nodes: Nodes = [
        ("README.md".into(), pack::text(readme)),
        (DESCRIPTION.into(), pack::text(statement::text(&description))),
    ]
    .into();
    nodes.extend(
        contents.into_iter().map(|(name, content)| (Path::new(FOLDER).join(name), pack::text(content))),
    );
    let content =
        pack::pack(&top, &nodes, epoch).map_err(|source| Error::Pack { component: top.clone(), source })?;
    Ok(SourceArchive::new(top, license.unwrap_or("NOASSERTION"), description, content))
}

/// The source packages that an image is made from, as its manifest names them.
pub(in super::super) fn of(manifest: &Manifest) -> impl Iterator<Item = Package> {
    let inputs = manifest.inputs.iter().filter(|(_, one)| one.kind == InputKind::SourcePackage);
    inputs.map(|(name, input)| Package {
        name: name.strip_prefix(SOURCE_PACKAGE).unwrap_or(name).to_owned(),
        version: input.version.clone().unwrap_or_default(),
        sha256: input.digest,
    })
}

/// What is wrong with the files of `package` in an archive, which says that they are `listed`.
pub(super) fn check(nodes: &Nodes, package: &Package, listed: &[File]) -> Vec<String> {
    let there = nodes.iter().filter_map(|(path, node)| {
        let name = path.strip_prefix(FOLDER).ok()?.to_str()?.to_owned();
        let Node::File { content, .. } = node else { return Some((name, None)) };
        Some((name, Some(content.as_slice())))
    });
    let there: BTreeMap<_, _> = there.collect();
    let is = |file: &File, content: Option<&[u8]>| {
        content.is_some_and(|content| (content.len() as u64, Digest::of(content)) == (file.size, file.sha256))
    };
    let dsc = there.values().flatten().find(|content| Digest::of(content) == package.sha256);
    let Some(dsc) = dsc else {
        return vec![format!("the description with the digest {} is not in it", package.sha256)];
    };
    let described = match debian::described(package, dsc) {
        Ok(files) => files,
        Err(fault) => return vec![format!("the description of the source package: {fault}")],
    };
    let lacking = described.iter().filter(|file| !is(file, there.get(&file.name).copied().flatten()));
    let mut wrong: Vec<_> = lacking
        .map(|file| format!("`{FOLDER}/{}` is not the file that the description names", file.name))
        .collect();
    // The description itself is the one that no description names.
    let said: BTreeMap<_, _> = listed.iter().map(|file| (&file.name, file)).collect();
    let same = said.len() == listed.len()
        && said.len() == there.len()
        && there.len() == described.len() + 1
        && there.iter().all(|(name, content)| said.get(name).is_some_and(|file| is(file, *content)));
    if wrong.is_empty() && !same {
        wrong.push(format!("`{DESCRIPTION}` does not name the files in `{FOLDER}/`, or there are others"));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::{super::check as archives, *};
    use crate::{
        Target,
        image::InputIdentity,
        publish::{Published, sample},
    };

    const ORIG: &str = "mini_2~rc1.orig.tar.xz";

    fn dsc() -> String {
        let (sha256, size) = (Digest::of("tar"), 3);
        format!("Format: 1.0\nSource: mini\nVersion: 1:2~rc1-3\nChecksums-Sha256:\n {sha256} {size} {ORIG}\n")
    }

    fn package() -> Package {
        Package { name: "mini".into(), version: "1:2~rc1-3".into(), sha256: Digest::of(dsc()) }
    }

    fn contents() -> BTreeMap<String, Vec<u8>> {
        [("mini_2~rc1-3.dsc", dsc()), (ORIG, "tar".to_owned())]
            .map(|(name, content)| (name.to_owned(), content.into_bytes()))
            .into()
    }

    /// A process, so that no other source is needed.
    fn manifest() -> Manifest {
        let mut manifest = Manifest { target: Target::Process, ..sample::manifest() };
        let Package { name, version, sha256 } = package();
        let input = InputIdentity { kind: InputKind::SourcePackage, digest: sha256, version: Some(version) };
        manifest.inputs.insert(format!("{SOURCE_PACKAGE}{name}"), input);
        manifest
    }

    fn found(manifest: &Manifest, archive: Option<&SourceArchive>) -> String {
        let files = BTreeMap::new();
        let published = Published { manifest, artifacts: &[], files: &files };
        let archive = archive.map(|one| archives::Archive { file: &one.file, content: &one.content });
        archives::check(&published, &archive.into_iter().collect::<Vec<_>>()).join("\n")
    }

    #[test]
    fn the_files_of_a_source_package_are_packed_and_named() {
        let archive = packed(&package(), Some("MIT"), contents(), 7).unwrap();
        assert_eq!((archive.component.as_str(), archive.license.as_str()), ("mini-1-2-rc1-3", "MIT"));
        assert_eq!(archive, packed(&package(), Some("MIT"), contents(), 7).unwrap());
        let nodes = pack::unpack(&archive.content).unwrap();
        let paths: Vec<_> = nodes.keys().map(|path| path.to_str().unwrap()).collect();
        let (orig, dsc) = (format!("package/{ORIG}"), "package/mini_2~rc1-3.dsc");
        assert_eq!(paths, ["README.md", dsc, &orig, "source.json"]);
        let Node::File { content, .. } = &nodes[Path::new("README.md")] else { panic!("{nodes:?}") };
        let readme = String::from_utf8(content.clone()).unwrap();
        let row = format!("| `{ORIG}` | 3 | `{}` |", Digest::of("tar"));
        assert!(
            readme.contains(&row) && readme.contains("dpkg-source --extract package/mini_2~rc1-3.dsc"),
            "{readme}"
        );
        let Description::SourcePackage { files, .. } = &archive.description else { panic!("{archive:?}") };
        assert_eq!(files.len(), 2);
        assert_eq!(packed(&package(), None, contents(), 7).unwrap().license, "NOASSERTION");
    }

    #[test]
    fn a_source_package_is_held_against_the_manifest() {
        let manifest = manifest();
        assert_eq!(found(&manifest, Some(&packed(&package(), None, contents(), 0).unwrap())), "");
        assert_eq!(
            found(&manifest, None),
            "the source package mini 1:2~rc1-3, which the program is compiled from, is missing"
        );
        let with = |change: fn(&mut Package, &mut BTreeMap<String, Vec<u8>>)| {
            let (mut package, mut contents) = (package(), contents());
            change(&mut package, &mut contents);
            found(&manifest, Some(&packed(&package, None, contents, 0).unwrap()))
        };
        for (said, why) in [
            (with(|_, contents| drop(contents.insert(ORIG.into(), b"rat".to_vec()))), "is not the file that"),
            (with(|_, contents| drop(contents.remove(ORIG))), "is not the file that the description names"),
            (with(|_, contents| drop(contents.insert("x".into(), Vec::new()))), "or there are others"),
            (with(|_, contents| drop(contents.remove("mini_2~rc1-3.dsc"))), "is not in it"),
            (with(|package, _| package.version = "2".into()), "it describes mini 1:2~rc1-3"),
            (with(|package, _| package.version = "2".into()), "which this image is not made from"),
            (with(|package, _| package.sha256 = Digest::of("x")), "mini 1:2~rc1-3, which the program is"),
        ] {
            assert!(said.contains(why), "{why}: {said}");
        }
    }
}

//! An OCI image layout, as `publish` writes it: the image in it, and whether its documents fit.

use super::{
    Error, Kind, Report, archive,
    image_folder::{self, Found},
    printable, read,
};
use crate::{
    Digest, elf,
    image::{self, Role, name},
    publish::oci::{
        self,
        reader::{self, Reader},
        spec,
    },
    verify,
};
use serde::Serialize;
use std::{fmt::Write as _, path::Path};

/// What an OCI image layout says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LayoutReport {
    /// The digest by which registries know it.
    pub manifest: Digest,
    /// What it is: a container image, or an artifact of this type.
    pub artifact_type: Option<String>,
    /// Its layers, the lowest first.
    pub layers: Vec<Layer>,
    /// What is said of it, by names.
    pub annotations: spec::Annotations,
}

/// A layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Layer {
    /// What it is.
    pub media_type: String,
    /// The file that it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Bytes.
    pub size: u64,
    /// The digest of its content, which was compared.
    pub sha256: Digest,
}

/// Whether `dir` is one.
pub(super) fn is_there(dir: &Path) -> bool {
    dir.join(spec::LAYOUT_FILE).is_file()
}

/// Inspects the layout in the folder `dir`.
pub(super) fn inspect(dir: &Path) -> Result<Report, Error> {
    let broken = |fault: reader::Fault| Error::Layout { path: dir.to_owned(), why: fault.to_string() };
    let files = reader::files_of(dir).map_err(broken)?;
    let reader: Reader<'_> =
        files.iter().map(|(name, (path, found))| (name.as_str(), (path.as_path(), *found))).collect();
    let (descriptor, manifest) = reader.manifest().map_err(broken)?;
    let layer = |layer: &spec::Descriptor| Layer {
        media_type: layer.media_type.clone(),
        title: layer.annotations.get(oci::TITLE).cloned(),
        size: layer.size,
        sha256: layer.digest.0,
    };
    let layout = LayoutReport {
        manifest: descriptor.digest.0,
        artifact_type: manifest.artifact_type.clone(),
        layers: manifest.layers.iter().map(layer).collect(),
        annotations: manifest.annotations.clone(),
    };
    let mut report = Report { layout: Some(layout), ..Report::new(dir, Kind::Layout) };
    match manifest.artifact_type {
        Some(_) => artifact(dir, &reader, &manifest, &mut report)?,
        None => container(dir, &reader, &manifest, &mut report)?,
    }
    Ok(report)
}

/// The first layer is the image's archive.
fn container(
    dir: &Path,
    reader: &Reader<'_>,
    manifest: &spec::Manifest,
    report: &mut Report,
) -> Result<(), Error> {
    let broken = |why: String| Error::Layout { path: dir.to_owned(), why };
    let first = manifest.layers.first().ok_or_else(|| broken("it has no layer".to_owned()))?;
    let path = reader.path(first).map_err(|fault| broken(fault.to_string()))?;
    let id = archive::look_into(path, report).map_err(|error| match error {
        Error::Archive { why, .. } => broken(format!("its first layer is no archive of an image: {why}")),
        error => error,
    })?;
    if report.problems.is_empty() {
        let found = crate::publish::Found { sha256: first.digest.0, size: first.size };
        let image = verify::image::Image::read(path, &id).map_err(|fault| fault.to_string());
        let checked = image.and_then(|image| {
            verify::layout::check(reader, &image, found).map_err(|fault| fault.to_string())
        });
        report.problems.extend(checked.err());
    }
    Ok(())
}

/// Each layer is a file of the image.
fn artifact(
    dir: &Path,
    reader: &Reader<'_>,
    manifest: &spec::Manifest,
    report: &mut Report,
) -> Result<(), Error> {
    let broken = |why: String| Error::Layout { path: dir.to_owned(), why };
    let titled = |title: &str| {
        let same =
            |layer: &&spec::Descriptor| layer.annotations.get(oci::TITLE).is_some_and(|one| one == title);
        manifest.layers.iter().find(same)
    };
    let layer = titled(name::MANIFEST).ok_or_else(|| broken("no layer is a manifest.json".to_owned()))?;
    let path = reader.path(layer).map_err(|fault| broken(fault.to_string()))?;
    let text = read(path, image::MAX_MANIFEST)?;
    let image: image::Manifest = serde_json::from_slice(&text)
        .map_err(|error| broken(format!("the layer manifest.json is none: {error}")))?;
    let listed = |title: &str| title == name::MANIFEST || image.members.iter().any(|one| one.name == title);
    for layer in &manifest.layers {
        match layer.annotations.get(oci::TITLE) {
            Some(title) if listed(title) => {}
            Some(title) => {
                report
                    .problems
                    .push(format!("the layer {} does not stand in the manifest", printable(title)));
            }
            None => report.problems.push(format!("the layer {} has no title", layer.digest.0)),
        }
    }
    image_folder::add_members(report, image, |member| {
        let layer = titled(&member.name);
        let layer = layer.ok_or_else(|| format!("no layer is {}", printable(&member.name)))?;
        let path = reader.path(layer).map_err(|fault| fault.to_string())?;
        let limit = match member.role {
            Role::Iso | Role::Disk => super::medium::MOST,
            _ => elf::MAX_FILE,
        };
        let content = read(path, limit).map_err(|error| error.to_string())?;
        Ok(Found { size: content.len() as u64, sha256: Digest::of(&content), content: Some(content) })
    });
    Ok(())
}

/// What the layout says, for a reader.
pub(super) fn render(out: &mut String, layout: &LayoutReport) -> std::fmt::Result {
    let kind = layout.artifact_type.as_deref().map_or("container image".into(), printable);
    writeln!(out, "layout:    {kind}, manifest sha256:{}", layout.manifest)?;
    for Layer { media_type, title, size, sha256 } in &layout.layers {
        let title = title.as_deref().map_or(String::new(), |title| format!("  {}", printable(title)));
        writeln!(out, "  layer    {size:>9}  {sha256}  {}{title}", printable(media_type))?;
    }
    let mut said = layout.annotations.iter();
    said.try_for_each(|(name, value)| writeln!(out, "  {}={}", printable(name), printable(value)))
}

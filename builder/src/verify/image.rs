//! An image's archive against the manifest in it.

use super::tarball::{self, Archive};
use crate::{
    image::{MAX_MANIFEST, Manifest, Role, name},
    inspect::printable,
    publish::id,
};
use std::path::Path;

/// An image, read from its archive.
pub(crate) struct Image {
    /// What it says that it is made of; all of it was found so.
    pub(crate) manifest: Manifest,
    /// What the archive holds.
    pub(crate) archive: Archive,
}

/// Why an archive is no image that was published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Archive(#[from] tarball::Fault),
    #[error("there is no {id}/manifest.json in it")]
    NoManifest { id: String },
    #[error("its manifest.json is none: {source}")]
    Manifest { source: serde_json::Error },
    #[error("its manifest.json has format {0}; this version reads format 1")]
    Format(u32),
    #[error("it holds the image {0}, which its name does not say")]
    Name(String),
    #[error("its files have another time than its manifest.json")]
    Time,
    #[error("`{0}` stands in its manifest.json, and there is no such file")]
    Missing(String),
    #[error("`{0}` is not as its manifest.json says")]
    Differs(String),
    #[error("`{0}` does not stand in its manifest.json")]
    Extra(String),
    #[error("its manifest.json says of the root task another digest than that of its file")]
    RootTask,
}

impl Image {
    /// Reads the archive `path` of the image `id`.
    pub(crate) fn read(path: &Path, id: &str) -> Result<Self, Fault> {
        let manifest_file = format!("{id}/{}", name::MANIFEST);
        let archive = tarball::read(path, |name| (name == manifest_file).then_some(MAX_MANIFEST))?;
        let content = archive.files.get(&manifest_file).and_then(|member| member.content.as_deref());
        let content = content.ok_or_else(|| Fault::NoManifest { id: id.to_owned() })?;
        let manifest: Manifest =
            serde_json::from_slice(content).map_err(|source| Fault::Manifest { source })?;
        let image = Self { manifest, archive };
        image.check(id)?;
        Ok(image)
    }

    fn check(&self, id: &str) -> Result<(), Fault> {
        let Self { manifest, archive } = self;
        if manifest.format != 1 {
            return Err(Fault::Format(manifest.format));
        }
        if self::id(&manifest.name, manifest.target) != id {
            return Err(Fault::Name(printable(&self::id(&manifest.name, manifest.target))));
        }
        if archive.mtime != Some(manifest.epoch) {
            return Err(Fault::Time);
        }
        for member in &manifest.members {
            let found = archive.files.get(&format!("{id}/{}", member.name));
            let found = found.ok_or_else(|| Fault::Missing(printable(&member.name)))?;
            let executable = matches!(member.role, Role::Executable | Role::Script);
            if (found.size, found.sha256, found.executable) != (member.size, member.sha256, executable) {
                return Err(Fault::Differs(member.name.clone()));
            }
            if member.role == Role::RootTask && member.sha256 != manifest.root_task.sha256 {
                return Err(Fault::RootTask);
            }
        }
        let listed = |path: &str| {
            let name = path.strip_prefix(id).and_then(|rest| rest.strip_prefix('/'));
            name.is_some_and(|name| {
                name == name::MANIFEST || manifest.members.iter().any(|member| member.name == name)
            })
        };
        match archive.files.keys().find(|path| !listed(path)) {
            Some(path) => Err(Fault::Extra(path.clone())),
            None => Ok(()),
        }
    }

    /// One line about it.
    pub(crate) fn summary(&self) -> String {
        let Manifest { version, kernel, members, .. } = &self.manifest;
        let (version, config) = (printable(version), printable(&kernel.config));
        let verified = kernel.verified;
        format!(
            "version {version}, {} files as its manifest says, kernel {config}, verified configuration: {verified}",
            members.len() + 1
        )
    }
}

//! Reads an OCI image layout that somebody else may have made.

use super::spec::{self, Descriptor, Index, Layout, Manifest};
use crate::{
    Digest, files,
    inspect::printable,
    publish::{self, Found, folder},
};
use serde::de::DeserializeOwned;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// A document in a layout has at most this many bytes.
const MOST: u64 = 4 << 20;
/// A layout by itself has at most this many bytes: more than its archive, and the files of it.
const MOST_BLOB: u64 = 1 << 30;

/// Why a folder is no layout that was published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("`{0}` is not there")]
    Missing(String),
    #[error("`{file}` cannot be read: {fault}")]
    Read { file: String, fault: String },
    #[error("`{0}` is not what this version writes there")]
    Version(&'static str),
    #[error("`{0}` has another size than is said where it is named")]
    Size(String),
    #[error("`{0}` is not named by its content")]
    Blob(String),
    #[error("`{0}` is not needed")]
    Stray(String),
    #[error("`{0}` has more than {MOST_BLOB} bytes")]
    Large(String),
    /// Something that no published folder has.
    #[error("{0}")]
    Folder(String),
}

/// The files of a layout.
pub(crate) struct Reader<'a> {
    /// By their path in it.
    files: BTreeMap<&'a str, (&'a Path, Found)>,
}

impl<'a> FromIterator<(&'a str, (&'a Path, Found))> for Reader<'a> {
    fn from_iter<I: IntoIterator<Item = (&'a str, (&'a Path, Found))>>(files: I) -> Self {
        Self { files: files.into_iter().collect() }
    }
}

/// Every file of a layout that lies by itself in the folder `dir`, read once.
pub(crate) fn files_of(dir: &Path) -> Result<BTreeMap<String, (PathBuf, Found)>, Fault> {
    let paths = folder::list(dir).map_err(|error: publish::Error| {
        // Names that are refused reach the terminal.
        Fault::Folder(printable(&error.to_string()))
    })?;
    let mut files = BTreeMap::new();
    for (name, path) in paths {
        let fault = |error: std::io::Error| Fault::Read { file: name.clone(), fault: error.to_string() };
        let size = fs::metadata(&path).map_err(fault)?.len();
        if size > MOST_BLOB {
            return Err(Fault::Large(name));
        }
        let sha256 = Digest::of_file(&path).map_err(fault)?;
        files.insert(name, (path, Found { sha256, size }));
    }
    Ok(files)
}

impl Reader<'_> {
    /// The one manifest of the layout and where it is named. Every blob is named by its content, and nothing lies there
    /// but what the manifest leads to.
    pub(crate) fn manifest(&self) -> Result<(Descriptor, Manifest), Fault> {
        self.blobs()?;
        let layout: Layout = self.json(spec::LAYOUT_FILE)?;
        if layout.image_layout_version != spec::LAYOUT_VERSION {
            return Err(Fault::Version(spec::LAYOUT_FILE));
        }
        let index: Index = self.json(spec::INDEX_FILE)?;
        let [descriptor] = index.manifests.as_slice() else { return Err(Fault::Version(spec::INDEX_FILE)) };
        if (index.schema_version, index.media_type.as_str()) != (2, spec::INDEX)
            || descriptor.media_type != spec::MANIFEST
        {
            return Err(Fault::Version(spec::INDEX_FILE));
        }
        let manifest: Manifest = self.document(descriptor)?;
        if (manifest.schema_version, manifest.media_type.as_str()) != (2, spec::MANIFEST) {
            return Err(Fault::Version("the manifest"));
        }
        for layer in &manifest.layers {
            self.path(layer)?;
        }
        self.stray(descriptor, &manifest)?;
        Ok((descriptor.clone(), manifest))
    }

    fn blobs(&self) -> Result<(), Fault> {
        for (path, (_, found)) in &self.files {
            let Some(blob) = path.strip_prefix("blobs/") else { continue };
            if blob.strip_prefix("sha256/") != Some(&found.sha256.to_string()) {
                return Err(Fault::Blob((*path).to_owned()));
            }
        }
        Ok(())
    }

    fn stray(&self, descriptor: &Descriptor, manifest: &Manifest) -> Result<(), Fault> {
        let blobs = [descriptor, &manifest.config].into_iter().chain(&manifest.layers);
        let mut needed: BTreeSet<String> = blobs.map(|blob| spec::blob(blob.digest.0)).collect();
        needed.extend([spec::LAYOUT_FILE, spec::INDEX_FILE].map(str::to_owned));
        match self.files.keys().find(|path| !needed.contains(**path)) {
            Some(path) => Err(Fault::Stray((*path).to_owned())),
            None => Ok(()),
        }
    }

    /// Where a blob lies, which is there and has the size that is said.
    pub(crate) fn path(&self, descriptor: &Descriptor) -> Result<&Path, Fault> {
        let file = spec::blob(descriptor.digest.0);
        match self.files.get(file.as_str()) {
            None => Err(Fault::Missing(file)),
            Some((_, found)) if found.size != descriptor.size => Err(Fault::Size(file)),
            Some((path, _)) => Ok(path),
        }
    }

    /// The document in a blob.
    pub(crate) fn document<T: DeserializeOwned>(&self, descriptor: &Descriptor) -> Result<T, Fault> {
        self.path(descriptor)?;
        self.json(&spec::blob(descriptor.digest.0))
    }

    fn json<T: DeserializeOwned>(&self, file: &str) -> Result<T, Fault> {
        let (path, _) = self.files.get(file).ok_or_else(|| Fault::Missing(file.to_owned()))?;
        let fault = |fault: String| Fault::Read { file: file.to_owned(), fault: printable(&fault) };
        let content = files::read_at_most(path, MOST).map_err(|error| fault(error.source.to_string()))?;
        serde_json::from_slice(&content).map_err(|error| fault(error.to_string()))
    }
}

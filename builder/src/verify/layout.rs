//! An OCI image layout against the archive beside it.

use super::{
    Bundle,
    image::Image,
    tarball::{self, Archive},
};
use crate::{
    Digest, Target, files,
    image::Role,
    inspect::printable,
    publish::{
        Found, id,
        oci::{self, spec, urunc},
    },
};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde::de::DeserializeOwned;
use spec::{Annotations, Config, Descriptor, Index, Layout, Manifest};
use std::collections::BTreeSet;

/// A document in a layout has at most this many bytes.
const MOST: u64 = 4 << 20;

/// Why a layout is not the archive in another form.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
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
    #[error("its type is not that of an image for {0}")]
    Type(Target),
    #[error("its layers are not those of the archive")]
    Layers,
    #[error("its configuration names other layers than its manifest")]
    DiffIds,
    #[error("its configuration is not that of an image for {0}: {1}")]
    Config(Target, &'static str),
    #[error("what urunc is told is {0}")]
    Urunc(String),
}

/// Checks the layout `name` against `image`, whose archive is `archive`. Gives the digest of its manifest.
pub(super) fn check(bundle: &Bundle, name: &str, image: &Image, archive: Found) -> Result<Digest, Fault> {
    let reader = Reader { bundle, name };
    reader.blobs()?;
    let layout: Layout = reader.json(spec::LAYOUT_FILE)?;
    if layout.image_layout_version != spec::LAYOUT_VERSION {
        return Err(Fault::Version(spec::LAYOUT_FILE));
    }
    let index: Index = reader.json(spec::INDEX_FILE)?;
    let [descriptor] = index.manifests.as_slice() else { return Err(Fault::Version(spec::INDEX_FILE)) };
    if (index.schema_version, index.media_type.as_str()) != (2, spec::INDEX)
        || descriptor.media_type != spec::MANIFEST
    {
        return Err(Fault::Version(spec::INDEX_FILE));
    }
    let manifest: Manifest = reader.document(descriptor)?;
    if (manifest.schema_version, manifest.media_type.as_str()) != (2, spec::MANIFEST) {
        return Err(Fault::Version("the manifest"));
    }
    for layer in &manifest.layers {
        reader.path(layer)?;
    }
    reader.stray(descriptor, &manifest)?;
    match image.manifest.target {
        Target::BareMetal => artifact(&reader, &manifest, image)?,
        Target::Qemu | Target::Process => container(&reader, &manifest, image, archive)?,
    }
    Ok(descriptor.digest.0)
}

/// Every file of the image is one layer, as it is.
fn artifact(reader: &Reader<'_>, manifest: &Manifest, image: &Image) -> Result<(), Fault> {
    let target = image.manifest.target;
    if manifest.artifact_type.as_deref() != Some(oci::BARE_METAL) || manifest.config.media_type != spec::EMPTY
    {
        return Err(Fault::Type(target));
    }
    reader.path(&manifest.config)?;
    let id = id(&image.manifest.name, target);
    let layers = manifest.layers.iter().map(|layer| {
        let title = layer.annotations.get(oci::TITLE).map(|title| format!("{id}/{title}"));
        Some((title?, layer.size, layer.digest.0))
    });
    let layers: Option<Vec<_>> = layers.collect();
    let members = image.archive.files.iter().map(|(path, member)| (path.clone(), member.size, member.sha256));
    if layers == Some(members.collect()) { Ok(()) } else { Err(Fault::Layers) }
}

/// The first layer is the archive; on target `qemu` a second tells urunc how to start it.
fn container(reader: &Reader<'_>, manifest: &Manifest, image: &Image, archive: Found) -> Result<(), Fault> {
    let target = image.manifest.target;
    if manifest.artifact_type.is_some() || manifest.config.media_type != spec::CONFIG {
        return Err(Fault::Type(target));
    }
    let config: Config = reader.document(&manifest.config)?;
    let (first, told) = match (target, manifest.layers.as_slice()) {
        (Target::Qemu, [first, told]) => (first, Some(reader.archive(told)?)),
        (Target::Process, [first]) => (first, None),
        _ => return Err(Fault::Layers),
    };
    if first.digest.0 != archive.sha256 || manifest.layers.iter().any(|layer| layer.media_type != spec::LAYER)
    {
        return Err(Fault::Layers);
    }
    let tars = [image.archive.tar, told.as_ref().and_then(|told| told.tar)];
    if !config.rootfs.diff_ids.iter().map(|id| Some(id.0)).eq(tars.into_iter().filter(Option::is_some)) {
        return Err(Fault::DiffIds);
    }
    let wrong = |what| Err(Fault::Config(target, what));
    if (config.architecture.as_str(), config.os.as_str()) != ("amd64", "linux") {
        return wrong("another platform");
    }
    if config.config.labels != manifest.annotations {
        return wrong("other labels than the manifest's annotations");
    }
    match told {
        None => {
            let executable = format!("/{}/{}", id(&image.manifest.name, target), image.manifest.name);
            if config.config.entrypoint != [executable] || !config.config.cmd.is_empty() {
                return wrong("it starts another program than the image's");
            }
            if config.config.user != oci::NOBODY {
                return wrong("it runs as another user than nobody");
            }
            Ok(())
        }
        Some(told) => urunc(&told, &manifest.annotations, image),
    }
}

/// What urunc is told by annotations and by its file is the same, and starts this image.
fn urunc(told: &Archive, annotations: &Annotations, image: &Image) -> Result<(), Fault> {
    let wrong = |what: &str| Err(Fault::Urunc(what.to_owned()));
    let [(urunc::FILE, file)] =
        &told.files.iter().map(|(name, file)| (name.as_str(), file)).collect::<Vec<_>>()[..]
    else {
        return wrong("not in one file of the second layer");
    };
    let content = file.content.as_deref().unwrap_or_default();
    let Ok(encoded) = serde_json::from_slice::<Annotations>(content) else {
        return wrong("no table of texts");
    };
    let decode = |text: &String| String::from_utf8(BASE64_STANDARD.decode(text).ok()?).ok();
    let decoded: Option<Annotations> =
        encoded.iter().map(|(key, value)| Some((key.clone(), decode(value)?))).collect();
    let told = annotations.iter().filter(|(key, _)| key.starts_with(urunc::PREFIX));
    if decoded != Some(told.map(|(key, value)| (key.clone(), value.clone())).collect()) {
        return wrong("not the same in its file and in the annotations");
    }
    let id = id(&image.manifest.name, image.manifest.target);
    for (word, role) in [("binary", Role::Kernel), ("initrd", Role::RootTask)] {
        let member = image.manifest.members.iter().find(|member| member.role == role);
        let path = member.map(|member| format!("/{id}/{}", member.name));
        if annotations.get(&urunc::key(word)) != path.as_ref() {
            return wrong(&format!("to start something else: `{word}` is not the image's"));
        }
    }
    Ok(())
}

/// Reads a layout.
struct Reader<'a> {
    bundle: &'a Bundle,
    /// Its folder.
    name: &'a str,
}

impl Reader<'_> {
    fn full(&self, file: &str) -> String {
        format!("{}/{file}", self.name)
    }

    /// That every blob is named by its content.
    fn blobs(&self) -> Result<(), Fault> {
        let prefix = self.full("blobs/");
        let blobs =
            self.bundle.found.iter().filter_map(|(path, found)| Some((path.strip_prefix(&prefix)?, found)));
        for (path, found) in blobs {
            if path.strip_prefix("sha256/") != Some(&found.sha256.to_string()) {
                return Err(Fault::Blob(format!("blobs/{path}")));
            }
        }
        Ok(())
    }

    /// That nothing lies there but what is needed.
    fn stray(&self, descriptor: &Descriptor, manifest: &Manifest) -> Result<(), Fault> {
        let blobs = [descriptor, &manifest.config].into_iter().chain(&manifest.layers);
        let mut needed: BTreeSet<String> = blobs.map(|blob| self.full(&spec::blob(blob.digest.0))).collect();
        needed.extend([spec::LAYOUT_FILE, spec::INDEX_FILE].map(|file| self.full(file)));
        let prefix = self.full("");
        match self.bundle.found.keys().find(|path| path.starts_with(&prefix) && !needed.contains(*path)) {
            Some(path) => Err(Fault::Stray(path[prefix.len()..].to_owned())),
            None => Ok(()),
        }
    }

    /// The path of a blob, which is there and has the size that is said.
    fn path(&self, descriptor: &Descriptor) -> Result<String, Fault> {
        let file = spec::blob(descriptor.digest.0);
        match self.bundle.found.get(&self.full(&file)) {
            None => Err(Fault::Missing(file)),
            Some(found) if found.size != descriptor.size => Err(Fault::Size(file)),
            Some(_) => Ok(file),
        }
    }

    fn document<T: DeserializeOwned>(&self, descriptor: &Descriptor) -> Result<T, Fault> {
        self.json(&self.path(descriptor)?)
    }

    fn json<T: DeserializeOwned>(&self, file: &str) -> Result<T, Fault> {
        let path = self.bundle.paths.get(&self.full(file)).ok_or_else(|| Fault::Missing(file.to_owned()))?;
        let fault = |fault: String| Fault::Read { file: file.to_owned(), fault: printable(&fault) };
        let content = files::read_at_most(path, MOST).map_err(|error| fault(error.source.to_string()))?;
        serde_json::from_slice(&content).map_err(|error| fault(error.to_string()))
    }

    /// A layer that is small.
    fn archive(&self, descriptor: &Descriptor) -> Result<Archive, Fault> {
        let file = self.path(descriptor)?;
        let path = self.bundle.paths.get(&self.full(&file)).ok_or_else(|| Fault::Missing(file.clone()))?;
        tarball::read(path, |_| Some(MOST)).map_err(|fault| Fault::Read { file, fault: fault.to_string() })
    }
}

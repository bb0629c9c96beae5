//! An OCI image layout against the archive beside it.

use super::{
    image::Image,
    tarball::{self, Archive},
};
use crate::{
    Digest, Target,
    image::Role,
    publish::{
        Found, id,
        oci::{
            self,
            reader::{self, Reader},
            spec, urunc,
        },
    },
};
use base64::prelude::{BASE64_STANDARD, Engine};
use spec::{Annotations, Config, Descriptor, Manifest};

/// A file of the second layer has at most this many bytes.
const MOST: u64 = 4 << 20;

/// Why a layout is not the archive in another form.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Reader(#[from] reader::Fault),
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

/// Checks the layout that `reader` reads against `image`, whose archive is `archive`. Gives the digest of its manifest.
pub(crate) fn check(reader: &Reader<'_>, image: &Image, archive: Found) -> Result<Digest, Fault> {
    let (descriptor, manifest) = reader.manifest()?;
    match image.manifest.target {
        Target::BareMetal => artifact(reader, &manifest, image)?,
        Target::Qemu | Target::Process => container(reader, &manifest, image, archive)?,
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
        (Target::Qemu, [first, told]) => (first, Some(small(reader, told)?)),
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

/// A layer that is small.
fn small(reader: &Reader<'_>, descriptor: &Descriptor) -> Result<Archive, Fault> {
    let path = reader.path(descriptor)?;
    tarball::read(path, |_| Some(MOST)).map_err(|fault| {
        let file = spec::blob(descriptor.digest.0);
        reader::Fault::Read { file, fault: fault.to_string() }.into()
    })
}

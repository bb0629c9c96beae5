//! An image as an OCI image layout, the form that registries and container engines take.
//!
//! - `process`: a container from nothing, whose entry point is the image's executable. Its one layer is the
//!   published archive, to the last byte.
//! - `qemu`: a container likewise, which urunc boots; a second layer tells it how, see [`urunc`].
//! - `bare-metal`: no container but an artifact, whose layers are the image's files as they are.

pub(crate) mod reader;
pub mod spec;
pub mod urunc;

use super::{
    archive::{File, Files, Packed},
    id, time,
};
use crate::{
    Digest, Target,
    image::{Manifest, Role},
};
use serde::Serialize;
use spec::{
    Annotations, Config, Descriptor, Execution, History, Index, Layout, Platform, RootFs, Sha256, blob,
};
use std::{collections::BTreeMap, io};

/// The type of a bare-metal image.
pub const BARE_METAL: &str = "application/vnd.selkie.bare-metal.v1";
/// The annotation that names the file that a layer of an artifact is.
pub const TITLE: &str = "org.opencontainers.image.title";
/// The annotation that names an image in an index.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// User and group that own nothing.
pub const NOBODY: &str = "65534:65534";

/// The files of an OCI image layout, by their path in it.
pub type Blobs = BTreeMap<String, Vec<u8>>;

/// The layout of the image that `manifest` describes: `files` are its members, `packed` is the archive of them. With it,
/// the digest of the layout's manifest, by which registries know it.
///
/// # Errors
/// None that memory could make.
pub fn layout(manifest: &Manifest, files: &Files, packed: &Packed) -> io::Result<(Blobs, Digest)> {
    let mut writer = Writer::default();
    let image = match manifest.target {
        Target::BareMetal => writer.artifact(manifest, files),
        Target::Process => {
            let entrypoint = vec![format!("/{}/{}", id(&manifest.name, manifest.target), manifest.name)];
            let execution = Execution { user: NOBODY.into(), entrypoint, ..Execution::default() };
            writer.container(manifest, common(manifest), execution, &[packed])
        }
        Target::Qemu => {
            let words = urunc::annotations(manifest);
            let file = File { content: urunc::file(&words), executable: false };
            let told = Packed::of(&[(urunc::FILE.to_owned(), file)].into(), manifest.epoch)?;
            // Engines ask for something to start; urunc passes it on as the kernel's command line.
            let execution = Execution { cmd: vec![manifest.name.clone()], ..Execution::default() };
            let annotations = common(manifest).into_iter().chain(words).collect();
            writer.container(manifest, annotations, execution, &[packed, &told])
        }
    };
    let digest = image.digest.0;
    Ok((writer.done(&manifest.version, image), digest))
}

/// What is said of every image, in the words of the specification.
fn common(manifest: &Manifest) -> Annotations {
    let function = &manifest.recipe["function"];
    let text = |key: &str| function[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let words = [
        ("title", Some(manifest.name.clone())),
        ("version", Some(manifest.version.clone())),
        ("description", text("description")),
        ("created", Some(time::rfc3339(manifest.epoch))),
    ];
    let words = words.into_iter().filter_map(|(key, value)| Some((key, value?)));
    words.map(|(key, value)| (format!("org.opencontainers.image.{key}"), value)).collect()
}

/// The media type of a member of an artifact.
fn media_type(role: Role) -> &'static str {
    match role {
        Role::Kernel => "application/vnd.selkie.kernel.v1",
        Role::RootTask => "application/vnd.selkie.root-task.v1",
        Role::Executable => "application/vnd.selkie.executable.v1",
        Role::Script => "application/vnd.selkie.script.v1",
        Role::Iso => "application/vnd.selkie.iso.v1",
        Role::Disk => "application/vnd.selkie.disk.v1",
        Role::Netboot => "application/vnd.selkie.netboot.v1",
        Role::Recipe => "application/vnd.selkie.recipe.v1+toml",
        Role::Manifest => "application/vnd.selkie.manifest.v1+json",
    }
}

/// A document, with its maps sorted and without spaces.
fn json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).unwrap_or_default()
}

/// Collects blobs.
#[derive(Default)]
struct Writer {
    blobs: Blobs,
}

impl Writer {
    fn blob(&mut self, media_type: &str, content: Vec<u8>) -> Descriptor {
        let (digest, size) = (Digest::of(&content), content.len() as u64);
        self.blobs.insert(blob(digest), content);
        Descriptor {
            media_type: media_type.to_owned(),
            artifact_type: None,
            digest: Sha256(digest),
            size,
            annotations: Annotations::new(),
            platform: None,
        }
    }

    /// A container of these layers.
    fn container(
        &mut self,
        manifest: &Manifest,
        annotations: Annotations,
        execution: Execution,
        layers: &[&Packed],
    ) -> Descriptor {
        let platform = Platform { architecture: "amd64".into(), os: "linux".into() };
        let created = time::rfc3339(manifest.epoch);
        let history = History { created: created.clone(), created_by: "cargo xtask publish".into() };
        let config = Config {
            created,
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            config: Execution { working_dir: "/".into(), labels: annotations.clone(), ..execution },
            rootfs: RootFs {
                kind: "layers".into(),
                diff_ids: layers.iter().map(|layer| Sha256(layer.tar)).collect(),
            },
            history: vec![history; layers.len()],
        };
        let layers = layers.iter().map(|layer| self.blob(spec::LAYER, layer.content.clone())).collect();
        let config = self.blob(spec::CONFIG, json(&config));
        let image = self.manifest(None, config, layers, annotations);
        Descriptor { platform: Some(platform), ..image }
    }

    /// Every file a layer, and the manifest.
    fn artifact(&mut self, manifest: &Manifest, files: &Files) -> Descriptor {
        let config = self.blob(spec::EMPTY, b"{}".to_vec());
        let layers = files.iter().map(|(name, file)| {
            let member = manifest.members.iter().find(|member| member.name == *name);
            let role = member.map_or(Role::Manifest, |member| member.role);
            let annotations = [(TITLE.to_owned(), name.clone())].into();
            Descriptor { annotations, ..self.blob(media_type(role), file.content.clone()) }
        });
        let layers = layers.collect();
        self.manifest(Some(BARE_METAL.to_owned()), config, layers, common(manifest))
    }

    fn manifest(
        &mut self,
        artifact_type: Option<String>,
        config: Descriptor,
        layers: Vec<Descriptor>,
        annotations: Annotations,
    ) -> Descriptor {
        let media_type = spec::MANIFEST.to_owned();
        let image = spec::Manifest {
            schema_version: 2,
            media_type,
            artifact_type: artifact_type.clone(),
            config,
            layers,
            annotations,
        };
        Descriptor { artifact_type, ..self.blob(spec::MANIFEST, json(&image)) }
    }

    /// The layout, whose one image is called `tag`.
    fn done(mut self, tag: &str, image: Descriptor) -> Blobs {
        let image = Descriptor { annotations: [(REF_NAME.to_owned(), tag.to_owned())].into(), ..image };
        let index = Index { schema_version: 2, media_type: spec::INDEX.into(), manifests: vec![image] };
        let layout = Layout { image_layout_version: spec::LAYOUT_VERSION.into() };
        self.blobs.insert(spec::INDEX_FILE.into(), json(&index));
        self.blobs.insert(spec::LAYOUT_FILE.into(), json(&layout));
        self.blobs
    }
}

//! The JSON documents of an OCI image layout, as far as they are written here (OCI image specification 1.1).
//! Reading them back takes no more: what else stands in one counts for nothing.

use crate::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `oci-layout`: marks the folder.
pub const LAYOUT_FILE: &str = "oci-layout";
/// `index.json`: where a reader begins.
pub const INDEX_FILE: &str = "index.json";
/// The version of the layout, not of the specification.
pub const LAYOUT_VERSION: &str = "1.0.0";

/// The media type of an index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The media type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of a container image's configuration.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The media type of a file system's layer.
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// The media type of the configuration of what is no container image: `{}`.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Names and values, sorted.
pub type Annotations = BTreeMap<String, String>;

/// The path of a blob in the layout.
pub fn blob(digest: Digest) -> String {
    format!("blobs/sha256/{digest}")
}

/// A digest as OCI writes it: `sha256:…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sha256(pub Digest);

impl Serialize for Sha256 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("sha256:{}", self.0))
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digest = text.strip_prefix("sha256:").and_then(|hex| hex.parse().ok());
        digest.map(Self).ok_or_else(|| serde::de::Error::custom("not the sha256 digest of a blob"))
    }
}

/// `oci-layout`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Layout {
    /// [`LAYOUT_VERSION`].
    pub image_layout_version: String,
}

/// Where a blob is and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// What its artifact is, when the blob is the manifest of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The digest of its content.
    pub digest: Sha256,
    /// Bytes.
    pub size: u64,
    /// What else is said of it.
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
    /// What it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

/// What an image runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// As Go calls it: `amd64`.
    pub architecture: String,
    /// As Go calls it: `linux`.
    pub os: String,
}

/// `index.json`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// 2.
    pub schema_version: u32,
    /// [`INDEX`].
    pub media_type: String,
    /// What the layout holds.
    pub manifests: Vec<Descriptor>,
}

/// The manifest of one image or artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// 2.
    pub schema_version: u32,
    /// [`MANIFEST`].
    pub media_type: String,
    /// What an artifact is; none for a container image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Its configuration.
    pub config: Descriptor,
    /// Its content.
    pub layers: Vec<Descriptor>,
    /// What else is said of it.
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
}

/// The configuration of a container image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// When it was made, as RFC 3339 writes it.
    pub created: String,
    /// As Go calls it.
    pub architecture: String,
    /// As Go calls it.
    pub os: String,
    /// How it is started.
    pub config: Execution,
    /// Its layers.
    pub rootfs: RootFs,
    /// How each layer came about.
    pub history: Vec<History>,
}

/// How a container is started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Execution {
    /// User and group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The program.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// Its arguments, unless others are given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// The folder that it is started in.
    pub working_dir: String,
    /// What is said of it, where container engines show it.
    pub labels: Annotations,
}

/// The layers, by the digests of their archives before they were compressed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// From the lowest to the highest.
    pub diff_ids: Vec<Sha256>,
}

/// How a layer came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When.
    pub created: String,
    /// By what.
    pub created_by: String,
}

//! Publishing: images as files that anyone can check, hand on and run.
//!
//! A published folder holds, for every recipe and target that were built and smoke-tested,
//!
//! - `NAME-TARGET.tar.gz`: the image's members under `NAME-TARGET/`,
//! - `NAME-TARGET.oci/`: the same as an OCI image layout,
//! - `NAME-TARGET.spdx.json`: the SBOM,
//! - `NAME-TARGET.provenance.json`: how it was built,
//! - `NAME-TARGET.test-result.json`: what the smoke tests found,
//!
//! once for all of them `sources/COMPONENT-DIGEST.tar.gz`, the corresponding source of what asks for it, and
//! `SHA256SUMS`, which names every file but itself and its signature `SHA256SUMS.minisig`.

pub mod archive;
mod parts;
pub mod provenance;
pub mod sbom;
pub mod source;
mod statement;
pub mod test_result;

use crate::{
    Digest, Target,
    image::{Image, Manifest},
    plan::Plan,
    smoke::RunReport,
};
use std::collections::BTreeMap;

/// One recipe for one target, built and smoke-tested.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// How it was built.
    pub plan: &'a Plan,
    /// Where it lies.
    pub image: &'a Image,
    /// What it is made of.
    pub manifest: &'a Manifest,
    /// What its smoke tests found, one for each way to boot.
    pub reports: &'a [RunReport],
}

impl Subject<'_> {
    /// What its files are called in a published folder: `NAME-TARGET`.
    pub fn id(&self) -> String {
        id(&self.image.name, self.image.target)
    }
}

/// `NAME-TARGET`.
pub fn id(name: &str, target: Target) -> String {
    format!("{name}-{target}")
}

/// A file that is published beside an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its name in the published folder.
    pub name: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// A file that `verify` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The digest of its content, read and compared with `SHA256SUMS`.
    pub sha256: Digest,
    /// Bytes.
    pub size: u64,
}

/// One recipe for one target, as `verify` reads it back from a published folder. Whoever checks a document
/// against it returns what is wrong as sentences, none when all is well. The document itself is untrusted: any
/// bytes, of at most some megabytes.
#[derive(Debug, Clone, Copy)]
pub struct Published<'a> {
    /// What it is made of, read from the archive; its members agree with it.
    pub manifest: &'a Manifest,
    /// The files that the provenance is about, by name in the published folder: the archive and the manifest of
    /// the OCI layout (`NAME-TARGET.oci`).
    pub artifacts: &'a [(String, Digest)],
    /// Every file of the published folder by its path from there, such as `sources/sel4-….tar.gz`.
    pub files: &'a BTreeMap<String, Found>,
}

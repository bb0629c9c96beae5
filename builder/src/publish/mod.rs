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
pub mod folder;
pub mod oci;
mod parts;
pub mod provenance;
#[cfg(test)]
mod sample;
pub mod sbom;
pub mod sign;
pub mod source;
mod statement;
pub mod sums;
pub mod test_result;
pub mod time;

use crate::{
    Context, Digest, Result, Target,
    build::step,
    files,
    image::{Image, Manifest, Member, Role},
    lock,
    plan::Plan,
    recipe::Recipe,
    smoke::RunReport,
};
use archive::{File, Files, Packed};
use folder::Partial;
pub use folder::Place;
use serde::Serialize;
use std::{collections::BTreeMap, io, path::PathBuf};

/// Images could not be published.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is something else where the folder should be.
    #[error(
        "{}: {fault}, so this is not a folder that was published before; nothing was written\n  help: choose another folder with `--to`, or remove that one yourself",
        .dir.display()
    )]
    Occupied {
        /// The folder.
        dir: PathBuf,
        /// What is there.
        fault: String,
    },
    /// Something that is no file lies in a published folder.
    #[error("{}: neither a file nor a folder", .0.display())]
    Special(PathBuf),
    /// A name that no published file has.
    #[error("{}: published files have names of plain ASCII letters, digits and `._+-@=,~`", .0.display())]
    Name(PathBuf),
    /// More than a published folder holds.
    #[error("{}: more than {} files and folders", .0.display(), folder::MOST)]
    Many(PathBuf),
    /// Nothing is to be published.
    #[error("there is nothing to publish\n  help: name recipes that are built for a target")]
    Nothing,
    /// The recipe is not meant to be published.
    #[error(
        "`{0}` is not published: its recipe says `publish = false`\n  help: leave it out, or that line in [function]"
    )]
    Unwanted(String),
    /// The image was built anew by somebody else while it was packed.
    #[error(
        "the image of `{name}` for {target} changed while it was published; nothing was written\n  help: stop what builds it, then publish again"
    )]
    Restless {
        /// The recipe's name.
        name: String,
        /// What it runs on.
        target: Target,
    },
    /// A time that archives do not have.
    #[error(
        "SOURCE_DATE_EPOCH is {0}, which is later than archives can say\n  help: it is at most {last}",
        last = time::LAST
    )]
    Epoch(u64),
    /// An archive could not be made.
    #[error("{file} cannot be packed: {source}")]
    Pack {
        /// The archive.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// The user asked to stop.
    #[error("stopped by the user; nothing was published")]
    Cancelled,
    /// A file or folder failed.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// Waiting for another process was given up.
    #[error(transparent)]
    Lock(#[from] lock::Error),
}

crate::exit_code!(Error, |error| match error {
    Error::Files(error) => error.exit_code(),
    Error::Lock(error) => error.exit_code(),
    Error::Occupied { .. } | Error::Epoch(_) | Error::Nothing | Error::Unwanted(_) => crate::ExitCode::Usage,
    Error::Special(_)
    | Error::Name(_)
    | Error::Many(_)
    | Error::Restless { .. }
    | Error::Pack { .. }
    | Error::Cancelled => crate::ExitCode::Failed,
});

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
    /// The source of its kernel, when that was built elsewhere.
    pub given: Option<&'a source::Given>,
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

/// Those of `recipes` that may be published. With `all`, nobody asked for the others by name.
///
/// # Errors
/// When one that was asked for must not be.
pub fn wanted(ctx: &Context<'_>, recipes: Vec<Recipe>, all: bool) -> Result<Vec<Recipe>> {
    let mut kept = Vec::new();
    for recipe in recipes {
        let name = &recipe.function.name;
        match recipe.function.publish {
            None | Some(true) => kept.push(recipe),
            Some(false) if all => ctx.progress.note(&format!("{name}: left out: it says `publish = false`")),
            Some(false) => return Err(Error::Unwanted(name.clone()).into()),
        }
    }
    Ok(kept)
}

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bundle {
    /// The folder.
    pub dir: PathBuf,
    /// Its files, sorted by path, `SHA256SUMS` last; of an OCI layout only its index, which leads to all else.
    pub files: Vec<Output>,
}

/// A published file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Output {
    /// Its path.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// The digest of its content.
    pub sha256: Digest,
}

/// Publishes these images in one folder, all or none, signed when there is a key. Whatever stops it, the folder is
/// what it was before or complete.
///
/// # Errors
/// When files cannot be read or written, or an image is not the one that was tested.
pub fn publish(
    ctx: &Context<'_>,
    subjects: &[Subject<'_>],
    place: &Place,
    key: Option<&sign::Key>,
) -> Result<Bundle> {
    if subjects.is_empty() {
        return Err(Error::Nothing.into());
    }
    let _lock = place.lock(ctx)?;
    place.sweep();
    let mut partial = Partial::new(place)?;
    for subject in subjects {
        step(ctx, &format!("publish {}", subject.id()), |()| true, || add(ctx, &mut partial, subject))?;
    }
    if ctx.cancel.requested() {
        return Err(Error::Cancelled.into());
    }
    Ok(partial.publish(key)?)
}

/// Writes one image in its two forms, and what is said of it.
fn add(ctx: &Context<'_>, partial: &mut Partial<'_>, subject: &Subject<'_>) -> Result<()> {
    let artifacts = images(partial, subject)?;
    let sources = source::collect(ctx, subject)?;
    // Images with the same kernel write the same file.
    for source in &sources {
        partial.write(&source.file, &source.content)?;
    }
    for document in [
        sbom::document(ctx, subject, &sources)?,
        provenance::statement(ctx, subject, &artifacts)?,
        test_result::statement(ctx, subject, &artifacts)?,
    ] {
        partial.write(&document.name, &document.content)?;
    }
    Ok(())
}

/// Writes one image in its two forms. Gives their digests; that of a layout is its manifest's.
fn images(partial: &mut Partial<'_>, subject: &Subject<'_>) -> Result<Vec<(String, Digest)>, Error> {
    let manifest = subject.manifest;
    if manifest.epoch > time::LAST {
        return Err(Error::Epoch(manifest.epoch));
    }
    let id = subject.id();
    let files = members(subject)?;
    let (archive, layout) = (format!("{id}.tar.gz"), format!("{id}.oci"));
    let packed = packed(&id, &files, manifest.epoch).map_err(pack(&archive))?;
    partial.write(&archive, &packed.content)?;
    let (blobs, digest) = oci::layout(manifest, &files, &packed).map_err(pack(&layout))?;
    for (path, content) in &blobs {
        partial.write(&format!("{layout}/{path}"), content)?;
    }
    Ok(vec![(archive, Digest::of(&packed.content)), (layout, digest)])
}

fn pack(file: &str) -> impl FnOnce(io::Error) -> Error {
    let file = file.to_owned();
    move |source| Error::Pack { file, source }
}

/// The archive of an image: its members in a folder of their own.
pub(crate) fn packed(id: &str, files: &Files, epoch: u64) -> io::Result<Packed> {
    let below = files.iter().map(|(name, file)| (format!("{id}/{name}"), file.clone()));
    Packed::of(&below.collect(), epoch)
}

/// The members of an image as its smoke tests saw them.
fn members(subject: &Subject<'_>) -> Result<Files, Error> {
    let image = subject.image;
    let files = files_of(image)?;
    let same = |member: &Member| {
        files.get(&member.name).is_some_and(|file| Digest::of(&file.content) == member.sha256)
    };
    if subject.manifest.key == subject.plan.key && image.members.iter().all(same) {
        Ok(files)
    } else {
        Err(Error::Restless { name: image.name.clone(), target: image.target })
    }
}

/// The members of an image, the manifest among them, as they lie there.
pub(crate) fn files_of(image: &Image) -> Result<Files, files::Error> {
    let file = |member: &Member| {
        let executable = matches!(member.role, Role::Executable | Role::Script);
        Ok((member.name.clone(), File { content: files::read(&image.file(&member.name))?, executable }))
    };
    image.members.iter().map(file).collect()
}

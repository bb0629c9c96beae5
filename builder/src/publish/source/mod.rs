//! The corresponding source of what asks for it: the kernel (GPL-2.0) as a whole, with the script that builds it; of
//! the boot loader (GPL-3.0-or-later) where its source is, with all that Selkie adds to it; the source package that a
//! program is compiled from, whatever its licence asks for.
//!
//! Published images that share a kernel share its source: an archive is called by its content.

mod check;
mod given;
mod grub;
mod kernel;
mod pack;
mod package;

pub use check::{Archive, check, is_given, named};
pub use given::{Given, check as check_given, is_needed as needs_given};
pub(super) use grub::LICENSE as BOOT_LOADER_LICENSE;
pub(super) use kernel::license as kernel_license;
pub(super) use package::of as packages;

use super::Subject;
use crate::{
    Context, Digest, Result, Target, cache, files,
    inputs::{
        debian::{self, File},
        tree,
    },
};
use serde::{Deserialize, Serialize};
use std::{io, path::PathBuf};

/// The folder of the archives, in a published folder.
pub const FOLDER: &str = "sources";
/// No archive has more bytes, neither packed nor in its files.
pub const MOST: u64 = 256 << 20;
/// What an archive says of itself, in its top folder.
const DESCRIPTION: &str = "source.json";
/// The folder of the kernel's tree there.
const TREE: &str = "sel4";

/// An archive with source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceArchive {
    /// What it is the source of, for instance `sel4-5.0.0-x86_64-release`.
    pub component: String,
    /// Its path in a published folder: `sources/COMPONENT-DIGEST.tar.gz`.
    pub file: String,
    /// The digest of its content.
    pub sha256: Digest,
    /// Bytes.
    pub size: u64,
    /// The licence of what it is the source of, an SPDX expression.
    pub license: String,
    /// What it says of itself.
    pub description: Description,
    /// Its content.
    pub content: Vec<u8>,
}

/// What an archive says of itself: `source.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, tag = "component")]
pub enum Description {
    /// The complete source of a kernel.
    Kernel {
        /// The kernel config's name.
        config: String,
        /// The seL4 release.
        version: String,
        /// The digest of the tree in `sel4/`.
        tree: Digest,
    },
    /// What the user gives as the source of a kernel that was built elsewhere.
    GivenKernel {
        /// The digest of the kernel's file, or of the installed prefix.
        kernel: Digest,
        /// The name of the user's archive.
        file: String,
        /// Its digest.
        sha256: Digest,
    },
    /// Where the source of a boot loader is, and what Selkie adds to it.
    BootLoader {
        /// The distribution's source package.
        package: String,
        /// Its version.
        version: String,
        /// Its package URL.
        purl: String,
        /// What the program that makes its core images says of itself.
        tool: String,
    },
    /// A distribution's source package that the program is compiled from, as it is.
    SourcePackage {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
        /// The digest of its description (`.dsc`).
        sha256: Digest,
        /// All of its files, the description among them.
        files: Vec<File>,
    },
}

/// The source of an image cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel was built elsewhere.
    #[error(
        "`{name}` cannot be published for target `{target}`: it boots the kernel {}, which was built elsewhere, and whoever hands on an seL4 kernel (GPL-2.0) hands on its source with it\n  help: give it with `--corresponding-source FILE.tar.gz`; or take `prebuilt` out of [kernel], so that the kernel is built from a source tree; target `process` has no kernel in it and can be published",
        .kernel.display()
    )]
    PrebuiltKernel {
        /// The recipe's name.
        name: String,
        /// The target.
        target: Target,
        /// The kernel.
        kernel: PathBuf,
    },
    /// The kernel was installed.
    #[error(
        "`{name}` cannot be published for target `{target}`: its kernel is the installed one in {}, whose source is not there, and whoever hands on an seL4 kernel (GPL-2.0) hands on its source with it\n  help: give it with `--corresponding-source FILE.tar.gz`, or name the source tree instead, with `--kernel-source DIR`; target `process` has no kernel in it and can be published",
        .prefix.display()
    )]
    InstalledKernel {
        /// The recipe's name.
        name: String,
        /// The target.
        target: Target,
        /// The prefix.
        prefix: PathBuf,
    },
    /// What the user gives is no source.
    #[error(
        "{}: this is not taken as the source of a kernel: {fault}\n  help: `--corresponding-source` takes a .tar.gz with the complete source that the kernel was built from, with what configures and builds it",
        .path.display()
    )]
    Given {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// It is of no use.
    #[error(
        "`--corresponding-source` is for kernels that were built elsewhere, and none of these images has one\n  help: leave it out: Selkie has the source of all that it builds"
    )]
    Unneeded,
    /// Nobody says which source package GRUB is from.
    #[error(
        "`{name}` cannot be published for target `bare-metal`: no package of this host says that it has {}, so where GRUB's source is (GPL-3.0) is not known\n  help: install GRUB from the distribution's packages (Debian's `dpkg-query` and Fedora's `rpm` are asked)",
        .file.display()
    )]
    BootLoader {
        /// The recipe's name.
        name: String,
        /// The file.
        file: PathBuf,
    },
    /// The source package is too large.
    #[error(
        "the source package {name} {version} has {size} bytes, more than an archive with source may have, so what is made from it cannot be published\n  help: leave its recipe out, or say `publish = false` in [function]"
    )]
    LargePackage {
        /// The package.
        name: String,
        /// Its version.
        version: String,
        /// The bytes of its files.
        size: u64,
    },
    /// The tree was changed.
    #[error(
        "{root}: the kernel's source was changed while it was packed\n  help: stop what writes to it, then publish again"
    )]
    Changed {
        /// The tree.
        root: PathBuf,
    },
    /// The tree has something that cannot be packed.
    #[error("{path}: this cannot be part of a source archive: {why}\n  help: take it out of the tree")]
    Path {
        /// The file or link.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// An archive could not be made.
    #[error("the archive with the source of `{component}` cannot be made: {source}")]
    Pack {
        /// What it is the source of.
        component: String,
        /// Why.
        source: io::Error,
    },
    /// A file failed.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// A source package failed.
    #[error(transparent)]
    SourcePackage(#[from] debian::Error),
    /// A tree failed.
    #[error(transparent)]
    Tree(#[from] tree::Error),
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] cache::Error),
}

crate::exit_code!(Error, |error| match error {
    Error::Files(error) => error.exit_code(),
    Error::SourcePackage(error) => error.exit_code(),
    Error::Tree(error) => error.exit_code(),
    Error::Cache(error) => error.exit_code(),
    Error::BootLoader { .. } => crate::ExitCode::HostLacks,
    Error::PrebuiltKernel { .. } | Error::InstalledKernel { .. } | Error::Given { .. } | Error::Unneeded =>
        crate::ExitCode::Usage,
    Error::Changed { .. } | Error::Path { .. } | Error::Pack { .. } | Error::LargePackage { .. } =>
        crate::ExitCode::Failed,
});

/// The source that goes with `subject`: for a process only the source package of its program, since it has no other part
/// that asks for it.
///
/// # Errors
/// When there is a part whose source is not known: such an image cannot be handed on.
pub fn collect(ctx: &Context<'_>, subject: &Subject<'_>) -> Result<Vec<SourceArchive>> {
    let package = package::archive(ctx, subject)?;
    if subject.plan.target == Target::Process {
        return Ok(package.into_iter().collect());
    }
    let kernel = kernel::archive(ctx, subject)?;
    let grub = grub::archive(ctx, subject)?;
    Ok(std::iter::once(kernel).chain(grub).chain(package).collect())
}

impl SourceArchive {
    /// The archive `content` with the source of `component`.
    pub(super) fn new(component: String, license: &str, description: Description, content: Vec<u8>) -> Self {
        let sha256 = Digest::of(&content);
        Self {
            file: format!("{FOLDER}/{component}-{}.tar.gz", sha256.short(16)),
            component,
            sha256,
            size: content.len() as u64,
            license: license.to_owned(),
            description,
            content,
        }
    }
}

/// `text` as part of a file's name.
fn plain(text: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || "._+-".contains(c) { c } else { '-' };
    text.chars().map(keep).collect()
}

//! Where a kernel's source tree or prefix lies, which release it is, and whether it is the one that is pinned.

use super::{elf32, makefile, resolved};
use crate::{
    Context, Digest, Result,
    inputs::{registry, tree},
    kernel_config::{Arch, KernelConfig, Source, UserSource, Versions},
};
use serde::Serialize;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A kernel's source tree, or an installed kernel, checked against what its kernel config says. Only ever read.
#[derive(Debug, Clone)]
pub struct KernelTree {
    /// The top folder.
    pub root: PathBuf,
    /// What it is.
    pub kind: TreeKind,
    /// The seL4 release.
    pub version: String,
    /// The digest of all its files.
    pub digest: Digest,
}

/// What a kernel is made from. Each kind of tree that seL4 had over time is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TreeKind {
    /// A source tree with Makefiles and Kconfig, up to 10.0.
    Make,
    /// A source tree that CMake configures, from 10.1 on.
    Cmake,
    /// An installed kernel: `bin/kernel.elf`, `libsel4/include/`.
    Prefix,
}

/// A kernel's source has not the digest that its kernel config pins.
#[derive(Debug, thiserror::Error)]
#[error(
    "{root}: the kernel's source is not the one that {config} pins\n  pinned: {pinned}\n  found:  {found}\n  help: {help}"
)]
pub struct Mismatch {
    /// The tree.
    root: PathBuf,
    /// The kernel config's name.
    config: String,
    /// What it pins.
    pinned: Digest,
    /// What the tree has.
    found: Digest,
    /// How to accept the one that was found.
    help: String,
}

/// A kernel's source is not what its kernel config says.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tree was changed, or the pinned digest is for another one.
    #[error(transparent)]
    Digest(#[from] Box<Mismatch>),
    /// The crate has no such folder.
    #[error(
        "{root} has no folder `{subdir}` with a kernel's source\n  help: correct `subdir` in [source] of {config}"
    )]
    NoTree {
        /// The crate's folder.
        root: PathBuf,
        /// What was looked for.
        subdir: String,
        /// The kernel config's name.
        config: String,
    },
    /// The user has to name a source.
    #[error(
        "kernel config `{config}` is for a kernel of your own, and none is named\n  help: name a source tree of seL4 {versions} with `--kernel-source DIR`, or an installed kernel with `--kernel-prefix DIR` or SEL4_PREFIX"
    )]
    NotNamed {
        /// The kernel config's name.
        config: String,
        /// The accepted releases.
        versions: Versions,
    },
    /// The tree is of another release.
    #[error(
        "{root} is seL4 {found}, not {wanted} as {config} says\n  help: correct `version` in [source] of the kernel config"
    )]
    Version {
        /// The tree.
        root: PathBuf,
        /// The kernel config's name.
        config: String,
        /// What the kernel config says.
        wanted: String,
        /// What the tree says.
        found: String,
    },
    /// The tree is of a release that the kernel config is not made for.
    #[error(
        "{root} is seL4 {found}, and {config} is for {wanted}\n  help: take a tree of one of these releases, or another kernel config (`--kernel-config`; `cargo xtask list` shows them)"
    )]
    NotAccepted {
        /// The tree.
        root: PathBuf,
        /// The kernel config's name.
        config: String,
        /// The accepted releases.
        wanted: Versions,
        /// What the tree says.
        found: String,
    },
    /// The folder is no source tree.
    #[error(
        "{root} is not a source tree of seL4: it has no `{lacks}`\n  help: name the top folder of a checkout of seL4, 10.1 or later; an installed kernel goes with `--kernel-prefix`"
    )]
    NotATree {
        /// The folder.
        root: PathBuf,
        /// What a tree has.
        lacks: &'static str,
    },
    /// The folder is no prefix.
    #[error(
        "{root} is not an installed seL4 kernel: it has no `{lacks}`\n  help: name the folder that `ninja install` of seL4 13 or later wrote (what rust-sel4 calls SEL4_PREFIX); a source tree goes with `--kernel-source`"
    )]
    NotAPrefix {
        /// The folder.
        root: PathBuf,
        /// What a prefix has.
        lacks: String,
    },
    /// The prefix does not say which release it is.
    #[error(
        "{root} does not say which release of seL4 it is\n  help: write the release, for instance 16.0.0, into a file `VERSION` in that folder"
    )]
    NoVersion {
        /// The prefix.
        root: PathBuf,
    },
    /// The prefix is for another machine.
    #[error(
        "{root} is a kernel for {found}, and {config} is for {wanted}\n  help: name a prefix for {wanted}, or another kernel config (`--kernel-config`)"
    )]
    OtherMachine {
        /// The prefix.
        root: PathBuf,
        /// The kernel config's name.
        config: String,
        /// What the kernel config is for.
        wanted: String,
        /// What the prefix is for.
        found: String,
    },
    /// The kernel would halt at boot on some machine without a word of it in the kernel config.
    #[error(
        "the kernel that `{config}` makes of seL4 {version} needs {} of the CPU, and the kernel config does not say so\n  help: add it to `cpu-features` in {}, or, where only some releases need it, to [[cpu-features-of]]",
        .lacks.join(" and "), .path.display()
    )]
    Features {
        /// The kernel config's name.
        config: String,
        /// Its file.
        path: PathBuf,
        /// The release.
        version: String,
        /// What it does not say.
        lacks: Vec<&'static str>,
    },
    /// There is nothing.
    #[error(
        "{root}: there is no such folder\n  help: name the folder of a source tree of seL4 or of an installed kernel"
    )]
    Absent {
        /// What was named.
        root: PathBuf,
    },
    /// No way to build it is known.
    #[error(
        "{root} has no Makefile and Kconfig, and no CMakeLists.txt: this is no tree of seL4 that can be built"
    )]
    Method {
        /// The tree.
        root: PathBuf,
    },
    /// The Makefile era is built for x86_64 only.
    #[error("{root}: seL4 {version} is built for x86_64 only\n  help: take seL4 13 or later for {arch}")]
    Architecture {
        /// The tree.
        root: PathBuf,
        /// Its release.
        version: String,
        /// What is asked for.
        arch: Arch,
    },
    /// The tree's Makefiles could not be read.
    #[error(transparent)]
    Makefile(#[from] makefile::Error),
    /// The options that came out could not be read.
    #[error(transparent)]
    Resolved(#[from] resolved::Error),
    /// What was linked cannot be loaded.
    #[error(
        "{0}\n  help: is `cc` a compiler for this architecture? `cargo xtask doctor` shows which one it is"
    )]
    Elf(#[from] elf32::Error),
    /// A source could not be read.
    #[error("{root}: {source}")]
    Unreadable {
        /// The tree.
        root: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

crate::exit_code!(Error, |error| match error {
    Error::Absent { .. }
    | Error::NotNamed { .. }
    | Error::NotATree { .. }
    | Error::NotAPrefix { .. }
    | Error::NotAccepted { .. }
    | Error::Features { .. } => crate::ExitCode::Usage,
    _ => crate::ExitCode::Failed,
});

impl KernelTree {
    /// libsel4's include folders in a source tree of the CMake era.
    pub(super) fn include_dirs(&self, config: &KernelConfig) -> [PathBuf; 5] {
        let libsel4 = self.root.join("libsel4");
        [
            libsel4.join("include"),
            libsel4.join("arch_include").join(config.arch.family()),
            libsel4.join("sel4_arch_include").join(config.arch.to_string()),
            libsel4.join("sel4_plat_include").join(config.platform.name()),
            libsel4.join("mode_include/64"),
        ]
    }
}

/// Finds the source tree or prefix of `config`, fetching a crate when it is not there, and checks release and
/// digest.
pub fn locate(ctx: &Context<'_>, config: &KernelConfig) -> Result<KernelTree> {
    let (root, kind, version) = match &config.source {
        Source::Crate { name, subdir, version, .. } => {
            let pin = ctx.project.pinned_crate(name);
            let folder = registry::locate(ctx, &pin, name)?;
            let root = folder.join(subdir);
            if !root.is_dir() {
                let (subdir, config) = (subdir.clone(), config.name.clone());
                return Err(Error::NoTree { root: folder, subdir, config }.into());
            }
            let kind = kind_of(&root)?;
            (root, kind, version.clone())
        }
        Source::Path { path, .. } => {
            let root = source_tree(path)?;
            let version = version_of(&root);
            (root, TreeKind::Cmake, version)
        }
        Source::Prefix { path, .. } => {
            let root = super::prefix::check(path, config)?;
            let version = super::prefix::version(&root)?;
            (root, TreeKind::Prefix, version)
        }
        Source::User { versions, .. } => {
            let (config, versions) = (config.name.clone(), versions.clone());
            return Err(Error::NotNamed { config, versions }.into());
        }
    };
    // The release first: it says more than a digest does.
    check_version(config, &root, &version)?;
    let tree = KernelTree { digest: tree::digest(ctx, &root)?, version, kind, root };
    check_digest(config, &tree)?;
    Ok(tree)
}

/// How a crate's tree is built.
fn kind_of(root: &Path) -> Result<TreeKind, Error> {
    let has = |name: &str| root.join(name).is_file();
    if has("Makefile") && has("Kconfig") && has("src/Makefile") {
        return Ok(TreeKind::Make);
    }
    if has("CMakeLists.txt") && has("config.cmake") {
        return Ok(TreeKind::Cmake);
    }
    Err(Error::Method { root: root.to_owned() })
}

/// The folder that the user named, without links in its path.
pub(super) fn folder(path: &Path) -> Result<PathBuf, Error> {
    match fs::canonicalize(path) {
        Ok(root) => Ok(root),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::Absent { root: path.to_owned() }),
        Err(source) => Err(Error::Unreadable { root: path.to_owned(), source }),
    }
}

/// The folder `path`, when it is a source tree of the CMake era.
fn source_tree(path: &Path) -> Result<PathBuf, Error> {
    let root = folder(path)?;
    let lacks = ["VERSION", "CMakeLists.txt", "config.cmake", "libsel4/CMakeLists.txt", "src/object/tcb.c"];
    match lacks.into_iter().find(|file| !root.join(file).is_file()) {
        Some(lacks) => Err(Error::NotATree { root, lacks }),
        None => Ok(root),
    }
}

/// The release of what the user names.
pub fn release_of(user: &UserSource) -> Result<String, Error> {
    match user {
        UserSource::Tree(path) => Ok(version_of(&source_tree(path)?)),
        UserSource::Prefix(path) => super::prefix::version(&folder(path)?),
    }
}

/// What the file `VERSION` says; nothing when there is none.
pub fn version_of(root: &Path) -> String {
    fs::read_to_string(root.join("VERSION")).unwrap_or_default().trim().to_owned()
}

/// Whether the release of the tree in `root` is one that `config` accepts.
fn check_version(config: &KernelConfig, root: &Path, version: &str) -> Result<(), Error> {
    let (root, name) = (root.to_owned(), config.name.clone());
    match &config.source {
        Source::Crate { version: wanted, .. } => {
            let found = version_of(&root);
            if found != *wanted {
                return Err(Error::Version { root, config: name, wanted: wanted.clone(), found });
            }
        }
        Source::Path { versions, .. } | Source::Prefix { versions, .. } | Source::User { versions, .. } => {
            if !versions.accept(version) {
                let (wanted, found) = (versions.clone(), version.to_owned());
                return Err(Error::NotAccepted { root, config: name, wanted, found });
            }
        }
    }
    Ok(())
}

/// Whether `tree` is the one that `config` pins.
fn check_digest(config: &KernelConfig, tree: &KernelTree) -> Result<(), Error> {
    let found = tree.digest;
    match config.source.digest().filter(|pinned| *pinned != found) {
        None => Ok(()),
        Some(pinned) => {
            let help = match &config.source {
                Source::Crate { .. } => "if files in that folder were changed, delete the folder: Cargo unpacks it again; if another source is meant, put its digest into the kernel config".to_owned(),
                _ => format!("if this is the source that you mean, write `digest = \"{found}\"` into [source] of {}, or take `digest` out to accept any", config.path.display()),
            };
            let (root, config) = (tree.root.clone(), config.name.clone());
            Err(Box::new(Mismatch { root, config, pinned, found, help }).into())
        }
    }
}

//! From a kernel config to a kernel: find the source tree, check it and the config, build out of tree.

mod check;
mod elf32;
mod headers;
mod kconfig;
mod make;
mod makefile;
mod options;
mod parallel;
pub(crate) mod prebuilt;

pub use elf32::{multiboot_header, multiboot2_header};
pub use options::autoconf;

use crate::{
    Context, Digest, Result,
    inputs::{
        python::{Python, PythonEnv},
        registry,
        tools::{self, HostTool},
        tree,
    },
    kernel_config::{KernelConfig, OptionValue},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

/// A kernel's source tree, checked against the digest that its kernel config pins. Only ever read.
#[derive(Debug, Clone)]
pub struct KernelTree {
    /// The tree's top folder.
    pub root: PathBuf,
    /// The seL4 release.
    pub version: String,
    /// The digest of all its files.
    pub digest: Digest,
}

/// A built kernel.
#[derive(Debug, Clone)]
pub struct KernelBuild {
    /// The folder with the files below.
    pub dir: PathBuf,
    /// ELF32, stripped: what a multiboot loader (QEMU's `-kernel`, GRUB) takes.
    pub multiboot: PathBuf,
    /// ELF64 with symbols, for debuggers; with debug information when the kernel is a debug build.
    pub elf: PathBuf,
    /// The folders where a C file finds libsel4's headers, generated ones and `autoconf.h` included.
    pub include_dirs: Vec<PathBuf>,
    /// The macros that libsel4's headers expect a build system to define, as `NAME` or `NAME=VALUE`.
    pub defines: Vec<String>,
    /// The C compiler that built it.
    pub compiler: PathBuf,
    /// The digest of all that the kernel depends on.
    pub key: Digest,
    /// Whether it was built just now.
    pub fresh: bool,
    /// The commands that built it.
    pub log: PathBuf,
}

/// A kernel's source is not what its kernel config says.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tree was changed, or the pinned digest is for another one.
    #[error(
        "{root}: the kernel's source is not the one that {config} pins\n  pinned: {pinned}\n  found:  {found}\n  help: if files in that folder were changed, delete the folder: Cargo unpacks it again; if another source is meant, put its digest into the kernel config"
    )]
    Digest {
        /// The tree.
        root: PathBuf,
        /// The kernel config's name.
        config: String,
        /// What it pins.
        pinned: Digest,
        /// What the tree has.
        found: Digest,
    },
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
    /// No way to build it is known.
    #[error("{root} has no Makefile and Kconfig: this version of Selkie builds kernels up to seL4 10.0 only")]
    Method {
        /// The tree.
        root: PathBuf,
    },
    /// The tree's Makefiles could not be read.
    #[error(transparent)]
    Makefile(#[from] makefile::Error),
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

crate::exit_code!(Error, Failed);

/// How a tree is built. Each kind of tree that seL4 had over time is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Method {
    /// Makefiles and Kconfig, up to 10.0.
    Make,
}

impl Method {
    fn of(tree: &KernelTree) -> Result<Self, Error> {
        let has = |name: &str| tree.root.join(name).is_file();
        if has("Makefile") && has("Kconfig") && has("src/Makefile") {
            return Ok(Self::Make);
        }
        Err(Error::Method { root: tree.root.clone() })
    }
}

/// Finds the source tree of `config`, fetching it when it is not there, and checks its digest.
pub fn locate(ctx: &Context<'_>, config: &KernelConfig) -> Result<KernelTree> {
    let source = &config.source;
    let pin = ctx.project.pinned_crate(&source.crate_name);
    let folder = registry::locate(ctx, &pin, &source.crate_name)?;
    let root = folder.join(&source.subdir);
    if !root.is_dir() {
        let (subdir, config) = (source.subdir.clone(), config.name.clone());
        return Err(Error::NoTree { root: folder, subdir, config }.into());
    }
    let tree = KernelTree { digest: tree::digest(ctx, &root)?, version: source.version.clone(), root };
    verify(config, &tree)?;
    Ok(tree)
}

/// Whether `tree` is what `config` says.
fn verify(config: &KernelConfig, tree: &KernelTree) -> Result<(), Error> {
    let (root, name) = (tree.root.clone(), config.name.clone());
    if tree.digest != config.source.digest {
        return Err(Error::Digest { root, config: name, pinned: config.source.digest, found: tree.digest });
    }
    let found = fs::read_to_string(root.join("VERSION")).unwrap_or_default().trim().to_owned();
    if found != tree.version {
        return Err(Error::Version { root, config: name, wanted: tree.version.clone(), found });
    }
    Ok(())
}

/// The private Python that runs a tree's generators.
pub fn python(ctx: &Context<'_>) -> Result<PythonEnv> {
    Ok(interpreter(ctx)?.environment(ctx)?)
}

fn interpreter(ctx: &Context<'_>) -> Result<Python> {
    Ok(Python::find(ctx, &ctx.project.python_requirements())?)
}

/// All that a kernel's bytes depend on.
#[derive(Serialize)]
struct Inputs<'a> {
    method: Method,
    tree: Digest,
    version: &'a str,
    options: &'a BTreeMap<String, OptionValue>,
    overlays: Vec<(&'a str, Digest)>,
    compiler: HostTool,
    python: Digest,
}

/// Builds the kernel that `config` describes, or finds it built.
pub fn build(ctx: &Context<'_>, config: &KernelConfig, tree: &KernelTree) -> Result<KernelBuild> {
    let overlays = check::overlays(ctx, config)?;
    let compiler = tools::find(ctx, "cc")?;
    let cc = compiler.path.clone();
    let python = interpreter(ctx)?;
    let inputs = Inputs {
        method: Method::of(tree)?,
        tree: tree.digest,
        version: &tree.version,
        options: &config.options,
        overlays: overlays.iter().map(|o| (o.header.as_str(), Digest::of(&o.content))).collect(),
        compiler,
        python: python.identity,
    };
    let layout = make::Layout::of(config);
    let entry = ctx.cache.step::<crate::Error>("kernel", &inputs, |dir| {
        check::config(ctx.project, config, tree, &layout)?;
        let python = python.environment(ctx)?.python;
        let sources = &make::sources(config, tree, &layout).map_err(Error::from)?;
        let (layout, overlays) = (&layout, overlays.as_slice());
        make::Build { ctx, config, tree, layout, overlays, cc: &cc, python: &python, dir, sources }.run()
    })?;
    let file = |name: &str| entry.dir.join(name);
    let include_dirs = std::iter::once(file(make::INCLUDE)).chain(layout.libsel4(&tree.root)).collect();
    Ok(KernelBuild {
        multiboot: file(make::MULTIBOOT),
        elf: file(make::ELF),
        include_dirs,
        defines: layout.defines().map(str::to_owned).collect(),
        compiler: cc,
        dir: entry.dir,
        key: entry.key,
        fresh: entry.fresh,
        log: entry.log,
    })
}

/// A header that stands in for one of the tree, read.
#[derive(Debug)]
struct OverlayFile {
    header: String,
    content: Vec<u8>,
}

/// `path` for a compiler option; paths of a host need not be UTF-8.
fn option(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push(path);
    option
}

//! From a kernel config to a kernel: find the source tree or prefix, check it and the config, build out of tree.
//!
//! Whatever the source, the result is one [`KernelBuild`]: a Makefile-era tree is built by [`make`], a CMake-era
//! tree by [`cmake`], and what an installed prefix has is taken as it is ([`prefix`]).

mod check;
mod cmake;
mod cmake_options;
mod elf32;
mod features;
mod headers;
mod kconfig;
mod locate;
mod make;
mod makefile;
mod options;
mod parallel;
pub(crate) mod prebuilt;
mod prefix;
mod resolved;
mod script;

pub use elf32::{multiboot_header, multiboot2_header};
pub use features::{features, features_of_prefix};
pub use locate::{Error, KernelTree, TreeKind, locate, release_of, version_of};
pub use options::autoconf;
pub(crate) use script::{BuildScript, build_script};

use crate::{
    Context, Digest, Project, Result,
    bindings::ApiFiles,
    image::Verified,
    inputs::{
        python::{Python, PythonEnv},
        tools::{self, HostTool},
    },
    kernel_config::{Arch, KernelConfig, OptionValue, Platform},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// A built kernel, or an installed one.
#[derive(Debug, Clone)]
pub struct KernelBuild {
    /// The folder with the files below.
    pub dir: PathBuf,
    /// ELF32, stripped: what a multiboot loader (QEMU's `-kernel`, GRUB) takes; for a PC only.
    pub multiboot: PathBuf,
    /// ELF64 with symbols, for debuggers; with debug information when the kernel is a debug build.
    pub elf: PathBuf,
    /// The folders where a C file finds libsel4's headers, generated ones and `autoconf.h` included.
    pub include_dirs: Vec<PathBuf>,
    /// The macros that libsel4's headers expect a build system to define, as `NAME` or `NAME=VALUE`.
    pub defines: Vec<String>,
    /// The kernel's options as they came out, without `CONFIG_`: those that are on, or have a value.
    pub options: BTreeMap<String, OptionValue>,
    /// The XML files with the interface.
    pub api: ApiFiles,
    /// The seL4 release.
    pub version: String,
    /// The C compiler that built it, or would compile against its headers.
    pub compiler: PathBuf,
    /// The digest of all that the kernel depends on.
    pub key: Digest,
    /// Whether it was built just now.
    pub fresh: bool,
    /// The commands that built it.
    pub log: PathBuf,
}

impl KernelBuild {
    /// Whether a flag is on. `name` has no `CONFIG_`.
    pub fn has(&self, name: &str) -> bool {
        matches!(self.options.get(name), Some(OptionValue::Flag(true)))
    }

    /// Whether threads are scheduled by scheduling contexts.
    pub fn is_mcs(&self) -> bool {
        self.has("KERNEL_MCS")
    }
}

/// The private Python that runs a Makefile-era tree's generators.
pub fn python(ctx: &Context<'_>) -> Result<PythonEnv> {
    Ok(Python::find(ctx, &ctx.project.python_requirements())?.environment(ctx)?)
}

/// The files with the Python modules that make a kernel of `tree` for `arch`: wheels, then what has to be made from
/// its source.
pub fn requirements(project: &Project, tree: &KernelTree, arch: Arch) -> Vec<PathBuf> {
    match (tree.kind, arch.device_tree_from()) {
        (TreeKind::Make, _) => vec![project.python_requirements()],
        (TreeKind::Cmake, None) => vec![project.cmake_requirements()],
        (TreeKind::Cmake, Some(_)) => {
            vec![project.cmake_requirements(), project.device_tree_requirements()]
        }
        (TreeKind::Prefix, _) => Vec::new(),
    }
}

/// The Python that runs the generators of `tree`; none where nothing is generated.
fn interpreter(ctx: &Context<'_>, tree: &KernelTree, arch: Arch) -> Result<Option<Python>> {
    let files = requirements(ctx.project, tree, arch);
    let Some((wheels, sources)) = files.split_first() else { return Ok(None) };
    let python = Python::find(ctx, wheels)?;
    let python = match sources.first() {
        None => python,
        Some(sources) => python.with_sources(sources)?,
    };
    Ok(Some(match tree.kind {
        TreeKind::Cmake => python.or_hosts(cmake::modules(tree, arch)),
        TreeKind::Make | TreeKind::Prefix => python,
    }))
}

/// The host's tools that a kernel of this kind is made with for `arch`, besides the C compiler and Python.
pub fn host_tools(ctx: &Context<'_>, kind: TreeKind, arch: Arch) -> Result<Vec<HostTool>> {
    let names = match kind {
        TreeKind::Cmake => cmake::tools(arch),
        TreeKind::Make | TreeKind::Prefix => Vec::new(),
    };
    names.into_iter().map(|name| Ok(tools::find(ctx, name)?)).collect()
}

/// All that a kernel's bytes depend on.
#[derive(Serialize)]
struct Inputs<'a> {
    kind: TreeKind,
    tree: Digest,
    version: &'a str,
    arch: Arch,
    platform: Platform,
    verified: bool,
    options: &'a BTreeMap<String, OptionValue>,
    overlays: Vec<(&'a str, Digest)>,
    compiler: HostTool,
    tools: Vec<HostTool>,
    python: Option<Digest>,
}

/// How the kernel that `config` makes of `tree` relates to a configuration that was verified. The builder refuses to
/// build a kernel config that says `verified` when its options are not the tree's.
pub fn verified(config: &KernelConfig, tree: &KernelTree) -> Verified {
    if !config.verified || tree.kind != TreeKind::Cmake || !config.overlays.is_empty() {
        return Verified::None;
    }
    match config.published.get(&tree.version) {
        Some(digest) if *digest == tree.digest => Verified::OptionsAndSourceMatch,
        _ => Verified::OptionsMatch,
    }
}

/// Builds the kernel that `config` describes, or finds it built.
pub fn build(ctx: &Context<'_>, config: &KernelConfig, tree: &KernelTree) -> Result<KernelBuild> {
    let overlays = check::overlays(ctx, config)?;
    let compiler = tools::find(ctx, config.arch.compiler())?;
    let cc = compiler.path.clone();
    let host_tools = host_tools(ctx, tree.kind, config.arch)?;
    let python = interpreter(ctx, tree, config.arch)?;
    let inputs = Inputs {
        kind: tree.kind,
        tree: tree.digest,
        version: &tree.version,
        arch: config.arch,
        platform: config.platform,
        verified: config.verified,
        options: &config.options,
        overlays: overlays.iter().map(|o| (o.header.as_str(), Digest::of(&o.content))).collect(),
        compiler,
        tools: host_tools.clone(),
        python: python.as_ref().map(|python| python.identity),
    };
    let entry = ctx.cache.step::<crate::Error>("kernel", &inputs, |dir| {
        let python = python.as_ref().map(|python| python.environment(ctx)).transpose()?;
        match (tree.kind, python) {
            (TreeKind::Make, Some(PythonEnv { python, .. })) => {
                let layout = &make::Layout::of(config, tree)?;
                check::config(ctx.project, config, tree, layout)?;
                let sources = &make::sources(config, tree, layout).map_err(Error::from)?;
                let overlays = overlays.as_slice();
                make::Build { ctx, config, tree, layout, overlays, cc: &cc, python: &python, dir, sources }
                    .run()
            }
            (TreeKind::Cmake, Some(PythonEnv { python, .. })) => {
                let tools = host_tools.as_slice();
                cmake::Build { ctx, config, tree, cc: &cc, tools, python: &python, dir }.run()
            }
            _ => prefix::take(config, tree, dir),
        }
    })?;
    let file = |name: &str| entry.dir.join(name);
    let (include_dirs, defines, options) = match tree.kind {
        TreeKind::Make => {
            let layout = make::Layout::of(config, tree)?;
            let made = std::iter::once(file(make::INCLUDE));
            let dirs = made.chain(layout.libsel4(&tree.root)).collect();
            (dirs, layout.defines().map(str::to_owned).collect(), config.options.clone())
        }
        // The headers up to 12.1 look at the configuration only where this says that there is one.
        kind => {
            let root = if kind == TreeKind::Prefix { &tree.root } else { &entry.dir };
            let defines = vec!["HAVE_AUTOCONF".to_owned()];
            (vec![root.join(cmake::INCLUDE)], defines, resolved::recall(&entry.dir)?)
        }
    };
    says_features(config, tree, &options)?;
    Ok(KernelBuild {
        multiboot: file(make::MULTIBOOT),
        elf: file(make::ELF),
        include_dirs,
        defines,
        options,
        api: ApiFiles::find(&tree.root, config.arch),
        version: tree.version.clone(),
        compiler: cc,
        dir: entry.dir,
        key: entry.key,
        fresh: entry.fresh,
        log: entry.log,
    })
}

/// Whether `config` says every CPU feature that its kernel needs: without one the kernel halts at boot, most often
/// without a word.
fn says_features(
    config: &KernelConfig,
    tree: &KernelTree,
    options: &BTreeMap<String, OptionValue>,
) -> Result<(), Error> {
    let said = |feature: &&str| config.cpu_features.iter().any(|known| known == feature);
    let lacks: Vec<_> = features(options).into_iter().filter(|feature| !said(feature)).collect();
    if lacks.is_empty() {
        return Ok(());
    }
    let (path, version) = (config.path.clone(), tree.version.clone());
    Err(Error::Features { config: config.name.clone(), path, version, lacks })
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

//! Bindings for the user interface of one kernel configuration.
//!
//! Numbers of system calls, labels and object types shift with a kernel's options, so bindings belong
//! to a configuration of a tree, never to a release alone. The line of data: the tree's XML ([`xml`])
//! and what only its C headers say, stated as data ([`era`]), become with the options an
//! [`Interface`] ([`resolve`]); from it come the Rust source ([`rust`]), `interface.json` and the
//! interface digest; and a C probe ([`probe`]) holds every number against the tree's own headers.

pub mod bitfields;
pub mod condition;
pub mod era;
pub mod interface;
mod names;
pub mod probe;
pub mod resolve;
pub mod rust;
pub mod xml;

pub use era::Era;
pub use interface::Interface;

use crate::{
    Context, Digest, cache, files,
    kernel::{KernelBuild, KernelTree},
    kernel_config::{Arch, KernelConfig, OptionValue},
};
use condition::Options;
use resolve::RawApi;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// What was generated.
#[derive(Debug, Clone)]
pub struct Bindings {
    /// The folder that holds it.
    pub dir: PathBuf,
    /// The Rust source, what `selkie-sys` includes.
    pub rust: PathBuf,
    /// The [`Interface`] as JSON.
    pub interface: PathBuf,
    /// The identity of the interface; see [`Interface::digest`].
    pub interface_digest: Digest,
    /// The digest of all that it depends on.
    pub key: Digest,
    /// Whether it was generated just now.
    pub fresh: bool,
    /// How the probe was compiled.
    pub log: PathBuf,
}

/// Bindings could not be generated.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The era's file.
    #[error(transparent)]
    Era(#[from] era::Error),
    /// The tree's XML.
    #[error(transparent)]
    Xml(#[from] xml::Error),
    /// XML, era and options do not fit together.
    #[error("kernel-configs/eras/{era}.toml: {source}")]
    Resolve {
        /// The era.
        era: String,
        /// Why.
        source: Box<resolve::Error>,
    },
    /// Names of the interface fall together in Rust.
    #[error(transparent)]
    Rust(#[from] rust::Error),
    /// The interface disagrees with the tree's bit-field files.
    #[error("kernel-configs/eras/{era}.toml: {source}")]
    Bitfields {
        /// The era.
        era: String,
        /// Why.
        source: Box<bitfields::Error>,
    },
    /// The interface disagrees with the tree's headers.
    #[error("kernel-configs/eras/{era}.toml: {source}")]
    Probe {
        /// The era.
        era: String,
        /// Why.
        source: Box<probe::Error>,
    },
    /// A file could not be written or read back.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// The digest in the cache is none.
    #[error("{path}: {source}\n  help: the cache is safe to delete: `cargo xtask clean --cache`")]
    Digest {
        /// The file.
        path: PathBuf,
        /// Why.
        source: crate::digest::BadDigest,
    },
    /// The cache.
    #[error(transparent)]
    Cache(#[from] cache::Error),
}

crate::exit_code!(Error, |error| match error {
    Error::Era(_) => crate::ExitCode::Usage,
    Error::Probe { source, .. } => source.exit_code(),
    Error::Resolve { source, .. } => match **source {
        resolve::Error::Option { .. } | resolve::Error::Length { .. } => crate::ExitCode::Usage,
        _ => crate::ExitCode::Failed,
    },
    Error::Files(error) => error.exit_code(),
    Error::Cache(error) => error.exit_code(),
    _ => crate::ExitCode::Failed,
});

/// The XML files with a kernel's interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiFiles {
    /// The folder that messages leave out.
    pub root: PathBuf,
    /// The system calls.
    pub system_calls: PathBuf,
    /// The invocations, in the order of their labels: for all architectures, for this one (`sel4_arch`),
    /// for its family (`arch`).
    pub interfaces: Vec<PathBuf>,
}

impl ApiFiles {
    /// The files for `arch` in `root`, a source tree or an installed prefix.
    pub fn find(root: &Path, arch: Arch) -> Self {
        let libsel4 = root.join("libsel4");
        let include = libsel4.join("include");
        // Since 13, every file has a name of its own; a prefix has all in one folder.
        let current = ["object-api.xml", "object-api-sel4-arch.xml", "object-api-arch.xml"];
        let former = ["sel4.xml", "sel4arch.xml", "sel4arch.xml"];
        let of_tree = ["sel4_arch_include", "arch_include"].map(|folder| libsel4.join(folder));
        let tree = [include.clone(), of_tree[0].join(arch.to_string()), of_tree[1].join(arch.family())];
        let folders = if tree[2].is_dir() { tree } else { [(); 3].map(|()| include.clone()) };
        let place = |(folder, name): (&PathBuf, &str)| folder.join("interfaces").join(name);
        let names = if place((&folders[0], current[0])).is_file() { current } else { former };
        Self {
            root: root.to_owned(),
            system_calls: include.join("api/syscall.xml"),
            interfaces: folders.iter().zip(names).map(place).collect(),
        }
    }
}

impl ApiFiles {
    /// Whether the files with invocations have the names by which they lie in the one folder of a prefix (since 13).
    pub fn has_names_of_a_prefix(&self) -> bool {
        self.interfaces
            .iter()
            .all(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("object-api")))
    }
}

/// Generates bindings for the kernel that `config` describes, and checks them with the C probe.
pub fn generate(
    ctx: &Context<'_>,
    config: &KernelConfig,
    tree: &KernelTree,
    kernel: &KernelBuild,
) -> Result<Bindings, Error> {
    let (name, era) = Era::find(&ctx.project.eras(), config.arch, &tree.version)?;
    let inputs = (&era, &kernel.options, &tree.version, tree.digest, kernel.key);
    let entry = ctx.cache.step("bindings", &inputs, |dir| {
        let interface = interface(&name, &era, &kernel.api, &kernel.options, &tree.version)?;
        let held = bitfields::check(&interface, &era, &kernel.include_dirs);
        held.map_err(|source| Error::Bitfields { era: name.clone(), source: Box::new(source) })?;
        let headers = probe::Headers {
            compiler: &kernel.compiler,
            include_dirs: &kernel.include_dirs,
            defines: &kernel.defines,
        };
        let probed = probe::check(&interface, &era, headers, dir, &ctx.cancel);
        probed.map_err(|source| Error::Probe { era: name.clone(), source: Box::new(source) })?;
        files::write(&dir.join("bindings.rs"), rust::render(&interface, &era)?)?;
        files::write(&dir.join("interface.json"), json(&interface))?;
        files::write(&dir.join("interface.sha256"), interface.digest().to_string())?;
        Ok::<_, Error>(())
    })?;
    let path = entry.dir.join("interface.sha256");
    let text = files::read(&path)?;
    let digest = String::from_utf8_lossy(&text).parse();
    Ok(Bindings {
        rust: entry.dir.join("bindings.rs"),
        interface: entry.dir.join("interface.json"),
        interface_digest: digest.map_err(|source| Error::Digest { path, source })?,
        dir: entry.dir,
        key: entry.key,
        fresh: entry.fresh,
        log: entry.log,
    })
}

/// The interface of the kernel of release `version` with these options (without `CONFIG_`), of which `api`
/// are the XML files. Not checked against its headers. `name` is the era's, for messages.
pub fn interface(
    name: &str,
    era: &Era,
    api: &ApiFiles,
    options: &BTreeMap<String, OptionValue>,
    version: &str,
) -> Result<Interface, Error> {
    let raw = raw_api(era, api)?;
    let resolved = resolve::resolve(&raw, era, Options(options), version);
    resolved.map_err(|source| Error::Resolve { era: name.to_owned(), source: Box::new(source) })
}

/// Reads the XML files.
pub fn raw_api(era: &Era, api: &ApiFiles) -> Result<RawApi, xml::Error> {
    let dialect = era.xml.conditions;
    let shown = |path: &Path| path.strip_prefix(&api.root).unwrap_or(path).to_owned();
    let text = xml::text(&api.system_calls)?;
    let sections: Vec<_> = era.xml.sections.iter().map(|section| section.element.as_str()).collect();
    let file = shown(&api.system_calls);
    let system_calls = xml::Reader::new(&file, &text, dialect)?.system_calls(&sections)?;
    let mut interfaces = Vec::new();
    for path in &api.interfaces {
        let (file, text) = (shown(path), xml::text(path)?);
        interfaces.push(xml::Reader::new(&file, &text, dialect)?.interfaces()?);
    }
    Ok(RawApi { system_calls, interfaces })
}

fn json(interface: &Interface) -> String {
    let text = serde_json::to_string_pretty(interface).unwrap_or_default();
    text + "\n"
}

//! Bindings for the user interface of one kernel configuration.
//!
//! Numbers of system calls, labels and object types shift with a kernel's options, so bindings belong
//! to a configuration of a tree, never to a release alone. The line of data: the tree's XML ([`xml`])
//! and what only its C headers say, stated as data ([`era`]), become with the options an
//! [`Interface`] ([`resolve`]); from it come the Rust source ([`rust`]), `interface.json` and the
//! interface digest; and a C probe ([`probe`]) holds every number against the tree's own headers.

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
    Context, Digest, Project, cache, files,
    kernel::{KernelBuild, KernelTree},
    kernel_config::{Arch, KernelConfig},
};
use condition::Options;
use resolve::RawApi;
use std::path::{Path, PathBuf};

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
    /// The era is for another release or architecture.
    #[error(
        "kernel config `{config}`: the era `{era}` is for seL4 {described}, the source is {actual}\n  help: set `era` to the one for this release, see kernel-configs/eras/"
    )]
    WrongEra {
        /// The kernel config.
        config: String,
        /// The era.
        era: String,
        /// The releases and the architecture that it is for.
        described: String,
        /// The release and the architecture of the kernel config.
        actual: String,
    },
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
    Error::WrongEra { .. } | Error::Era(_) => crate::ExitCode::Usage,
    Error::Probe { source, .. } => source.exit_code(),
    Error::Resolve { source, .. } => match **source {
        resolve::Error::Option { .. } | resolve::Error::Length { .. } => crate::ExitCode::Usage,
        _ => crate::ExitCode::Failed,
    },
    Error::Files(error) => error.exit_code(),
    Error::Cache(error) => error.exit_code(),
    _ => crate::ExitCode::Failed,
});

/// Generates bindings for the kernel that `config` describes, and checks them with the C probe.
pub fn generate(
    ctx: &Context<'_>,
    config: &KernelConfig,
    tree: &KernelTree,
    kernel: &KernelBuild,
) -> Result<Bindings, Error> {
    let era = era_of(ctx.project, config)?;
    let inputs = (&era, &config.options, &tree.version, tree.digest, kernel.key);
    let entry = ctx.cache.step("bindings", &inputs, |dir| {
        let interface = interface(config, &era, &tree.root)?;
        let headers = probe::Headers {
            compiler: &kernel.compiler,
            include_dirs: &kernel.include_dirs,
            defines: &kernel.defines,
        };
        let probed = probe::check(&interface, &era, headers, dir, &ctx.cancel);
        probed.map_err(|source| Error::Probe { era: config.era.clone(), source: Box::new(source) })?;
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

/// The interface of the kernel in `tree`, built as `config` says. Not checked against its headers.
pub fn interface(config: &KernelConfig, era: &Era, tree: &Path) -> Result<Interface, Error> {
    let raw = raw_api(era, tree)?;
    let resolved = resolve::resolve(&raw, era, Options(&config.options), &config.source.version);
    resolved.map_err(|source| Error::Resolve { era: config.era.clone(), source: Box::new(source) })
}

/// Reads the XML files that `era` names from `tree`.
pub fn raw_api(era: &Era, tree: &Path) -> Result<RawApi, xml::Error> {
    let dialect = era.xml.conditions;
    let text = xml::text(tree, &era.xml.system_calls)?;
    let sections: Vec<_> = era.xml.sections.iter().map(|section| section.element.as_str()).collect();
    let reader = xml::Reader::new(&era.xml.system_calls, &text, dialect)?;
    let system_calls = reader.system_calls(&sections)?;
    let mut interfaces = Vec::new();
    for file in &era.xml.interfaces {
        let text = xml::text(tree, file)?;
        interfaces.push(xml::Reader::new(file, &text, dialect)?.interfaces()?);
    }
    Ok(RawApi { system_calls, interfaces })
}

fn era_of(project: &Project, config: &KernelConfig) -> Result<Era, Error> {
    let era = Era::load(project.era(&config.era))?;
    if era.arch == config.arch && era.versions.contains(&config.source.version) {
        return Ok(era);
    }
    let on = |versions: &str, arch: Arch| format!("{versions} on {arch}");
    Err(Error::WrongEra {
        config: config.name.clone(),
        era: config.era.clone(),
        described: on(&era.versions.join(", "), era.arch),
        actual: on(&config.source.version, config.arch),
    })
}

fn json(interface: &Interface) -> String {
    let text = serde_json::to_string_pretty(interface).unwrap_or_default();
    text + "\n"
}

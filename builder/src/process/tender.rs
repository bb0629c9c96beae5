//! Building the tender: the program of `tender/host`, by a nested Cargo of its own workspace.

use super::assemble;
use crate::{
    Context, Digest, cache, exec, files,
    root_task::{self, Sources, TRIPLE, Toolchain, leaks, nested},
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The name of the step in the cache.
pub const STEP: &str = "tender";
/// The package and its program.
const PACKAGE: &str = "selkie-tender";
/// The program with symbols, in the folder of the step.
const ELF: &str = "tender.elf";
/// The program without symbols and payload, there too: what its digest is taken of.
const BARE: &str = "tender";
/// Changes when the same inputs give another tender.
const FORMAT: u32 = 1;
/// Flags for every crate of the tender. Where it lies and how it is linked says its own build script.
const FLAGS: [&str; 2] = ["-Crelocation-model=pic", "-Cforce-unwind-tables=no"];

/// A tender that was built.
#[derive(Debug, Clone)]
pub struct Tender {
    /// The program with symbols and line tables.
    pub elf: PathBuf,
    /// The program without symbols and payload.
    pub bare: PathBuf,
    /// The digest of [`bare`](Self::bare): the tender's own.
    pub sha256: Digest,
    /// The digest of everything that it depends on.
    pub key: Digest,
    /// Whether it was built just now.
    pub fresh: bool,
    /// The commands that built it.
    pub log: PathBuf,
}

/// The tender could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The nested Cargo, or what it needs.
    #[error(transparent)]
    Build(#[from] root_task::Error),
    /// The program is not as the builder needs it.
    #[error("{path}: {source}\n  help: the tender's linker script keeps `.selkie.payload` last")]
    Program {
        /// The file.
        path: PathBuf,
        /// Why.
        source: assemble::Error,
    },
}

crate::exit_code!(Error, |error| match error {
    Error::Build(error) => error.exit_code(),
    Error::Program { .. } => crate::ExitCode::Failed,
});

impl From<cache::Error> for Error {
    fn from(error: cache::Error) -> Self {
        Self::Build(error.into())
    }
}

impl From<files::Error> for Error {
    fn from(error: files::Error) -> Self {
        Self::Build(error.into())
    }
}

/// Everything that the tender is made from: its crates, and those of the runtime that it shares.
pub fn sources(ctx: &Context<'_>, toolchain: &Toolchain) -> Result<Sources, Error> {
    Ok(root_task::sources_of_crate(ctx, &folder(ctx), toolchain)?)
}

/// The digest of all that [`sources`] names.
pub fn digest(ctx: &Context<'_>, toolchain: &Toolchain) -> Result<Digest, Error> {
    Ok(root_task::digest(&root_task::contents(ctx, &sources(ctx, toolchain)?)?))
}

fn folder(ctx: &Context<'_>) -> PathBuf {
    ctx.project.tender().join("host")
}

#[derive(Serialize)]
struct Key<'a> {
    format: u32,
    sources: Digest,
    flags: [&'static str; 2],
    toolchain: &'a Toolchain,
}

/// Builds the tender from sources with the digest `sources`, or finds it in the cache.
///
/// # Errors
/// [`root_task::Error::Changed`] when the sources are not those any more.
pub fn build(ctx: &Context<'_>, toolchain: &Toolchain, sources: Digest) -> Result<Tender, Error> {
    let key = Key { format: FORMAT, sources, flags: FLAGS, toolchain };
    let entry = ctx.cache.step(STEP, &key, |dir| {
        let elf = compile(ctx, toolchain)?;
        let data = files::read(&elf)?;
        if digest(ctx, toolchain)? != sources {
            return Err(root_task::Error::Changed.into());
        }
        let bare = assemble::bare(&data).map_err(|source| Error::Program { path: elf, source })?;
        leaks::scan(&bare, &leaks::common_places(ctx.project, toolchain))?;
        files::write(&dir.join(ELF), &data)?;
        Ok::<_, Error>(files::write(&dir.join(BARE), bare)?)
    })?;
    let bare = entry.dir.join(BARE);
    Ok(Tender {
        elf: entry.dir.join(ELF),
        sha256: Digest::of(files::read(&bare)?),
        bare,
        key: entry.key,
        fresh: entry.fresh,
        log: entry.log,
    })
}

/// Runs the nested Cargo and gives the linked program.
fn compile(ctx: &Context<'_>, toolchain: &Toolchain) -> Result<PathBuf, root_task::Error> {
    let folder = folder(ctx);
    let place = Digest::of_json(&(Digest::of_path(&folder), toolchain));
    let target_dir = ctx.cache.workspace(STEP, &place)?;
    let mut remaps = leaks::common_remaps(ctx.project, toolchain);
    remaps.push((target_dir.clone(), "target".into()));
    let cargo = nested::cargo(toolchain, &folder, &target_dir, &FLAGS, remaps)?
        .args(["build", "--release", "--locked", "--target", TRIPLE, "--package", PACKAGE, "--bin", PACKAGE])
        .args(["--message-format", "json-render-diagnostics"])
        .env("CARGO_PROFILE_RELEASE_STRIP", "none")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "line-tables-only")
        .env("CARGO_PROFILE_RELEASE_INCREMENTAL", "false");
    match cargo.run(&ctx.cancel) {
        Ok(output) => {
            nested::tell_warnings(ctx, &folder, &output);
            nested::executable(&output.stdout).ok_or(root_task::Error::NoBinary(folder))
        }
        Err(exec::Error::Failed { output, command, help, .. }) => Err(failed(&folder, output, command, help)),
        Err(error) => Err(error.into()),
    }
}

fn failed(folder: &Path, output: String, command: String, help: String) -> root_task::Error {
    let what = format!("the tender in {}", folder.display());
    root_task::Error::Compile { what, output, command, help }
}

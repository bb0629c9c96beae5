//! Source packages of Debian and of what is made like it, used for what is in them: fetched with the host's own
//! mirror into the cache, checked against the digest that the recipe pins, unpacked with the distribution's patches.
//!
//! The host's configuration of apt is read and never written: which packages there are is kept in a private folder of
//! the cache. What was fetched once is used without the network.

mod apt;
mod dsc;
mod prepare;
mod sources;
#[cfg(test)]
mod tests;
mod unpack;

pub use dsc::File;
pub use prepare::{Prepared, prepare};
pub use sources::VARIABLE;

use crate::{Context, Digest, cache, exec, files, inputs::tree};
use dsc::Dsc;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A source package, and the one digest that settles all of its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Package {
    /// Its name, for instance `lua5.4`.
    pub name: String,
    /// Its version, for instance `5.4.4-3+deb12u1`.
    pub version: String,
    /// The digest of its description (`.dsc`), which names all other files by theirs.
    pub sha256: Digest,
}

/// A source package cannot be had, or is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The mirror has other versions, or none.
    #[error("the source package {name} {version} cannot be had: {}\n  help: {}", offer(.there), .help)]
    NotThere {
        /// The package.
        name: String,
        /// The wanted version.
        version: String,
        /// The versions that there are.
        there: Vec<String>,
        /// What to do.
        help: String,
    },
    /// The host names no place to fetch packages from.
    #[error(
        "the host's apt names no place to fetch source packages from ({looked})\n  help: on Debian and what is made of it, apt knows one; elsewhere, or for another mirror, name a file in apt's format (`deb-src …`, or .sources) by the variable {VARIABLE}"
    )]
    NoSources {
        /// Where it was looked for.
        looked: String,
    },
    /// Fetching failed.
    #[error("the source package {name} {version} cannot be fetched: {source}")]
    Fetch {
        /// The package.
        name: String,
        /// Its version.
        version: String,
        /// What happened.
        source: Box<exec::Error>,
    },
    /// The description is not the one that is pinned.
    #[error(
        "the source package {name} {version} is not the one that the recipe pins\n  the recipe's sha256: {wanted}\n  its .dsc has:        {found}\n  help: nothing of it was used; when the package was chosen just now, write the second one into the recipe"
    )]
    Digest {
        /// The package.
        name: String,
        /// Its version.
        version: String,
        /// What the recipe says.
        wanted: Digest,
        /// What was fetched.
        found: Digest,
    },
    /// A file is not what the description says, or the description is not understood.
    #[error(
        "{file}: {fault}\n  help: nothing of this source package was used; fetch it anew, or choose another one"
    )]
    Broken {
        /// The file.
        file: String,
        /// What is wrong.
        fault: String,
    },
    /// It could not be unpacked.
    #[error("the source package {name} {version} cannot be unpacked: {source}")]
    Unpack {
        /// The package.
        name: String,
        /// Its version.
        version: String,
        /// What happened.
        source: Box<exec::Error>,
    },
    /// Something in it leads out of it.
    #[error(
        "{path} in the source package {name} {fault}\n  help: such a package is not used: what is built from it would depend on this machine"
    )]
    Escapes {
        /// The package.
        name: String,
        /// The path in it.
        path: PathBuf,
        /// What is wrong.
        fault: String,
    },
    /// A command that prepares the source failed.
    #[error("the source of {name} cannot be prepared: {source}")]
    Prepare {
        /// The package.
        name: String,
        /// What happened.
        source: Box<exec::Error>,
    },
    /// A program that prepares the source is missing.
    #[error("`{program}`, which prepares the source of {name}, was not found on PATH\n  help: {}", install(.program))]
    NoProgram {
        /// The package.
        name: String,
        /// The program.
        program: String,
    },
    /// The tools of Debian are missing.
    #[error("`{tool}` was not found on PATH; it is needed for source packages\n  help: {}", install(tool))]
    NoTool {
        /// The tool.
        tool: &'static str,
    },
    /// A tree could not be read.
    #[error(transparent)]
    Tree(#[from] tree::Error),
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] cache::Error),
    /// A file failed.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// A program could not be run.
    #[error(transparent)]
    Exec(#[from] exec::Error),
}

crate::exit_code!(Error, |error| match error {
    Error::NoSources { .. } | Error::NoProgram { .. } | Error::NoTool { .. } => crate::ExitCode::HostLacks,
    Error::Tree(error) => error.exit_code(),
    Error::Cache(error) => error.exit_code(),
    Error::Files(error) => error.exit_code(),
    Error::Exec(error) => error.exit_code(),
    _ => crate::ExitCode::Failed,
});

fn offer(there: &[String]) -> String {
    match there {
        [] => "the host's mirror has no source package of that name".to_owned(),
        [one] => format!("the host's mirror has version {one}"),
        several => format!("the host's mirror has the versions {}", several.join(", ")),
    }
}

fn install(program: &str) -> String {
    match crate::doctor::packages_of(program) {
        Some(packages) => format!("`cargo xtask doctor --fix` installs the package that has it ({packages})"),
        None => "install the package of your distribution that has it".to_owned(),
    }
}

/// A run of a tool that makes or reads what a user may hand on: `tool`'s errors but a missing program become `wrap`'s.
fn run(
    ctx: &Context<'_>,
    tool: exec::Tool,
    wrap: impl FnOnce(Box<exec::Error>) -> Error,
) -> Result<exec::Output, Error> {
    tool.run(&ctx.cancel).map_err(|error| match error {
        error @ exec::Error::Cancelled { .. } => error.into(),
        error => wrap(Box::new(error)),
    })
}

/// The folder with the files of `package`: from the cache, or fetched. Each is what the description says.
///
/// # Errors
/// When there is no such version, or when a file is not what it should be: then nothing is left of it.
pub fn fetch(ctx: &Context<'_>, package: &Package) -> Result<PathBuf, Error> {
    fetch_from(ctx, package, || sources::here(ctx))
}

fn fetch_from(
    ctx: &Context<'_>,
    package: &Package,
    places: impl FnOnce() -> Result<sources::Sources, Error>,
) -> Result<PathBuf, Error> {
    let step = format!("source package {} {}", package.name, package.version);
    // Whichever builder fetched it, it is the same: and the mirror may not have it any more.
    let entry = ctx.cache.keyed_step("debian-source", Digest::of_json(package), |dir| {
        ctx.progress.begin(&step);
        let fetched = places().and_then(|sources| apt::download(ctx, &sources, package, dir));
        let checked = fetched.and_then(|()| verify(package, dir).map(drop));
        ctx.progress.end(&step, if checked.is_ok() { "fetched" } else { "failed" });
        checked
    })?;
    Ok(entry.dir)
}

/// The description of `package` and the files that lie beside it, all of it: from the cache, or fetched.
///
/// # Errors
/// As [`fetch`].
pub fn whole(ctx: &Context<'_>, package: &Package) -> Result<(PathBuf, Vec<File>), Error> {
    verify(package, &fetch(ctx, package)?)
}

/// Checks that `dir` holds `package`, all of it and nothing else. Gives the description and the other files.
fn verify(package: &Package, dir: &Path) -> Result<(PathBuf, Vec<File>), Error> {
    let dsc = description(dir)?;
    let content = files::read_at_most(&dsc, dsc::MOST)?;
    let found = Digest::of(&content);
    if found != package.sha256 {
        let Package { name, version, sha256: wanted } = package.clone();
        return Err(Error::Digest { name, version, wanted, found });
    }
    let broken = |path: &Path, fault: String| Error::Broken {
        file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        fault,
    };
    let described = described(package, &content).map_err(|fault| broken(&dsc, fault))?;
    for file in &described {
        let path = dir.join(&file.name);
        let size = path.metadata().map_err(files::Error::at("read", &path))?.len();
        let sha256 = Digest::of_file(&path).map_err(files::Error::at("read", &path))?;
        if (size, sha256) != (file.size, file.sha256) {
            let fault =
                format!("it has {size} bytes and the digest {sha256}, not {} and {}", file.size, file.sha256);
            return Err(broken(&path, fault));
        }
    }
    for entry in files::sorted_entries(dir)? {
        let listed = described.iter().any(|file| *file.name == *entry.file_name());
        if !listed && entry.path() != dsc {
            files::remove(&entry.path())?;
        }
    }
    Ok((dsc, described))
}

/// What the description `content` says of `package`: the files that it consists of beside the description.
///
/// # Errors
/// With what is wrong, when it is no description, or another package's.
pub fn described(package: &Package, content: &[u8]) -> Result<Vec<File>, String> {
    let Dsc { source, version, files } = Dsc::parse(content)?;
    if (&source, &version) == (&package.name, &package.version) {
        Ok(files)
    } else {
        Err(format!("it describes {source} {version}"))
    }
}

/// The description among the files of a source package.
fn description(dir: &Path) -> Result<PathBuf, Error> {
    let names = files::sorted_entries(dir)?.into_iter().map(|entry| entry.path());
    let mut found = names.filter(|path| path.extension().is_some_and(|extension| extension == "dsc"));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(Error::Broken { file: "*.dsc".into(), fault: "nothing was fetched".into() }),
        (Some(_), Some(two)) => {
            Err(Error::Broken { file: two.display().to_string(), fault: "a second description".into() })
        }
    }
}

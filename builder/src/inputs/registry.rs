//! Crates of a package registry that are used for their sources: fetched by Cargo, checked by it against
//! a committed lock file, and only read.

use crate::{
    Context, Digest,
    exec::{self, Output, Tool},
    files,
    inputs::tools,
    memory,
};
use cargo_metadata::{Metadata, MetadataCommand};
use std::{
    env,
    path::{Path, PathBuf},
};

/// What Cargo reads from the environment to find its home and the registry.
const ENVIRONMENT: &[&str] = &[
    "HOME",
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTRIES_",
    "CARGO_REGISTRY_",
    "CARGO_SOURCE_",
    "RUSTUP_",
];

/// A crate's source could not be found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no pinned manifest of that name.
    #[error(
        "{manifest} is missing\n  help: a crate that is used for its source is pinned there, with a Cargo.lock beside it"
    )]
    NoManifest {
        /// Where it should be.
        manifest: PathBuf,
    },
    /// The manifest does not depend on the crate.
    #[error(
        "{manifest} does not depend on the crate `{name}`\n  help: the folder is called after the crate that it pins"
    )]
    NotPinned {
        /// The manifest.
        manifest: PathBuf,
        /// The crate.
        name: String,
    },
    /// Cargo's answer is not understood.
    #[error("`cargo metadata` for {manifest} is not understood: {source}")]
    Answer {
        /// The manifest.
        manifest: PathBuf,
        /// Why.
        source: Box<cargo_metadata::Error>,
    },
    /// Cargo is missing.
    #[error(transparent)]
    Tool(#[from] tools::Error),
    /// Cargo failed.
    #[error("the source of the crate `{name}` cannot be had: {source}")]
    Cargo {
        /// The crate.
        name: String,
        /// What happened.
        source: Box<exec::Error>,
    },
    /// A file failed.
    #[error(transparent)]
    Files(#[from] files::Error),
}

crate::exit_code!(Error, |error| match error {
    Error::Tool(error) => error.exit_code(),
    Error::Files(error) => error.exit_code(),
    _ => crate::ExitCode::Failed,
});

/// The folder with the source of crate `name`, which `manifest_dir` (a `Cargo.toml` and its `Cargo.lock`)
/// pins. The network is used only when Cargo does not have the crate yet.
///
/// Whoever uses the source checks its digest: the place alone says nothing.
pub fn locate(ctx: &Context<'_>, manifest_dir: &Path, name: &str) -> Result<PathBuf, Error> {
    let manifest = manifest_dir.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(Error::NoManifest { manifest });
    }
    // Asking Cargo takes longer than everything else in a build that has nothing to do.
    let asked = (
        files::read(&manifest)?,
        files::read(&manifest_dir.join("Cargo.lock"))?,
        ["HOME", "CARGO_HOME"].map(env::var_os),
    );
    let file = ctx.project.cache().join("registry").join(Digest::of_json(&asked).short(32));
    if let Some(known) = memory::recall::<PathBuf>(&file).filter(|known| known.is_dir()) {
        return Ok(known);
    }
    let found = find(&metadata(ctx, &manifest, name)?, name)
        .ok_or(Error::NotPinned { manifest, name: name.to_owned() })?;
    memory::keep(&file, &found);
    Ok(found)
}

fn find(metadata: &Metadata, name: &str) -> Option<PathBuf> {
    let package = metadata.packages.iter().find(|package| package.name.as_str() == name)?;
    package.manifest_path.parent().map(|folder| folder.as_std_path().to_owned())
}

fn metadata(ctx: &Context<'_>, manifest: &Path, name: &str) -> Result<Metadata, Error> {
    let failed = |source| Error::Cargo { name: name.to_owned(), source: Box::new(source) };
    let offline = ["metadata", "--format-version", "1", "--locked", "--offline"];
    let output = match cargo(ctx, manifest, &offline)? {
        Err(exec::Error::Failed { .. }) => {
            cargo(ctx, manifest, &["fetch", "--locked"])?.map_err(failed)?;
            cargo(ctx, manifest, &offline)?
        }
        done => done,
    };
    let text = output.map_err(failed)?.stdout;
    MetadataCommand::parse(text)
        .map_err(|source| Error::Answer { manifest: manifest.to_owned(), source: Box::new(source) })
}

/// A run of Cargo that asks about crates: it finds its home and the registry as the user has them, and runs rustc
/// without the wrappers that the user's configuration names. An empty one is none.
pub(crate) fn at_home(cargo: Tool) -> Tool {
    cargo.inherit(ENVIRONMENT).env("RUSTC_WRAPPER", "").env("RUSTC_WORKSPACE_WRAPPER", "")
}

fn cargo(ctx: &Context<'_>, manifest: &Path, args: &[&str]) -> Result<Result<Output, exec::Error>, Error> {
    let cargo = tools::find(ctx, "cargo")?.path;
    let tool = Tool::new(cargo, &ctx.project.root).args(args).arg("--manifest-path").arg(manifest);
    let tool = tool.env("RUSTC", tools::find(ctx, "rustc")?.path).inherit(exec::NETWORK);
    Ok(at_home(tool).run(&ctx.cancel))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Project, context::Silent};
    use std::fs;

    #[test]
    fn a_path_dependency_is_located_offline_and_what_is_not_pinned_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let project = Project { root: dir.path().to_owned(), out: dir.path().join("out") };
        let ctx = Context::new(&project, &Silent);
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let package = |name: &str| {
            format!(
                "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\n[workspace]\n[lib]\npath = \"l.rs\"\n"
            )
        };
        write("pin/Cargo.toml", &format!("{}[dependencies]\nx = {{ path = \"../x\" }}\n", package("pin")));
        write(
            "pin/Cargo.lock",
            "version = 4\n[[package]]\nname = \"pin\"\nversion = \"0.0.0\"\ndependencies = [\"x\"]\n[[package]]\nname = \"x\"\nversion = \"0.0.0\"\n",
        );
        write("pin/l.rs", "");
        write("x/Cargo.toml", &package("x"));
        write("x/l.rs", "");

        let pin = dir.path().join("pin");
        let found = locate(&ctx, &pin, "x").unwrap();
        assert_eq!(fs::canonicalize(found).unwrap(), fs::canonicalize(dir.path().join("x")).unwrap());
        assert!(matches!(locate(&ctx, &dir.path().join("no"), "x"), Err(Error::NoManifest { .. })));

        // What was remembered is not trusted once the place is gone.
        fs::rename(dir.path().join("x"), dir.path().join("y")).unwrap();
        assert!(matches!(locate(&ctx, &pin, "x"), Err(Error::Cargo { .. })));
    }

    #[test]
    fn a_crate_that_the_manifest_does_not_name_is_not_pinned() {
        let project = Project::here();
        let metadata = cargo(
            &Context::new(&project, &Silent),
            &project.root.join("Cargo.toml"),
            &["metadata", "--format-version", "1", "--locked", "--offline", "--no-deps"],
        );
        let metadata = MetadataCommand::parse(metadata.unwrap().unwrap().stdout).unwrap();
        assert!(find(&metadata, "builder").is_some());
        assert!(find(&metadata, "no-such-crate").is_none());
    }
}

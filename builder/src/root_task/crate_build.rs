//! A nested Cargo that builds the function's crate, in an environment of its own.

use super::{Error, Job, Toolchain, linker_error, nested, toolchain::TRIPLE};
use crate::{
    Digest,
    exec::{self, Tool},
    recipe::RootTaskSource,
};
use cargo_metadata::{MetadataCommand, TargetKind};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The release profile of root tasks: small, whole-program, with line tables that stripping drops.
const PROFILE: &[(&str, &str)] = &[
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
    ("CARGO_PROFILE_RELEASE_LTO", "fat"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_STRIP", "none"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "line-tables-only"),
    ("CARGO_PROFILE_RELEASE_INCREMENTAL", "false"),
];

/// The feature that makes the runtime read a PC's ACPI tables.
pub(super) const ACPI: &str = "selkie/acpi";

/// A crate, as Cargo describes it.
pub(super) struct Crate {
    /// Folder of the workspace: where Cargo.lock lies.
    pub workspace: PathBuf,
    /// Its one binary target.
    pub binary: String,
}

/// Builds the crate in `folder` with further `objects` and returns the linked ELF.
pub(super) fn build(job: &Job<'_>, folder: &Path, objects: &[PathBuf]) -> Result<PathBuf, Error> {
    let krate = describe(folder, job.inputs.toolchain)?;
    let target_dir = job.target_dir(folder)?;
    let link_args = job.link_args(&target_dir.join("link"), objects)?;
    let tool = job.cargo(folder, &target_dir, &krate)?;
    let tool = tool.arg("--").args(["-C", "linker-flavor=ld.lld", "-C", "linker=rust-lld"]);
    let tool = link_args.iter().fold(tool, |tool, arg| {
        let mut word = OsString::from("link-arg=");
        word.push(arg);
        tool.arg("-C").arg(word)
    });
    match tool.run(&job.ctx.cancel) {
        Ok(output) => {
            nested::tell_warnings(job.ctx, folder, &output);
            let elf = nested::executable(&output.stdout).ok_or_else(|| Error::NoBinary(folder.to_owned()))?;
            // Cargo's own list of what the crate and its path dependencies were made from.
            job.read_depends(&elf.with_extension("d"), folder)?;
            Ok(elf)
        }
        Err(exec::Error::Failed { output, command, help, .. }) => {
            Err(explain(folder, &krate, output, command, help))
        }
        Err(error) => Err(error.into()),
    }
}

fn explain(folder: &Path, krate: &Crate, output: String, command: String, help: String) -> Error {
    if stale_lock(&output) {
        let dir = krate.workspace.clone();
        return Error::StaleLock { lock: dir.join("Cargo.lock"), dir, output };
    }
    let what = format!("the crate in {}", folder.display());
    let missing = linker_error::undefined(&output);
    if missing.is_empty() {
        Error::Compile { what, output, command, help }
    } else {
        Error::Undefined { what, missing }
    }
}

/// Asks Cargo about the crate in `folder`.
pub(super) fn describe(folder: &Path, toolchain: &Toolchain) -> Result<Crate, Error> {
    let manifest = folder.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(Error::NoManifest(folder.to_owned()));
    }
    let metadata = metadata_command(&manifest, toolchain)
        .no_deps()
        .exec()
        .map_err(|error| metadata_error(folder, None, error))?;
    let package = metadata.packages.iter().find(|package| package.manifest_path.as_std_path() == manifest);
    let package = package.ok_or_else(|| Error::NoBinary(folder.to_owned()))?;
    let mut names: Vec<_> = package
        .targets
        .iter()
        .filter(|target| target.kind.contains(&TargetKind::Bin))
        .map(|target| target.name.clone())
        .collect();
    names.sort();
    let binary = match (&package.default_run, names.as_slice()) {
        (_, []) => return Err(Error::NoBinary(folder.to_owned())),
        (_, [one]) => one.clone(),
        (Some(chosen), _) => chosen.clone(),
        (None, _) => return Err(Error::ManyBinaries { dir: folder.to_owned(), names }),
    };
    let workspace = metadata.workspace_root.into_std_path_buf();
    let lock = workspace.join("Cargo.lock");
    if !lock.is_file() {
        return Err(Error::NoLock { lock, dir: workspace });
    }
    Ok(Crate { workspace, binary })
}

/// The error for what `cargo metadata` said about the crate in `folder`.
pub(super) fn metadata_error(folder: &Path, krate: Option<&Crate>, error: cargo_metadata::Error) -> Error {
    let output = match error {
        cargo_metadata::Error::CargoMetadata { stderr } => stderr,
        other => other.to_string(),
    };
    let output = exec::last_lines(output.trim(), 40);
    match krate {
        Some(krate) if stale_lock(&output) => {
            let dir = krate.workspace.clone();
            Error::StaleLock { lock: dir.join("Cargo.lock"), dir, output }
        }
        _ => Error::Metadata { dir: folder.to_owned(), output },
    }
}

/// Cargo's description of the crate with this manifest. What the user's own builds run rustc with is not
/// what a root task is built with.
pub(super) fn metadata_command(manifest: &Path, toolchain: &Toolchain) -> MetadataCommand {
    let mut command = MetadataCommand::new();
    command.cargo_path(&toolchain.cargo.path).manifest_path(manifest).env("RUSTC", &toolchain.rustc.path);
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
        command.env_remove(name);
    }
    command
}

/// Cargo's words for a lock file that does not fit.
fn stale_lock(output: &str) -> bool {
    output.contains("--locked was passed") || output.contains("because --locked")
}

impl Job<'_> {
    /// Cargo's target folder: kept between builds, so that a changed line compiles one crate.
    pub(super) fn target_dir(&self, folder: &Path) -> Result<PathBuf, Error> {
        let key = Digest::of_json(&(self.bindings, Digest::of_path(folder), self.inputs.toolchain));
        Ok(self.ctx.cache.workspace("cargo", &key)?)
    }

    fn cargo(&self, folder: &Path, target_dir: &Path, krate: &Crate) -> Result<Tool, Error> {
        let recipe = self.inputs.recipe;
        let mut flags: Vec<OsString> =
            ["-Crelocation-model=static", "-Cforce-unwind-tables=no", "-Ctarget-feature=+crt-static"]
                .map(OsString::from)
                .into();
        flags.extend(nested::remap_flags(self.remaps(target_dir)?));
        let mut tool = nested::cargo(self.inputs.toolchain, folder, target_dir, &flags)?
            .args(["rustc", "--release", "--locked", "--target", TRIPLE, "--bin"])
            .arg(&krate.binary)
            .args(["--message-format", "json-render-diagnostics"]);
        // The features of C sources would be those of `selkie-c`, which are not the recipe's business.
        if !recipe.features.is_empty() && matches!(recipe.source, RootTaskSource::Crate(_)) {
            tool = tool.arg("--features").arg(recipe.features.join(","));
        }
        if recipe.acpi {
            tool = tool.arg("--features").arg(ACPI);
        }
        for (name, value) in PROFILE {
            tool = tool.env(name, value);
        }
        Ok(tool.env("SELKIE_BINDINGS", self.inputs.bindings))
    }
}

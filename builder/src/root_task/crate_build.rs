//! A nested Cargo that builds the function's crate, in an environment of its own.

use super::{Error, Job, STEP, Toolchain, linker_error, nested, toolchain::TRIPLE};
use crate::{
    Context, Digest,
    exec::{self, Tool},
    files,
    inputs::registry,
    lock::Lock,
    recipe::RootTaskSource,
};
use cargo_metadata::{Metadata, MetadataCommand, TargetKind};
use std::{
    ffi::OsString,
    fs,
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

/// What tells crates with code for many processors that they must not look for AVX at run time. Of a thread's vector
/// registers, kernels that save by FXSAVE and the tender keep those of SSE only: in a process AVX would be there, and
/// lose the upper half of its registers whenever another thread runs.
const WITHOUT_AVX: &[&str] = &[
    "aes_backend=\"soft\"",
    "chacha20_backend=\"sse2\"",
    "curve25519_dalek_backend=\"serial\"",
    "poly1305_backend=\"soft\"",
    "polyval_backend=\"soft\"",
    "sha2_backend=\"soft\"",
];

/// How many builds may run at once, each in a target folder of its own.
const TARGET_DIRS: usize = 4;
/// In a target folder: its lock, and the digest of the bindings that it was used with last.
const LOCK: &str = "selkie.lock";
const KERNEL: &str = "selkie.bindings";

/// The feature that makes the runtime read a PC's ACPI tables.
pub(super) const ACPI: &str = "selkie/acpi";

/// A crate, as Cargo describes it.
pub(super) struct Crate {
    /// Folder of the workspace: where Cargo.lock lies.
    pub workspace: PathBuf,
    /// Its one binary target.
    pub binary: String,
    /// The file in which that begins.
    pub main: PathBuf,
}

/// Builds the crate in `folder` with further `objects` and returns the linked ELF, in `target`.
pub(super) fn build(
    job: &Job<'_>,
    folder: &Path,
    objects: &[PathBuf],
    target: &Path,
) -> Result<PathBuf, Error> {
    let krate = describe(job.ctx, folder, job.inputs.toolchain)?;
    let link_args = job.link_args(&target.join("link"), objects)?;
    let tool = job.cargo(folder, target, &krate)?;
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
pub(super) fn describe(ctx: &Context<'_>, folder: &Path, toolchain: &Toolchain) -> Result<Crate, Error> {
    let manifest = folder.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(Error::NoManifest(folder.to_owned()));
    }
    let metadata = metadata(ctx, folder, None, toolchain, &["--no-deps"])?;
    let package = metadata.packages.iter().find(|package| package.manifest_path.as_std_path() == manifest);
    let package = package.ok_or_else(|| Error::NoBinary(folder.to_owned()))?;
    let mut binaries: Vec<_> = package
        .targets
        .iter()
        .filter(|target| target.kind.contains(&TargetKind::Bin))
        .map(|target| (target.name.clone(), target.src_path.clone().into_std_path_buf()))
        .collect();
    binaries.sort();
    let chosen = match (&package.default_run, binaries.as_slice()) {
        (_, [one]) => Some(one.clone()),
        (Some(chosen), _) => binaries.iter().find(|(name, _)| name == chosen).cloned(),
        (None, []) => None,
        (None, _) => {
            let names = binaries.into_iter().map(|(name, _)| name).collect();
            return Err(Error::ManyBinaries { dir: folder.to_owned(), names });
        }
    };
    let (binary, main) = chosen.ok_or_else(|| Error::NoBinary(folder.to_owned()))?;
    let workspace = metadata.workspace_root.into_std_path_buf();
    let lock = workspace.join("Cargo.lock");
    if !lock.is_file() {
        return Err(Error::NoLock { lock, dir: workspace });
    }
    Ok(Crate { workspace, binary, main })
}

/// Cargo's description of the crate in `folder`, with an environment of its own: what the user's own builds run
/// rustc with is not what a root task is built with. `krate` is what is known of it so far.
pub(super) fn metadata(
    ctx: &Context<'_>,
    folder: &Path,
    krate: Option<&Crate>,
    toolchain: &Toolchain,
    args: &[&str],
) -> Result<Metadata, Error> {
    let tool = registry::at_home(Tool::new(&toolchain.cargo.path, folder))
        .inherit(exec::NETWORK)
        .env("RUSTC", &toolchain.rustc.path)
        .args(["metadata", "--format-version", "1", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .args(args);
    let dir = folder.to_owned();
    match (tool.run(&ctx.cancel), krate) {
        (Ok(output), _) => MetadataCommand::parse(output.stdout)
            .map_err(|error| Error::Metadata { dir, output: error.to_string() }),
        (Err(exec::Error::Failed { output, .. }), Some(krate)) if stale_lock(&output) => {
            let dir = krate.workspace.clone();
            Err(Error::StaleLock { lock: dir.join("Cargo.lock"), dir, output })
        }
        (Err(exec::Error::Failed { output, .. }), _) => Err(Error::Metadata { dir, output }),
        (Err(error), _) => Err(error.into()),
    }
}

/// Cargo's words for a lock file that does not fit.
fn stale_lock(output: &str) -> bool {
    output.contains("--locked was passed") || output.contains("because --locked")
}

impl Job<'_> {
    /// Cargo's target folder, for this build alone while the lock is held. It is kept between builds, so that a
    /// changed line compiles one crate, and what all functions bring in is compiled once: those of the checkout share
    /// one. A function from elsewhere has its own, as it could be another's dependency and be named otherwise there.
    pub(super) fn target_dir(&self) -> Result<(PathBuf, Lock), Error> {
        let elsewhere = self.function_elsewhere().map(Digest::of_path);
        let root = Digest::of_path(&self.ctx.project.root);
        let folder = |number: usize| {
            let key = Digest::of_json(&(elsewhere, root, self.inputs.toolchain, number));
            Ok::<_, Error>(self.ctx.cache.workspace("cargo", &key)?)
        };
        // Who builds beside others takes another one, that with what was compiled for this kernel before if it can be.
        let own = self.bindings.to_string();
        let mut folders = (0..TARGET_DIRS).map(folder).collect::<Result<Vec<_>, _>>()?;
        folders.sort_by_cached_key(|folder| match fs::read_to_string(folder.join(KERNEL)) {
            Ok(kernel) => u8::from(kernel != own),
            Err(_) => 2,
        });
        let free = |folder: &PathBuf| {
            Lock::try_take(&folder.join(LOCK)).transpose().map(|lock| (folder.clone(), lock))
        };
        let (folder, lock) = match folders.iter().find_map(free) {
            Some((folder, lock)) => (folder, lock?),
            None => {
                let folder = folders.swap_remove(0);
                let lock = Lock::take(&folder.join(LOCK), STEP, self.ctx.progress, &self.ctx.cancel)?;
                (folder, lock)
            }
        };
        files::write(&folder.join(KERNEL), &own)?;
        Ok((folder, lock))
    }

    fn cargo(&self, folder: &Path, target: &Path, krate: &Crate) -> Result<Tool, Error> {
        let recipe = self.inputs.recipe;
        let base = ["-Crelocation-model=static", "-Cforce-unwind-tables=no", "-Ctarget-feature=+crt-static"];
        let without = WITHOUT_AVX.iter().map(|cfg| format!("--cfg={cfg}"));
        let flags: Vec<_> = base.into_iter().map(str::to_owned).chain(without).collect();
        let mut tool = nested::cargo(self.inputs.toolchain, folder, target, &flags, self.remaps(target)?)?
            .args(["rustc", "--release", "--locked", "--target", TRIPLE, "--bin"])
            .arg(&krate.binary)
            .args(["--message-format", "json-render-diagnostics"]);
        // The features of C sources would be those of `selkie-c`, which are not the recipe's business.
        let features = recipe.cargo_features();
        if !features.is_empty() && matches!(recipe.source, RootTaskSource::Crate(_)) {
            tool = tool.arg("--features").arg(features.join(","));
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

//! Where figures are measured: a scratch folder, and commands run with their times.

use super::{
    block::Disks,
    cpu,
    http::Load,
    posix::{Echoes, Starts},
};
use crate::{
    Context, Error, ExitCode, Result, Target, build,
    exec::Tool,
    files,
    image::{Image, Role},
    plan,
    recipe::{Recipe, RootTaskSource},
};
use std::{
    cell::OnceCell,
    path::{Path, PathBuf},
    time::Instant,
};

/// Everything that measuring needs.
pub(super) struct Lab<'a> {
    pub(super) ctx: &'a Context<'a>,
    /// The program of the command line.
    pub(super) xtask: &'a Path,
    /// Deleted in the end.
    scratch: tempfile::TempDir,
    /// What several figures are made of is measured once: the loads of servers, requests to disks, and
    /// starts and answers of POSIX programs.
    loads: OnceCell<Result<Vec<Load>, String>>,
    disks: OnceCell<Result<Disks, String>>,
    starts: OnceCell<Result<Starts, String>>,
    echoes: OnceCell<Result<Echoes, String>>,
}

impl<'a> Lab<'a> {
    pub(super) fn new(ctx: &'a Context<'a>, xtask: &'a Path) -> Result<Self> {
        let scratch = tempfile::tempdir().map_err(|error| failed("a folder for temporary files", error))?;
        let (loads, disks) = (OnceCell::new(), OnceCell::new());
        let (starts, echoes) = (OnceCell::new(), OnceCell::new());
        Ok(Self { ctx, xtask, scratch, loads, disks, starts, echoes })
    }

    /// The loads of servers, measured by the first who asks.
    pub(super) fn loads(&self, measure: impl FnOnce(&Self) -> Result<Vec<Load>>) -> Result<&[Load]> {
        once(&self.loads, || measure(self)).map(|loads| loads.as_slice())
    }

    /// Requests to disks, likewise.
    pub(super) fn disks(&self, measure: impl FnOnce(&Self) -> Result<Disks>) -> Result<&Disks> {
        once(&self.disks, || measure(self))
    }

    /// Starts of a POSIX program, likewise.
    pub(super) fn starts(&self, measure: impl FnOnce(&Self) -> Result<Starts>) -> Result<&Starts> {
        once(&self.starts, || measure(self))
    }

    /// What POSIX and native servers send back, likewise.
    pub(super) fn echoes(&self, measure: impl FnOnce(&Self) -> Result<Echoes>) -> Result<&Echoes> {
        once(&self.echoes, || measure(self))
    }

    /// A folder of this name in the scratch folder, empty the first time.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.scratch.path().join(name);
        files::create_dir_all(&path)?;
        Ok(path)
    }

    /// The image of a recipe, built when it is not there.
    pub(super) fn image(&self, recipe: &Recipe) -> Result<Image> {
        self.image_for(recipe, Target::Qemu)
    }

    /// The same for any target.
    pub(super) fn image_for(&self, recipe: &Recipe, target: Target) -> Result<Image> {
        build::build(self.ctx, &plan::plan(self.ctx, recipe, target)?)
    }

    /// Bytes of the file of this role in a recipe's image.
    pub(super) fn size(&self, recipe: &Recipe, role: Role) -> Result<f64> {
        let image = self.image(recipe)?;
        let member = image.member(role).ok_or_else(|| failed(&image.name, "its image lacks a file"))?;
        Ok(member.size as f64)
    }

    /// `cargo` in `dir`.
    pub(super) fn cargo(&self, dir: &Path) -> Tool {
        inherit(Tool::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), dir))
    }

    /// The command line of this checkout, answering as JSON.
    pub(super) fn xtask(&self) -> Tool {
        let project = self.ctx.project;
        inherit(Tool::new(self.xtask, &project.root)).args(["--format", "json", "--out"]).arg(&project.out)
    }

    /// Copies `functions/` and the recipe into the scratch folder, where they may be changed: the folder of
    /// the function's crate, and the recipe.
    pub(super) fn copy_of(&self, recipe: &Recipe) -> Result<(PathBuf, PathBuf)> {
        let RootTaskSource::Crate(source) = &recipe.source else {
            return Err(failed(&recipe.function.name, "it has no crate that could be changed"));
        };
        let project = self.ctx.project;
        let (from, to) = (project.root.join("functions"), self.folder("functions")?);
        let runtime = project.runtime().to_string_lossy().into_owned();
        let walk = walkdir::WalkDir::new(&from).sort_by_file_name().into_iter();
        for entry in walk.filter_entry(|entry| entry.file_name() != "target").flatten() {
            let target = to.join(entry.path().strip_prefix(&from).unwrap_or(Path::new("")));
            if entry.file_type().is_dir() {
                files::create_dir_all(&target)?;
            } else if entry.file_name() == "Cargo.toml" {
                let text = String::from_utf8_lossy(&files::read(entry.path())?).into_owned();
                let absolute = text.replace("../../runtime", &runtime).replace("../runtime", &runtime);
                files::write(&target, absolute)?;
            } else {
                files::copy(entry.path(), &target)?;
            }
        }
        let folder =
            to.join(source.path.strip_prefix(&from).map_err(|error| failed(&source.written, error))?);
        let copy = self.folder("recipes")?.join(recipe.path.file_name().unwrap_or_default());
        files::copy(&recipe.path, &copy)?;
        Ok((folder, copy))
    }

    /// Runs `tool` and says how many seconds it took.
    pub(super) fn seconds(&self, tool: &Tool) -> Result<f64> {
        let start = Instant::now();
        tool.run(&self.ctx.cancel)?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// The CPU time of `work` in all processes that it starts, in seconds.
    pub(super) fn cpu(&self, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
        let now = || cpu::of_children().map_err(|error| failed("/proc/self/stat", error));
        let before = now()?;
        work()?;
        Ok(now()? - before)
    }
}

/// What is in `cell`, measured the first time. Who asks again after a failure is told the same.
fn once<T>(cell: &OnceCell<Result<T, String>>, measure: impl FnOnce() -> Result<T>) -> Result<&T> {
    let measured = cell.get_or_init(|| measure().map_err(|error| error.to_string()));
    measured.as_ref().map_err(|error| Error::new(ExitCode::Failed, error.clone()))
}

/// What Cargo must know to find its home and the compiler.
fn inherit(tool: Tool) -> Tool {
    tool.inherit(&["HOME", "CARGO", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"])
}

/// Something could not be measured.
pub(super) fn failed(what: &str, error: impl std::fmt::Display) -> Error {
    Error::new(ExitCode::Failed, format!("{what}: {error}"))
}

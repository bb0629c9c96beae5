//! From a recipe's name or path to a checked [`Recipe`].

use super::{
    InputPath, Period, QemuTarget, RawRecipe, Recipe, RootTaskSource, Size, Smoke,
    units::{KIB, MIB, parse_period, parse_size},
};
use crate::{Digest, Error, ExitCode, Project, Result};
use std::{
    fs,
    path::{Component, Path, PathBuf},
    time::Duration,
};

impl Recipe {
    /// Reads and checks the recipe that `arg` names: a file of `recipes/` without `.toml`, or the path
    /// of a TOML file anywhere. Paths in a recipe are relative to its folder.
    pub fn load(project: &Project, arg: &str) -> Result<Self> {
        let path = if arg.contains('/') || arg.ends_with(".toml") {
            PathBuf::from(arg)
        } else {
            project.recipes().join(format!("{arg}.toml"))
        };
        let usage = |text: String| Error::new(ExitCode::Usage, text);
        let path = clean(&std::path::absolute(&path).map_err(|e| usage(format!("{}: {e}", path.display())))?);
        let text = fs::read_to_string(&path).map_err(|e| usage(format!("{}: {e}", path.display())))?;
        let raw: RawRecipe = toml::from_str(&text).map_err(|e| usage(format!("{}: {e}", path.display())))?;
        Ok(resolve(&path, Digest::of(&text), raw))
    }

    /// Every recipe of `recipes/`, sorted by name. One that is wrong is an error in its place.
    pub fn all(project: &Project) -> Result<Vec<(String, Result<Self>)>> {
        let mut names = Vec::new();
        let entries = fs::read_dir(project.recipes()).into_iter().flatten().flatten();
        names.extend(entries.filter_map(|entry| {
            entry.file_name().to_str().and_then(|name| name.strip_suffix(".toml")).map(str::to_owned)
        }));
        names.sort();
        Ok(names.into_iter().map(|name| (name.clone(), Self::load(project, &name))).collect())
    }
}

/// Fills in defaults.
fn resolve(path: &Path, digest: Digest, raw: RawRecipe) -> Recipe {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let input = |written: &String| InputPath { written: written.clone(), path: clean(&folder.join(written)) };
    let task = raw.root_task;
    let source = if let Some(crate_dir) = &task.crate_dir {
        RootTaskSource::Crate(input(crate_dir))
    } else if let Some(prebuilt) = &task.prebuilt {
        RootTaskSource::Prebuilt(input(prebuilt))
    } else {
        RootTaskSource::C(task.c_sources.iter().flatten().map(input).collect())
    };
    Recipe {
        path: path.to_owned(),
        digest,
        function: raw.function,
        source,
        features: task.features,
        libos: task.libos,
        stack: bytes(task.stack.as_ref(), 64 * KIB),
        heap: bytes(task.heap.as_ref(), 256 * KIB),
        kernel: raw.kernel.config,
        devices: raw.devices,
        run: raw.run,
        qemu: QemuTarget {
            memory: bytes(raw.targets.qemu.memory.as_ref(), 64 * MIB),
            machine: raw.targets.qemu.machine,
            cpu: raw.targets.qemu.cpu,
            extra_args: raw.targets.qemu.extra_args,
        },
        smoke: raw.smoke.map(|smoke| Smoke {
            expect: smoke.expect,
            forbid: smoke.forbid,
            status: smoke.status,
            timeout: period(smoke.timeout.as_ref(), 30),
            input: smoke.input,
        }),
    }
}

/// The bytes of a size that was checked.
fn bytes(size: Option<&Size>, default: u64) -> u64 {
    match size {
        None => default,
        Some(Size::Bytes(bytes)) => *bytes,
        Some(Size::Text(text)) => parse_size(text).unwrap_or(default),
    }
}

/// The length of a period that was checked; `default` is in seconds.
fn period(period: Option<&Period>, default: u64) -> Duration {
    match period {
        None => Duration::from_secs(default),
        Some(Period::Seconds(seconds)) => Duration::from_secs(*seconds),
        Some(Period::Text(text)) => Duration::from_millis(parse_period(text).unwrap_or(default * 1000)),
    }
}

/// `path` without `.` and `..`, by its text alone.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    clean
}

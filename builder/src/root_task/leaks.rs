//! Paths of this machine: how they are kept out of a root task, and the scan that proves it.

use super::{Error, Job, Toolchain, sources};
use crate::{
    Project,
    elf::Elf,
    note,
    recipe::{Recipe, RootTaskSource},
    run_config,
};
use std::{
    ffi::OsString,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

impl Job<'_> {
    /// What stands in compiled code for folders of this machine. The later one wins where two fit.
    pub(super) fn remaps(&self, target_dir: &Path) -> Result<Vec<(PathBuf, OsString)>, Error> {
        let mut remaps = common_remaps(self.ctx.project, self.inputs.toolchain);
        for folder in self.folders_elsewhere()? {
            let name = folder.file_name().unwrap_or_default().to_owned();
            remaps.push((folder, name));
        }
        // One in the checkout is named as what else lies there.
        if let Some(folder) = self.function_elsewhere() {
            remaps.push((folder.to_owned(), "function".into()));
        }
        remaps.push((target_dir.to_owned(), "target".into()));
        if let Some(folder) = self.inputs.bindings.parent() {
            remaps.push((folder.to_owned(), "bindings".into()));
        }
        Ok(remaps)
    }

    /// The folder of the function, where it does not lie in the checkout.
    pub(super) fn function_elsewhere(&self) -> Option<&Path> {
        let folder = source_folder(self.inputs.recipe);
        folder.filter(|folder| !folder.starts_with(&self.ctx.project.root))
    }

    /// The crates that are used by path from outside of the checkout.
    fn folders_elsewhere(&self) -> Result<Vec<PathBuf>, Error> {
        let sources = sources(self.ctx, self.inputs.recipe, self.inputs.toolchain)?;
        let folders = sources.folders.into_iter();
        Ok(folders.filter(|folder| !folder.starts_with(&self.ctx.project.root)).collect())
    }

    /// The folders whose names must not be in the result.
    pub(super) fn places(&self) -> Result<Vec<PathBuf>, Error> {
        let mut places = common_places(self.ctx.project, self.inputs.toolchain);
        places.extend(self.inputs.bindings.parent().map(Path::to_owned));
        places.extend(source_folder(self.inputs.recipe).map(Path::to_owned));
        places.extend(self.folders_elsewhere()?);
        places.extend(self.inputs.rumprun.iter().flat_map(|tree| tree.places()));
        places.retain(|place| worth_a_look(place));
        Ok(places)
    }
}

/// The folder that the function's sources lie in.
pub(crate) fn source_folder(recipe: &Recipe) -> Option<&Path> {
    match &recipe.source {
        RootTaskSource::Crate(folder) => Some(&folder.path),
        RootTaskSource::C(files) => files.first().and_then(|file| file.path.parent()),
        RootTaskSource::Package(_) | RootTaskSource::Program(_) | RootTaskSource::Prebuilt(_) => None,
    }
}

/// What stands in compiled code for the folders that every nested build has to do with.
pub(crate) fn common_remaps(project: &Project, toolchain: &Toolchain) -> Vec<(PathBuf, OsString)> {
    let mut remaps: Vec<(PathBuf, OsString)> = vec![
        // Where rust-src is installed, rustc finds the sources of `core` in it and names them so.
        (toolchain.sysroot().join("lib/rustlib/src/rust"), format!("/rustc/{}", toolchain.commit()).into()),
        (project.root.clone(), "selkie".into()),
    ];
    remaps.extend(cargo_home().map(|folder| (folder, "cargo".into())));
    remaps.extend(registry_folders().map(|folder| (folder, "registry".into())));
    remaps
}

/// The folders of this machine whose names must not be in any result.
pub(crate) fn common_places(project: &Project, toolchain: &Toolchain) -> Vec<PathBuf> {
    let mut places = vec![project.root.clone(), project.cache(), toolchain.sysroot()];
    places.extend(cargo_home());
    places.retain(|place| worth_a_look(place));
    places
}

/// Whether a path is long enough to be found by anything but chance.
pub(crate) fn worth_a_look(place: &Path) -> bool {
    place.is_absolute() && place.components().count() > 2
}

/// The folder in which Cargo keeps its own.
pub fn cargo_home() -> Option<PathBuf> {
    let own = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    own.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
}

/// The folders that Cargo unpacks crates into: their names carry a hash that differs between machines.
fn registry_folders() -> impl Iterator<Item = PathBuf> {
    let sources = cargo_home().map(|home| home.join("registry/src"));
    let mut folders: Vec<_> = sources
        .and_then(|sources| std::fs::read_dir(sources).ok())
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    folders.sort();
    folders.into_iter()
}

/// Looks for any of `places` in a stripped root task. The recipe's own texts, in the note and in the
/// run configuration, may say what they like: they are the same on every machine.
pub(crate) fn scan(stripped: &[u8], places: &[PathBuf]) -> Result<(), Error> {
    let elf = Elf::parse(stripped).ok();
    for place in places {
        let needle = place.as_os_str().as_bytes();
        for offset in occurrences(stripped, needle) {
            let section =
                elf.as_ref().and_then(|elf| elf.section_at(offset as u64)).map(|section| section.name);
            if section.is_some_and(|name| name == note::SECTION || name == run_config::SECTION) {
                continue;
            }
            let end = stripped[offset..].iter().position(|byte| !byte.is_ascii_graphic());
            let text = &stripped[offset..offset + end.unwrap_or(needle.len()).clamp(needle.len(), 200)];
            return Err(Error::Leak {
                path: String::from_utf8_lossy(text).into_owned(),
                offset: offset as u64,
                place: section.map(|name| format!(" (section {name})")).unwrap_or_default(),
            });
        }
    }
    Ok(())
}

fn occurrences<'a>(data: &'a [u8], needle: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let first = needle.first().copied();
    let starts = data.iter().enumerate().filter(move |&(_, &byte)| Some(byte) == first).map(|(at, _)| at);
    starts.filter(move |&at| data[at..].starts_with(needle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_and_its_offset_named() {
        let places = [PathBuf::from("/home/someone/selkie")];
        assert!(scan(b"nothing here /home/someone", &places).is_ok());
        let error = scan(b"0123/home/someone/selkie/src/main.rs\0rest", &places).unwrap_err();
        let Error::Leak { path, offset, .. } = error else { panic!("{error}") };
        assert_eq!((path.as_str(), offset), ("/home/someone/selkie/src/main.rs", 4));
    }
}

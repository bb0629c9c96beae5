//! Removes what was built: images, and on request the cache.
//!
//! Only folders that a build made are touched: `--out` may point at a folder that holds other things.

use crate::{Project, Target, disk, exec, kernel_alone, process::operator};
use serde::Serialize;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What is removed.
#[derive(Debug, Clone, Default)]
pub struct What {
    /// Names of recipes; none means those of every recipe, and kernels alone.
    pub recipes: Vec<String>,
    /// The step cache too.
    pub cache: bool,
}

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// The folders, the operator's tender when it was there, and disks that were never whole, sorted.
    pub folders: Vec<PathBuf>,
    /// Their size in bytes.
    pub bytes: u64,
}

/// Something could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name that is not one folder's.
    #[error("`{name}` is not the name of a recipe\n  help: `cargo xtask clean hello`, not a path")]
    Name {
        /// As given.
        name: String,
    },
    /// A file or folder failed.
    #[error("{path}: {source}\n  help: rm -r {quoted}")]
    Io {
        /// Where.
        path: PathBuf,
        /// The same, for a shell.
        quoted: String,
        /// Why.
        source: io::Error,
    },
}

crate::exit_code!(Error, |error| match error {
    Error::Name { .. } => crate::ExitCode::Usage,
    Error::Io { .. } => crate::ExitCode::Failed,
});

/// Removes the images of `what`, and with `what.cache` the cache. What is not there is no error.
pub fn clean(project: &Project, what: &What) -> Result<Removed, Error> {
    if let Some(name) = what.recipes.iter().find(|name| !is_name(name)) {
        return Err(Error::Name { name: name.clone() });
    }
    let names = if what.recipes.is_empty() { folders(&project.out)? } else { what.recipes.clone() };
    let mut removed = Removed::default();
    for name in names {
        for target in Target::ALL {
            remove(&project.image(&name, *target), &mut removed)?;
        }
        for partial in partial_disks(&project.out.join(&name)) {
            remove_file(&partial, &mut removed)?;
        }
        // Only goes away when nothing else lies in it.
        let _ = fs::remove_dir(project.out.join(&name));
    }
    if what.recipes.is_empty() {
        let kernels = project.kernel("");
        for name in folders(&kernels)? {
            if project.kernel(&name).join(kernel_alone::KERNEL).is_file() {
                remove(&project.kernel(&name), &mut removed)?;
            }
        }
        let _ = fs::remove_dir(kernels);
        remove_file(&project.out.join(operator::NAME), &mut removed)?;
    }
    if what.cache {
        remove(&project.cache(), &mut removed)?;
    }
    removed.folders.sort();
    Ok(removed)
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains('/')
}

/// The folders in `out` that may hold images, or kernels.
fn folders(out: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(out) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(out)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed(out))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_name(&name) && entry.file_type().map_err(failed(out))?.is_dir() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// What is left in the folder of a recipe of disks that were being made when everything ended.
fn partial_disks(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let begins = disk::PARTIAL.as_bytes();
    let partial = entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(begins));
    partial.map(|entry| entry.path()).collect()
}

fn remove(dir: &Path, removed: &mut Removed) -> Result<(), Error> {
    if !dir.is_dir() {
        return Ok(());
    }
    let files = walkdir::WalkDir::new(dir).into_iter().flatten().filter_map(|entry| entry.metadata().ok());
    removed.bytes += files.filter(fs::Metadata::is_file).map(|meta| meta.len()).sum::<u64>();
    fs::remove_dir_all(dir).map_err(failed(dir))?;
    removed.folders.push(dir.to_owned());
    Ok(())
}

fn remove_file(path: &Path, removed: &mut Removed) -> Result<(), Error> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if metadata.is_file() {
        fs::remove_file(path).map_err(failed(path))?;
        removed.bytes += metadata.len();
        removed.folders.push(path.to_owned());
    }
    Ok(())
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { quoted: exec::quote(&path.to_string_lossy()), path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder for output with images of `a` and `b`, a cache, and something that is the user's own.
    fn project() -> (tempfile::TempDir, Project) {
        let dir = tempfile::tempdir().unwrap();
        for file in ["a/qemu/kernel", "b/qemu/kernel", ".cache/step/x", "thesis/final.tex", "notes"] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "12345").unwrap();
        }
        let project = Project { root: dir.path().to_owned(), out: dir.path().to_owned() };
        (dir, project)
    }

    #[test]
    fn all_images_go_and_everything_else_stays() {
        let (dir, project) = project();
        // A disk that was never whole, and one that is the user's.
        fs::write(dir.path().join("a/.disk-x"), "12345").unwrap();
        fs::write(dir.path().join("b/disk.img"), "12345").unwrap();
        let removed = clean(&project, &What::default()).unwrap();
        assert_eq!(removed.bytes, 15);
        assert_eq!(removed.folders, ["a/.disk-x", "a/qemu", "b/qemu"].map(|name| dir.path().join(name)));
        assert!(dir.path().join("b/disk.img").exists());
        assert!(!dir.path().join("a").exists());
        assert!(dir.path().join("thesis/final.tex").exists());
        assert!(dir.path().join(".cache/step/x").exists());
    }

    #[test]
    fn one_recipe_and_the_cache() {
        let (dir, project) = project();
        let removed = clean(&project, &What { recipes: vec!["a".into()], cache: true }).unwrap();
        assert_eq!(removed.folders, [dir.path().join(".cache"), dir.path().join("a/qemu")]);
        assert!(dir.path().join("b/qemu/kernel").exists());
    }

    #[test]
    fn executables_and_the_operators_tender_go_with_all_images() {
        let (dir, project) = project();
        fs::create_dir_all(dir.path().join("a/process")).unwrap();
        fs::write(dir.path().join(operator::NAME), "12345").unwrap();
        let one = clean(&project, &What { recipes: vec!["b".into()], cache: false }).unwrap();
        assert_eq!(one.folders, [dir.path().join("b/qemu")]);
        let all = clean(&project, &What::default()).unwrap();
        let names = ["a/process", "a/qemu", operator::NAME].map(|name| dir.path().join(name));
        assert_eq!((all.folders.as_slice(), all.bytes), (&names[..], 10));
    }

    #[test]
    fn kernels_alone_go_with_all_images() {
        let (_dir, project) = project();
        for file in ["made/bin/kernel.elf", "mine/notes"] {
            let path = project.kernel(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "12345").unwrap();
        }
        clean(&project, &What { recipes: vec!["a".into()], cache: true }).unwrap();
        assert!(project.kernel("made").exists());
        let all = clean(&project, &What::default()).unwrap();
        assert!(all.folders.contains(&project.kernel("made")) && !project.kernel("made").exists());
        assert!(project.kernel("mine/notes").exists());
    }

    #[test]
    fn paths_are_no_names() {
        let (_dir, project) = project();
        for name in ["../a", "a/qemu", "..", ".cache", ""] {
            let what = What { recipes: vec![name.into()], cache: false };
            assert!(matches!(clean(&project, &what), Err(Error::Name { .. })), "{name}");
        }
    }

    #[test]
    fn nothing_there_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let project = Project { root: dir.path().to_owned(), out: dir.path().join("absent") };
        assert_eq!(clean(&project, &What::default()).unwrap(), Removed::default());
    }
}

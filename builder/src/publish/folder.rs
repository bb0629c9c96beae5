//! The folder that is published: written beside its place, and put there in one step when it is complete.

use super::{
    Bundle, Error, Output,
    sums::{self, Sums},
};
use crate::{Context, Digest, files, lock::Lock};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// A published folder has at most this many files and folders.
pub const MOST: usize = 20_000;

/// Where images are published: a folder that is not there yet, an empty one, or one that was published before.
#[derive(Debug, Clone)]
pub struct Place {
    dir: PathBuf,
}

impl Place {
    /// The place `dir`. Found out before anything is built: nobody waits for images that cannot be put there.
    ///
    /// # Errors
    /// When something lies there that publishing would destroy.
    pub fn new(dir: &Path) -> Result<Self, Error> {
        let dir = files::clean(&std::path::absolute(dir).map_err(files::Error::at("find", dir))?);
        let place = Self { dir };
        place.check()?;
        Ok(place)
    }

    /// That all there is was published before: listed, file by file, in its own `SHA256SUMS`.
    fn check(&self) -> Result<(), Error> {
        let occupied = |fault: String| Err(Error::Occupied { dir: self.dir.clone(), fault });
        match fs::symlink_metadata(&self.dir) {
            Err(_) => return Ok(()),
            Ok(metadata) if metadata.is_symlink() => return occupied("it is a symbolic link".into()),
            Ok(metadata) if !metadata.is_dir() => return occupied("it is a file".into()),
            Ok(_) => {}
        }
        let found = match list(&self.dir) {
            Ok(found) => found,
            Err(error @ Error::Files(_)) => return Err(error),
            Err(error) => return occupied(error.to_string()),
        };
        if found.is_empty() {
            return Ok(());
        }
        let Some(path) = found.get(sums::NAME) else {
            return occupied(format!("it has files in it and no {}", sums::NAME));
        };
        match sums::parse(&files::read_at_most(path, sums::MOST)?) {
            Err(error) => occupied(format!("{}: {error}", sums::NAME)),
            Ok(listed) => match found.keys().find(|path| !is_own(path) && !listed.contains_key(*path)) {
                Some(path) => occupied(format!("{} does not list {path}", sums::NAME)),
                None => Ok(()),
            },
        }
    }

    /// Keeps others from publishing here, as far as they keep their cache in the same folder.
    pub(super) fn lock(&self, ctx: &Context<'_>) -> Result<Lock, Error> {
        let name = format!("{}.lock", Digest::of_path(&self.dir).short(16));
        let path = ctx.project.cache().join("publish").join(name);
        Ok(Lock::take(&path, &self.dir.display().to_string(), ctx.progress, &ctx.cancel)?)
    }

    /// Removes what was left by those that were killed; we hold the lock.
    pub(super) fn sweep(&self) {
        let Some(parent) = self.dir.parent() else { return };
        let prefix = format!(".{}.", self.name());
        for entry in files::sorted_entries(parent).unwrap_or_default() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let middle = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".partial"));
            if middle.is_some_and(|middle| middle.parse::<u32>().is_ok()) {
                // What cannot be removed is in nobody's way.
                let _ = files::remove(&entry.path());
            }
        }
    }

    fn name(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn partial(&self) -> PathBuf {
        self.dir.with_file_name(format!(".{}.{}.partial", self.name(), std::process::id()))
    }
}

/// Whether `SHA256SUMS` does not list this file of a published folder.
pub fn is_own(path: &str) -> bool {
    [sums::NAME, sums::SIGNATURE].contains(&path)
}

/// A published folder on its way. Dropped before it is complete, it is removed.
pub(super) struct Partial<'a> {
    place: &'a Place,
    dir: PathBuf,
    sums: Sums,
}

impl<'a> Partial<'a> {
    pub(super) fn new(place: &'a Place) -> Result<Self, Error> {
        let dir = place.partial();
        files::create_dir_all(&dir)?;
        Ok(Self { place, dir, sums: Sums::new() })
    }

    /// Writes a file of the folder.
    pub(super) fn write(&mut self, path: &str, content: &[u8]) -> Result<(), Error> {
        let file = self.dir.join(path);
        if let Some(folder) = file.parent() {
            files::create_dir_all(folder)?;
        }
        files::write(&file, content)?;
        self.sums.insert(path.to_owned(), Digest::of(content));
        Ok(())
    }

    /// Writes the list of all files, and puts the folder in its place.
    pub(super) fn publish(self) -> Result<Bundle, Error> {
        let text = sums::text(&self.sums);
        files::write(&self.dir.join(sums::NAME), &text)?;
        let mut outputs = Vec::new();
        let shown = self.sums.iter().filter(|(path, _)| !is_inside_layout(path));
        let own = (sums::NAME.to_owned(), Digest::of(&text));
        for (path, sha256) in shown.chain([(&own.0, &own.1)]) {
            let size = fs::metadata(self.dir.join(path)).map_err(files::Error::at("read", &self.dir))?.len();
            outputs.push(Output { path: self.place.dir.join(path), size, sha256: *sha256 });
        }
        // Somebody may have put something there meanwhile.
        self.place.check()?;
        files::swap_in(&self.dir, &self.place.dir)?;
        Ok(Bundle { dir: self.place.dir.clone(), files: outputs })
    }
}

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        // After it was put in its place it is not there any more.
        let _ = files::remove(&self.dir);
    }
}

/// Whether a file of an OCI layout is none that a reader begins with.
fn is_inside_layout(path: &str) -> bool {
    path.split_once(".oci/").is_some_and(|(_, rest)| rest != super::oci::spec::INDEX_FILE)
}

/// The files below a folder by their path from there; links are not followed.
///
/// # Errors
/// When there is anything that a published folder does not have.
pub fn list(dir: &Path) -> Result<BTreeMap<String, PathBuf>, Error> {
    let mut found = BTreeMap::new();
    let mut folders = vec![(String::new(), dir.to_owned())];
    let mut seen = 0;
    while let Some((prefix, folder)) = folders.pop() {
        for entry in files::sorted_entries(&folder)? {
            seen += 1;
            if seen > MOST {
                return Err(Error::Many(dir.to_owned()));
            }
            let path = entry.path();
            let name = entry.file_name().into_string().map_err(|_| Error::Name(path.clone()))?;
            let name = format!("{prefix}{name}");
            if !sums::is_plain(&name) {
                return Err(Error::Name(path));
            }
            let kind = entry.file_type().map_err(files::Error::at("read", &path))?;
            if kind.is_dir() {
                folders.push((format!("{name}/"), path));
            } else if kind.is_file() {
                found.insert(name, path);
            } else {
                return Err(Error::Special(path));
            }
        }
    }
    Ok(found)
}

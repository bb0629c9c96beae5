//! Reading and writing files with errors that say where, why, and what to do.

use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::{
    fs,
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

/// A file or folder could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}: {source}{}", remedy(source))]
pub struct Error {
    /// What was tried, for instance `write`.
    pub action: &'static str,
    /// Where.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

// A disk that is full or cannot be written is the host's lack.
crate::exit_code!(Error, |error| match error.source.kind() {
    io::ErrorKind::StorageFull
    | io::ErrorKind::QuotaExceeded
    | io::ErrorKind::ReadOnlyFilesystem
    | io::ErrorKind::PermissionDenied => crate::ExitCode::HostLacks,
    _ => crate::ExitCode::Failed,
});

impl Error {
    /// For `map_err`: an error of `action` at `path`.
    pub fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { action, path, source }
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "\n  help: make room on that disk (`cargo xtask clean` removes what Selkie wrote), or choose another folder with `--out`"
        }
        io::ErrorKind::ReadOnlyFilesystem => "\n  help: choose a folder that can be written with `--out`",
        io::ErrorKind::PermissionDenied => {
            "\n  help: change the permissions of that place, or choose another folder with `--out`"
        }
        _ => "",
    }
}

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(Error::at("read", path))
}

/// Reads a whole file of at most `limit` bytes that somebody else may have made.
pub fn read_at_most(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut content));
    read.map_err(Error::at("read", path))?;
    if content.len() as u64 > limit {
        let large = io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {limit} bytes"));
        return Err(Error::at("read", path)(large));
    }
    Ok(content)
}

/// Writes a whole file. Not atomic: for files in a folder that is renamed into place afterwards.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<(), Error> {
    fs::write(path, content).map_err(Error::at("write", path))
}

/// Writes a file beside its place and renames it into place.
pub fn replace(path: &Path, content: impl AsRef<[u8]>) -> Result<(), Error> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{}.partial", std::process::id()));
    let partial = PathBuf::from(partial);
    write(&partial, content)?;
    rename(&partial, path)
}

/// Copies a file; the copy has the usual permissions, whatever the source has.
pub fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    write(to, read(from)?)
}

/// Makes a folder and those above it.
pub fn create_dir_all(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(Error::at("make the folder", path))
}

/// Removes a file or a whole folder; one that is not there is fine.
pub fn remove(path: &Path) -> Result<(), Error> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::at("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Renames, within one file system.
pub fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(Error::at("write", to))
}

/// Puts the folder `partial` in the place of the folder `dir`, which is removed when it is there: in one step where
/// the file system can.
pub(crate) fn swap_in(partial: &Path, dir: &Path) -> Result<(), Error> {
    if !dir.exists() {
        return rename(partial, dir);
    }
    if renameat_with(CWD, partial, CWD, dir, RenameFlags::EXCHANGE).is_err() {
        remove(dir)?;
        return rename(partial, dir);
    }
    remove(partial)
}

/// `path` without `.` and `..`, by its text alone.
pub(crate) fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(clean.pop()),
            part => clean.push(part),
        }
    }
    clean
}

/// The entries of a folder, sorted by name.
pub fn sorted_entries(path: &Path) -> Result<Vec<fs::DirEntry>, Error> {
    let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = entries.map_err(Error::at("read the folder", path))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    Ok(entries)
}

//! Locks between processes: a lock file, waited for while watching for cancellation.

use crate::{
    context::{Cancel, Progress},
    files,
};
use std::{
    fs::{File, TryLockError},
    path::Path,
    thread,
    time::Duration,
};

/// How often a busy lock is tried again.
const PAUSE: Duration = Duration::from_millis(20);

/// A lock could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The lock file failed.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// The user asked to stop while waiting.
    #[error("stopped by the user while waiting for another process; nothing was written")]
    Cancelled,
}

crate::exit_code!(Error, |error| match error {
    Error::Files(error) => error.exit_code(),
    Error::Cancelled => crate::ExitCode::Failed,
});

/// A lock that is held until this is dropped, or the process ends in whatever way.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock `path`; says `waiting for another process: WHAT` when it has to wait.
    pub fn take(path: &Path, what: &str, progress: &dyn Progress, cancel: &Cancel) -> Result<Self, Error> {
        let mut told = false;
        loop {
            if let Some(lock) = Self::try_take(path)? {
                return Ok(lock);
            }
            if cancel.requested() {
                return Err(Error::Cancelled);
            }
            if !told {
                progress.note(&format!("waiting for another process: {what}"));
                told = true;
            }
            thread::sleep(PAUSE);
        }
    }

    /// Takes the lock `path` when nobody holds it.
    pub fn try_take(path: &Path) -> Result<Option<Self>, files::Error> {
        if let Some(folder) = path.parent() {
            files::create_dir_all(folder)?;
        }
        let file = File::options().create(true).truncate(false).write(true).open(path);
        let file = file.map_err(files::Error::at("open", path))?;
        match file.try_lock() {
            // `clean` may have removed the file between opening and locking: such a lock excludes nobody.
            Ok(()) if !same_file(&file, path) => Self::try_take(path),
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(files::Error::at("lock", path)(error)),
        }
    }
}

fn same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let inode = |metadata: std::io::Result<std::fs::Metadata>| metadata.map(|m| (m.dev(), m.ino())).ok();
    inode(file.metadata()).is_some_and(|held| inode(std::fs::metadata(path)) == Some(held))
}

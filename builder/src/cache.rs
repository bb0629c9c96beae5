//! The step cache: the result of a step lies under the digest of all that it depends on.
//!
//! An entry is written beside its place and renamed into it, so that a killed build leaves none.

use crate::Digest;
use serde::Serialize;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The folder with the results of earlier steps.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

/// The result of one step.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The folder that holds the step's files.
    pub dir: PathBuf,
    /// The digest of everything that the step depends on.
    pub key: Digest,
    /// Whether the step ran just now, rather than some time before.
    pub fresh: bool,
}

/// The cache could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder of the cache failed.
    #[error("{path}: {source}\n  help: the cache is safe to delete: `cargo xtask clean --cache`")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

crate::exit_code!(Error, Failed);

impl Cache {
    /// The cache in `root`, which is made when the first step is stored.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The result of step `name` for `inputs`: found when it ran before, made by `run` otherwise.
    ///
    /// `inputs` must name everything that the files depend on. `run` gets an empty folder to fill.
    pub fn step<E: From<Error>>(
        &self,
        name: &str,
        inputs: &impl Serialize,
        run: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<Entry, E> {
        let key = Digest::of_json(&(name, inputs));
        let dir = self.root.join(name).join(key.short(32));
        if dir.is_dir() {
            return Ok(Entry { dir, key, fresh: false });
        }
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { path, source }
        };
        let partial = self.root.join(name).join(format!("{}.{}.partial", key.short(32), std::process::id()));
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(io(&partial))?;
        }
        fs::create_dir_all(&partial).map_err(io(&partial))?;
        if let Err(error) = run(&partial) {
            let _ = fs::remove_dir_all(&partial);
            return Err(error);
        }
        fs::rename(&partial, &dir).map_err(io(&dir))?;
        Ok(Entry { dir, key, fresh: true })
    }
}

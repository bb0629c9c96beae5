//! The step cache: the result of a step lies under the digest of all that it depends on.
//!
//! `out/.cache/steps/STEP/KEY/` holds the files of one result, `KEY.list` their sizes and digests,
//! `KEY.log` the commands that made them. An entry is written beside its place and renamed into it, so
//! that a killed build leaves none; it is used only when every listed file is what the list says. A
//! lock per entry makes a second build of the same wait for the first.

/// The cache could not be read or written: what may happen to it may happen to its locks.
pub use crate::lock::Error;
use crate::{
    Digest,
    context::{Cancel, Progress},
    exec, files,
    index::Index,
    lock::Lock,
    memory,
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Digest of the builder's own source, templates and locked dependencies: a result that another builder
/// made may differ, so it counts towards every key.
pub const BUILDER: &str = env!("SELKIE_BUILDER_SOURCE");

/// The folder with the results of earlier steps.
#[derive(Clone)]
pub struct Cache<'a> {
    root: PathBuf,
    progress: &'a dyn Progress,
    cancel: Cancel,
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
    /// The commands that the step ran and what they printed.
    pub log: PathBuf,
}

impl<'a> Cache<'a> {
    /// The cache in `root`, which is made when the first step is stored.
    pub fn new(root: PathBuf, progress: &'a dyn Progress, cancel: Cancel) -> Self {
        Self { root, progress, cancel }
    }

    /// The key of step `name` for `inputs`.
    pub fn key(name: &str, inputs: &impl Serialize) -> Digest {
        Digest::of_json(&(BUILDER, name, inputs))
    }

    /// The result of step `name` for `inputs`: found when it ran before, made by `run` otherwise.
    ///
    /// `inputs` must name everything that the files depend on, by content and never by place. `run`
    /// gets an empty folder to fill, which is moved to its final place afterwards. Files that are added
    /// to an entry later do not belong to it.
    pub fn step<E: From<Error>>(
        &self,
        name: &str,
        inputs: &impl Serialize,
        run: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<Entry, E> {
        self.keyed_step(name, Self::key(name, inputs), run)
    }

    /// As [`Cache::step`], under a key that was computed before.
    pub fn keyed_step<E: From<Error>>(
        &self,
        name: &str,
        key: Digest,
        run: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<Entry, E> {
        let place = self.place(name, key);
        if place.holds() == State::Sound {
            return Ok(place.entry(key, false));
        }
        let _lock = Lock::take(&place.lock, name, self.progress, &self.cancel)?;
        // Another build may have made it meanwhile.
        match place.holds() {
            State::Sound => return Ok(place.entry(key, false)),
            State::Absent => {}
            State::Damaged(path) => {
                self.progress
                    .note(&format!("{} in the cache is damaged: {name} is built anew", path.display()));
            }
        }
        place.make(run)?;
        Ok(place.entry(key, true))
    }

    /// A folder for step `name` that outlives builds and that its tools keep in order themselves, such
    /// as Cargo's target folder. `key` must tell apart what must not be mixed.
    pub fn workspace(&self, name: &str, key: &Digest) -> Result<PathBuf, Error> {
        let folder = self.root.join("work").join(name).join(key.short(32));
        files::create_dir_all(&folder)?;
        Ok(folder)
    }

    fn place(&self, name: &str, key: Digest) -> Place {
        let folder = self.root.join("steps").join(name);
        let key = key.short(32);
        let file = |end: &str| folder.join(format!("{key}.{end}"));
        Place {
            dir: folder.join(&key),
            list: file("list"),
            log: file("log"),
            lock: file("lock"),
            partial: file(&format!("{}.partial", std::process::id())),
            index: self.root.join("index").join(format!("{name}-{key}")),
            folder,
        }
    }
}

/// Whether an entry may be used.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Sound,
    Absent,
    /// This file is not what the list says.
    Damaged(PathBuf),
}

/// One file of an entry.
#[derive(Serialize, Deserialize)]
struct Listed {
    path: PathBuf,
    size: u64,
    sha256: Digest,
}

/// Where one entry lies.
struct Place {
    folder: PathBuf,
    dir: PathBuf,
    list: PathBuf,
    log: PathBuf,
    lock: PathBuf,
    partial: PathBuf,
    index: PathBuf,
}

impl Place {
    fn entry(&self, key: Digest, fresh: bool) -> Entry {
        Entry { dir: self.dir.clone(), key, fresh, log: self.log.clone() }
    }

    /// Compares the entry with its list; files that did not change since they were compared last are
    /// not read again.
    fn holds(&self) -> State {
        if !self.dir.is_dir() {
            return State::Absent;
        }
        let Some(files) = memory::recall::<Vec<Listed>>(&self.list) else {
            return State::Damaged(self.list.clone());
        };
        let mut index = Index::open(self.index.clone());
        for Listed { path, size, sha256 } in files {
            let path = self.dir.join(path);
            if !index.matches(&path, size, sha256) {
                return State::Damaged(path);
            }
        }
        // The index only saves time.
        let _ = index.save();
        State::Sound
    }

    fn make<E: From<Error>>(&self, run: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
        self.sweep();
        let partial = &self.partial;
        files::remove(partial).and_then(|()| files::create_dir_all(partial)).map_err(Error::from)?;
        let (result, log) = exec::record(|| run(partial));
        let stored = result.and_then(|()| self.store(&log).map_err(|error| E::from(error.into())));
        if stored.is_err() {
            let _ = files::remove(partial);
        }
        stored
    }

    /// Moves the partial folder into place. The list comes last: a folder without it is not used.
    fn store(&self, log: &str) -> Result<(), files::Error> {
        let mut listed = Vec::new();
        list(&self.partial, Path::new(""), &mut listed)?;
        for old in [&self.list, &self.log, &self.dir] {
            files::remove(old)?;
        }
        files::replace(&self.log, log)?;
        files::rename(&self.partial, &self.dir)?;
        memory::store(&self.list, &listed)
    }

    /// Removes what killed builds left: nobody holds the lock of the entry that it was to become.
    fn sweep(&self) {
        let Ok(entries) = files::sorted_entries(&self.folder) else { return };
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(key) = name.strip_suffix(".partial").and_then(|name| name.split('.').next()) else {
                continue;
            };
            let lock = self.folder.join(format!("{key}.lock"));
            let held = if lock == self.lock { None } else { Some(Lock::try_take(&lock)) };
            if matches!(held, None | Some(Ok(Some(_)))) {
                // What cannot be removed is in nobody's way.
                let _ = files::remove(&entry.path());
            }
        }
    }
}

/// Lists all files below `root`/`folder`, links by what they lead to.
fn list(root: &Path, folder: &Path, into: &mut Vec<Listed>) -> Result<(), files::Error> {
    for entry in files::sorted_entries(&root.join(folder))? {
        let (path, relative) = (entry.path(), folder.join(entry.file_name()));
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder {
            list(root, &relative, into)?;
        } else if let Ok(metadata) = fs::metadata(&path)
            && metadata.is_file()
        {
            let sha256 = Digest::of_file(&path).map_err(files::Error::at("read", &path))?;
            into.push(Listed { path: relative, size: metadata.len(), sha256 });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Silent;
    use std::cell::Cell;

    /// The cache in `root`: waits silently and cannot be stopped.
    fn quiet(root: PathBuf) -> Cache<'static> {
        Cache::new(root, &Silent, Cancel::default())
    }

    struct Counted<'a> {
        cache: &'a Cache<'static>,
        runs: Cell<u32>,
    }

    impl Counted<'_> {
        fn step(&self, input: &str) -> Entry {
            let entry = self.cache.step::<Error>("step", &input, |dir| {
                self.runs.set(self.runs.get() + 1);
                files::create_dir_all(&dir.join("sub"))?;
                files::write(&dir.join("a"), input)?;
                files::write(&dir.join("sub/b"), "b")?;
                Ok(())
            });
            let entry = entry.unwrap();
            assert_eq!(fs::read_to_string(entry.dir.join("a")).unwrap(), input);
            assert_eq!(fs::read_to_string(entry.dir.join("sub/b")).unwrap(), "b");
            entry
        }
    }

    fn with_cache(test: impl FnOnce(&Counted<'_>, &Path)) {
        let dir = tempfile::tempdir().unwrap();
        let cache = quiet(dir.path().join("cache"));
        test(&Counted { cache: &cache, runs: Cell::new(0) }, dir.path());
    }

    #[test]
    fn a_step_runs_once_for_each_input() {
        with_cache(|counted, _| {
            assert!(counted.step("x").fresh);
            assert!(!counted.step("x").fresh);
            assert!(counted.step("y").fresh);
            assert!(!counted.step("x").fresh);
            assert_eq!(counted.runs.get(), 2);
        });
    }

    #[test]
    fn damage_of_any_kind_is_seen_and_repaired() {
        with_cache(|counted, _| {
            let Entry { dir, log, .. } = counted.step("content");
            let list = dir.with_extension("list");
            let damages: [&dyn Fn(); 8] = [
                &|| fs::write(dir.join("a"), "conten").unwrap(),
                &|| fs::write(dir.join("a"), "CONTENT").unwrap(),
                &|| fs::write(dir.join("sub/b"), "").unwrap(),
                &|| fs::remove_file(dir.join("sub/b")).unwrap(),
                &|| fs::remove_dir_all(dir.join("sub")).unwrap(),
                &|| fs::remove_file(&list).unwrap(),
                &|| fs::write(&list, "{}").unwrap(),
                &|| fs::write(&list, fs::read_to_string(&list).unwrap().replacen('6', "7", 1)).unwrap(),
            ];
            for (number, damage) in damages.iter().enumerate() {
                damage();
                assert!(counted.step("content").fresh, "damage {number}");
                assert!(!counted.step("content").fresh, "damage {number}");
            }
            assert!(log.exists());
        });
    }

    #[test]
    fn a_failed_step_leaves_nothing_and_what_a_killed_build_left_is_swept() {
        with_cache(|counted, root| {
            let entry = counted.step("x");
            let steps = entry.dir.parent().unwrap().to_owned();
            let left = steps.join("0123.4567.partial");
            fs::create_dir_all(left.join("half")).unwrap();
            let failed = counted.cache.step::<Error>("step", &"bad", |dir| {
                files::write(&dir.join("a"), "half")?;
                files::read(&root.join("missing")).map(drop).map_err(Error::from)
            });
            assert!(failed.is_err());
            let names = files::sorted_entries(&steps).unwrap();
            let partial =
                names.iter().filter(|entry| entry.path().extension().is_some_and(|e| e == "partial"));
            assert_eq!(partial.count(), 0);
        });
    }

    #[test]
    fn two_builds_at_once_run_the_step_once() {
        let dir = tempfile::tempdir().unwrap();
        let runs = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let cache = quiet(dir.path().to_owned());
                    let entry = cache.step::<Error>("slow", &1, |dir| {
                        runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        std::thread::sleep(std::time::Duration::from_millis(100));
                        Ok(files::write(&dir.join("a"), "whole")?)
                    });
                    assert_eq!(fs::read_to_string(entry.unwrap().dir.join("a")).unwrap(), "whole");
                });
            }
        });
        assert_eq!(runs.into_inner(), 1);
    }

    #[test]
    fn waiting_ends_when_the_user_cancels() {
        let dir = tempfile::tempdir().unwrap();
        let cancel = Cancel::default();
        let cache = Cache::new(dir.path().to_owned(), &Silent, cancel.clone());
        let key = Cache::key("step", &1);
        let _held = Lock::try_take(&cache.place("step", key).lock).unwrap().unwrap();
        cancel.request();
        let result = cache.step::<Error>("step", &1, |_| Ok(()));
        assert!(matches!(result, Err(Error::Cancelled)));
    }
}

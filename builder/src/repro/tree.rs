//! Copies of source trees: in which order their files are made, and in which order their folders list them.

use crate::{files, inputs::tree::ignored};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

/// The names in each folder, as the folder lists them.
pub(crate) type Order = BTreeMap<String, Vec<String>>;

/// How a copy is made.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Made {
    /// Build results and version control too.
    pub(crate) all: bool,
    /// The last name first.
    pub(crate) reversed: bool,
    /// What others may not do with the copy.
    pub(crate) umask: u32,
    /// The time of the files, in seconds since 1970.
    pub(crate) mtime: Option<u64>,
}

/// Copies a file, or a folder with all that is in it but build results and version control.
pub(crate) fn copy(from: &Path, to: &Path, made: &Made) -> Result<(), files::Error> {
    let metadata = fs::symlink_metadata(from).map_err(files::Error::at("read", from))?;
    let at = || files::Error::at("write", to);
    if metadata.is_symlink() {
        let target = fs::read_link(from).map_err(files::Error::at("read", from))?;
        return symlink(target, to).map_err(at());
    }
    if metadata.is_dir() {
        files::create_dir_all(to)?;
        let mut entries = files::sorted_entries(from)?;
        if made.reversed {
            entries.reverse();
        }
        for entry in entries {
            let metadata = entry.metadata().map_err(files::Error::at("read", &entry.path()))?;
            let known = metadata.is_dir() || metadata.is_file() || metadata.is_symlink();
            if known && (made.all || !skipped(&entry.path(), &metadata)) {
                copy(&entry.path(), &to.join(entry.file_name()), made)?;
            }
        }
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        files::create_dir_all(parent)?;
    }
    fs::copy(from, to).map_err(at())?;
    let mode = metadata.permissions().mode() & !made.umask;
    fs::set_permissions(to, Permissions::from_mode(mode)).map_err(at())?;
    if let Some(seconds) = made.mtime {
        let file = File::options().write(true).open(to).map_err(at())?;
        file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).map_err(at())?;
    }
    Ok(())
}

/// What no build reads: what [`ignored`] says, and folders that Selkie wrote.
fn skipped(path: &Path, metadata: &fs::Metadata) -> bool {
    ignored(path.file_name().unwrap_or_default(), path, metadata)
        || (metadata.is_dir() && path.join(".cache/steps").is_dir())
}

/// The order of the entries of all folders below `root`, those with one entry apart.
pub(crate) fn order(root: &Path) -> Result<Order, files::Error> {
    let mut order = Order::new();
    let mut todo = vec![root.to_owned()];
    while let Some(folder) = todo.pop() {
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).map_err(files::Error::at("read the folder", &folder))? {
            let entry = entry.map_err(files::Error::at("read the folder", &folder))?;
            names.push(entry.file_name().to_string_lossy().into_owned());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                todo.push(entry.path());
            }
        }
        if names.len() > 1 {
            let relative = folder.strip_prefix(root).unwrap_or(&folder);
            order.insert(relative.to_string_lossy().into_owned(), names);
        }
    }
    Ok(order)
}

/// How many folders have the same entries in both, in another order.
pub(crate) fn reordered(one: &Order, other: &Order) -> usize {
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort();
        names
    };
    let moved = |folder: &String, names: &Vec<String>| {
        one.get(folder).is_some_and(|before| before != names && sorted(before) == sorted(names))
    };
    other.iter().filter(|(folder, names)| moved(folder, names)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_sources_and_nothing_that_was_built() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        for (file, text) in [
            ("src/main.rs", "x"),
            ("target/CACHEDIR.TAG", ""),
            ("out/.cache/steps/x", ""),
            (".git/HEAD", ""),
            ("run.sh", "#!"),
        ] {
            let path = from.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::set_permissions(from.join("run.sh"), Permissions::from_mode(0o755)).unwrap();
        symlink("src", from.join("link")).unwrap();
        let to = dir.path().join("to");
        copy(&from, &to, &Made { umask: 0o077, mtime: Some(1000), ..Made::default() }).unwrap();
        let names: Vec<_> =
            files::sorted_entries(&to).unwrap().into_iter().map(|entry| entry.file_name()).collect();
        assert_eq!(names, ["link", "run.sh", "src"]);
        let metadata = fs::metadata(to.join("run.sh")).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o700);
        assert_eq!(metadata.modified().unwrap(), UNIX_EPOCH + Duration::from_secs(1000));
    }

    #[test]
    fn another_entry_is_no_other_order() {
        let order = |names: &[&str]| -> Order {
            [("f".to_owned(), names.iter().map(|name| (*name).to_owned()).collect())].into()
        };
        assert_eq!(reordered(&order(&["a", "b"]), &order(&["b", "a"])), 1);
        for other in [order(&["a", "b"]), order(&["a", "b", "c"]), order(&["a", "c"]), Order::new()] {
            assert_eq!(reordered(&order(&["a", "b"]), &other), 0);
        }
    }

    #[test]
    fn the_order_is_that_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b", "a", "c"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("one")).unwrap();
        fs::write(dir.path().join("one/x"), "").unwrap();
        let order = order(dir.path()).unwrap();
        let mut names = order[""].clone();
        assert_eq!(order.len(), 1);
        names.sort();
        assert_eq!(names, ["a", "b", "c", "one"]);
    }
}

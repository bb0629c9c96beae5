//! What earlier runs found out, kept in files of the cache that only save time.
//!
//! Each file is the digest of its content and the content as JSON. One that is missing, cut off or changed
//! is as good as none: nobody is misled by half a path or a wrong digit.

use crate::{Digest, files};
use serde::{Serialize, de::DeserializeOwned};
use std::{fs, io, path::Path};

/// What was stored in `path`, when it is there and whole.
pub(crate) fn recall<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let text = fs::read_to_string(path).ok()?;
    let (check, json) = text.split_once('\n')?;
    if check.parse::<Digest>().ok()? != Digest::of(json) {
        return None;
    }
    serde_json::from_str(json).ok()
}

/// Stores `value` in `path`, in one step.
pub(crate) fn store(path: &Path, value: &impl Serialize) -> Result<(), files::Error> {
    // Only a path that is not UTF-8 has no form in JSON.
    let json =
        serde_json::to_string(value).map_err(io::Error::from).map_err(files::Error::at("write", path))?;
    if let Some(folder) = path.parent() {
        files::create_dir_all(folder)?;
    }
    files::replace(path, format!("{}\n{json}", Digest::of(&json)))
}

/// Stores `value` in `path` if that works: a folder that cannot be written shows up where it matters.
pub(crate) fn keep(path: &Path, value: &impl Serialize) {
    let _ = store(path, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_recalled_and_damage_of_any_kind_is_as_good_as_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("folder/memory");
        assert_eq!(recall::<String>(&path), None);
        keep(&path, &"/a/path");
        assert_eq!(recall(&path), Some("/a/path".to_owned()));
        assert_eq!(recall::<u32>(&path), None);
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(recall::<String>(&path), None, "{length} bytes");
        }
        for place in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[place] ^= 1;
            fs::write(&path, flipped).unwrap();
            assert_eq!(recall::<String>(&path), None, "byte {place}");
        }
    }
}

//! Digests of files, remembered under what `stat` says about them, the way Git's index does it.
//!
//! A remembered digest counts only while size, both times and inode are what they were. A file whose
//! times are too close to the moment of hashing could have changed without showing it, so its digest is
//! not remembered at all (Git calls such files racy).

use crate::{Digest, files};
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

/// Covers clocks that tick in steps of up to two seconds (FAT), in nanoseconds.
const RACY: i64 = 2_000_000_000;
const MAGIC: &[u8] = b"selkie-index-1\n";

/// What `stat` says about a file, as far as it changes when the file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes.
    pub size: u64,
    /// Last change of the content, in nanoseconds since the epoch.
    pub mtime: i64,
    /// Last change of content or attributes, in nanoseconds since the epoch.
    pub ctime: i64,
    /// Inode number.
    pub inode: u64,
}

impl Stamp {
    /// The stamp of a file whose metadata is at hand.
    pub fn of(metadata: &fs::Metadata) -> Self {
        let nanoseconds =
            |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            size: metadata.len(),
            mtime: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            ctime: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }

    /// The stamp of the file that `path` leads to.
    pub fn at(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| Self::of(&metadata))
    }
}

/// Digests of the files below one folder, kept in a file from run to run.
#[derive(Debug)]
pub struct Index {
    file: PathBuf,
    files: BTreeMap<PathBuf, (Stamp, Digest)>,
    changed: bool,
    /// The file system's time just before the first file was hashed, in nanoseconds since the epoch.
    hashed_from: Option<i64>,
}

impl Index {
    /// Reads the index in `file`; one that is missing or damaged is empty.
    pub fn open(file: PathBuf) -> Self {
        let files = fs::read(&file).ok().and_then(|bytes| decode(&bytes)).unwrap_or_default();
        Self { file, files, changed: false, hashed_from: None }
    }

    /// The digest of the content of `path`, a regular file with this metadata.
    pub fn digest(&mut self, path: &Path, metadata: &fs::Metadata) -> io::Result<Digest> {
        let stamp = Stamp::of(metadata);
        if let Some((known, digest)) = self.files.get(path)
            && *known == stamp
        {
            return Ok(*digest);
        }
        if self.hashed_from.is_none() {
            // Without a clock every file is racy: nothing is remembered, which costs time only.
            let now = self.file.parent().and_then(|folder| now(folder).ok());
            self.hashed_from = Some(now.unwrap_or(i64::MIN));
        }
        let digest = Digest::of_file(path)?;
        self.changed = true;
        self.files.insert(path.to_owned(), (stamp, digest));
        Ok(digest)
    }

    /// Whether the file `path` leads to has this size and this digest. One that cannot be read has not.
    pub fn matches(&mut self, path: &Path, size: u64, sha256: Digest) -> bool {
        fs::metadata(path).is_ok_and(|metadata| {
            metadata.len() == size && self.digest(path, &metadata).is_ok_and(|digest| digest == sha256)
        })
    }

    /// Forgets every file for which `keep` is false.
    pub fn retain(&mut self, keep: impl Fn(&Path) -> bool) {
        let before = self.files.len();
        self.files.retain(|path, _| keep(path));
        self.changed |= self.files.len() != before;
    }

    /// Writes the index to its file when it changed, without the racy files.
    pub fn save(&self) -> Result<(), files::Error> {
        if !self.changed {
            return Ok(());
        }
        let known_until = self.hashed_from.map_or(i64::MAX, |time| time.saturating_sub(RACY));
        let sound = self.files.iter().filter(|(_, (stamp, _))| stamp.ctime < known_until);
        files::replace(&self.file, encode(sound))
    }
}

/// The present time by the clock that stamps files in `folder`, which is made when it is missing.
fn now(folder: &Path) -> io::Result<i64> {
    fs::create_dir_all(folder)?;
    let clock = folder.join(".clock");
    fs::write(&clock, b"\n")?;
    Ok(Stamp::at(&clock)?.ctime)
}

fn encode<'a>(files: impl Iterator<Item = (&'a PathBuf, &'a (Stamp, Digest))>) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for (path, (stamp, digest)) in files {
        let path = path.as_os_str().as_bytes();
        bytes.extend((path.len() as u32).to_le_bytes());
        bytes.extend(path);
        for number in [stamp.size, stamp.mtime as u64, stamp.ctime as u64, stamp.inode] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(digest.bytes());
    }
    let check = Digest::of(&bytes);
    bytes.extend(check.bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<BTreeMap<PathBuf, (Stamp, Digest)>> {
    let (bytes, check) = bytes.split_last_chunk::<32>()?;
    if Digest::of(bytes).bytes() != check {
        return None;
    }
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let mut files = BTreeMap::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (path, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let (numbers, after) = after.split_first_chunk::<32>()?;
        let (digest, after) = after.split_first_chunk::<32>()?;
        let number = |i: usize| numbers[i * 8..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let stamp =
            Stamp { size: number(0), mtime: number(1) as i64, ctime: number(2) as i64, inode: number(3) };
        files.insert(OsStr::from_bytes(path).into(), (stamp, Digest::from_bytes(*digest)));
        rest = after;
    }
    Some(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    fn digest(index: &mut Index, path: &Path) -> Digest {
        index.digest(path, &fs::metadata(path).unwrap()).unwrap()
    }

    #[test]
    fn a_saved_index_is_read_back_and_a_damaged_one_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let (source, file) = (dir.path().join("a"), dir.path().join("index"));
        fs::write(&source, "one").unwrap();
        let mut index = Index::open(file.clone());
        digest(&mut index, &source);
        // As if the file had been written long before it was hashed.
        index.hashed_from = Some(i64::MAX);
        index.save().unwrap();
        let again = Index::open(file.clone());
        assert_eq!(again.files, index.files);
        assert_eq!(again.files.len(), 1);

        let whole = fs::read(&file).unwrap();
        for length in 0..whole.len() {
            fs::write(&file, &whole[..length]).unwrap();
            assert!(Index::open(file.clone()).files.is_empty(), "{length} bytes");
        }
        for place in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[place] ^= 1;
            fs::write(&file, flipped).unwrap();
            assert!(Index::open(file.clone()).files.is_empty(), "byte {place}");
        }
    }

    #[test]
    fn a_file_that_was_written_just_now_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let (source, file) = (dir.path().join("a"), dir.path().join("index"));
        fs::write(&source, "one").unwrap();
        let mut index = Index::open(file.clone());
        digest(&mut index, &source);
        index.save().unwrap();
        assert!(Index::open(file).files.is_empty());
    }

    #[test]
    fn without_a_clock_nothing_is_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let (source, file) = (dir.path().join("a"), dir.path().join("index"));
        fs::write(&source, "one").unwrap();
        fs::create_dir(dir.path().join(".clock")).unwrap();
        let mut index = Index::open(file.clone());
        digest(&mut index, &source);
        index.save().unwrap();
        assert!(Index::open(file).files.is_empty());
    }

    #[test]
    fn a_change_that_keeps_size_and_mtime_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("a");
        let long_ago = SystemTime::now() - Duration::from_secs(1000);
        let write = |content: &str| {
            fs::write(&source, content).unwrap();
            fs::File::options().write(true).open(&source).unwrap().set_modified(long_ago).unwrap();
        };
        write("one");
        let mut index = Index::open(dir.path().join("index"));
        let first = digest(&mut index, &source);
        std::thread::sleep(Duration::from_millis(20));
        write("two");
        assert_ne!(digest(&mut index, &source), first);
    }
}

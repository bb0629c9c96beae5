//! Archives whose bytes follow from their content alone: `.tar.gz` with sorted names, owner and group 0, modes
//! 0644 and 0755, one time for all, and a gzip header without name and time.

use crate::Digest;
use flate2::{Compression, GzBuilder, write::GzEncoder};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
};
use tar::{Builder, EntryType, Header};

/// What gzip's header says of the system that packed it: unknown (RFC 1952, 2.3.1).
const UNKNOWN_SYSTEM: u8 = 255;

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its content.
    pub content: Vec<u8>,
    /// Whether it is a program.
    pub executable: bool,
}

/// Files by their path, with `/` between folders and none before the first.
pub type Files = BTreeMap<String, File>;

/// The tar archive of `files`, with an entry for every folder before the first file in it; `epoch` is the time of
/// all, in seconds since 1970.
///
/// # Errors
/// When a path is too long for an archive: names of files have 100 bytes, those of folders 155.
pub fn tar(files: &Files, epoch: u64) -> io::Result<Vec<u8>> {
    let mut builder = Builder::new(Vec::new());
    let mut folders = BTreeSet::new();
    let long =
        |path: &str| io::Error::new(io::ErrorKind::InvalidFilename, format!("the path {path} is too long"));
    for (path, file) in files {
        for (end, _) in path.match_indices('/') {
            if folders.insert(&path[..end]) {
                let folder = &path[..=end];
                let header = entry(folder, true, true, 0, epoch).ok_or_else(|| long(folder))?;
                builder.append(&header, io::empty())?;
            }
        }
        let size = file.content.len() as u64;
        let header = entry(path, false, file.executable, size, epoch).ok_or_else(|| long(path))?;
        builder.append(&header, file.content.as_slice())?;
    }
    builder.into_inner()
}

/// The header of the entry `path`, all of it; none when the path is too long for one.
pub(crate) fn entry(path: &str, folder: bool, executable: bool, size: u64, epoch: u64) -> Option<Header> {
    let kind = if folder { EntryType::Directory } else { EntryType::Regular };
    let mut header = header(kind, if folder || executable { 0o755 } else { 0o644 }, size, epoch);
    header.set_path(path).ok()?;
    header.set_cksum();
    Some(header)
}

/// A header without path and sum.
pub(super) fn header(kind: EntryType, mode: u32, size: u64, epoch: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(epoch);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// `content`, compressed.
///
/// # Errors
/// None that memory could make: the signature is that of [`Write`].
pub fn gzip(content: &[u8]) -> io::Result<Vec<u8>> {
    let header = GzBuilder::new().mtime(0).operating_system(UNKNOWN_SYSTEM);
    let mut encoder: GzEncoder<Vec<u8>> = header.write(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    encoder.finish()
}

/// A `.tar.gz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The digest of the archive before it was compressed.
    pub tar: Digest,
    /// The compressed archive.
    pub content: Vec<u8>,
}

impl Packed {
    /// The `.tar.gz` of `files`: [`tar`], then [`gzip`].
    ///
    /// # Errors
    /// When a path cannot stand in an archive.
    pub fn of(files: &Files, epoch: u64) -> io::Result<Self> {
        let tar = tar(files, epoch)?;
        Ok(Self { tar: Digest::of(&tar), content: gzip(&tar)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str, executable: bool) -> File {
        File { content: content.into(), executable }
    }

    #[test]
    fn nothing_but_content_modes_and_the_epoch_is_in_an_archive() {
        let files: Files = [
            ("a-b/x".to_owned(), file("1", true)),
            ("a/y".to_owned(), file("2", false)),
            ("a/c/z".to_owned(), file("3", false)),
        ]
        .into();
        let tar = tar(&files, 5).unwrap();
        let mut archive = tar::Archive::new(tar.as_slice());
        let entries = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 5));
            assert_eq!((header.username(), header.groupname()), (Ok(Some("")), Ok(Some(""))));
            (entry.path().unwrap().display().to_string(), header.mode().unwrap())
        });
        let expected = [
            ("a-b/", 0o755),
            ("a-b/x", 0o755),
            ("a/", 0o755),
            ("a/c/", 0o755),
            ("a/c/z", 0o644),
            ("a/y", 0o644),
        ];
        let entries: Vec<_> = entries.collect();
        assert_eq!(entries, expected.map(|(path, mode)| (path.to_owned(), mode)));
        let packed = gzip(&tar).unwrap();
        assert_eq!(packed[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, UNKNOWN_SYSTEM], "RFC 1952, 2.3");
    }
}

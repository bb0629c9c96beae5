//! The files of an image: a folder of the recipe, as one section of the root task.
//!
//! The section is a tar archive in the format `ustar` (POSIX.1-2001, "pax"), so that whoever takes it out of the ELF reads
//! it with the tools that are there, and nothing new had to be thought of. Its bytes follow from names and contents alone:
//! sorted, without times and owners, all files with mode 0644.

use crate::{
    Context, ExitCode,
    inputs::tree::{self, Node},
    publish::archive::{self, File, Files},
};
use std::{
    io,
    path::{Path, PathBuf},
};

/// The section's name.
pub(crate) const SECTION: &str = ".selkie.files";

/// Bytes of all files together at most: they are in the memory of every instance.
const MOST: usize = 16 << 20;

/// The files cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be read.
    #[error(transparent)]
    Tree(#[from] tree::Error),
    /// A symbolic link.
    #[error(
        "{0}: a link cannot be among the files of an image, which has no folders that it could lead to\n  help: put the file itself there"
    )]
    Link(PathBuf),
    /// A name that is no text.
    #[error(
        "{0}: a name among the files of an image must be UTF-8, without control characters\n  help: rename it"
    )]
    Name(PathBuf),
    /// A path that the archive has no room for.
    #[error(
        "{0}: the path is too long for a file of an image\n  help: names of files have up to 100 bytes, those of the folders before them up to 155"
    )]
    Long(PathBuf),
    /// Too much.
    #[error(
        "{folder}: its files have {size} bytes, and those of an image have {MOST} at most\n  help: they are in the memory of every instance: put what is large on a disk"
    )]
    Large {
        /// The folder.
        folder: PathBuf,
        /// Bytes.
        size: usize,
    },
    /// Nothing.
    #[error("{0}: there are no files here\n  help: put some there, or take [files] out of the recipe")]
    Empty(PathBuf),
}

crate::exit_code!(Error, |error| match error {
    Error::Tree(error) => error.exit_code(),
    _ => ExitCode::Failed,
});

/// The section's bytes: all files of `folder`.
pub(super) fn pack(ctx: &Context<'_>, folder: &Path) -> Result<Vec<u8>, Error> {
    let mut files = Files::new();
    for (relative, node) in tree::nodes(ctx, folder)? {
        let path = folder.join(&relative);
        let Node::File { content, .. } = node else { return Err(Error::Link(path)) };
        let name = relative.to_str().filter(|name| !name.contains(char::is_control)).map(str::to_owned);
        files.insert(name.ok_or(Error::Name(path))?, File { content, executable: false });
    }
    let size = files.values().map(|file| file.content.len()).sum();
    if files.is_empty() {
        return Err(Error::Empty(folder.to_owned()));
    }
    if size > MOST {
        return Err(Error::Large { folder: folder.to_owned(), size });
    }
    let long = |name: &&String| archive::entry(name, false, false, 0, 0).is_none();
    if let Some(name) = files.keys().find(long) {
        return Err(Error::Long(folder.join(name)));
    }
    // Only a path could be wrong.
    archive::tar(&files, 0).map_err(|_| Error::Long(folder.to_owned()))
}

/// The names and sizes of the files in a section; an error where it is damaged.
pub(crate) fn list(section: &[u8]) -> io::Result<Vec<(String, u64)>> {
    let mut files = Vec::new();
    for entry in tar::Archive::new(section).entries()? {
        let entry = entry?;
        if entry.header().entry_type().is_file() {
            let name = String::from_utf8(entry.path_bytes().into_owned()).map_err(io::Error::other)?;
            // As many bytes as it says are there: else the next entry would have been an error, but not the last one.
            let end = entry.raw_file_position().checked_add(entry.size());
            if end.is_none_or(|end| end > section.len() as u64) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            files.push((name, entry.size()));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Project, context::Silent};
    use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, os::unix::fs::PermissionsExt, os::unix::fs::symlink};

    fn place() -> (tempfile::TempDir, Project, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("site");
        fs::create_dir_all(folder.join("deep/er")).unwrap();
        fs::write(folder.join("index.html"), "<p>").unwrap();
        fs::write(folder.join("deep/er/a.txt"), "").unwrap();
        let project = Project { root: dir.path().to_owned(), out: dir.path().join("out") };
        (dir, project, folder)
    }

    fn packed(project: &Project, folder: &Path) -> Result<Vec<u8>, Error> {
        pack(&Context::new(project, &Silent), folder)
    }

    #[test]
    fn names_and_contents_alone_count() {
        let (_dir, project, folder) = place();
        let bytes = packed(&project, &folder).unwrap();
        assert_eq!(list(&bytes).unwrap(), [("deep/er/a.txt".into(), 0), ("index.html".into(), 3)]);
        fs::set_permissions(folder.join("index.html"), fs::Permissions::from_mode(0o700)).unwrap();
        let time = fs::FileTimes::new().set_modified(std::time::SystemTime::UNIX_EPOCH);
        fs::File::options().write(true).open(folder.join("index.html")).unwrap().set_times(time).unwrap();
        fs::write(folder.join("index.html~"), "an editor's").unwrap();
        assert_eq!(packed(&project, &folder).unwrap(), bytes);
        fs::write(folder.join("index.html"), "<q>").unwrap();
        assert_ne!(packed(&project, &folder).unwrap(), bytes);
    }

    #[test]
    fn what_cannot_be_in_an_image_is_told() {
        type Change = fn(&Path);
        let changes: [(Change, &str); 6] = [
            (|folder| symlink("index.html", folder.join("link")).unwrap(), "link: a link cannot be among"),
            (|folder| symlink("deep", folder.join("link")).unwrap(), "link: a link cannot be among"),
            (
                |folder| fs::write(folder.join(OsStr::from_bytes(b"\xff")), "").unwrap(),
                "must be UTF-8, without control characters",
            ),
            (|folder| fs::write(folder.join("n".repeat(101)), "").unwrap(), "the path is too long"),
            (
                |folder| drop(std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap()),
                "socket: a socket, pipe or device cannot be part",
            ),
            (
                |folder| {
                    fs::File::create(folder.join("large")).unwrap().set_len(MOST as u64).unwrap();
                },
                "have 16777219 bytes, and those of an image have 16777216 at most",
            ),
        ];
        for (change, expected) in changes {
            let (_dir, project, folder) = place();
            change(&folder);
            let error = packed(&project, &folder).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("help: "), "{error}");
        }
        let (_dir, project, folder) = place();
        fs::remove_dir_all(folder.join("deep")).unwrap();
        fs::remove_file(folder.join("index.html")).unwrap();
        assert!(matches!(packed(&project, &folder), Err(Error::Empty(_))));
    }

    #[test]
    fn a_damaged_section_is_an_error_or_lists_what_is_there() {
        let (_dir, project, folder) = place();
        let bytes = packed(&project, &folder).unwrap();
        for end in 0..bytes.len() {
            let _ = list(&bytes[..end]);
        }
        for at in 0..2048 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x41;
            if let Ok(files) = list(&bytes) {
                assert!(files.iter().map(|(_, size)| size).sum::<u64>() < bytes.len() as u64);
            }
        }
        assert!(list(&[0x41; 600]).is_err());
    }
}

//! Which QEMU there is, and how to tell it from another one.

use super::Error;
use crate::exec;
use serde::Serialize;
use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The QEMU that is looked up on PATH when the user names none.
pub const PROGRAM: &str = "qemu-system-x86_64";

/// One QEMU binary. Two values are equal as long as nobody replaced the file.
///
/// An upgrade changes size, time or inode, so the text of `--version`, which costs a start of QEMU,
/// would add nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Binary {
    /// Its path, links resolved.
    pub path: PathBuf,
    size: u64,
    mtime: (i64, i64),
    inode: u64,
}

impl Binary {
    /// The QEMU at `choice`, a path or a name on PATH; [`PROGRAM`] when the user chose none.
    ///
    /// # Errors
    /// [`exec::Error::Missing`] when there is no such executable file.
    pub fn find(choice: Option<&Path>) -> Result<Self, Error> {
        let program = choice.unwrap_or(Path::new(PROGRAM));
        let missing = || exec::Error::Missing { program: program.display().to_string() };
        let path = if program.components().count() > 1 {
            program.to_owned()
        } else {
            exec::which(program).ok_or_else(missing)?
        };
        Ok(Self::at(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => missing(),
            _ => exec::Error::Start { program: path.display().to_string(), source },
        })?)
    }

    fn at(path: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(path)?;
        let meta = fs::metadata(&path)?;
        Ok(Self { path, size: meta.len(), mtime: (meta.mtime(), meta.mtime_nsec()), inode: meta.ino() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_qemu_is_the_hosts_lack() {
        for program in ["no-such-qemu", "/no/such/qemu"] {
            let error = crate::Error::from(Binary::find(Some(Path::new(program))).unwrap_err());
            assert_eq!(error.code(), crate::ExitCode::HostLacks);
            assert!(error.to_string().contains(program), "{error}");
        }
    }

    #[test]
    fn a_replaced_binary_is_another_binary() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("qemu");
        fs::write(&path, "one").unwrap();
        let one = Binary::find(Some(&path)).unwrap();
        assert_eq!(one, Binary::find(Some(&path)).unwrap());
        fs::write(dir.path().join("new"), "two").unwrap();
        fs::rename(dir.path().join("new"), &path).unwrap();
        assert_ne!(one, Binary::find(Some(&path)).unwrap());
    }
}

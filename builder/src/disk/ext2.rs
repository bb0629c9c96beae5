//! The file system ext2 on a function's disk: the host's own programs make it and check it.

use crate::{
    context::Cancel,
    digest::Digest,
    doctor,
    exec::{self, Tool},
};
use std::path::{Path, PathBuf};

/// Bytes of a block: a page. In smaller ones NetBSD reads what is in memory where a file has a hole.
const BLOCK: &str = "4096";
/// What NetBSD of 2016 writes as well as reads.
const FEATURES: &str = "none,filetype,large_file,sparse_super";
/// e2fsck(8): nothing was wrong, or all that was is mended.
const MENDED: [&str; 2] = ["exit status: 0", "exit status: 1"];
/// The need of the table that has both programs.
const NEED: &str = "ext2 tools";

/// The file system cannot be made, or not be checked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host lacks the programs.
    #[error(
        "a disk with the file system ext2 needs `mke2fs` and `e2fsck`, which this host lacks ({packages})\n  help: `cargo xtask doctor --fix` installs the package that has them"
    )]
    Missing {
        /// The packages that have them.
        packages: String,
    },
    /// One of them failed.
    #[error(transparent)]
    Tool(#[from] exec::Error),
}

crate::exit_code!(Error, |error| match error {
    Error::Missing { .. } => crate::ExitCode::HostLacks,
    Error::Tool(error) => error.exit_code(),
});

/// Makes an empty file system in the file `path`, which has nothing but zeros. Its identity is made of
/// `id`, and its time is the same each time.
pub(super) fn format(path: &Path, id: Digest) -> Result<(), Error> {
    let text = id.short(32);
    let parts = [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]];
    let uuid = parts.join("-");
    // What the host's own settings say is not asked, and the clock is not read; it takes no 0.
    let tool = Tool::new(program("mke2fs")?, folder(path))
        .env("MKE2FS_CONFIG", "/dev/null")
        .env("E2FSPROGS_FAKE_TIME", "1")
        .args(["-q", "-F", "-t", "ext2", "-O", FEATURES, "-b", BLOCK, "-I", "128", "-m", "0"])
        .args(["-U", &uuid, "-L", "SELKIE", "-E", &format!("hash_seed={uuid},root_owner=0:0")])
        .arg(path);
    tool.run(&Cancel::default())?;
    Ok(())
}

/// What e2fsck finds wrong with the file system in `path`; none when it is sound. Where a run was `killed`, what is left
/// to do after that is done first, as a Linux host would before it mounts it.
pub(crate) fn fault_of_ext2(path: &Path, killed: bool) -> Result<Option<String>, Error> {
    let check = |how: &str| {
        let tool = Tool::new(program("e2fsck")?, folder(path)).env("E2FSCK_CONFIG", "/dev/null");
        Ok::<_, Error>(tool.arg(how).arg(path).run(&Cancel::default()))
    };
    if killed
        && let Err(exec::Error::Failed { status, output, .. }) = check("-fp")?
        && !MENDED.contains(&status.as_str())
    {
        return Ok(Some(output));
    }
    match check("-fn")? {
        Ok(_) => Ok(None),
        Err(exec::Error::Failed { output, .. }) => Ok(Some(output)),
        Err(error) => Err(error.into()),
    }
}

/// One of the two programs; their folder is not on everybody's PATH.
fn program(name: &str) -> Result<PathBuf, Error> {
    let there = doctor::file(NEED).map_err(|packages| Error::Missing { packages })?;
    Ok(there.with_file_name(name))
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

#[cfg(test)]
pub(super) fn is_there() -> bool {
    program("mke2fs").is_ok()
}

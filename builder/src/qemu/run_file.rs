//! The run configuration's override on its way to a guest.

use rustix::fs::{MemfdFlags, memfd_create};
use std::{
    fs::File,
    io::{self, Seek, Write},
    os::fd::OwnedFd,
};

/// `bytes` as an anonymous file that QEMU or a tender can inherit, to be read from its beginning: it may
/// hold secrets, so nothing of it lies in a file system, and nothing is left of it when the last of both
/// processes is gone.
pub(crate) fn run_file(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create("selkie-run", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

//! The disk: a file or a block device that is opened here, and stays open.

use crate::{
    Error,
    linux::{Calls, Errno},
    options::DiskOption,
};
use core::ffi::CStr;
use linux_raw_sys::{
    errno::{EACCES, EAGAIN, EINVAL, ENAMETOOLONG},
    general,
};
use selkie_base::devices::{
    block::{Block, SECTOR},
    buffers::Layout,
};

/// Queue and buffers of the disk as the list of devices has it.
pub const DISK_LAYOUT: Layout<1> = Layout::new(4, 64);

/// A disk that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// The descriptor.
    pub descriptor: i32,
    /// Its sectors: what is behind the last whole one is left alone.
    pub sectors: u64,
    /// It is open for reading only.
    pub read_only: bool,
}

impl Disk {
    /// What the list of devices says about it.
    pub fn block(&self) -> Block {
        Block { sectors: self.sectors, read_only: self.read_only, layout: DISK_LAYOUT }
    }

    /// Bytes of all sectors.
    pub fn bytes(&self) -> u64 {
        self.sectors * u64::from(SECTOR)
    }
}

/// Bytes of a path, the NUL at its end among them.
const PATH: usize = 4096;

/// Opens what `--disk` names; `writable` says whether the image writes to it. Two processes never have the same disk
/// open when one of them writes to it.
#[inline(never)] // The path takes room on the stack.
pub(crate) fn open(calls: Calls<'_>, option: DiskOption, writable: bool) -> Result<Option<Disk>, Error> {
    let DiskOption::File { path, .. } = option else { return Ok(None) };
    let failed = |errno| Error::Disk { path, errno };
    let mut bytes = [0; PATH];
    bytes[..PATH - 1].get_mut(..path.len()).ok_or(failed(Errno(ENAMETOOLONG)))?.copy_from_slice(path);
    let text = CStr::from_bytes_until_nul(&bytes).map_err(|_| failed(Errno(EINVAL)))?;
    let access = if writable { general::O_RDWR } else { general::O_RDONLY };
    let descriptor = calls.open_with(text, access).map_err(failed)?;
    let size = calls.disk_size(descriptor).map_err(failed)?;
    let sectors = size.ok_or(Error::NoDiskFile { path })? / u64::from(SECTOR);
    if sectors == 0 {
        return Err(Error::EmptyDisk { path });
    }
    match calls.lock_file(descriptor, writable) {
        Err(Errno(EACCES | EAGAIN)) => return Err(Error::DiskInUse { path }),
        other => other.map_err(failed)?,
    }
    Ok(Some(Disk { descriptor, sectors, read_only: !writable }))
}

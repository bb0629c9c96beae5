//! The system calls of the set-up.

use core::{
    ffi::CStr,
    fmt::{Display, Formatter},
    ops::Range,
};
use linux_raw_sys::{errno, general};

/// The way into Linux.
pub trait Linux {
    /// Makes a system call and returns what Linux answers; -4095 to -1 are errors.
    ///
    /// # Safety
    /// As for the system call: memory that it changes, maps or unmaps is nobody else's.
    unsafe fn syscall(&self, number: u32, arguments: [usize; 6]) -> isize;
}

/// Why Linux refused a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub u32);

impl Errno {
    /// The call does not exist.
    pub const NOSYS: Self = Self(errno::ENOSYS);
    /// It may not be made.
    pub const PERM: Self = Self(errno::EPERM);
    /// An argument is not known.
    pub const INVAL: Self = Self(errno::EINVAL);
    /// It was interrupted.
    pub(crate) const INTR: Self = Self(errno::EINTR);
}

impl Display for Errno {
    fn fmt(&self, f: &mut Formatter<'_>) -> core::fmt::Result {
        let name = match self.0 {
            errno::EPERM => "EPERM: not permitted",
            errno::ENOENT => "ENOENT: no such file",
            errno::EACCES => "EACCES: permission denied",
            errno::EBADF => "EBADF: no such open descriptor",
            errno::EFAULT => "EFAULT: bad address",
            errno::EEXIST => "EEXIST: something is mapped there",
            errno::EINVAL => "EINVAL: invalid argument",
            errno::EISDIR => "EISDIR: it is a directory",
            errno::ELOOP => "ELOOP: too many symbolic links",
            errno::EMFILE => "EMFILE: too many open descriptors",
            errno::ENFILE => "ENFILE: too many open files in the system",
            errno::ENODEV => "ENODEV: it cannot be mapped",
            errno::ENOMEM => "ENOMEM: out of memory",
            errno::ENOSYS => "ENOSYS: no such system call",
            errno::ENOTDIR => "ENOTDIR: not a directory",
            errno::EOPNOTSUPP => "EOPNOTSUPP: not supported",
            errno::ECONNREFUSED => "ECONNREFUSED: nobody listens there",
            errno::EFBIG => "EFBIG: larger than allowed",
            other => return write!(f, "error {other}"),
        };
        f.write_str(name)
    }
}

/// Gives a new descriptor a number above those of the console. Where one of the first three was closed at the
/// start, a new one may get its number, and console output would go there.
pub fn above_console(linux: &dyn Linux, descriptor: i32) -> Result<i32, Errno> {
    Calls(linux).above_console(descriptor)
}

/// How pages are mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// `PROT_…`
    pub(crate) access: u32,
    /// `MAP_…`
    pub(crate) flags: u32,
    /// What is shown, and from which byte on; nothing for anonymous memory.
    pub(crate) file: Option<(i32, u64)>,
}

/// What the set-up asks of Linux. It is no type parameter, so that the set-up is compiled as its own crate says.
#[derive(Clone, Copy)]
pub(crate) struct Calls<'l>(pub(crate) &'l dyn Linux);

impl Calls<'_> {
    /// Makes a system call.
    ///
    /// # Safety
    /// See [`Linux::syscall`].
    pub(crate) unsafe fn raw(self, number: u32, arguments: [usize; 6]) -> Result<usize, Errno> {
        // SAFETY: the caller vouches for the call.
        let answer = unsafe { self.0.syscall(number, arguments) };
        if (-4095..0).contains(&answer) { Err(Errno(-answer as u32)) } else { Ok(answer as usize) }
    }

    /// Makes a system call that touches none of this process's memory.
    pub(crate) fn plain(self, number: u32, arguments: [usize; 4]) -> Result<usize, Errno> {
        let [a, b, c, d] = arguments;
        // SAFETY: used below and in `lock.rs` for calls without pointers that leave mappings as they are.
        unsafe { self.raw(number, [a, b, c, d, 0, 0]) }
    }

    /// Opens a file for reading; the descriptor is above those of the console.
    pub(crate) fn open(self, path: &CStr) -> Result<i32, Errno> {
        self.open_with(path, general::O_RDONLY)
    }

    /// As [`open`](Self::open), with this access (`O_…`).
    pub(crate) fn open_with(self, path: &CStr, access: u32) -> Result<i32, Errno> {
        let flags = access | general::O_CLOEXEC | general::O_NOCTTY | general::O_NONBLOCK;
        let path = path.as_ptr() as usize;
        let at = general::AT_FDCWD as isize as usize;
        // SAFETY: the kernel reads the path, which ends in a NUL.
        let opened = unsafe { self.raw(general::__NR_openat, [at, path, flags as usize, 0, 0, 0]) }?;
        self.above_console(opened as i32)
    }

    /// Makes nameless memory of `size` bytes that can neither grow nor shrink from then on.
    pub(crate) fn memory(self, size: u64) -> Result<i32, Errno> {
        let create = |flags: u32| {
            let name = c"selkie-memory".as_ptr() as usize;
            // SAFETY: the kernel reads the name, which ends in a NUL.
            unsafe { self.raw(general::__NR_memfd_create, [name, flags as usize, 0, 0, 0, 0]) }
        };
        let flags = general::MFD_CLOEXEC | general::MFD_ALLOW_SEALING;
        // Older kernels do not know the flag that forbids to execute the memory as a program.
        let opened = match create(flags | general::MFD_NOEXEC_SEAL) {
            Err(Errno::INVAL) => create(flags)?,
            other => other?,
        };
        let memory = self.above_console(opened as i32)?;
        self.plain(general::__NR_ftruncate, [memory as usize, size as usize, 0, 0])?;
        let seals = general::F_SEAL_GROW | general::F_SEAL_SHRINK | general::F_SEAL_SEAL;
        self.control(memory, general::F_ADD_SEALS, seals as usize)?;
        Ok(memory)
    }

    /// As [`above_console`].
    pub(crate) fn above_console(self, descriptor: i32) -> Result<i32, Errno> {
        if descriptor > 2 {
            return Ok(descriptor);
        }
        let higher = self.control(descriptor, general::F_DUPFD_CLOEXEC, 3)?;
        self.close(descriptor)?;
        Ok(higher as i32)
    }

    pub(crate) fn control(self, descriptor: i32, command: u32, argument: usize) -> Result<usize, Errno> {
        self.plain(general::__NR_fcntl, [descriptor as usize, command as usize, argument, 0])
    }

    pub(crate) fn close(self, descriptor: i32) -> Result<(), Errno> {
        self.plain(general::__NR_close, [descriptor as usize, 0, 0, 0]).map(drop)
    }

    /// Bytes of a regular file; none for anything else.
    pub(crate) fn file_size(self, descriptor: i32) -> Result<Option<u64>, Errno> {
        let (kind, size) = self.kind_and_size(descriptor)?;
        Ok((kind == general::S_IFREG).then_some(size))
    }

    /// Bytes of a regular file or a block device; none for anything else.
    pub(crate) fn disk_size(self, descriptor: i32) -> Result<Option<u64>, Errno> {
        match self.kind_and_size(descriptor)? {
            (general::S_IFREG, size) => Ok(Some(size)),
            (general::S_IFBLK, _) => {
                let arguments = [descriptor as usize, 0, general::SEEK_END as usize, 0];
                self.plain(general::__NR_lseek, arguments).map(|end| Some(end as u64))
            }
            _ => Ok(None),
        }
    }

    /// Keeps a file to those who have it open by this descriptor, as long as it is open: from all others, or from
    /// those who lock it to write.
    pub(crate) fn lock_file(self, descriptor: i32, write: bool) -> Result<(), Errno> {
        let kind = if write { general::F_WRLCK } else { general::F_RDLCK };
        // From the begin on, and without an end.
        let lock = general::flock { l_type: kind as _, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 };
        let place = (&raw const lock) as usize;
        // SAFETY: the kernel reads the lock.
        unsafe {
            self.raw(
                general::__NR_fcntl,
                [descriptor as usize, general::F_OFD_SETLK as usize, place, 0, 0, 0],
            )
        }
        .map(drop)
    }

    /// What a descriptor is (`S_IF…`), and its bytes.
    fn kind_and_size(self, descriptor: i32) -> Result<(u32, u64), Errno> {
        // SAFETY: all bytes zero is a value of this type.
        let mut stat: general::stat = unsafe { core::mem::zeroed() };
        let place = (&raw mut stat) as usize;
        // SAFETY: the kernel writes one `stat` to where there is one.
        unsafe { self.raw(general::__NR_fstat, [descriptor as usize, place, 0, 0, 0, 0]) }?;
        Ok((stat.st_mode & general::S_IFMT, stat.st_size as u64))
    }

    /// Reads up to as many bytes as `buffer` has; 0 at the end.
    pub(crate) fn read(self, descriptor: i32, buffer: &mut [u8]) -> Result<usize, Errno> {
        loop {
            let place = buffer.as_mut_ptr() as usize;
            let arguments = [descriptor as usize, place, buffer.len(), 0, 0, 0];
            // SAFETY: the kernel writes into the buffer only.
            match unsafe { self.raw(general::__NR_read, arguments) } {
                Err(Errno::INTR) => {}
                other => return other,
            }
        }
    }

    /// Writes to a descriptor.
    pub(crate) fn write(self, descriptor: i32, bytes: &[u8]) -> Result<usize, Errno> {
        let arguments = [descriptor as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0];
        // SAFETY: the kernel reads the bytes only.
        unsafe { self.raw(general::__NR_write, arguments) }
    }

    /// Maps pages at `address`, or anywhere when it is none, and returns the address.
    ///
    /// # Safety
    /// With `MAP_FIXED` nobody uses what was there.
    pub(crate) unsafe fn map(self, address: Option<u64>, size: u64, how: Mapping) -> Result<u64, Errno> {
        let (file, offset) = how.file.unwrap_or((-1, 0));
        let flags = if how.file.is_none() { how.flags | general::MAP_ANONYMOUS } else { how.flags };
        let arguments = [
            address.unwrap_or_default() as usize,
            size as usize,
            how.access as usize,
            flags as usize,
            file as isize as usize,
            offset as usize,
        ];
        // SAFETY: the caller vouches for what was mapped there.
        let mapped = unsafe { self.raw(general::__NR_mmap, arguments) }? as u64;
        // Kernels before 4.17 take `MAP_FIXED_NOREPLACE` for a hint.
        if address.is_some_and(|address| address != mapped) { Err(Errno(errno::EEXIST)) } else { Ok(mapped) }
    }

    /// Takes pages away.
    ///
    /// # Safety
    /// Nobody uses them.
    pub(crate) unsafe fn unmap(self, pages: &Range<u64>) -> Result<(), Errno> {
        let size = (pages.end - pages.start) as usize;
        // SAFETY: the caller vouches for it.
        unsafe { self.raw(general::__NR_munmap, [pages.start as usize, size, 0, 0, 0, 0]) }.map(drop)
    }

    /// Shows private pages, of which none has been written to, at `to` too.
    ///
    /// # Safety
    /// Nobody uses what was at `to`.
    pub(crate) unsafe fn show_again(self, from: u64, to: u64, size: u64) -> Result<(), Errno> {
        let flags = general::MREMAP_MAYMOVE | general::MREMAP_FIXED | general::MREMAP_DONTUNMAP;
        let arguments = [from as usize, size as usize, size as usize, flags as usize, to as usize, 0];
        // SAFETY: the caller vouches for what was mapped at `to`. At `from` the file's pages come back when
        // they are used again.
        unsafe { self.raw(general::__NR_mremap, arguments) }.map(drop)
    }

    /// Changes the access to pages.
    ///
    /// # Safety
    /// Nobody uses the pages in another way from then on.
    pub(crate) unsafe fn protect(self, pages: &Range<u64>, access: u32) -> Result<(), Errno> {
        let size = (pages.end - pages.start) as usize;
        // SAFETY: the caller vouches for it.
        unsafe { self.raw(general::__NR_mprotect, [pages.start as usize, size, access as usize, 0, 0, 0]) }
            .map(drop)
    }
}

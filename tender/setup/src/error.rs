//! Why no root task can be started.

use crate::{elf::ElfError, linux::Errno, lock::Missing, options::UsageError};
use core::fmt::{Display, Formatter};
use selkie_tender_filter::AssembleError;

/// Bytes of the command line or of a root task, shown as text whatever they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'a>(pub &'a [u8]);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> core::fmt::Result {
        for chunk in self.0.utf8_chunks() {
            // Control characters could move the terminal's cursor.
            for letter in chunk.valid().chars() {
                if letter.is_control() {
                    write!(f, "{}", letter.escape_default())?
                } else {
                    write!(f, "{letter}")?
                }
            }
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

/// Why no root task can be started: what is wrong, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The command line is wrong.
    #[error("{0}")]
    Usage(#[from] UsageError),
    /// The executable's own parts are not there.
    #[error("the executable is damaged: {0}\n  help: build it anew, or copy it anew from where it was built")]
    Payload(&'static str),
    /// The root task cannot be opened.
    #[error("the root task `{}` cannot be opened ({errno})\n  help: name an ELF file that can be read", Text(.path))]
    OpenRootTask {
        /// Its path.
        path: &'static [u8],
        /// Why.
        errno: Errno,
    },
    /// The root task is no regular file, empty or too large.
    #[error("the root task `{}` is not a file of 1 byte to 1 GiB\n  help: name the root task's ELF file", Text(.path))]
    NoFile {
        /// Its path.
        path: &'static [u8],
    },
    /// The root task is not one that can be hosted.
    #[error("the root task cannot be hosted: {0}")]
    Elf(#[from] ElfError),
    /// There is no table for the root task's interface.
    #[error(
        "the root task was built for the kernel config `{}`, whose interface this tender does not serve\n  help: use the tender of the Selkie release that built the root task, or build the root task anew", Text(.config)
    )]
    Interface {
        /// The kernel config's name.
        config: &'static [u8],
    },
    /// A digest is wrong.
    #[error(
        "--verify: the {0} does not have the SHA-256 that the executable names\n  help: it was changed after it was built: build it anew, or copy it anew"
    )]
    Digest(&'static str),
    /// The image needs a network, and nobody has named one.
    #[error(
        "the image needs a network\n  help: start `passt --socket PATH` and give --net unix:PATH, or do without by --net none; `cargo xtask run` does the former"
    )]
    NoNetwork,
    /// A network was named for an image that has none.
    #[error(
        "--net: the image has no network\n  help: leave the option out, or add [devices.net] to its recipe"
    )]
    NeedlessNetwork,
    /// The network cannot be had.
    #[error(
        "--net {}: it cannot be had ({errno})\n  help: name the socket of a running `passt --socket PATH`, or an open descriptor of one", Text(.option)
    )]
    Net {
        /// What was asked for.
        option: &'static [u8],
        /// Why.
        errno: Errno,
    },
    /// The image needs a disk, and nobody has named one.
    #[error(
        "the image needs a disk\n  help: name a file by --disk FILE, or do without by --disk none; `truncate -s 16M FILE` makes one, and `cargo xtask run` does so by itself"
    )]
    NoDisk,
    /// A disk was named for an image that has none.
    #[error(
        "--disk: the image has no disk\n  help: leave the option out, or add [devices.disk] to its recipe"
    )]
    NeedlessDisk,
    /// The disk cannot be had.
    #[error(
        "--disk {}: it cannot be opened ({errno})\n  help: name a file or a block device that can be read and written, or FILE,ro for one that is only read", Text(.path)
    )]
    Disk {
        /// Its path.
        path: &'static [u8],
        /// Why.
        errno: Errno,
    },
    /// The disk is something else than a file or a block device.
    #[error("--disk {}: it is neither a regular file nor a block device\n  help: name one", Text(.path))]
    NoDiskFile {
        /// Its path.
        path: &'static [u8],
    },
    /// The disk has no sector.
    #[error("--disk {}: it has less than one sector of 512 bytes\n  help: make it larger, for instance by `truncate -s 16M`", Text(.path))]
    EmptyDisk {
        /// Its path.
        path: &'static [u8],
    },
    /// Somebody else has the disk.
    #[error("--disk {}: another process uses it\n  help: wait until that has ended, or use a copy", Text(.path))]
    DiskInUse {
        /// Its path.
        path: &'static [u8],
    },
    /// The memory is too small for the image.
    #[error(
        "{memory} bytes of memory are not enough: the root task and the kernel's objects need {needed}\n  help: give it more with --memory"
    )]
    TooSmall {
        /// What there is.
        memory: u64,
        /// What the root task and, as far as it is known, the kernel need.
        needed: u64,
    },
    /// The memory's size is no size of a memory.
    #[error("the memory cannot have {0} bytes\n  help: give --memory a multiple of 4096 up to 64G")]
    Memory(u64),
    /// The operator allows less.
    #[error(
        "the root task asks for {asked} bytes of memory, and --allow memory={allowed} is less\n  help: give --memory a smaller size, or allow more"
    )]
    NotAllowed {
        /// What was asked for.
        asked: u64,
        /// The limit.
        allowed: u64,
    },
    /// An override cannot be read.
    #[error(
        "--run-fd {descriptor}: {why}\n  help: it must be an open descriptor with `SELKIERUN1`, a NUL, records KEY=VALUE that each end in a NUL, and one more NUL"
    )]
    Run {
        /// The descriptor's number.
        descriptor: i32,
        /// What is wrong.
        why: &'static str,
    },
    /// Arguments and environment do not fit.
    #[error("arguments and environment are longer than 128 KiB\n  help: hand less over")]
    RunSize,
    /// Linux refused something that set-up cannot do without.
    #[error("{what} failed ({errno})\n  help: {help}")]
    Linux {
        /// What.
        what: &'static str,
        /// Why.
        errno: Errno,
        /// What to do.
        help: &'static str,
    },
    /// The filter cannot be made.
    #[error(
        "the filter of system calls cannot be made: {0}\n  help: this is a fault of the tender: report it"
    )]
    Filter(AssembleError),
    /// The filter cannot be installed.
    #[error(
        "the filter of system calls cannot be installed ({0}), and nothing runs without it\n  help: the kernel needs CONFIG_SECCOMP_FILTER, and a container must allow seccomp"
    )]
    NoFilter(Errno),
    /// Parts of the lock-down are missing, and the user asked for all.
    #[error(
        "--strict: the lock-down lacks {0}\n  help: use a newer kernel or another container profile, or leave --strict out"
    )]
    Strict(Missing),
}

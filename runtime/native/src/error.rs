//! Why a function does not serve, or not any more.

use crate::disk::DiskError;
use core::fmt;
use selkie_store::OpenError;

/// What a call of this crate returns.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Why a function cannot serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// There is no network, or none that its driver knows.
    NoNetwork,
    /// There is no disk, or none that its driver knows.
    NoDisk,
    /// There is no source of random bytes. A network needs some: what others could guess, they could forge.
    NoEntropy,
    /// There is no timer.
    NoTimer,
    /// A text of the run configuration is no address of the kind that it has to be.
    BadAddress(&'static str),
    /// Connections and bodies may take more of the heap than there is.
    NoHeap {
        /// Bytes that they may take.
        needed: usize,
        /// Bytes that are free.
        free: usize,
    },
    /// It was called twice.
    InUse,
    /// The word to stop came before the function had ended.
    Stopped,
    /// Whoever stands behind the network has broken its rules, or does not answer any more.
    Broken,
    /// A disk did not do what it was asked for.
    Disk(DiskError),
    /// What is on a disk cannot be used.
    Store(OpenError),
    /// The kernel or the runtime reports an error.
    Kernel(selkie::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNetwork => f.write_str(
                "there is no network: the recipe needs `[devices.net]`, or the machine a card that there is a driver for",
            ),
            Self::NoDisk => f.write_str(
                "there is no disk: the recipe needs `[devices.disk]`, or the machine a virtio disk",
            ),
            Self::NoEntropy => f.write_str(
                "there is no source of random bytes: neither the host's, nor a virtio-rng device, nor RDRAND",
            ),
            Self::NoTimer => f.write_str("there is no timer"),
            Self::BadAddress(text) => {
                write!(f, "`{text}` in the run configuration is no address that fits there")
            }
            Self::NoHeap { needed, free } => write!(
                f,
                "connections and bodies may take {} KiB of heap, and {} KiB are free: a larger `heap` in the recipe, or less of them",
                needed.div_ceil(1024),
                free / 1024
            ),
            Self::InUse => f.write_str("the device is in use already, or by another thread"),
            Self::Stopped => f.write_str("it was stopped"),
            Self::Broken => {
                f.write_str("the network is broken: whoever stands behind it breaks the rules of its queues")
            }
            Self::Disk(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Kernel(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Error {}

impl From<selkie::Error> for Error {
    fn from(error: selkie::Error) -> Self {
        Self::Kernel(error)
    }
}

impl From<DiskError> for Error {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

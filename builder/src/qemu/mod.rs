//! The `qemu` target's machine: its command line, its accelerator, its life and its end.

mod accel;
mod binary;
mod command;
mod exit;
mod pc;
mod process;
mod run_file;

pub use accel::{Accel, AccelRequest, Accelerator, Host, PROBE_LIMIT, Probe, UnknownAccel, choose};
pub use binary::{Binary, PROGRAM};
pub(crate) use command::is_cpu_model;
pub use command::{Boot, Console, Vm, VmDisk, run_script};
pub use exit::GuestEnd;
pub(crate) use exit::{own_words, signal_name};
pub use pc::{BootPath, Lacking, UnknownBoot};
pub(crate) use pc::{Monitor, Pc, Traces};
pub(crate) use process::{Ended, Flow, Group, How, Launch, Peer, beside, drive};
pub(crate) use run_file::run_file;

use crate::exec;
use std::{
    io,
    path::{Path, PathBuf},
};

/// A path as part of an option of QEMU, where a comma ends a value.
fn in_option(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// QEMU could not be found or started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no QEMU, or it does not start.
    #[error(transparent)]
    Exec(#[from] exec::Error),
    /// Talking to QEMU failed.
    #[error("the connection to `{program}` failed: {source}")]
    Talk {
        /// Its path.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A file of the image is not there.
    #[error("{path}: {source}\n  help: build the image again with `cargo xtask build-image`")]
    Image {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A remembered answer about KVM cannot be read or written.
    #[error("{path}: {source}\n  help: the cache is safe to delete: `cargo xtask clean --cache`")]
    Memory {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The user asked to stop while the image ran, in QEMU or as a process.
    #[error("stopped by the user while the image ran")]
    Cancelled,
}

crate::exit_code!(Error, |error| match error {
    Error::Exec(error) => error.exit_code(),
    _ => crate::ExitCode::Failed,
});

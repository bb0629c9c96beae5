//! The host's side of a function's network.

mod passt;
mod ports;
mod tap;

pub(crate) use passt::Passt;
pub(crate) use ports::publish_on_tap;
pub use ports::{BadPort, Error, PortChoice, Published, publish, publish_anywhere};
pub use tap::{BadTap, Tap};

use crate::exec;
use std::io;

/// The network of a process cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// There is no passt, or it does not start.
    #[error("{0}\n  help: passt is the network of a process; target `qemu` does without")]
    Exec(#[from] exec::Error),
    /// passt has ended, or does not answer.
    #[error(
        "the network of the process failed: {0}\n  help: passt needs an interface with a default route; target `qemu` does without"
    )]
    Passt(String),
    /// There is no socket.
    #[error("the network's socket cannot be made: {0}")]
    Socket(io::Error),
}

crate::exit_code!(NetError, |error| match error {
    NetError::Exec(error) => error.exit_code(),
    _ => crate::ExitCode::Failed,
});

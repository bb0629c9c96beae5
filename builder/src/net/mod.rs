//! The host's side of a function's network.

mod passt;
mod ports;
mod tap;

pub(crate) use passt::Passt;
pub use ports::{BadPort, Error, PortChoice, Published, publish, publish_anywhere};
pub(crate) use tap::TAP_NAME;
pub use tap::{BadNet, NetChoice, NoTap, Tap};

use crate::{
    exec,
    recipe::{NetMode, RawNet},
};
use std::io;

/// The card `net` of a recipe, for one run plugged into what `choice` says.
///
/// # Errors
/// When there is a choice, but no card, or no such tap device.
pub(crate) fn plugged(net: Option<&RawNet>, choice: Option<&NetChoice>) -> crate::Result<Option<RawNet>> {
    let card = net.filter(|net| net.has_card()).cloned();
    let net = match (choice, card) {
        (None, _) => net.cloned(),
        (Some(_), None) => return Err(Error::NoCard.into()),
        (Some(NetChoice::User), Some(net)) => Some(RawNet { mode: NetMode::User, tap: None, ..net }),
        (Some(NetChoice::Tap(tap)), Some(net)) => {
            Some(RawNet { mode: NetMode::Tap, tap: Some(tap.name().to_owned()), ..net })
        }
    };
    if let Some(tap) = net.as_ref().and_then(RawNet::tap) {
        tap.check()?;
    }
    Ok(net)
}

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

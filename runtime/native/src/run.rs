//! A function that is one task: it does something over the network, and ends.

use crate::{
    Error, Result,
    net::Network,
    network,
    stop::{self, Stop},
};
use alloc::{boxed::Box, rc::Rc};
use core::cell::RefCell;
use selkie::System;

/// Runs `main` with the network, and returns what it returns. Ctrl-C at the console ends it before.
///
/// ```ignore
/// fn main(sys: &mut System) -> Result<(), Failure> {
///     selkie_native::run(sys, async |network| {
///         let mut server = network.connect(address).await?;
///         server.write_all(b"hello\n").await?;
///         server.close().await
///     })?
/// }
/// ```
///
/// # Errors
/// When there is no network, no timer or nothing random, or when the network breaks.
pub fn run<T: 'static>(sys: &mut System, main: impl AsyncFnOnce(Network) -> T + 'static) -> Result<T> {
    let started = network::start(sys)?;
    stop::listen(sys, started.wake)?;
    let result = Rc::new(RefCell::new(None));
    let (network, stop) = (Network::new(started.stack), Stop::default());
    let put = result.clone();
    // A large task lies on the heap from the start.
    let task = Box::pin(async move {
        let value = main(network).await;
        put.replace(Some(value));
    });
    started.tasks.spawn(task);
    let done = || result.borrow().is_some() || stop.is_asked() || started.card.is_broken();
    started.tasks.run(&stop, done)?;
    let value = result.take();
    value.ok_or(if started.card.is_broken() { Error::Broken } else { Error::Stopped })
}

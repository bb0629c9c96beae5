//! The host's side of a function's network.

mod ports;

pub use ports::{BadPort, Error, PortChoice, Published, publish, publish_anywhere};

//! The libOS of functions in Rust that serve the network: drivers, TCP/IP, an async executor and an HTTP server.
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//! use selkie::prelude::*;
//! use selkie_native::http::{self, Request, Response};
//!
//! selkie::entry!(main);
//!
//! fn main(sys: &mut System) -> selkie_native::Result<()> {
//!     http::Server::new().serve(sys, async |request: Request| match request.path() {
//!         "/" => Response::text("Hello!\n"),
//!         _ => Response::new(404),
//!     })
//! }
//! ```
//!
//! A function sees its network through the device model alone: whether a host process, a component or a driver thread
//! stands behind it makes no difference here. `docs/native.md` says what there is and what its limits are.
#![no_std]

extern crate alloc;

mod card;
mod critical;
pub mod disk;
mod error;
mod executor;
pub mod http;
pub mod net;
mod network;
mod random;
mod run;
mod stop;
pub mod store;
mod time;
#[cfg(feature = "tls")]
pub mod tls;
mod wake;
mod wall;

pub use disk::Disk;
pub use error::{Error, Result};
pub use executor::block_on;
pub use run::run;
pub use wall::wall;

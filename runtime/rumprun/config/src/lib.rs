//! The run configuration as rumprun wants it, and what else of the platform is no matter of the machine.
#![no_std]

#[cfg(test)]
extern crate std;

mod fixed;
mod json;
mod random;

pub use fixed::{Fixed, Mount};
pub use json::{Error, Json};
pub use random::Generator;

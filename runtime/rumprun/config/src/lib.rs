//! The run configuration as rumprun wants it.
#![no_std]

#[cfg(test)]
extern crate std;

mod random;

pub use random::Generator;

//! The run configuration as rumprun wants it.
#![no_std]

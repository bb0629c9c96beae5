//! What a build depends on: source trees, tools of the host, and what the registry supplies.

pub mod debian;
pub mod python;
pub mod registry;
pub mod tools;
pub mod tree;

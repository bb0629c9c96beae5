//! The process target: the root task inside the tender, as one static executable.

pub mod assemble;
pub mod table;

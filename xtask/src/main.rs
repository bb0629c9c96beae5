//! `cargo xtask`: the command line of Selkie.

fn main() {}

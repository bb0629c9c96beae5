//! Empty: this package only pins a dependency, see `Cargo.toml`.

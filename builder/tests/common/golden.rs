//! What the generator wrote, against a file of the repository.

use std::{fs, path::Path, process::Command};

/// Holds generated Rust against the golden file `name` of `builder/tests/bindings`, and holds that it is
/// formatted. BLESS=1 writes the file anew.
pub(crate) fn rust(text: &str, name: &str) {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let golden = package.join("tests/bindings").join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&golden, text).unwrap();
    }
    assert_eq!(text, fs::read_to_string(&golden).unwrap(), "`cargo xtask test --bless` accepts a change");
    let rustfmt = ["--edition", "2024", "--check", "--config-path"];
    let status = Command::new("rustfmt").args(rustfmt).args([package.parent().unwrap(), &golden]).status();
    assert!(status.unwrap().success(), "bindings are formatted as `rustfmt` does");
}

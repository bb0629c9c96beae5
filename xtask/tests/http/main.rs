//! Functions that serve HTTP, seen from outside: by other programs, by clients that behave badly, and by many at once.
//! The images are those of the recipes, started by `cargo xtask run`.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod hostile;
mod interop;
mod load;
mod namespace;
mod pictures;
mod service;
mod tap;

use std::{io::Write as _, process::Command};

/// Says why a test did not run.
fn skip(what: &str, reason: &str) {
    let _ = writeln!(std::io::stderr(), "SKIP {what}: {reason}");
}

/// Whether a program is there; if not, the test is skipped.
fn has(test: &str, program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok();
    if !there {
        skip(test, &format!("there is no {program}"));
    }
    there
}

/// Whether a process can have a network here.
fn has_network(test: &str, target: &str) -> bool {
    target != "process" || has(test, "passt")
}

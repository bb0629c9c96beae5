//! POSIX programs under load, seen from outside, and killed. They are linked from the rumprun tree that
//! `cargo xtask test --rumprun DIR` names; without one these tests say SKIP.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod killed;
mod load;
#[path = "../http/namespace.rs"]
mod namespace;
#[path = "../http/service.rs"]
#[allow(dead_code, reason = "it also asks HTTP functions")]
mod service;

use std::{
    env,
    io::{self, Write as _},
    path::PathBuf,
};

/// The variable with the tree.
const TREE: &str = "SELKIE_RUMPRUN_TREE";

/// Says past libtest's capture why a test did not run.
fn skip(test: &str, reason: &str) {
    let _ = writeln!(io::stderr(), "SKIP {test}: {reason}");
}

/// The tree that the user named; a line that says SKIP for `test` when there is none.
fn tree(test: &str) -> Option<String> {
    let tree = env::var(TREE).ok().filter(|tree| !tree.is_empty());
    if tree.is_none() {
        skip(test, "no rumprun tree was named (`cargo xtask test --rumprun DIR`)");
    }
    tree
}

/// A program of the host, whose folder may be in nobody's PATH; a line that says SKIP when it is not there.
fn program(test: &str, name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = folders.find_map(|folder| Some(folder.join(name)).filter(|file| file.is_file()));
    if found.is_none() {
        skip(test, &format!("there is no {name}"));
    }
    found
}

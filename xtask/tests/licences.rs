//! Dependencies have licences that go with Apache-2.0 and MIT.
#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use serde_json::Value;
use std::{path::Path, process::Command};

const ALLOWED: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "0BSD",
    "CC0-1.0",
];

/// What only a test runs, under a licence that asks nothing of its users: it is part of nothing that is
/// delivered.
const TOOLS: &[&str] = &["cbindgen"];

/// Whether an SPDX expression leaves a choice of allowed licences only.
fn allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = expression.split_whitespace().collect();
    let mut rest = words.as_slice();
    any(&mut rest) && rest.is_empty()
}

/// `a OR b OR …`
fn any(words: &mut &[&str]) -> bool {
    let mut good = all(words);
    while let [first, rest @ ..] = *words
        && *first == "OR"
    {
        *words = rest;
        good |= all(words);
    }
    good
}

/// `a AND b AND …`
fn all(words: &mut &[&str]) -> bool {
    let mut good = one(words);
    while let [first, rest @ ..] = *words
        && *first == "AND"
    {
        *words = rest;
        good &= one(words);
    }
    good
}

/// `a`, `a WITH b` or `( … )`
fn one(words: &mut &[&str]) -> bool {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let good = any(words);
            let [")", rest @ ..] = *words else { return false };
            *words = rest;
            good
        }
        [name, with, exception, rest @ ..] if *with == "WITH" => {
            *words = rest;
            ALLOWED.contains(&format!("{name} WITH {exception}").as_str()) || ALLOWED.contains(name)
        }
        [name, rest @ ..] => {
            *words = rest;
            ALLOWED.contains(name)
        }
        [] => false,
    }
}

#[test]
fn every_dependency_has_a_licence_that_goes_with_ours() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for workspace in [root.to_owned(), root.join("runtime"), root.join("functions"), root.join("tender")] {
        if !workspace.join("Cargo.toml").exists() {
            continue;
        }
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version=1", "--locked"])
            .current_dir(&workspace)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let packages = metadata["packages"].as_array().unwrap();
        let wrong: Vec<String> = packages
            .iter()
            .filter(|package| !TOOLS.contains(&package["name"].as_str().unwrap_or_default()))
            .filter(|package| !package["license"].as_str().is_some_and(allowed))
            .map(|package| format!("{} {}: {}", package["name"], package["version"], package["license"]))
            .collect();
        assert!(wrong.is_empty(), "{}:\n{}", workspace.display(), wrong.join("\n"));
    }
}

#[test]
fn expressions_are_understood() {
    for good in ["MIT", "MIT OR GPL-3.0", "(MIT OR Apache-2.0) AND Unicode-3.0", "MIT/Apache-2.0"] {
        assert!(allowed(good), "{good}");
    }
    let exception = "Apache-2.0 WITH LLVM-exception OR GPL-2.0";
    assert!(allowed(exception));
    for bad in [
        "",
        "GPL-2.0",
        "MIT AND GPL-3.0",
        "(MIT OR Apache-2.0",
        "MIT Apache-2.0",
        "(GPL-2.0 OR LGPL-2.1) AND MIT",
    ] {
        assert!(!allowed(bad), "{bad}");
    }
}

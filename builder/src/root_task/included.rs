//! Files that sources include by name, found by reading the sources.

use super::{Error, sources::Sources};
use crate::{Context, Digest, files, inputs::tree, memory};
use regex::Regex;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// `include_str!("x")`, `include!(concat!(env!("CARGO_MANIFEST_DIR"), "/x"))`, `#[path = "x"]`, `#include "x"`.
static INCLUDE: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r#"(?:include(?:_str|_bytes)?!\s*\(\s*(?:(concat!\s*\(\s*env!\s*\(\s*"CARGO_MANIFEST_DIR"\s*\)\s*,\s*))?|\bpath\s*=\s*|#\s*include\s+)"([^"\n]+)""#;
    Regex::new(pattern).expect("the pattern is a constant")
});

/// Adds the files outside of the folders that the sources include, and what those include in turn.
pub(super) fn follow(ctx: &Context<'_>, sources: &mut Sources) -> Result<(), Error> {
    let mut found = BTreeSet::new();
    for folder in &sources.folders {
        found.extend(of_folder(ctx, folder)?);
    }
    let mut todo: Vec<_> = found.into_iter().chain(sources.files.iter().cloned()).collect();
    let mut done = BTreeSet::new();
    while let Some(file) = todo.pop() {
        let inside = sources.folders.iter().any(|folder| file.starts_with(folder));
        if !inside && done.insert(file.clone()) && is_source(&file) {
            todo.extend(includes(&file, &file));
        }
    }
    sources.files.extend(done);
    Ok(())
}

/// What the sources in `folder` include from outside. Remembered under the folder's digest.
fn of_folder(ctx: &Context<'_>, folder: &Path) -> Result<BTreeSet<PathBuf>, Error> {
    let key = Digest::of_json(&(Digest::of_path(folder), tree::digest(ctx, folder)?)).short(32);
    let file = ctx.project.cache().join("crates").join(format!("{key}.includes.json"));
    if let Some(known) = memory::recall(&file) {
        return Ok(known);
    }
    let walk = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter();
    let walk =
        walk.filter_entry(|entry| !entry.path().join("CACHEDIR.TAG").exists() && entry.file_name() != ".git");
    let files = walk.flatten().map(walkdir::DirEntry::into_path).filter(|path| is_source(path));
    let manifest = folder.join("Cargo.toml");
    let found = files.flat_map(|file| includes(&file, &manifest));
    let found: BTreeSet<_> = found.filter(|path| !path.starts_with(folder)).collect();
    memory::keep(&file, &found);
    Ok(found)
}

fn is_source(path: &Path) -> bool {
    path.extension().is_some_and(|end| ["rs", "c", "h", "inc"].iter().any(|one| end == *one))
}

/// The files that `file` of the crate with this manifest includes. C includes that lead nowhere are
/// left to the include path.
fn includes(file: &Path, manifest: &Path) -> Vec<PathBuf> {
    let text = files::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let of = |path: &Path| path.parent().unwrap_or(Path::new("/")).to_owned();
    let is_rust = file.extension().is_some_and(|end| end == "rs");
    let found = INCLUDE.captures_iter(&text).map(|captures| {
        let name = captures.get(2).map_or("", |name| name.as_str());
        match captures.get(1) {
            Some(_) => files::clean(&of(manifest).join(name.trim_start_matches('/'))),
            None => files::clean(&of(file).join(name)),
        }
    });
    found.filter(|path| is_rust || path.is_file()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includes_of_every_kind_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("crate/src/main.rs");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let text = r#"
            const A: &str = include_str!("../../a.txt");
            const B: &[u8] = include_bytes!(
                concat!(env!("CARGO_MANIFEST_DIR"), "/../b.bin"));
            #[path = "c.rs"] mod c;
        "#;
        std::fs::write(&file, text).unwrap();
        let found = includes(&file, &dir.path().join("crate/Cargo.toml"));
        let expected = ["a.txt", "b.bin", "crate/src/c.rs"].map(|name| dir.path().join(name));
        assert_eq!(found, expected);
    }

    #[test]
    fn c_headers_beside_the_file_are_found_and_others_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let (file, header) = (dir.path().join("main.c"), dir.path().join("own.h"));
        std::fs::write(&file, "#include \"own.h\"\n#include \"selkie.h\"\n#include <stddef.h>\n").unwrap();
        std::fs::write(&header, "").unwrap();
        assert_eq!(includes(&file, &file), [header]);
    }
}

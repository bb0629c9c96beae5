//! Programs from source packages: which of their files are compiled, and into what.

use super::{Error, Job, Tree, compile};
use crate::{
    Digest, files,
    inputs::debian::Prepared,
    recipe::{Rumprun, SourcePackage},
};
use regex::Regex;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The name of the step in the cache: a large program is not compiled anew because its arguments changed, or the
/// builder, whose part in it is [`compile::flags`] and this number.
const STEP: &str = "rumprun-objects";
const FORMAT: u32 = 1;

/// All that the object files follow from.
#[derive(Serialize)]
struct Inputs<'a> {
    format: u32,
    flags: [Vec<String>; 2],
    prepared: Digest,
    files: &'a [PathBuf],
    include: &'a [String],
    cflags: &'a [String],
    tree: Digest,
    cc: Digest,
}

/// The object files of the program, each with the name of its source.
pub(super) fn objects(
    job: &Job<'_>,
    tree: &Tree,
    rumprun: &Rumprun,
    source: &SourcePackage,
) -> Result<Vec<(String, PathBuf)>, Error> {
    let Some(prepared) = job.inputs.package else { return Err(Error::Changed) };
    let files = select(prepared, source)?;
    let inputs = Inputs {
        format: FORMAT,
        flags: [false, true].map(compile::flags),
        prepared: prepared.key,
        files: &files,
        include: &source.include,
        cflags: &rumprun.cflags,
        tree: tree.digest,
        cc: job.inputs.toolchain.cc.digest,
    };
    let entry = job.ctx.cache.keyed_step(STEP, Digest::of_json(&inputs), |dir| {
        let include: Vec<PathBuf> = source.include.iter().map(PathBuf::from).collect();
        let sources = compile::Sources {
            folder: &prepared.dir,
            files: &files,
            include: &include,
            flags: &rumprun.cflags,
        };
        let objects = compile::all(job, tree, &sources, &dir.join("objects"))?;
        // Their order is the linker's, and their names follow from the place of the sources.
        for (number, (_, object)) in objects.iter().enumerate() {
            files::rename(object, &dir.join(name(number)))?;
        }
        files::remove(&dir.join("objects"))?;
        Ok::<_, Error>(())
    })?;
    let named =
        |(number, file): (usize, &PathBuf)| (file.display().to_string(), entry.dir.join(name(number)));
    Ok(files.iter().enumerate().map(named).collect())
}

fn name(number: usize) -> String {
    format!("{number:04}.o")
}

/// The files of the package that the recipe names, sorted.
fn select(prepared: &Prepared, source: &SourcePackage) -> Result<Vec<PathBuf>, Error> {
    let (files, exclude) = (patterns(&source.files), patterns(&source.exclude));
    let fits = |patterns: &[Regex], path: &str| patterns.iter().any(|pattern| pattern.is_match(path));
    let mut there = Vec::new();
    below(&prepared.dir, Path::new(""), &mut there)?;
    for (key, written, patterns) in [("files", &source.files, &files), ("exclude", &source.exclude, &exclude)]
    {
        let unused =
            written.iter().zip(patterns).find(|(_, one)| !there.iter().any(|path| one.is_match(path)));
        if let Some((pattern, _)) = unused {
            let package = format!("{} {}", source.package.name, source.package.version);
            let near = crate::document::suggest::closest(pattern, there.iter().map(String::as_str));
            return Err(Error::NoSuchSource {
                key,
                pattern: pattern.clone(),
                package,
                help: near.map_or_else(
                    || format!("look into {}", prepared.dir.display()),
                    |near| format!("did you mean `{near}`? What there is lies in {}", prepared.dir.display()),
                ),
            });
        }
    }
    there.retain(|path| fits(&files, path) && !fits(&exclude, path));
    Ok(there.into_iter().map(PathBuf::from).collect())
}

/// The relative paths of all files below `root`/`folder`, sorted. Names that are not UTF-8 are named by no recipe.
fn below(root: &Path, folder: &Path, into: &mut Vec<String>) -> Result<(), Error> {
    for entry in files::sorted_entries(&root.join(folder))? {
        let relative = folder.join(entry.file_name());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            below(root, &relative, into)?;
        } else if let Some(path) = relative.to_str() {
            into.push(path.to_owned());
        }
    }
    Ok(())
}

/// Patterns as a recipe has them: `*` and `?` stand for parts of one name, `**/` for folders.
fn patterns(written: &[String]) -> Vec<Regex> {
    let pattern = |text: &String| {
        let regex = regex::escape(text)
            .replace(r"\*\*/", "(?:.*/)?")
            .replace(r"\*\*", ".*")
            .replace(r"\*", "[^/]*")
            .replace(r"\?", "[^/]");
        Regex::new(&format!("^(?:{regex})$")).ok()
    };
    written.iter().filter_map(pattern).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::debian::Package;
    use std::fs;

    fn package(files: &[&str], exclude: &[&str]) -> SourcePackage {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        SourcePackage {
            package: Package { name: "x".into(), version: "1".into(), sha256: Digest::of("x") },
            prepare: Vec::new(),
            files: texts(files),
            exclude: texts(exclude),
            include: Vec::new(),
        }
    }

    #[test]
    fn files_are_chosen_by_patterns_in_an_order_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["b.c", "a.c", "a.h", "src/c.c", "src/luac.c", "src/deep/d.c", "a+b.c"] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let prepared = Prepared { dir: dir.path().to_owned(), key: Digest::of("k"), fresh: false };
        let chosen = |files: &[&str], exclude: &[&str]| {
            let chosen = select(&prepared, &package(files, exclude)).map_err(|error| error.to_string())?;
            Ok::<_, String>(
                chosen.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" "),
            )
        };
        assert_eq!(chosen(&["*.c"], &[]).unwrap(), "a+b.c a.c b.c");
        assert_eq!(chosen(&["src/*.c"], &["src/luac.c"]).unwrap(), "src/c.c");
        assert_eq!(chosen(&["**/?.c"], &["b.c"]).unwrap(), "a.c src/c.c src/deep/d.c");
        assert_eq!(chosen(&["b.c", "a+b.c", "b.c"], &[]).unwrap(), "a+b.c b.c");
        let error = chosen(&["src/lua.c"], &[]).unwrap_err();
        assert!(
            error.contains("`src/lua.c` in `files`") && error.contains("did you mean `src/luac.c`?"),
            "{error}"
        );
        assert!(chosen(&["*.c"], &["x*.c"]).unwrap_err().contains("`x*.c` in `exclude`"));
    }
}

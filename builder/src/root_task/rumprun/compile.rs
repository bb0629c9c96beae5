//! C and C++ sources, compiled by the tree's own compiler.

use super::{
    super::csource::{self, Compilation},
    Error, Job, Tree,
};
use crate::recipe::{InputPath, Rumprun};
use std::path::{Path, PathBuf};

/// Flags for every file, as far as the tree's compiler does not have them itself. The recipe's own come after them.
const FLAGS: [&str; 7] = [
    "-O2",
    "-g1",
    "-fno-pic",
    "-fno-pie",
    "-fcf-protection=none",
    // The seed of names that must differ between files.
    "-frandom-seed=selkie",
    "-fcommon",
];
/// And for those in C. In C++ it is an error anyway.
const FLAGS_C: [&str; 1] = ["-Werror=implicit-function-declaration"];
/// And for those in C++: nobody unwinds the stack.
const FLAGS_CXX: [&str; 1] = ["-fno-exceptions"];

/// Sources that are compiled alike.
pub(super) struct Sources<'a> {
    /// The folder that the compiler runs in; files are named from there.
    pub(super) folder: &'a Path,
    /// The files, relative to `folder`.
    pub(super) files: &'a [PathBuf],
    /// Where headers are found beside those of NetBSD and those beside a file.
    pub(super) include: &'a [PathBuf],
    /// Further flags.
    pub(super) flags: &'a [String],
}

/// Compiles the C files of a recipe, each in its own folder. Each object file has the name of its source with it.
pub(super) fn sources(
    job: &Job<'_>,
    tree: &Tree,
    rumprun: &Rumprun,
    files: &[InputPath],
    work: &Path,
) -> Result<Vec<(String, PathBuf)>, Error> {
    let mut objects = Vec::new();
    for file in files {
        let (folder, name) = csource::apart(&file.path);
        let sources = Sources { folder, files: &[name.to_owned()], include: &[], flags: &rumprun.cflags };
        objects.extend(all(job, tree, &sources, work)?);
    }
    Ok(objects)
}

/// Compiles `sources` into object files, likewise.
pub(super) fn all(
    job: &Job<'_>,
    tree: &Tree,
    sources: &Sources<'_>,
    work: &Path,
) -> Result<Vec<(String, PathBuf)>, Error> {
    // What the compiler reads of the tree is in the tree's digest, and the place of no folder in the result.
    let maps = [
        (sources.folder.to_owned(), "function"),
        (job.ctx.project.root.clone(), "selkie"),
        (tree.root.clone(), "rumprun"),
    ];
    let mut objects = Vec::new();
    for file in sources.files {
        let cxx = file.extension().is_some_and(|extension| extension != "c");
        let mut flags = flags(cxx);
        flags.extend_from_slice(sources.flags);
        let how = Compilation {
            program: &tree.tool(if cxx { "g++" } else { "gcc" }),
            flags: &flags,
            file,
            folder: sources.folder,
            include: sources.include,
            maps: &maps,
        };
        objects.push((file.display().to_string(), csource::compile(job, &how, work)?));
    }
    Ok(objects)
}

/// The flags for every file in C, or in C++.
pub(super) fn flags(cxx: bool) -> Vec<String> {
    FLAGS.iter().chain(if cxx { &FLAGS_CXX } else { &FLAGS_C }).map(|flag| (*flag).to_owned()).collect()
}

//! The commands of the host that make the last sources of a package out of others, in a copy of their own.

use super::{Error, Package, unpack};
use crate::{
    Context, Digest,
    exec::{self, Tool},
    files,
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Changes when the same package and commands give another tree: which builder made it does not matter otherwise.
const FORMAT: u32 = 1;

/// The folder of the tree in the step's folder.
const TREE: &str = "source";

/// A source tree that is ready to be compiled.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The tree's folder, which nobody writes to.
    pub dir: PathBuf,
    /// The digest of all that it follows from: the package, the commands, and the programs that they start.
    pub key: Digest,
    /// Whether it was made just now.
    pub fresh: bool,
}

/// What a tree follows from.
#[derive(Serialize)]
struct Inputs<'a> {
    format: u32,
    package: &'a Package,
    commands: &'a [Vec<String>],
    /// The programs of the host that the commands name, in their order.
    programs: Vec<Digest>,
}

/// The source of `package` after `commands` ran in it, each a program and its arguments: from the cache, or made.
///
/// They see PATH, a C locale, SOURCE_DATE_EPOCH and a private home, and nothing else of the environment.
pub fn prepare(ctx: &Context<'_>, package: &Package, commands: &[Vec<String>]) -> Result<Prepared, Error> {
    let programs = commands.iter().filter_map(|words| program(package, words).transpose());
    let programs = programs.map(|path| {
        let path = path?;
        Digest::of_file(&path).map_err(|error| files::Error::at("read", &path)(error).into())
    });
    let inputs =
        Inputs { format: FORMAT, package, commands, programs: programs.collect::<Result<_, Error>>()? };
    let entry = ctx.cache.keyed_step("debian-tree", Digest::of_json(&inputs), |dir| {
        let tree = dir.join(TREE);
        unpack::unpack(ctx, package, &tree)?;
        if !commands.is_empty() {
            run(ctx, package, commands, dir)?;
            unpack::contained(&package.name, &tree)?;
        }
        Ok::<_, Error>(())
    })?;
    Ok(Prepared { dir: entry.dir.join(TREE), key: entry.key, fresh: entry.fresh })
}

/// The program of the host that a command starts; none when it is a file of the tree.
fn program(package: &Package, words: &[String]) -> Result<Option<PathBuf>, Error> {
    let name = words.first().map_or("", String::as_str);
    if name.contains('/') && !name.starts_with('/') {
        return Ok(None);
    }
    let missing = || Error::NoProgram { name: package.name.clone(), program: name.to_owned() };
    let path = if name.starts_with('/') {
        Some(PathBuf::from(name)).filter(|path| exec::is_executable(path))
    } else {
        exec::which(Path::new(name))
    };
    path.map(Some).ok_or_else(missing)
}

fn run(ctx: &Context<'_>, package: &Package, commands: &[Vec<String>], dir: &Path) -> Result<(), Error> {
    let home = tempfile::tempdir_in(dir).map_err(files::Error::at("make a folder in", dir))?;
    for words in commands {
        let Some((name, args)) = words.split_first() else { continue };
        let tool = Tool::new(name, &dir.join(TREE)).args(args);
        let tool = tool.env("HOME", home.path()).env("TMPDIR", home.path());
        super::run(ctx, tool, |source| Error::Prepare { name: package.name.clone(), source })?;
    }
    Ok(())
}

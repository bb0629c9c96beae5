//! What the source of a root task consists of: folders and files, so that a change to any of them
//! builds it anew.
//!
//! The folders are those of the crate and of every crate that it depends on by path. Files outside of
//! them are found in the sources (`include_str!("…")`, `#include "…"`), and in what the compilers said
//! that they read in the last build.

use super::{Error, Job, Toolchain, crate_build, csource, included, leaks, rumprun, toolchain::TRIPLE};
use crate::{
    Context, Digest, files,
    inputs::tree,
    memory,
    recipe::{Recipe, RootTaskSource},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// The folders and files that a root task is made from, absolute and sorted. No file lies in one of
/// the folders. A file may be missing; that counts as a state of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    /// Folders that count with all that is in them.
    pub folders: BTreeSet<PathBuf>,
    /// Single files.
    pub files: BTreeSet<PathBuf>,
}

/// What Cargo said of a crate, and the files that this followed from.
#[derive(Serialize, Deserialize)]
struct Remembered {
    manifests: BTreeMap<PathBuf, Option<Digest>>,
    toolchain: Digest,
    sources: Sources,
}

/// Everything that the root task of `recipe` is made from, kernel and tools apart.
///
/// Cargo is asked once, and again when a manifest or a lock file that its answer depends on changes.
pub fn sources(ctx: &Context<'_>, recipe: &Recipe, toolchain: &Toolchain) -> Result<Sources, Error> {
    let mut sources = match &recipe.source {
        RootTaskSource::Crate(folder) => of_crate(ctx, &folder.path, toolchain)?,
        RootTaskSource::C(list) => {
            let interface = match recipe.rumprun {
                Some(_) => rumprun::platform_crate(ctx),
                None => csource::interface_crate(ctx),
            };
            let mut sources = of_crate(ctx, &interface, toolchain)?;
            sources.files.extend(list.iter().map(|file| file.path.clone()));
            sources
        }
        // What the package is, the recipe says.
        RootTaskSource::Package(_) => of_crate(ctx, &rumprun::platform_crate(ctx), toolchain)?,
        RootTaskSource::Program(file) => {
            let mut sources = of_crate(ctx, &rumprun::platform_crate(ctx), toolchain)?;
            sources.files.insert(file.path.clone());
            sources
        }
        RootTaskSource::Prebuilt(file) => Sources { files: [file.path.clone()].into(), ..Sources::default() },
    };
    included::follow(ctx, &mut sources)?;
    sources.folders.extend(recipe.files.iter().map(|folder| folder.path.clone()));
    sources.files.extend(memory::recall::<BTreeSet<PathBuf>>(&seen_file(ctx, recipe)).unwrap_or_default());
    let folders = &sources.folders;
    sources.files.retain(|file| !folders.iter().any(|folder| file.starts_with(folder)));
    Ok(sources)
}

/// Everything that the crate in `folder` is made from.
pub(crate) fn sources_of_crate(
    ctx: &Context<'_>,
    folder: &Path,
    toolchain: &Toolchain,
) -> Result<Sources, Error> {
    let mut sources = of_crate(ctx, folder, toolchain)?;
    included::follow(ctx, &mut sources)?;
    let folders = &sources.folders;
    sources.files.retain(|file| !folders.iter().any(|folder| file.starts_with(folder)));
    Ok(sources)
}

/// The digest of each folder and file that `sources` names; none for a file that is missing.
pub fn contents(ctx: &Context<'_>, sources: &Sources) -> Result<BTreeMap<PathBuf, Option<Digest>>, Error> {
    let mut contents = BTreeMap::new();
    for folder in &sources.folders {
        contents.insert(folder.clone(), Some(tree::digest(ctx, folder)?));
    }
    for file in &sources.files {
        contents.insert(file.clone(), tree::digest_of_file(ctx, file)?);
    }
    Ok(contents)
}

/// The digest of all `contents` that are there. Folders and files count by name, not by place.
pub fn digest(contents: &BTreeMap<PathBuf, Option<Digest>>) -> Digest {
    let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let there = contents.iter().filter_map(|(path, digest)| Some((name(path), (*digest)?)));
    let mut parts: Vec<_> = there.collect();
    // In the order of names: places differ from machine to machine.
    parts.sort();
    Digest::of_json(&parts)
}

fn of_crate(ctx: &Context<'_>, folder: &Path, toolchain: &Toolchain) -> Result<Sources, Error> {
    let name = Digest::of_path(folder).short(32);
    let file = ctx.project.cache().join("crates").join(format!("{name}.json"));
    let identity = Digest::of_json(toolchain);
    if let Some(known) = memory::recall::<Remembered>(&file) {
        let mut same = known.toolchain == identity;
        for (path, digest) in &known.manifests {
            same = same && tree::digest_of_file(ctx, path)? == *digest;
        }
        if same {
            return Ok(known.sources);
        }
    }
    let (manifests, sources) = ask(ctx, folder, toolchain)?;
    let mut digests = BTreeMap::new();
    for path in manifests {
        let digest = tree::digest_of_file(ctx, &path)?;
        digests.insert(path, digest);
    }
    let known = Remembered { manifests: digests, toolchain: identity, sources };
    memory::keep(&file, &known);
    Ok(known.sources)
}

/// Asks Cargo which crates come from folders of this machine. Returns the manifests and lock file that
/// its answer depends on, too.
fn ask(
    ctx: &Context<'_>,
    folder: &Path,
    toolchain: &Toolchain,
) -> Result<(BTreeSet<PathBuf>, Sources), Error> {
    let krate = crate_build::describe(ctx, folder, toolchain)?;
    let args = ["--locked", "--all-features", "--filter-platform", TRIPLE];
    let metadata = crate_build::metadata(ctx, folder, Some(&krate), toolchain, &args)?;
    // The other members of the workspace are in Cargo's list, too.
    let reachable = reachable(&metadata, folder);
    let reached = metadata.packages.iter().filter(|one| one.source.is_none() && reachable.contains(&one.id));
    let mut manifests: BTreeSet<PathBuf> =
        [krate.workspace.join("Cargo.toml"), krate.workspace.join("Cargo.lock")].into();
    let mut sources = Sources::default();
    for package in reached {
        let folder = package.manifest_path.parent().map_or(folder, |parent| parent.as_std_path());
        manifests.extend(manifests_above(folder));
        sources.folders.insert(folder.to_owned());
    }
    sources.files.extend(manifests.iter().cloned());
    // Cargo reads its configuration from every folder above the crate. What lies in Cargo's own home
    // holds wherever the crate lies, so it counts nowhere: the user's registry is no part of an image.
    let home = leaks::cargo_home();
    for above in folder.ancestors().map(|above| above.join(".cargo")).filter(|dir| Some(dir) != home.as_ref())
    {
        sources.files.extend(["config.toml", "config"].map(|name| above.join(name)));
    }
    Ok((manifests, sources))
}

/// Where Cargo looks for the manifest of a package and of its workspace, from which it inherits; some are
/// not there, and count when they appear.
fn manifests_above(folder: &Path) -> Vec<PathBuf> {
    let mut manifests = Vec::new();
    for above in folder.ancestors() {
        let manifest = above.join("Cargo.toml");
        let text = files::read(&manifest).unwrap_or_default();
        manifests.push(manifest);
        if String::from_utf8_lossy(&text).lines().any(|line| line.trim_start().starts_with("[workspace")) {
            break;
        }
    }
    manifests
}

fn reachable(metadata: &cargo_metadata::Metadata, folder: &Path) -> BTreeSet<cargo_metadata::PackageId> {
    let manifest = folder.join("Cargo.toml");
    let root = metadata.packages.iter().find(|package| package.manifest_path.as_std_path() == manifest);
    let nodes: BTreeMap<_, _> =
        metadata.resolve.iter().flat_map(|resolve| &resolve.nodes).map(|node| (&node.id, node)).collect();
    let mut todo: Vec<_> = root.iter().map(|package| &package.id).collect();
    let mut reached = BTreeSet::new();
    while let Some(id) = todo.pop() {
        if reached.insert(id.clone()) {
            todo.extend(nodes.get(id).iter().flat_map(|node| &node.dependencies));
        }
    }
    reached
}

fn seen_file(ctx: &Context<'_>, recipe: &Recipe) -> PathBuf {
    let name = Digest::of_json(&(Digest::of_path(&recipe.path), &recipe.source)).short(32);
    ctx.project.cache().join("crates").join(format!("{name}.seen.json"))
}

impl Job<'_> {
    /// Notes the files that the compiler read, from a Makefile rule that it wrote. Relative names are
    /// relative to `folder`.
    pub(super) fn read_depends(&self, rules: &Path, folder: &Path) -> Result<(), Error> {
        let text = String::from_utf8_lossy(&files::read(rules)?).into_owned();
        let found = prerequisites(&text).into_iter().map(|name| files::clean(&folder.join(name)));
        self.seen.borrow_mut().extend(found);
        Ok(())
    }

    /// Remembers the files that were noted for the next [`sources`] of this recipe.
    pub(super) fn keep_seen(&self) {
        // What is made here, and what has a digest of its own: the compilers, and a rumprun tree.
        let mut others = vec![self.ctx.project.cache(), PathBuf::from("/usr")];
        others.extend(self.inputs.rumprun.map(|tree| tree.root.clone()));
        let own = |path: &&PathBuf| !others.iter().any(|other| path.starts_with(other));
        let seen = self.seen.borrow();
        memory::keep(
            &seen_file(self.ctx, self.inputs.recipe),
            &seen.iter().filter(own).collect::<BTreeSet<_>>(),
        );
    }
}

/// The files right of the colon in Makefile rules; `\` at a line's end joins lines, `\ ` is a space.
fn prerequisites(rules: &str) -> Vec<String> {
    let rules = rules.replace("\\\n", " ");
    let lists = rules.lines().filter_map(|line| line.split_once(": ").map(|(_, list)| list));
    let words = lists.flat_map(|list| {
        let list = list.replace("\\ ", "\0");
        list.split_whitespace().map(|word| word.replace('\0', " ")).collect::<Vec<_>>()
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makefile_rules_name_files() {
        let rules = "out.o: main.c \\\n /a/selkie.h \\\n with\\ space.h\n\n/a/selkie.h:\n";
        assert_eq!(prerequisites(rules), ["main.c", "/a/selkie.h", "with space.h"]);
    }

    #[test]
    fn a_recipe_may_lie_in_a_folder_whose_name_is_not_utf_8() {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        let project = crate::Project::here();
        let ctx = Context::new(&project, &crate::context::Silent);
        let mut recipe = Recipe::load(&project, "hello").unwrap();
        let usual = seen_file(&ctx, &recipe);
        recipe.path = OsStr::from_bytes(b"/\xff/hello.toml").into();
        assert_ne!(seen_file(&ctx, &recipe), usual);
    }
}

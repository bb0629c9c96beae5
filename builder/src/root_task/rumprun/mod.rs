//! POSIX programs: linked with a rump kernel and a libc of NetBSD, from the user's rumprun tree, and with the crate
//! `selkie-rumprun`, the platform that those run on.
//!
//! The program and the tree's libraries become one relocatable object, `rump.o`, in which all but the platform's
//! interface is local. From there on a root task of it is built as one of C sources.

mod compile;
mod debian;
mod examine;
mod libraries;
mod link;
mod program;
mod scrub;
#[cfg(test)]
mod tests;
pub(super) mod tls;
pub mod tree;

pub(super) use link::link_sets;

use super::{Error, Job, crate_build};
use crate::{
    files,
    recipe::{RawNet, Recipe, RootTaskSource, Rumprun},
};
use std::path::{Path, PathBuf};
use tree::Tree;

/// The section with what the platform finds of the recipe that no run changes.
pub(crate) const SECTION: &str = ".selkie.rumprun";

/// The folder of the crate `selkie-rumprun` in the checkout.
pub(super) fn platform_crate(ctx: &crate::Context<'_>) -> PathBuf {
    ctx.project.runtime().join("rumprun")
}

/// Builds the program of the recipe, links it with the rump kernel and the platform, and returns the ELF.
pub(super) fn build(job: &Job<'_>, target: &Path) -> Result<PathBuf, Error> {
    let recipe = job.inputs.recipe;
    let (Some(tree), Some(rumprun)) = (job.inputs.rumprun, &recipe.rumprun) else {
        return Err(tree::Error::NotNamed { name: recipe.function.name.clone() }.into());
    };
    let work = target.join("rumprun");
    files::create_dir_all(&work)?;
    let objects = match &recipe.source {
        RootTaskSource::C(files) => compile::sources(job, tree, rumprun, files, &work)?,
        RootTaskSource::Package(source) => debian::objects(job, tree, rumprun, source)?,
        RootTaskSource::Program(file) => {
            let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            vec![(name, program::checked(&file.path)?)]
        }
        // The checks of recipes let none of these pass.
        RootTaskSource::Crate(_) | RootTaskSource::Prebuilt(_) => Vec::new(),
    };
    let program = examine::Program::read(&objects)?;
    program.check(job)?;
    let objects: Vec<_> = objects.into_iter().map(|(_, path)| path).collect();
    let rump = link::rump_object(
        job,
        &link::Link { tree, components: &rumprun.components, objects: &objects, cxx: program.is_cxx() },
        &work,
    )?;
    // What the platform defines is undefined in it as well; but the program uses none of that.
    let missing = program.users(&examine::undefined(&rump)?);
    if !missing.is_empty() {
        if let Some(fault) = tree.lacks_cxx().filter(|_| program.is_cxx()) {
            return Err(fault.into());
        }
        return Err(Error::Lacking { what: recipe.function.name.clone(), missing });
    }
    crate_build::build(job, &platform_crate(job.ctx), &[rump], target)
}

/// Why `recipe` cannot be built as long as nobody names a rumprun tree; none when one is named, or none needed.
pub fn unnamed(recipe: &Recipe) -> Option<String> {
    let rumprun = recipe.rumprun.as_ref()?;
    let reason =
        "no rumprun tree is named (`--rumprun DIR` or RUMPRUN_DIR; docs/rumprun.md says how to get one)";
    tree::named(rumprun).is_none().then(|| reason.to_owned())
}

/// What the platform finds of the recipe: the names of program and host, whether there is a network, and a line for each
/// mount. The crate `selkie-rumprun-config` reads it.
pub(super) fn section(recipe: &Recipe) -> Option<Vec<u8>> {
    let Rumprun { hostname, mount, .. } = recipe.rumprun.as_ref()?;
    let mut text = format!("program {}\nhostname {hostname}\n", recipe.function.name);
    if recipe.devices.net.as_ref().is_some_and(RawNet::has_card) {
        text.push_str("network\n");
    }
    for mount in mount {
        let source = mount.source.as_deref().unwrap_or("-");
        text.push_str(&format!("mount {source} {} {}\n", mount.kind.name(), mount.path));
    }
    Some(text.into_bytes())
}

//! Builds published images again and compares.

use super::{Options, Outcome, Report, image::Image};
use crate::{
    Context, Digest, Project, Result, build, files,
    image::{InputIdentity, Manifest},
    inspect::printable,
    plan,
    publish::{self, id},
    recipe::{KernelChoice, Recipe},
};
use std::{collections::BTreeMap, os::unix::fs::symlink};

/// An image that is sound, and the file that it is in.
pub(super) struct Sound {
    pub(super) file: String,
    pub(super) sha256: Digest,
    pub(super) image: Image,
}

/// Builds each image again, in a folder of its own whose cache knows of no earlier build, and tells what differs.
///
/// # Errors
/// When the user stops, or no folder can be made. That an image cannot be built is a row of the report.
pub(super) fn rebuild(
    ctx: &Context<'_>,
    images: &[Sound],
    options: &Options,
    report: &mut Report,
) -> Result<()> {
    let cache = ctx.project.cache();
    files::create_dir_all(&cache).map_err(super::Error::from)?;
    let place = tempfile::Builder::new().prefix("rebuild-").tempdir_in(&cache);
    let place = place.map_err(files::Error::at("make a folder in", &cache)).map_err(super::Error::from)?;
    let project = Project { root: ctx.project.root.clone(), out: place.path().to_owned() };
    // The generators' Python packages are pinned by their hashes, and come from the network where they are not kept.
    let steps = project.cache().join("steps");
    files::create_dir_all(&steps).map_err(super::Error::from)?;
    let kept = cache.join("steps/python");
    if kept.is_dir() {
        let link = steps.join("python");
        symlink(&kept, &link).map_err(files::Error::at("make", &link)).map_err(super::Error::from)?;
    }
    let ctx = Context::with_cancel(&project, ctx.progress, ctx.cancel.clone());
    for one in images {
        match again(&ctx, &one.image.manifest, options) {
            Err(error) if ctx.cancel.requested() => return Err(error),
            Err(error) => report.fail(&one.file, format!("it cannot be built again: {error}")),
            Ok((manifest, sha256)) => compare(one, &manifest, sha256, report),
        }
    }
    Ok(())
}

/// The manifest and the digest of the archive of what is built from the same recipe.
fn again(ctx: &Context<'_>, published: &Manifest, options: &Options) -> Result<(Manifest, Digest)> {
    let choice =
        KernelChoice { config: Some(published.kernel.config.clone()), source: options.source.clone() };
    let recipe = Recipe::load(ctx.project, &published.name)?.with_kernel(ctx.project, &choice)?;
    let recipe = recipe.with_rumprun(options.rumprun.as_deref());
    let plan = plan::plan_at(ctx, &recipe, published.target, published.epoch)?;
    let image = build::build(ctx, &plan)?;
    let files = publish::files_of(&image).map_err(super::Error::from)?;
    let id = id(&published.name, published.target);
    let packed = publish::packed(&id, &files, published.epoch);
    let packed = packed.map_err(|source| publish::Error::Pack { file: id, source })?;
    Ok((Manifest::read(&image.dir)?, Digest::of(packed.content)))
}

/// Tells what of the published image was not built again: the inputs that moved, then the files.
fn compare(one: &Sound, built: &Manifest, sha256: Digest, report: &mut Report) {
    let published = &one.image.manifest;
    if sha256 == one.sha256 {
        return report.ok(&one.file, "built again, it is the same to the last byte");
    }
    let mut differs = |what: String| report.add(Outcome::Differs, &one.file, what);
    for what in moved(&published.inputs, &built.inputs) {
        differs(what);
    }
    for member in &published.members {
        let now = built.members.iter().find(|other| other.name == member.name);
        match now {
            None => differs(format!("built again, it has no `{}`", member.name)),
            Some(now) if now.sha256 != member.sha256 => {
                let (was, now) = (member.sha256.short(12), now.sha256.short(12));
                differs(format!(
                    "built again, `{}` is another: {was} was published, {now} was built",
                    member.name
                ));
            }
            Some(_) => {}
        }
    }
    differs("built again, it is another archive".to_owned());
}

/// The inputs that are not what they were.
fn moved(was: &BTreeMap<String, InputIdentity>, is: &BTreeMap<String, InputIdentity>) -> Vec<String> {
    let show = |input: &InputIdentity| match &input.version {
        Some(version) => format!("{} ({})", printable(version), input.digest.short(12)),
        None => input.digest.short(12),
    };
    let mut moved = Vec::new();
    for (name, before) in was {
        match is.get(name) {
            Some(now) if now == before => {}
            Some(now) => {
                moved.push(format!("input {}: {} then, {} now", printable(name), show(before), show(now)))
            }
            None => moved.push(format!("input {}: {} then, none now", printable(name), show(before))),
        }
    }
    let new = is.iter().filter(|(name, _)| !was.contains_key(*name));
    moved.extend(new.map(|(name, now)| format!("input {}: none then, {} now", printable(name), show(now))));
    moved
}

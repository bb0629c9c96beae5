//! `build-image`

use super::common::{LeftOut, LockedArg, Recipes, TargetArg};
use crate::{app::App, output::Answer, table::Table};
use builder::image::Image;

const EXAMPLES: &str = "\
Examples:
  cargo xtask build-image hello                out/hello/qemu/: kernel, root task, run.sh, manifest.json
                                               out/hello/process/: one executable, hello, manifest.json
  cargo xtask build-image hello hello-c        several
  cargo xtask build-image --all --target qemu  all recipes, for one target
  cargo xtask build-image --all --exclude kv   all but one
  cargo xtask build-image ../mine.toml         a recipe anywhere; paths in it are relative to it
  cargo xtask build-image hello --locked       fails when an input is not as recipes/hello.lock says

A second build with nothing changed does nothing and says so.";

/// Builds images
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BuildImage {
    #[command(flatten)]
    recipes: Recipes,
    #[command(flatten)]
    target: TargetArg,
    #[command(flatten)]
    locked: LockedArg,
}

impl BuildImage {
    pub(crate) fn run(&self, app: &App) -> anyhow::Result<Answer> {
        let ctx = app.context();
        let (recipes, skipped) = self.recipes.load_able(app)?;
        let mut images = Vec::new();
        for recipe in recipes {
            for target in self.target.of(&recipe) {
                images.push(self.locked.image(&ctx, &recipe, target)?);
            }
        }
        let mut answer = serde_json::json!({ "images": images });
        if !skipped.is_empty() {
            answer["skipped"] = serde_json::to_value(&skipped)?;
        }
        Answer::new(&answer, format!("{}{}", text(&images), LeftOut::lines(&skipped)))
    }
}

/// Path, size and digest of every file, and whether anything was done.
pub(crate) fn text(images: &[Image]) -> String {
    let mut table = Table::new(["path", "bytes", "sha256"]);
    for image in images {
        for member in &image.members {
            let path = image.dir.join(&member.name);
            table.row([path.display().to_string(), member.size.to_string(), member.sha256.to_string()]);
        }
    }
    let mut text = table.render();
    for image in images.iter().filter(|image| !image.fresh) {
        text.push_str(&format!("{} for {}: nothing to do, all is as before\n", image.name, image.target));
    }
    text
}

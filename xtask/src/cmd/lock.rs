//! `lock`

use super::common::{LeftOut, Recipes, TargetArg};
use crate::{app::App, output::Answer, table::Table};
use builder::lockfile::{self, Written};

const EXAMPLES: &str = "\
Examples:
  cargo xtask lock hello                        recipes/hello.lock, for every target of the recipe
  cargo xtask lock hello --target bare-metal    this target too
  cargo xtask lock --all                        all recipes
  cargo xtask build-image hello --locked        fails when an input moved, and says which, from what to what

Builds the images and writes what they were made from, compilers included, and what came out, by digest.
docs/reproducibility.md says who should commit such a file.";

/// Writes down what images are made from, so that `--locked` holds builds to it
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Lock {
    #[command(flatten)]
    recipes: Recipes,
    #[command(flatten)]
    target: TargetArg,
}

impl Lock {
    pub(crate) fn run(&self, app: &App) -> anyhow::Result<Answer> {
        let ctx = app.context();
        let (recipes, left_out) = self.recipes.load_able(app)?;
        let locks = recipes.iter().map(|recipe| lockfile::lock(&ctx, recipe, self.target.target));
        let locks = locks.collect::<builder::Result<Vec<_>>>()?;
        Answer::new(
            &serde_json::json!({ "locks": locks }),
            format!("{}{}", text(&locks), LeftOut::lines(&left_out)),
        )
    }
}

fn text(locks: &[Written]) -> String {
    let mut table = Table::new(["path", "bytes", "sha256", "targets", "state"]);
    for Written { path, size, sha256, targets, changed } in locks {
        let targets: Vec<_> = targets.iter().map(|target| target.name()).collect();
        table.row([
            path.display().to_string(),
            size.to_string(),
            sha256.to_string(),
            targets.join(" "),
            if *changed { "written" } else { "as before" }.to_owned(),
        ]);
    }
    table.render()
}

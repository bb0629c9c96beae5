//! `clean`

use crate::{app::App, output::Answer};
use builder::clean;

const EXAMPLES: &str = "\
Examples:
  cargo xtask clean             the images of all recipes, and kernels alone
  cargo xtask clean hello       the images of one recipe
  cargo xtask clean --cache     the images and the results of all steps: the next build starts anew

Other files in the output folder stay.";

/// Removes images, and on request the cache
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Clean {
    /// The step cache too
    #[arg(long)]
    cache: bool,
    /// Names of recipes; none means all
    #[arg(value_name = "RECIPE")]
    recipes: Vec<String>,
}

impl Clean {
    pub(crate) fn run(&self, app: &App) -> anyhow::Result<Answer> {
        let what = clean::What { recipes: self.recipes.clone(), cache: self.cache };
        let removed = clean::clean(&app.project, &what).map_err(builder::Error::from)?;
        let mut text = String::new();
        for folder in &removed.folders {
            text.push_str(&format!("removed {}\n", folder.display()));
        }
        match removed.folders.len() {
            0 => text.push_str("nothing to remove\n"),
            _ => text.push_str(&format!("{} bytes\n", removed.bytes)),
        }
        Answer::new(&removed, text)
    }
}

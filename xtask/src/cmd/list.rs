//! `list`

use crate::{
    app::App,
    output::{Answer, Paint},
    table::Table,
};
use builder::list::{self, Content, Listing};

const EXAMPLES: &str = "\
Examples:
  cargo xtask list                   recipes and kernel configs of this checkout
  cargo xtask --format json list     the same for programs

A file that cannot be read is listed with the reason.";

/// Lists recipes and kernel configs
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct List {}

impl List {
    pub(crate) fn run(&self, app: &App) -> anyhow::Result<Answer> {
        let listing = list::list(&app.project)?;
        Answer::new(&listing, text(&listing, app))
    }
}

fn text(listing: &Listing, app: &App) -> String {
    let mut wrong = String::new();
    let mut bad = |error: &str| {
        wrong.push_str(&format!("\n{} {error}\n", app.terminal.paint(Paint::Bad, "error:")));
        app.terminal.paint(Paint::Bad, "cannot be read, see below")
    };
    let mut recipes = Table::new(["recipe", "version", "targets", "kernel", "what it is"]);
    for recipe in &listing.recipes {
        recipes.row(match &recipe.content {
            Content::Good(line) => {
                let targets: Vec<_> = line.targets.iter().map(|target| target.name()).collect();
                let name = recipe.name.clone();
                [name, line.version.clone(), targets.join(" "), line.kernel.clone(), line.description.clone()]
            }
            Content::Bad { error } => {
                [recipe.name.clone(), String::new(), String::new(), String::new(), bad(error)]
            }
        });
    }
    let mut kernels = Table::new(["kernel config", "seL4", "for", "what it is"]);
    for kernel in &listing.kernels {
        kernels.row(match &kernel.content {
            Content::Good(line) => {
                [kernel.name.clone(), line.version.clone(), line.arch.to_string(), line.description.clone()]
            }
            Content::Bad { error } => [kernel.name.clone(), String::new(), String::new(), bad(error)],
        });
    }
    format!("{}\n{}{wrong}", recipes.render(), kernels.render())
}

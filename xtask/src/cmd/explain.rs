//! `explain`

use super::common::{OneRecipe, TargetArg};
use crate::{app::App, output::Answer};
use builder::{explain, plan};

const EXAMPLES: &str = "\
Examples:
  cargo xtask explain hello                       what would be built, from what, in which steps
  cargo xtask explain --kernel-config x86_64-release    a kernel alone (`build-kernel`)
  cargo xtask --format json explain hello         the same for programs, digests in full

Nothing is built. What has the same key is the same image.";

/// Shows the plan of a build: inputs with digests, steps, outputs
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Explain {
    #[command(flatten)]
    recipe: OneRecipe,
    #[command(flatten)]
    target: TargetArg,
}

impl Explain {
    pub(crate) fn run(&self, app: &App) -> anyhow::Result<Answer> {
        let ctx = app.context();
        if let Some((config, source)) = self.recipe.kernel_alone(app)? {
            let plan = plan::kernel_alone::plan(&ctx, &config, source.as_ref())?;
            return Answer::new(&serde_json::json!({ "plans": [plan] }), explain::kernel_text(&plan));
        }
        let recipe = self.recipe.load(app)?;
        let mut plans = Vec::new();
        for target in self.target.of(&recipe) {
            plans.push(plan::plan(&ctx, &recipe, target)?);
        }
        let text = plans.iter().map(explain::text).collect::<Vec<_>>().join("\n");
        Answer::new(&serde_json::json!({ "plans": plans }), text)
    }
}

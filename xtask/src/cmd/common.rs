//! What several verbs have in common.

use crate::app::App;
use builder::{
    Context, Error, ExitCode, Target, build, image::Image, plan, qemu::AccelRequest, recipe::Recipe,
};
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// Which recipes.
#[derive(Debug, clap::Args)]
pub(crate) struct Recipes {
    /// Names of files in recipes/ (without .toml), or paths of recipes anywhere
    #[arg(value_name = "RECIPE")]
    names: Vec<String>,
    /// Every recipe in recipes/
    #[arg(long, conflicts_with = "names")]
    all: bool,
}

impl Recipes {
    /// The recipes, checked, each once.
    pub(crate) fn load(&self, app: &App) -> anyhow::Result<Vec<Recipe>> {
        if self.all {
            let named = Recipe::all(&app.project)?;
            return named.into_iter().map(|(_, recipe)| Ok(recipe?)).collect();
        }
        if self.names.is_empty() {
            return Err(none_given(app, "name one or more, or say --all"));
        }
        let mut recipes: Vec<Recipe> = Vec::new();
        for name in &self.names {
            let recipe = Recipe::load(&app.project, name)?;
            match recipes.iter().find(|other| other.function.name == recipe.function.name) {
                None => recipes.push(recipe),
                Some(other) if other.path == recipe.path => {}
                Some(other) => return Err(same_name(other, &recipe)),
            }
        }
        Ok(recipes)
    }
}

/// Two recipes whose images would overwrite each other.
fn same_name(one: &Recipe, other: &Recipe) -> anyhow::Error {
    let [one_path, other_path] = [one, other].map(|recipe| recipe.path.display());
    let text = format!(
        "{one_path} and {other_path} are both called `{}`, so that their images would lie in one folder\n  help: take one at a time, with another `--out`",
        one.function.name
    );
    Error::new(ExitCode::Usage, text).into()
}

/// One recipe.
#[derive(Debug, clap::Args)]
pub(crate) struct OneRecipe {
    /// Name of a file in recipes/ (without .toml), or path of a recipe anywhere
    #[arg(value_name = "RECIPE")]
    name: Option<String>,
}

impl OneRecipe {
    /// The recipe, checked.
    pub(crate) fn load(&self, app: &App) -> anyhow::Result<Recipe> {
        let name = self.name.as_ref().ok_or_else(|| none_given(app, "name one"))?;
        Ok(Recipe::load(&app.project, name)?)
    }
}

/// No recipe was named: which ones there are.
fn none_given(app: &App, help: &str) -> anyhow::Error {
    let names = Recipe::names(&app.project).unwrap_or_default();
    let text = format!("which RECIPE?\n  there are: {}\n  help: {help}", names.join(", "));
    Error::new(ExitCode::Usage, text).into()
}

/// Which target.
#[derive(Debug, clap::Args)]
pub(crate) struct TargetArg {
    /// What to build for [default: every target of the recipe]
    #[arg(long, value_parser = target_parser())]
    target: Option<Target>,
}

impl TargetArg {
    /// The targets that are meant.
    pub(crate) fn of(&self, recipe: &Recipe) -> Vec<Target> {
        self.target.map_or_else(|| recipe.targets(), |target| vec![target])
    }
}

/// One target.
#[derive(Debug, clap::Args)]
pub(crate) struct OneTarget {
    /// What to run it on
    #[arg(long, default_value = "qemu", value_parser = target_parser())]
    pub(crate) target: Target,
}

/// Which of a recipe's images.
#[derive(Debug, clap::Args)]
pub(crate) struct ImageTarget {
    /// Which of the recipe's images [default: the first that was built]
    #[arg(long, value_parser = target_parser())]
    pub(crate) target: Option<Target>,
}

fn target_parser() -> impl TypedValueParser<Value = Target> {
    let names = Target::ALL.iter().map(|target| target.name());
    PossibleValuesParser::new(names).try_map(|name| {
        Target::ALL.iter().copied().find(|target| target.name() == name).ok_or("not a target")
    })
}

/// KVM or TCG.
#[derive(Debug, clap::Args)]
pub(crate) struct AccelArg {
    /// KVM or TCG: auto takes KVM where a guest has really booted under it
    #[arg(long, value_name = "ACCEL", default_value = "auto", value_parser = accel_parser())]
    pub(crate) accel: AccelRequest,
}

fn accel_parser() -> impl TypedValueParser<Value = AccelRequest> {
    PossibleValuesParser::new(["auto", "tcg", "kvm"]).try_map(|name| name.parse::<AccelRequest>())
}

/// Builds the image of a recipe, or finds it built.
pub(crate) fn image(ctx: &Context<'_>, recipe: &Recipe, target: Target) -> builder::Result<Image> {
    build::build(ctx, &plan::plan(ctx, recipe, target)?)
}

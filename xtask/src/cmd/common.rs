//! What several verbs have in common.

use crate::app::App;
use anyhow::Context as _;
use builder::{
    Context, Error, ExitCode, Target, build,
    image::Image,
    kernel_config::UserSource,
    lockfile,
    plan::{self, Plan},
    qemu::{AccelRequest, BootPath},
    recipe::{KernelChoice, Recipe},
    root_task::rumprun,
    smoke,
};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::path::PathBuf;

/// Which kernel, when it is not the recipe's own.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Another kernel")]
pub(crate) struct KernelArgs {
    /// Name of a file in kernel-configs/ (without .toml), instead of the recipe's
    #[arg(long, value_name = "NAME")]
    kernel_config: Option<String>,
    #[command(flatten)]
    source: SourceArgs,
}

/// A kernel of the user's own.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Another kernel")]
pub(crate) struct SourceArgs {
    /// Build the kernel from this source tree of seL4 (CMake, 10.1 and later)
    #[arg(long, value_name = "DIR", conflicts_with = "kernel_prefix")]
    kernel_source: Option<PathBuf>,
    /// Use the kernel that is installed here (bin/kernel.elf, libsel4/include/) [default: SEL4_PREFIX]
    #[arg(long, value_name = "DIR")]
    kernel_prefix: Option<PathBuf>,
}

impl KernelArgs {
    /// The kernel that the user asks for.
    fn choice(&self, app: &App) -> anyhow::Result<KernelChoice> {
        Ok(KernelChoice { config: self.kernel_config.clone(), source: self.source.named(app)? })
    }
}

impl SourceArgs {
    /// The source that the user names. The one place that reads `SEL4_PREFIX`.
    pub(crate) fn named(&self, app: &App) -> anyhow::Result<Option<UserSource>> {
        let absolute = |path: &PathBuf| {
            std::path::absolute(path).with_context(|| format!("the kernel's folder {}", path.display()))
        };
        Ok(match (&self.kernel_source, &self.kernel_prefix) {
            (Some(tree), _) => Some(UserSource::Tree(absolute(tree)?)),
            (None, Some(prefix)) => Some(UserSource::Prefix(absolute(prefix)?)),
            (None, None) => match std::env::var_os("SEL4_PREFIX").filter(|prefix| !prefix.is_empty()) {
                Some(prefix) => {
                    let prefix = PathBuf::from(prefix);
                    app.context().progress.note(&format!("kernel: SEL4_PREFIX is {}", prefix.display()));
                    Some(UserSource::Prefix(absolute(&prefix)?))
                }
                None => None,
            },
        })
    }
}

/// Which rumprun tree, for recipes with that libOS.
#[derive(Debug, clap::Args)]
pub(crate) struct RumprunArg {
    /// The rumprun tree of recipes with `libos = "rumprun"`: where `build-rr.sh hw` was run [default: the recipe's,
    /// else RUMPRUN_DIR]
    #[arg(long, value_name = "DIR", help_heading = "Programs for POSIX")]
    pub(crate) rumprun: Option<PathBuf>,
}

/// The variable that names a rumprun tree where neither the user nor the recipe does.
const RUMPRUN_DIR: &str = "RUMPRUN_DIR";

impl RumprunArg {
    /// The recipe with the tree that is meant for it. The one place that reads `RUMPRUN_DIR`.
    pub(crate) fn choose(&self, recipe: Recipe) -> anyhow::Result<Recipe> {
        let own = recipe.rumprun.as_ref().is_some_and(|rumprun| rumprun.tree.is_some());
        let tree = self.named(!own)?;
        Ok(recipe.with_rumprun(tree.as_deref()))
    }

    /// The tree that is named on the command line, else, when that counts, by the environment.
    pub(crate) fn named(&self, environment: bool) -> anyhow::Result<Option<PathBuf>> {
        let variable = || std::env::var_os(RUMPRUN_DIR).filter(|_| environment);
        let tree = self.rumprun.clone().map_or_else(variable, |tree| Some(tree.into()));
        let tree = tree.filter(|tree| !tree.is_empty()).map(PathBuf::from);
        let absolute = |tree: PathBuf| {
            std::path::absolute(&tree).with_context(|| format!("the rumprun tree {}", tree.display()))
        };
        tree.map(absolute).transpose()
    }
}

/// Which recipes.
#[derive(Debug, clap::Args)]
pub(crate) struct Recipes {
    /// Names of files in recipes/ (without .toml), or paths of recipes anywhere
    #[arg(value_name = "RECIPE")]
    names: Vec<String>,
    /// Every recipe in recipes/
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// With --all: not this one; may be given again
    // Where recipes are named, clap would not ask for what is required: `--all` conflicts with them.
    #[arg(long, value_name = "NAME", requires = "all", conflicts_with = "names")]
    exclude: Vec<String>,
    #[command(flatten)]
    kernel: KernelArgs,
    #[command(flatten)]
    rumprun: RumprunArg,
}

impl Recipes {
    /// Whether every recipe is meant, and none by its name.
    pub(crate) fn are_all(&self) -> bool {
        self.all
    }

    /// The recipes, checked, each once, with the kernel that the user asks for.
    pub(crate) fn load(&self, app: &App) -> anyhow::Result<Vec<Recipe>> {
        let choice = self.kernel.choice(app)?;
        let recipes = self.named(app)?.into_iter();
        recipes.map(|recipe| self.rumprun.choose(recipe.with_kernel(&app.project, &choice)?)).collect()
    }

    /// The recipes as [`Self::load`] has them, and, where all are meant, apart from them those that nothing can be built
    /// of because nobody named what they are linked with: they keep no other from being built.
    pub(crate) fn load_able(&self, app: &App) -> anyhow::Result<(Vec<Recipe>, Vec<LeftOut>)> {
        let (mut able, mut left_out) = (Vec::new(), Vec::new());
        for recipe in self.load(app)? {
            match rumprun::unnamed(&recipe).filter(|_| self.all) {
                Some(reason) => left_out.push(LeftOut { name: recipe.function.name.clone(), reason, recipe }),
                None => able.push(recipe),
            }
        }
        Ok((able, left_out))
    }

    fn named(&self, app: &App) -> anyhow::Result<Vec<Recipe>> {
        if self.all {
            return Ok(Recipe::all_but(&app.project, &self.exclude)?);
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

/// A recipe that is left out.
#[derive(Debug, serde::Serialize)]
pub(crate) struct LeftOut {
    /// Its name.
    pub(crate) name: String,
    /// Why.
    pub(crate) reason: String,
    /// The recipe.
    #[serde(skip)]
    pub(crate) recipe: Recipe,
}

impl LeftOut {
    /// A line for each, for a person.
    pub(crate) fn lines(list: &[Self]) -> String {
        list.iter().map(|one| format!("{}: SKIP: {}\n", one.name, one.reason)).collect()
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
    #[command(flatten)]
    kernel: KernelArgs,
    #[command(flatten)]
    rumprun: RumprunArg,
}

impl OneRecipe {
    /// The recipe, checked, with the kernel that the user asks for.
    pub(crate) fn load(&self, app: &App) -> anyhow::Result<Recipe> {
        let name = self.name.as_ref().ok_or_else(|| none_given(app, "name one"))?;
        let choice = self.kernel.choice(app)?;
        self.rumprun.choose(Recipe::load(&app.project, name)?.with_kernel(&app.project, &choice)?)
    }
}

impl OneRecipe {
    /// The kernel config and source that are meant when no recipe is named, but a kernel config.
    pub(crate) fn kernel_alone(&self, app: &App) -> anyhow::Result<Option<(String, Option<UserSource>)>> {
        match (&self.name, self.kernel.choice(app)?) {
            (None, KernelChoice { config: Some(config), source }) => Ok(Some((config, source))),
            _ => Ok(None),
        }
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
    pub(crate) target: Option<Target>,
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

/// What boots a bare-metal image.
#[derive(Debug, clap::Args)]
pub(crate) struct BootArg {
    /// Target bare-metal: this boot only, for instance iso/cd/bios
    #[arg(long, value_name = "MEDIUM/FIRMWARE", value_parser = boot_parser())]
    pub(crate) boot: Option<BootPath>,
}

impl BootArg {
    /// The targets that are meant: bare metal alone when a boot is named.
    pub(crate) fn narrow(&self, target: &TargetArg, recipe: &Recipe) -> builder::Result<Vec<Target>> {
        match (self.boot, target.target) {
            (None, _) => Ok(target.of(recipe)),
            (Some(_), None | Some(Target::BareMetal)) => Ok(vec![Target::BareMetal]),
            (Some(_), Some(_)) => Err(self.misplaced()),
        }
    }

    /// An error when a boot is named for another target.
    pub(crate) fn check(&self, target: Target) -> builder::Result<()> {
        if self.boot.is_none() || target == Target::BareMetal { Ok(()) } else { Err(self.misplaced()) }
    }

    fn misplaced(&self) -> Error {
        let text = "`--boot` is for bare metal\n  help: add `--target bare-metal`, or leave it out";
        Error::new(ExitCode::Usage, text)
    }
}

fn boot_parser() -> impl TypedValueParser<Value = BootPath> {
    PossibleValuesParser::new(BootPath::ALL.map(BootPath::name)).try_map(|name| name.parse::<BootPath>())
}

/// The ways to boot `image`, or the one that was asked for; none of them but `None` when it is not for bare
/// metal.
pub(crate) fn boots(image: &Image, wanted: Option<BootPath>) -> builder::Result<Vec<Option<BootPath>>> {
    if image.target != Target::BareMetal {
        return Ok(vec![None]);
    }
    let there = smoke::boots(&image.dir)?;
    match wanted {
        None => Ok(there.into_iter().map(Some).collect()),
        Some(boot) if there.contains(&boot) => Ok(vec![Some(boot)]),
        Some(boot) => {
            let names: Vec<_> = there.iter().map(|boot| boot.name()).collect();
            let text = format!(
                "the image of `{}` does not boot by `{boot}`\n  help: it boots by {}; [targets.bare-metal] in the recipe says what is made",
                image.name,
                names.join(", ")
            );
            Err(Error::new(ExitCode::Usage, text))
        }
    }
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

/// Whether a build is held to a lock file.
#[derive(Debug, clap::Args)]
pub(crate) struct LockedArg {
    /// Only from what the lock beside the recipe says, compilers included (`cargo xtask lock` writes it)
    #[arg(long)]
    locked: bool,
}

impl LockedArg {
    /// Builds the image of a recipe, or finds it built; held to the recipe's lock when that was asked for.
    pub(crate) fn image(&self, ctx: &Context<'_>, recipe: &Recipe, target: Target) -> builder::Result<Image> {
        self.planned(ctx, recipe, target).map(|(_, image)| image)
    }

    /// As [`Self::image`], with the plan that the image was asked for by.
    pub(crate) fn planned(
        &self,
        ctx: &Context<'_>,
        recipe: &Recipe,
        target: Target,
    ) -> builder::Result<(Plan, Image)> {
        if self.locked {
            return lockfile::build(ctx, recipe, target);
        }
        let plan = plan::plan(ctx, recipe, target)?;
        let image = build::build(ctx, &plan)?;
        Ok((plan, image))
    }
}

/// Builds the image of a recipe, or finds it built.
pub(crate) fn image(ctx: &Context<'_>, recipe: &Recipe, target: Target) -> builder::Result<Image> {
    build::build(ctx, &plan::plan(ctx, recipe, target)?)
}

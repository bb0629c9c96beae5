//! `smoke`

use super::common::{self, AccelArg, BootArg, LeftOut, LockedArg, Recipes, TargetArg};
use crate::{app::App, output::Answer};
use builder::{
    Context, Target, files,
    image::Image,
    recipe::Recipe,
    smoke::{self, Earlier, RunReport, SmokeOptions, Summary, Verdict},
};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  cargo xtask smoke hello                              build it, boot it, judge it
  cargo xtask smoke hello --target process             only as a Linux process
  cargo xtask smoke hello --target bare-metal          every medium, by real firmware in QEMU
  cargo xtask smoke --all --strict --junit smoke.xml   for CI: a skip is a failure
  cargo xtask smoke --all --strict --exclude panic     every recipe but this one
  cargo xtask smoke hello --accel tcg --show           emulated; its console on stderr as it comes

PASS needs the expected output and the expected exit status. Exit code 4 when one fails.";

/// Boots images and judges what they do
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Smoke {
    #[command(flatten)]
    recipes: Recipes,
    #[command(flatten)]
    target: TargetArg,
    #[command(flatten)]
    boot: BootArg,
    #[command(flatten)]
    accel: AccelArg,
    #[command(flatten)]
    locked: LockedArg,
    /// A skipped test counts as a failed one
    #[arg(long)]
    strict: bool,
    /// Also write the verdicts as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Show the consoles on stderr as they print
    #[arg(long)]
    show: bool,
}

impl Smoke {
    pub(crate) fn run(&self, app: &App) -> anyhow::Result<Answer> {
        let ctx = app.context();
        if self.show {
            app.show_console();
        }
        let (recipes, left_out) = self.recipes.load_able(app)?;
        if let Some(path) = &self.junit {
            // Before the first boot: nobody waits for verdicts that cannot be written, or finds old ones.
            files::write(path, "").map_err(builder::Error::from)?;
        }
        let options =
            SmokeOptions { accel: self.accel.accel, boot: self.boot.boot, ..SmokeOptions::default() };
        let mut summary = Summary::default();
        for LeftOut { name, reason, recipe } in left_out {
            for target in self.boot.narrow(&self.target, &recipe)? {
                let verdict = Verdict::Skip { reason: reason.clone() };
                summary.reports.push(RunReport::not_run(&name, target, verdict));
            }
        }
        for recipe in recipes {
            for target in self.boot.narrow(&self.target, &recipe)? {
                let image = self.locked.image(&ctx, &recipe, target);
                summary.reports.extend(reports(&ctx, &recipe, (target, image), &options, self.show)?);
            }
        }
        if let Some(path) = &self.junit {
            files::write(path, smoke::junit(&summary, self.strict)).map_err(builder::Error::from)?;
        }
        let code = summary.exit_code(self.strict);
        Ok(Answer::new(&summary, format!("{summary}\n"))?.with_code(code))
    }
}

/// Boots one image in every way that it has. What cannot be built or booted is a verdict on it,
/// so that it hides no other; only the user stops everything.
fn reports(
    ctx: &Context<'_>,
    recipe: &Recipe,
    (target, image): (Target, builder::Result<Image>),
    options: &SmokeOptions,
    show: bool,
) -> builder::Result<Vec<RunReport>> {
    match image.and_then(|image| each_boot(ctx, recipe, &image, options, show, None)) {
        Err(error) if !ctx.cancel.requested() => {
            Ok(vec![RunReport::not_made(&recipe.function.name, target, &error).by(options.boot)])
        }
        reports => reports,
    }
}

/// Boots an image in every way that it has, or in the one that was asked for; not what this very image passed earlier.
pub(super) fn each_boot(
    ctx: &Context<'_>,
    recipe: &Recipe,
    image: &Image,
    options: &SmokeOptions,
    show: bool,
    earlier: Option<&Earlier>,
) -> builder::Result<Vec<RunReport>> {
    let each = |by| {
        if let Some(report) = earlier.and_then(|earlier| earlier.report(image, by)) {
            ctx.progress.note(&format!("smoke test {} on {}: PASS, earlier", image.name, report.place()));
            return Ok(report);
        }
        let options = SmokeOptions { boot: by, ..options.clone() };
        match boot(ctx, recipe, image, &options, show) {
            Err(error) if !ctx.cancel.requested() => {
                Ok(RunReport::not_made(&image.name, image.target, &error).by(by).of(image))
            }
            other => other,
        }
    };
    common::boots(image, options.boot)?.into_iter().map(each).collect()
}

/// Boots one image; its verdict is told at once, before those of the others.
fn boot(
    ctx: &Context<'_>,
    recipe: &Recipe,
    image: &Image,
    options: &SmokeOptions,
    show: bool,
) -> builder::Result<RunReport> {
    let by = options.boot.map(|boot| format!(" {boot}")).unwrap_or_default();
    let step = format!("smoke test {} on {}{by}", image.name, image.target);
    // Nothing is drawn into a console that is shown.
    if !show {
        ctx.progress.begin(&step);
    }
    let report = smoke::smoke(ctx, recipe, image.target, &image.dir, options)?;
    ctx.progress.end(&step, report.verdict.word());
    Ok(report.of(image))
}

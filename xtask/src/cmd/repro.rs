//! `repro`

use super::common::{OneRecipe, TargetArg};
use crate::{
    app::App,
    output::{Answer, Paint, Terminal},
    table::Table,
};
use anyhow::Context as _;
use builder::{
    ExitCode,
    context::Cancel,
    repro::{self, Options, Report, Variation, Verdict},
};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  cargo xtask repro hello                               every target of the recipe, every variation
  cargo xtask repro hello --target process              one target
  cargo xtask repro hello --vary time,umask,locale      some variations
  cargo xtask repro hello --vary folder-long --keep kept
                                                        keeps the images that differ, and the first

Builds once, and once more for each variation, each time a copy of the sources from nothing: kernel, root task,
tender and media. Needs no package and no right; what the host cannot vary is a row that says SKIP and why.
Exit code 5 when anything differs. docs/reproducibility.md says what each variation does.";

/// Builds again under variation and shows what differs
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Repro {
    #[command(flatten)]
    recipe: OneRecipe,
    #[command(flatten)]
    target: TargetArg,
    /// What to vary, separated by commas [default: everything]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = variation_parser())]
    vary: Vec<Variation>,
    /// Keep the images that differ here, and the first beside them
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// One build, in a process of its own: what this verb starts
    #[arg(long, value_name = "FILE", hide = true)]
    inside: Option<PathBuf>,
}

fn variation_parser() -> impl TypedValueParser<Value = Variation> {
    PossibleValuesParser::new(Variation::ALL.map(Variation::name)).map(|name| {
        let named = Variation::ALL.into_iter().find(|variation| variation.name() == name);
        named.unwrap_or(Variation::Again)
    })
}

impl Repro {
    pub(crate) fn run(&self, app: &App) -> anyhow::Result<Answer> {
        let ctx = app.context();
        if let Some(spec) = &self.inside {
            return inside(spec, &ctx.cancel);
        }
        let recipe = self.recipe.load(app)?;
        let keep = self.keep.as_ref().map(|keep| std::path::absolute(keep).context("--keep")).transpose()?;
        let options = Options {
            xtask: std::env::current_exe().context("the path of this program")?,
            vary: if self.vary.is_empty() { Variation::ALL.into() } else { self.vary.clone() },
            keep,
        };
        let report = repro::run(&ctx, &options, &recipe, &self.target.of(&recipe))?;
        let code = if report.differs() { ExitCode::NotReproducible } else { ExitCode::Ok };
        Ok(Answer::new(&report, text(&report, &app.terminal))?.with_code(code))
    }
}

fn inside(spec: &std::path::Path, cancel: &Cancel) -> anyhow::Result<Answer> {
    Answer::new(&repro::inside::build(spec, cancel)?, "")
}

fn text(report: &Report, terminal: &Terminal) -> String {
    let mut table = Table::new(["variation", "result", "first difference", "how"]);
    let mut details = String::new();
    for row in &report.rows {
        let (paint, word, what, how) = match &row.verdict {
            Verdict::Same => (Paint::Good, "same", String::new(), row.how.clone()),
            Verdict::Different { target, first } => {
                (Paint::Bad, "DIFFERENT", format!("{target}: {first}"), row.how.clone())
            }
            Verdict::Fails { why } => {
                details.push_str(&format!("\n{}: {why}\n", row.variation.name()));
                (Paint::Bad, "FAILS", "see below".to_owned(), row.how.clone())
            }
            Verdict::Skip { reason } => (Paint::Skipped, "SKIP", String::new(), reason.clone()),
        };
        table.row([row.variation.name().to_owned(), terminal.paint(paint, word), what, how]);
    }
    let targets: Vec<_> = report.targets.iter().map(|target| target.name()).collect();
    let count = |found: fn(&Verdict) -> bool| report.rows.iter().filter(|row| found(&row.verdict)).count();
    let skipped = count(|verdict| matches!(verdict, Verdict::Skip { .. }));
    let same = count(|verdict| matches!(verdict, Verdict::Same));
    let differ = report.rows.len() - skipped - same;
    let notes: String = report.notes.iter().map(|note| format!("note: {note}\n")).collect();
    format!(
        "{}{details}\n{notes}{} for {}: {same} same, {differ} different, {skipped} skipped\n",
        table.render(),
        report.name,
        targets.join(", ")
    )
}

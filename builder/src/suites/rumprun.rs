//! POSIX programs on rumprun, tested: every such function × kernel × target, as a table that is kept.
//!
//! `cargo xtask test --rumprun DIR` fills the table, `recipes/tested/rumprun.json`; a part of `docs/rumprun.md` is made
//! from it. As rumprun's tree is the user's, no test of the repository can run these functions by itself: the table says
//! on which tree they ran, and a test fails when the platform is no longer the one that it covers.

mod table;

pub use table::{Covers, DOCS, Table};

use super::{
    Case, SuiteReport, Verdict,
    rows::{Row, Versions, counted, target_rows},
};
use crate::{
    Context, Project, Result, Target, files, kernel,
    kernel_config::{KernelConfig, UserSource},
    recipe::{KernelChoice, Recipe},
    root_task::rumprun::tree::Tree,
};
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

/// The function that is booted from every medium by every firmware; of the others the first boot is tried.
const ON_ALL_MEDIA: &str = "posix-hello";

/// Runs the whole table with the rumprun tree `root`, on the kernels of the recipes and on those of the source trees
/// `trees`, and keeps it when everything ran.
///
/// # Errors
/// When a folder is no such tree, the user stops it, or the table cannot be written. What does not build or boot is a
/// row of the table.
pub fn run(ctx: &Context<'_>, root: &Path, trees: &[PathBuf]) -> Result<SuiteReport> {
    let start = Instant::now();
    let covers = Covers::of(ctx)?;
    let versions = Versions::of(ctx)?;
    let rumprun = Tree::find(ctx, root)?;
    let mut choices = vec![KernelChoice::default()];
    for tree in trees {
        // What a debug kernel asserts and prints, the table of kernels is for.
        let configs = KernelConfig::all_for(ctx.project, tree)?.into_iter().filter(|one| !one.is_debug());
        choices.extend(configs.map(|config| KernelChoice {
            config: Some(config.name),
            source: Some(UserSource::Tree(tree.clone())),
        }));
    }
    let mut rows = Vec::new();
    for (_, recipe) in Recipe::all(ctx.project)? {
        let recipe = recipe?;
        if recipe.rumprun.is_none() {
            continue;
        }
        let name = recipe.function.name.clone();
        ctx.progress.begin(&name);
        let mut found = Vec::new();
        for choice in &choices {
            let recipe = recipe.clone().with_kernel(ctx.project, choice)?.with_rumprun(Some(root));
            found.extend(function_rows(ctx, &versions, &recipe)?);
        }
        ctx.progress.end(&name, &counted(&found));
        rows.extend(found);
    }
    rows.sort_by(|a, b| (&a.function, a.place()).cmp(&(&b.function, b.place())));
    let mut cases: Vec<Case> = rows.iter().map(Row::case).collect();
    if rows.is_empty() {
        let reason = "no recipe has the libOS rumprun".to_owned();
        cases.push(Case { name: "the table of rumprun".to_owned(), verdict: Verdict::Skip { reason } });
    } else if covers == Covers::of(ctx)? {
        let tree = table::RumprunTree { version: rumprun.version, digest: rumprun.digest };
        Table { covers, versions, tree, rows }.keep(ctx.project)?;
    } else {
        let why = "sources changed while the table was filled: it is not kept".to_owned();
        cases.push(Case { name: "the table is of one state".to_owned(), verdict: Verdict::Fail { why } });
    }
    let seconds = (start.elapsed().as_secs_f64() * 10.0).round() / 10.0;
    Ok(SuiteReport { name: "rumprun", cases, logs: Vec::new(), seconds })
}

/// One function on every target with one kernel.
fn function_rows(ctx: &Context<'_>, versions: &Versions, recipe: &Recipe) -> Result<Vec<Row>> {
    let config = KernelConfig::of(ctx.project, recipe)?;
    let tree = kernel::locate(ctx, &config)?;
    let mut rows = Vec::new();
    for target in Target::ALL.iter().copied().filter(|target| recipe.lacks(*target).is_none()) {
        let most = if recipe.function.name == ON_ALL_MEDIA { usize::MAX } else { 1 };
        rows.extend(target_rows(ctx, versions, recipe, (&config, &tree), (target, most))?);
    }
    Ok(rows)
}

/// Makes the table's part of `docs/rumprun.md` anew from the table that is kept.
pub fn write_docs(project: &Project) -> Result<(), files::Error> {
    Table::read(project).map_or(Ok(()), |table| table.write_docs(project))
}

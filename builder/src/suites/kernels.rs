//! The user's own kernels, tested: every release × kernel config × target × function, as a table that is kept.
//!
//! `cargo xtask test --kernel-source DIR…` fills the table, `kernel-configs/tested/matrix.json`; a part of
//! `docs/kernels.md` is made from it. The table names the digests of what it covers, and a test fails when they are
//! no longer those of the checkout: what was seen once says nothing about what was changed since.

mod table;

pub use table::{Covers, DOCS, Table};

use super::{
    Case, SuiteReport, Verdict,
    rows::{Row, Versions, counted, target_rows},
};
use crate::{
    Context, Project, Result, Target, files,
    kernel::{self, KernelTree},
    kernel_config::{KernelConfig, UserSource},
    recipe::{KernelChoice, Recipe},
};
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

/// The function that is also booted as bare metal, through firmware and boot loader.
const ON_METAL: &str = "hello";

/// Runs the whole table on the source trees `trees`, and keeps it when everything ran.
///
/// # Errors
/// When a folder is no source tree, the user stops it, or the table cannot be written. What does not build or boot
/// is a row of the table.
pub fn run(ctx: &Context<'_>, trees: &[PathBuf]) -> Result<SuiteReport> {
    let start = Instant::now();
    let covers = Covers::of(ctx)?;
    let versions = Versions::of(ctx)?;
    let mut rows = Vec::new();
    for root in trees {
        for config in KernelConfig::all_for(ctx.project, root)? {
            let tree = kernel::locate(ctx, &config)?;
            let what = format!("seL4 {} {}", tree.version, config.name);
            ctx.progress.begin(&what);
            let found = config_rows(ctx, &versions, root, &config, &tree)?;
            ctx.progress.end(&what, &counted(&found));
            rows.extend(found);
        }
    }
    rows.sort_by(|a, b| a.place().cmp(&b.place()));
    // What changed meanwhile was not what ran.
    let same = covers == Covers::of(ctx)?;
    let mut cases: Vec<Case> = rows.iter().map(Row::case).collect();
    if same {
        let table = Table { covers, versions, rows };
        table.keep(ctx.project)?;
    } else {
        let why = "sources changed while the table was filled: it is not kept".to_owned();
        cases.push(Case { name: "the table is of one state".to_owned(), verdict: Verdict::Fail { why } });
    }
    let seconds = (start.elapsed().as_secs_f64() * 10.0).round() / 10.0;
    Ok(SuiteReport { name: "kernels", cases, logs: Vec::new(), seconds })
}

/// Every function on every target with one kernel.
fn config_rows(
    ctx: &Context<'_>,
    versions: &Versions,
    root: &Path,
    config: &KernelConfig,
    tree: &KernelTree,
) -> Result<Vec<Row>> {
    let choice =
        KernelChoice { config: Some(config.name.clone()), source: Some(UserSource::Tree(root.to_owned())) };
    let mut rows = Vec::new();
    for (_, recipe) in Recipe::all(ctx.project)? {
        let recipe = recipe?.with_kernel(ctx.project, &choice)?;
        // They have a table of their own.
        if recipe.rumprun.is_some() {
            continue;
        }
        for target in Target::ALL.iter().copied() {
            // Through firmware, what a debug kernel prints and asserts makes no difference that `qemu` would not show.
            let on_metal = target == Target::BareMetal;
            let left_out = on_metal && (recipe.function.name != ON_METAL || config.is_debug());
            if recipe.lacks(target).is_some() || left_out {
                continue;
            }
            rows.extend(target_rows(ctx, versions, &recipe, (config, tree), (target, usize::MAX))?);
        }
    }
    Ok(rows)
}

/// Makes the table's part of `docs/kernels.md` anew from the table that is kept.
pub fn write_docs(project: &Project) -> Result<(), files::Error> {
    Table::read(project).map_or(Ok(()), |table| table.write_docs(project))
}

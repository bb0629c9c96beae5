//! The user's own kernels, tested: every release × kernel config × target × function, as a table that is kept.
//!
//! `cargo xtask test --kernel-source DIR…` fills the table, `kernel-configs/tested/matrix.json`; a part of
//! `docs/kernels.md` is made from it. The table names the digests of what it covers, and a test fails when they are
//! no longer those of the checkout: what was seen once says nothing about what was changed since.

mod table;

pub use table::{Covers, DOCS, Row, Table, Versions};

use super::{Case, SuiteReport, Verdict};
use crate::{
    Context, Digest, Project, Result, Target, build, files,
    image::{Image, Role},
    kernel::{self, KernelTree},
    kernel_config::{KernelConfig, UserSource},
    memory, plan,
    qemu::{Accel, AccelRequest, BootPath},
    recipe::{KernelChoice, Recipe},
    smoke::{self, Cause, SmokeOptions},
};
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

/// The function whose smoke test has to fail: it panics.
const MUST_FAIL: &str = "panic";
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

/// How many rows ended in which way.
fn counted(rows: &[Row]) -> String {
    let count = |word: &str| rows.iter().filter(|row| row.verdict == word).count();
    format!("{} passed, {} failed, {} skipped", count("PASS"), count("FAIL"), count("SKIP"))
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
            let row = |boot: Option<String>| Row {
                release: tree.version.clone(),
                tree: tree.digest,
                config: config.name.clone(),
                function: recipe.function.name.clone(),
                target,
                boot,
                verdict: "FAIL".to_owned(),
                reason: None,
                first_line_ms: None,
                size: None,
            };
            let found = target_rows(ctx, versions, &recipe, target, row)?;
            for row in found.iter().filter(|row| row.verdict == "FAIL") {
                let reason = row.reason.as_deref().unwrap_or_default();
                ctx.progress.note(&format!("FAIL {}: {reason}", row.case().name));
            }
            rows.extend(found);
        }
    }
    Ok(rows)
}

/// One function on one target: a row, or one for each way to boot.
fn target_rows(
    ctx: &Context<'_>,
    versions: &Versions,
    recipe: &Recipe,
    target: Target,
    row: impl Fn(Option<String>) -> Row,
) -> Result<Vec<Row>> {
    let built = plan::plan(ctx, recipe, target).and_then(|plan| build::build(ctx, &plan));
    let image = match built {
        Ok(image) => image,
        Err(error) if ctx.cancel.requested() => return Err(error),
        Err(error) => return Ok(vec![Row { reason: Some(first_line(&error.to_string())), ..row(None) }]),
    };
    let size = Some(size(&image));
    let boots: Vec<_> = match target {
        Target::BareMetal => smoke::boots(&image.dir)?.into_iter().map(Some).collect(),
        Target::Qemu | Target::Process => vec![None],
    };
    let mut rows = Vec::new();
    for boot in boots {
        let row = Row { size, ..row(boot.map(|boot| boot.name().to_owned())) };
        // The whole takes long: what these very bytes have shown is not tried again.
        let key = Digest::of_json(&(versions, &row, &recipe.smoke, &image.members));
        let place = ctx.project.cache().join("tests/kernels").join(format!("{key}.json"));
        if let Some(known) = memory::recall(&place) {
            rows.push(known);
            continue;
        }
        let row = boot_row(ctx, recipe, target, &image, boot, row)?;
        // What failed is tried again.
        if row.verdict != "FAIL" {
            memory::keep(&place, &row);
        }
        rows.push(row);
    }
    Ok(rows)
}

/// `row` with what one boot of `image` shows.
fn boot_row(
    ctx: &Context<'_>,
    recipe: &Recipe,
    target: Target,
    image: &Image,
    boot: Option<BootPath>,
    row: Row,
) -> Result<Row> {
    // The table is the same whether or not the host has KVM.
    let accel = AccelRequest::Only(Accel::Tcg);
    let options = SmokeOptions { accel, boot, ..SmokeOptions::default() };
    match smoke::smoke(ctx, recipe, target, &image.dir, &options) {
        Ok(report) => Ok(row.judged(&report, recipe.function.name == MUST_FAIL)),
        Err(error) if ctx.cancel.requested() => Err(error),
        Err(error) => Ok(Row { reason: Some(first_line(&error.to_string())), ..row }),
    }
}

impl Row {
    /// The row with what a smoke test found.
    fn judged(self, report: &smoke::RunReport, must_fail: bool) -> Self {
        let first_line_ms = report.timing.first_line.map(|time| time.as_millis() as u64);
        let (verdict, reason) = match &report.verdict {
            // A guest that panics says so and ends with a status: what it may not do is hang.
            smoke::Verdict::Fail { cause, .. } if must_fail && *cause != Cause::Timeout => {
                ("PASS", Some("reported as failed, as it has to be".to_owned()))
            }
            smoke::Verdict::Pass if must_fail => ("FAIL", Some("it panics, and passed".to_owned())),
            smoke::Verdict::Pass => ("PASS", None),
            smoke::Verdict::Fail { cause, .. } => ("FAIL", Some(cause.to_string())),
            smoke::Verdict::Skip { reason } => ("SKIP", Some(reason.clone())),
        };
        Self { verdict: verdict.to_owned(), reason, first_line_ms, ..self }
    }
}

/// Bytes of what boots or runs: kernel and root task, or the executable.
fn size(image: &Image) -> u64 {
    let boots = |role| matches!(role, Role::Kernel | Role::RootTask);
    let executable = image.members.iter().find(|member| member.role == Role::Executable);
    match executable {
        Some(member) => member.size,
        None => image.members.iter().filter(|member| boots(member.role)).map(|member| member.size).sum(),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// Makes the table's part of `docs/kernels.md` anew from the table that is kept.
pub fn write_docs(project: &Project) -> Result<(), files::Error> {
    Table::read(project).map_or(Ok(()), |table| table.write_docs(project))
}

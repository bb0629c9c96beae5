//! What tables of boots have in common: a row for each boot that was tried, and how it is kept and shown.

use super::{Case, Verdict};
use crate::{
    Context, Digest, Project, Result, Target, build, files,
    image::{Image, Role},
    inputs::tools,
    kernel::KernelTree,
    kernel_config::KernelConfig,
    memory, plan,
    qemu::{Accel, AccelRequest, BootPath},
    recipe::Recipe,
    smoke::{self, Cause, SmokeOptions},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, path::Path};

/// The function whose smoke test has to fail: it panics.
const MUST_FAIL: &str = "panic";

/// Versions of the host's tools.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Versions {
    /// The C compiler.
    pub cc: String,
    /// QEMU.
    pub qemu: String,
}

/// One function on one kernel and target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Row {
    /// The seL4 release.
    pub release: String,
    /// The digest of its tree.
    pub tree: Digest,
    /// The kernel config.
    pub config: String,
    /// The function.
    pub function: String,
    /// What it ran on.
    pub target: Target,
    /// What booted it, on bare metal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
    /// PASS, FAIL or SKIP.
    pub verdict: String,
    /// Why it is no plain PASS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the first line was seen, in milliseconds after the start of QEMU or of the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_line_ms: Option<u64>,
    /// Bytes of kernel and root task, or of the executable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

impl Versions {
    /// The versions of this host's tools.
    pub fn of(ctx: &Context<'_>) -> Result<Self> {
        let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        Ok(Self {
            cc: first(&tools::find(ctx, "cc")?.version),
            qemu: first(&tools::find(ctx, "qemu-system-x86_64")?.version),
        })
    }
}

impl Row {
    /// The order of rows: releases and configs first.
    pub(super) fn place(&self) -> (Vec<u64>, &str, &str, Target, Option<&str>) {
        let numbers = self.release.split(|c: char| !c.is_ascii_digit());
        let numbers = numbers.filter_map(|number| number.parse().ok()).collect();
        (numbers, &self.config, &self.function, self.target, self.boot.as_deref())
    }

    /// The row as a test with a verdict.
    pub(super) fn case(&self) -> Case {
        let boot = self.boot.as_ref().map_or_else(String::new, |boot| format!(" {boot}"));
        let name =
            format!("{} on {}{boot}, seL4 {} {}", self.function, self.target, self.release, self.config);
        let reason = self.reason.clone().unwrap_or_default();
        let verdict = match self.verdict.as_str() {
            "PASS" => Verdict::Pass,
            "SKIP" => Verdict::Skip { reason },
            _ => Verdict::Fail { why: reason },
        };
        Case { name, verdict }
    }
}

/// One function on one target and kernel: a row, or one for each way to boot, `most` of those. Which failed is told at
/// once.
pub(super) fn target_rows(
    ctx: &Context<'_>,
    versions: &Versions,
    recipe: &Recipe,
    (config, tree): (&KernelConfig, &KernelTree),
    (target, most): (Target, usize),
) -> Result<Vec<Row>> {
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
    let rows = boots_rows(ctx, versions, recipe, (target, most), row)?;
    for row in rows.iter().filter(|row| row.verdict == "FAIL") {
        let reason = row.reason.as_deref().unwrap_or_default();
        ctx.progress.note(&format!("FAIL {}: {reason}", row.case().name));
    }
    Ok(rows)
}

/// What `row` becomes for each boot.
fn boots_rows(
    ctx: &Context<'_>,
    versions: &Versions,
    recipe: &Recipe,
    (target, most): (Target, usize),
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
    for boot in boots.into_iter().take(most) {
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

/// How many rows ended in which way.
pub(super) fn counted(rows: &[Row]) -> String {
    let count = |word: &str| rows.iter().filter(|row| row.verdict == word).count();
    format!("{} passed, {} failed, {} skipped", count("PASS"), count("FAIL"), count("SKIP"))
}

/// What is no plain PASS in `rows`, for a reader: nothing, or a list below the table.
pub(super) fn not_passed(rows: &[Row]) -> String {
    let notes: BTreeSet<String> = rows.iter().filter_map(note).collect();
    if notes.is_empty() {
        return String::new();
    }
    let lines = notes.iter().map(|note| format!("- {note}\n"));
    lines.fold("\nWhat is not PASS:\n\n".to_owned(), |text, line| text + &line)
}

/// What a row says that is no plain PASS: for all functions alike where that is so.
fn note(row: &Row) -> Option<String> {
    let reason = row.reason.as_deref().unwrap_or_default();
    let kernel = format!("`{}` of {}", row.config, row.release);
    match row.verdict.as_str() {
        "PASS" => None,
        "SKIP" => Some(format!("SKIP on {}, `{}`: {reason}", row.target, row.config)),
        verdict => Some(format!("{verdict} `{}` on {}, {kernel}: {reason}", row.function, row.target)),
    }
}

/// Writes a table to the file `path`, in a folder of its own.
pub(super) fn keep(path: &Path, table: &impl Serialize) -> Result<(), files::Error> {
    files::create_dir_all(path.parent().unwrap_or(path))?;
    let text = serde_json::to_string_pretty(table).unwrap_or_default() + "\n";
    files::replace(path, text.as_bytes())
}

/// Writes `text` between the two lines `marks` of the page `docs`; a page without them stays as it is.
pub(super) fn write_part(
    project: &Project,
    docs: &str,
    marks: [&str; 2],
    text: &str,
) -> Result<(), files::Error> {
    let path = project.root.join(docs);
    let page = String::from_utf8_lossy(&files::read(&path)?).into_owned();
    match between(&page, marks, text) {
        Some(page) => files::replace(&path, page.as_bytes()),
        None => Ok(()),
    }
}

/// `page` with `text` between the two lines `marks`; none when it has no marks.
pub(super) fn between(page: &str, marks: [&str; 2], text: &str) -> Option<String> {
    let (before, rest) = page.split_once(marks[0])?;
    let (_, after) = rest.split_once(marks[1])?;
    Some(format!("{before}{}{text}{}{after}", marks[0], marks[1]))
}

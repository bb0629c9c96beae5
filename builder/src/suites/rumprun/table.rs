//! The table of tested POSIX programs: its file, and its part of the documentation.

use crate::{
    Context, Digest, Project, Result, Target, files,
    inputs::tree,
    suites::rows::{self, Row, Versions, not_passed, write_part},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf};

/// The page that a part of is made from the table, relative to the checkout.
pub const DOCS: &str = "docs/rumprun.md";
/// Between these lines of the page lies what is made from the table.
const MARKS: [&str; 2] =
    ["<!-- made from recipes/tested/rumprun.json -->\n", "<!-- end of what is made -->\n"];

/// What was tested, with which rumprun tree, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Table {
    /// What the rows say something about.
    pub covers: Covers,
    /// The tools of the host that it was filled on.
    pub versions: Versions,
    /// What was linked.
    pub tree: RumprunTree,
    /// One for each function, kernel, target and way to boot.
    pub rows: Vec<Row>,
}

/// Which rumprun tree it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RumprunTree {
    /// The release of NetBSD.
    pub version: String,
    /// The digest of what is linked and compiled with.
    pub digest: Digest,
}

/// The digests of what takes part in every row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Covers {
    /// The platform that the rump kernel runs on.
    pub platform: Digest,
    /// The functions' sources.
    pub functions: Digest,
    /// How the builder finds, compiles and links.
    pub builder: Digest,
}

impl Covers {
    /// The digests of the checkout as it is.
    pub fn of(ctx: &Context<'_>) -> Result<Self> {
        let digest = |folder: &str| tree::digest(ctx, &ctx.project.root.join(folder));
        Ok(Self {
            platform: digest("runtime/rumprun")?,
            functions: digest("functions/posix")?,
            builder: digest("builder/src/root_task/rumprun")?,
        })
    }

    /// What of `now` is not what the table covers.
    pub fn changed(&self, now: &Self) -> Vec<&'static str> {
        let all = [
            ("runtime/rumprun", self.platform == now.platform),
            ("functions/posix", self.functions == now.functions),
            ("builder/src/root_task/rumprun", self.builder == now.builder),
        ];
        all.into_iter().filter(|(_, same)| !same).map(|(what, _)| what).collect()
    }
}

impl Table {
    fn path(project: &Project) -> PathBuf {
        project.recipes().join("tested/rumprun.json")
    }

    /// The table that is kept; none when there is none, or none that can be read.
    pub fn read(project: &Project) -> Option<Self> {
        serde_json::from_slice(&fs::read(Self::path(project)).ok()?).ok()
    }

    /// Writes the table and its part of the documentation.
    pub(super) fn keep(&self, project: &Project) -> Result<(), files::Error> {
        rows::keep(&Self::path(project), self)?;
        self.write_docs(project)
    }

    /// Writes the table's part of the documentation.
    pub(super) fn write_docs(&self, project: &Project) -> Result<(), files::Error> {
        write_part(project, DOCS, MARKS, &self.markdown())
    }

    /// The table for a reader: a line for each function and kernel, and below it what is no PASS.
    fn markdown(&self) -> String {
        let mut lines: BTreeMap<_, Vec<&Row>> = BTreeMap::new();
        for row in &self.rows {
            let (numbers, config, ..) = row.place();
            lines.entry((&row.function, numbers, config)).or_default().push(row);
        }
        let mut text = format!(
            "\nFilled with a rumprun tree of {} with the digest `{}`,\n{},\n{}, without KVM. A cell says when the first \
             line was\nseen; on bare metal, in how many ways it booted.\n\n\
             | function | seL4 | kernel config | `qemu` | `process` | `bare-metal` | bytes |\n\
             | --- | --- | --- | --- | --- | --- | --- |\n",
            self.tree.version,
            self.tree.digest.short(16),
            self.versions.cc,
            self.versions.qemu
        );
        for ((function, _, config), rows) in &lines {
            let cells = Target::ALL.iter().map(|target| cell(rows, *target)).collect::<Vec<_>>().join(" | ");
            let size = rows.iter().find(|row| row.target == Target::Process).and_then(|row| row.size);
            let size = size.map_or_else(|| "–".to_owned(), |size| size.to_string());
            let release = &rows[0].release;
            // Writing to a String cannot fail.
            let _ = writeln!(text, "| `{function}` | {release} | `{config}` | {cells} | {size} |");
        }
        text + &not_passed(&self.rows) + "\n"
    }
}

/// How the rows of `target` ended.
fn cell(rows: &[&Row], target: Target) -> String {
    let rows: Vec<_> = rows.iter().filter(|row| row.target == target).collect();
    let passed = rows.iter().filter(|row| row.verdict == "PASS").count();
    match rows.as_slice() {
        [] => "–".to_owned(),
        [only] if passed == 1 && target != Target::BareMetal => {
            only.first_line_ms.map_or_else(|| "PASS".to_owned(), |ms| format!("PASS, {ms} ms"))
        }
        [only] if target != Target::BareMetal => only.verdict.clone(),
        all if all.iter().all(|row| row.verdict == "SKIP") => "SKIP".to_owned(),
        all => format!("{passed} of {}", all.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        context::Silent,
        suites::{rows::between, rumprun::write_docs},
    };

    #[test]
    fn the_table_of_rumprun_covers_this_checkout() {
        let project = Project::here();
        let Some(table) = Table::read(&project) else {
            panic!("there is no table of POSIX programs: `cargo xtask test --rumprun DIR` fills it")
        };
        let now = Covers::of(&Context::new(&project, &Silent)).unwrap();
        let changed = table.covers.changed(&now);
        assert!(
            changed.is_empty(),
            "the table of POSIX programs is older than {}: `cargo xtask test --rumprun DIR` fills it anew",
            changed.join(" and ")
        );
    }

    #[test]
    fn the_page_about_rumprun_has_the_table() {
        let project = Project::here();
        if std::env::var_os("BLESS").is_some() {
            write_docs(&project).unwrap();
        }
        let page = fs::read_to_string(project.root.join(DOCS)).unwrap();
        let table = Table::read(&project).expect("there is a table of POSIX programs");
        assert!(
            between(&page, MARKS, &table.markdown()).expect("the page has its marks") == page,
            "{DOCS} is out of date: `cargo xtask test --bless` writes it"
        );
    }

    #[test]
    fn every_verdict_is_in_the_page_and_every_change_is_named() {
        let row = |target, boot: Option<&str>, verdict: &str, reason: Option<&str>| Row {
            release: "5.0.0".into(),
            tree: Digest::of("tree"),
            config: "x86_64-release".into(),
            function: "posix-hello".into(),
            target,
            boot: boot.map(str::to_owned),
            verdict: verdict.into(),
            reason: reason.map(str::to_owned),
            first_line_ms: Some(290),
            size: Some(2_400_000),
        };
        let rows = vec![
            row(Target::Qemu, None, "PASS", None),
            row(Target::Process, None, "FAIL", Some("time-out")),
            row(Target::BareMetal, Some("iso/cd/bios"), "PASS", None),
            row(Target::BareMetal, Some("disk/bios"), "SKIP", Some("no such thing")),
        ];
        let digest = Digest::of("x");
        let covers = Covers { platform: digest, functions: digest, builder: digest };
        let versions = Versions { cc: "cc 12".into(), qemu: "QEMU 7".into() };
        let tree = RumprunTree { version: "NetBSD 7.99.34".into(), digest };
        let text = Table { covers: covers.clone(), versions, tree, rows }.markdown();
        for part in
            ["| PASS, 290 ms | FAIL | 1 of 2 | 2400000 |", "NetBSD 7.99.34", "time-out", "no such thing"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        let other = Covers { builder: Digest::of("y"), ..covers.clone() };
        assert_eq!(covers.changed(&other), ["builder/src/root_task/rumprun"]);
        assert!(covers.changed(&covers).is_empty());
    }
}

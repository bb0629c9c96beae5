//! The table of tested kernels: its file, and its part of the documentation.

use crate::{
    Context, Digest, Project, Result, Target, files,
    inputs::tree,
    suites::rows::{self, Row, Versions, not_passed, write_part},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// The page that a part of is made from the table, relative to the checkout.
pub const DOCS: &str = "docs/kernels.md";
/// Between these lines of the page lies what is made from the table.
const MARKS: [&str; 2] =
    ["<!-- made from kernel-configs/tested/matrix.json -->\n", "<!-- end of what is made -->\n"];

/// What was tested, on what, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Table {
    /// What the rows say something about.
    pub covers: Covers,
    /// The tools of the host that it was filled on.
    pub versions: Versions,
    /// One for each release, kernel config, target, function and way to boot.
    pub rows: Vec<Row>,
}

/// The digests of what takes part in every row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Covers {
    /// How kernels are built and bindings generated, and the kernel configs.
    pub generator: Digest,
    /// The runtime and the functions.
    pub runtime: Digest,
    /// The tender, and the table that it decodes by.
    pub tender: Digest,
}

/// What counts towards each digest, relative to the checkout.
const GENERATOR: &[&str] = &[
    "builder/src/bindings",
    "builder/src/kernel",
    "builder/src/kernel_config",
    "kernel-configs",
    "templates/bindings",
    "templates/kernel",
];
const RUNTIME: &[&str] = &["runtime", "functions"];
const TENDER: &[&str] = &["tender", "builder/src/process"];
/// What lies in those folders and counts towards none: the table itself, and what the table of rumprun covers.
const NOT: &[&str] = &["kernel-configs/tested", "runtime/rumprun", "functions/posix"];

impl Covers {
    /// The digests of the checkout as it is.
    pub fn of(ctx: &Context<'_>) -> Result<Self> {
        let digest = |paths: &[&str]| -> Result<Digest> {
            let mut digests = Vec::new();
            for path in paths {
                digests.extend(digests_of(ctx, path)?);
            }
            Ok(Digest::of_json(&digests))
        };
        Ok(Self { generator: digest(GENERATOR)?, runtime: digest(RUNTIME)?, tender: digest(TENDER)? })
    }

    /// What of `now` is not what the table covers.
    pub fn changed(&self, now: &Self) -> Vec<&'static str> {
        let all = [
            ("the generator (kernels, bindings, kernel configs)", self.generator == now.generator),
            ("the runtime or the functions", self.runtime == now.runtime),
            ("the tender", self.tender == now.tender),
        ];
        all.into_iter().filter(|(_, same)| !same).map(|(what, _)| what).collect()
    }
}

/// The digest of a folder of the checkout; of each of its entries, where some do not count.
fn digests_of(ctx: &Context<'_>, folder: &str) -> Result<Vec<Digest>> {
    let path = ctx.project.root.join(folder);
    let counts = |entry: &Path| !NOT.iter().any(|not| entry == ctx.project.root.join(not));
    if NOT.iter().all(|not| !Path::new(not).starts_with(folder)) {
        return Ok(vec![tree::digest(ctx, &path)?]);
    }
    let entries = files::sorted_entries(&path)?;
    let paths = entries.iter().map(|entry| entry.path()).filter(|path| counts(path));
    // What Cargo builds is no source.
    let sources = paths.filter(|path| !path.ends_with("target"));
    sources
        .map(|path| match path.is_dir() {
            true => Ok(tree::digest(ctx, &path)?),
            false => Ok(Digest::of_file(&path).map_err(files::Error::at("read", &path))?),
        })
        .collect()
}

impl Table {
    fn path(project: &Project) -> PathBuf {
        project.kernel_configs().join("tested/matrix.json")
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

    /// The table for a reader: a line for each kernel, and below it what is no PASS.
    fn markdown(&self) -> String {
        let mut kernels: BTreeMap<_, Vec<&Row>> = BTreeMap::new();
        for row in &self.rows {
            let (numbers, config, ..) = row.place();
            kernels.entry((numbers, config)).or_default().push(row);
        }
        let mut text = format!(
            "\nFilled with {},\n{}. A cell has how many functions (on bare metal: ways to boot `hello`) passed,\n\
             and when the first line was seen on the console as `hello` started; a debug kernel, and on bare metal the\n\
             boot loader, prints the first one itself.\n\n\
             | seL4 | kernel config | `qemu` | `process` | `bare-metal` | digest of the tree |\n\
             | --- | --- | --- | --- | --- | --- |\n",
            self.versions.cc, self.versions.qemu
        );
        for ((_, config), rows) in &kernels {
            let cells = Target::ALL.iter().map(|target| cell(rows, *target)).collect::<Vec<_>>();
            let (release, tree) = (&rows[0].release, rows[0].tree.short(16));
            // Writing to a String cannot fail.
            let _ = writeln!(text, "| {release} | `{config}` | {} | `{tree}` |", cells.join(" | "));
        }
        text + &not_passed(&self.rows) + "\n"
    }
}

/// How many rows of `target` passed, and when `hello` was seen.
fn cell(rows: &[&Row], target: Target) -> String {
    let rows: Vec<_> = rows.iter().filter(|row| row.target == target).collect();
    let passed = rows.iter().filter(|row| row.verdict == "PASS").count();
    let skipped = rows.iter().filter(|row| row.verdict == "SKIP").count();
    let hello = rows.iter().filter(|row| row.function == "hello").find_map(|row| row.first_line_ms);
    let when = hello.map_or_else(String::new, |ms| format!(", {ms} ms"));
    match rows.len() {
        0 => "–".to_owned(),
        all if all == skipped => "SKIP".to_owned(),
        all => format!("{passed} of {all}{when}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        context::Silent,
        suites::{kernels::write_docs, rows::between},
    };

    #[test]
    fn the_table_of_tested_kernels_covers_this_checkout() {
        let project = Project::here();
        let Some(table) = Table::read(&project) else {
            panic!("there is no table of tested kernels: `cargo xtask test --kernel-source DIR…` fills it")
        };
        let now = Covers::of(&Context::new(&project, &Silent)).unwrap();
        let changed = table.covers.changed(&now);
        assert!(
            changed.is_empty(),
            "the table of tested kernels is older than {}: `cargo xtask test --kernel-source DIR…` fills it anew",
            changed.join(" and ")
        );
    }

    #[test]
    fn the_page_about_kernels_has_the_table() {
        let project = Project::here();
        if std::env::var_os("BLESS").is_some() {
            write_docs(&project).unwrap();
        }
        let page = fs::read_to_string(project.root.join(DOCS)).unwrap();
        let table = Table::read(&project).expect("there is a table of tested kernels");
        assert!(
            between(&page, MARKS, &table.markdown()).expect("the page has its marks") == page,
            "{DOCS} is out of date: `cargo xtask test --bless` writes it"
        );
    }

    #[test]
    fn every_verdict_is_in_the_page() {
        let row = |function: &str, target, verdict: &str, reason: Option<&str>| Row {
            release: "16.0.0".into(),
            tree: Digest::of("tree"),
            config: "x".into(),
            function: function.into(),
            target,
            boot: None,
            verdict: verdict.into(),
            reason: reason.map(str::to_owned),
            first_line_ms: Some(290),
            size: Some(1),
        };
        let rows = vec![
            row("hello", Target::Qemu, "PASS", None),
            row("echo", Target::Qemu, "FAIL", Some("time-out")),
            row("hello", Target::Process, "SKIP", Some("no such thing")),
        ];
        let digest = Digest::of("x");
        let covers = Covers { generator: digest, runtime: digest, tender: digest };
        let versions = Versions { cc: "cc 12".into(), qemu: "QEMU 7".into() };
        let table = Table { covers: covers.clone(), versions, rows };
        let page = format!("a\n{}old\n{}b\n", MARKS[0], MARKS[1]);
        let page = between(&page, MARKS, &table.markdown()).unwrap();
        for part in ["a\n", "| 1 of 2, 290 ms | SKIP | – |", "FAIL `echo` on qemu", "no such thing", "b\n"]
        {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert_eq!(between("no marks", MARKS, &table.markdown()), None);
        let other = Covers { tender: Digest::of("y"), ..covers.clone() };
        assert_eq!(covers.changed(&other), ["the tender"]);
    }
}

//! Two measurements beside each other: what grew, and what shrank.

use super::{Breakdown, MediumParts, Part, Report};
use crate::inspect::printable;
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

/// How an image's sizes differ from those of another. All lists hold what differs, the largest change first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Comparison {
    /// What was compared with.
    pub base: PathBuf,
    /// What was measured.
    pub path: PathBuf,
    /// All files together.
    pub total: Change,
    /// The tables, in the order in which they are shown.
    pub tables: Vec<ChangeTable>,
    /// What could not be compared, and why.
    pub remarks: Vec<String>,
}

/// What differs in one respect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ChangeTable {
    /// For instance `crates`.
    pub what: String,
    /// What differs.
    pub changes: Vec<Change>,
    /// How many more differ, and less than those shown.
    pub left_out: usize,
}

/// A size, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Change {
    /// What.
    pub name: String,
    /// Bytes in the base; none when it was not there.
    pub before: Option<u64>,
    /// Bytes now; none when it is not there any more.
    pub after: Option<u64>,
    /// How many bytes more; negative when it shrank.
    pub growth: i64,
}

impl Change {
    pub(crate) fn new(name: &str, before: Option<u64>, after: Option<u64>) -> Self {
        // Sizes may be a manifest's own words.
        let size = |size: Option<u64>| i64::try_from(size.unwrap_or_default()).unwrap_or(i64::MAX);
        let growth = size(after).saturating_sub(size(before));
        Self { name: name.to_owned(), before, after, growth }
    }
}

/// What differs between two lists, the largest change first. Parts of one name count together.
pub(crate) fn changes(before: &[Part], after: &[Part]) -> Vec<Change> {
    let mut sizes: BTreeMap<&str, [Option<u64>; 2]> = BTreeMap::new();
    for (side, parts) in [before, after].into_iter().enumerate() {
        for part in parts {
            let size = &mut sizes.entry(&part.name).or_default()[side];
            *size = Some(size.unwrap_or_default().saturating_add(part.size));
        }
    }
    let differ = sizes.into_iter().filter(|(_, [before, after])| before != after);
    let mut changes: Vec<_> =
        differ.map(|(name, [before, after])| Change::new(name, before, after)).collect();
    changes.sort_by(|a, b| b.growth.unsigned_abs().cmp(&a.growth.unsigned_abs()).then(a.name.cmp(&b.name)));
    changes
}

impl ChangeTable {
    pub(crate) fn new(what: &str, before: &[Part], after: &[Part], top: usize) -> Self {
        let mut changes = changes(before, after);
        let left_out = changes.len().saturating_sub(top);
        changes.truncate(top);
        Self { what: what.to_owned(), changes, left_out }
    }
}

/// The tables of two ELF files: sections, crates, and the `top` symbols that changed most.
pub(crate) fn of_elfs(before: &Breakdown, after: &Breakdown, top: usize) -> Vec<ChangeTable> {
    let all = usize::MAX;
    vec![
        ChangeTable::new("sections of the root task in memory", &before.sections, &after.sections, all),
        ChangeTable::new("crates", &before.crates, &after.crates, all),
        ChangeTable::new("symbols", &before.symbols, &after.symbols, top),
    ]
}

/// Compares `report` with `base`. Both must have been made with all their symbols for these to be compared.
pub fn compare(base: &Report, report: &Report, top: usize) -> Comparison {
    let all = usize::MAX;
    let mut tables = vec![
        ChangeTable::new("files", &base.members, &report.members, all),
        ChangeTable::new("inside the executable", &base.executable, &report.executable, all),
    ];
    for medium in &report.media {
        let same = |other: &&MediumParts| other.name == medium.name;
        let before = base.media.iter().find(same).map(|other| plain(&other.parts)).unwrap_or_default();
        let what = format!("inside {}", medium.name);
        tables.push(ChangeTable::new(&what, &before, &plain(&medium.parts), all));
    }
    let mut remarks = Vec::new();
    match (&base.elf, &report.elf) {
        (Some(before), Some(after)) => {
            let mut elf = of_elfs(before, after, top);
            let without = |elf: &Breakdown| elf.symbols.is_empty() || elf.symbols_left_out > 0;
            for (side, breakdown) in [(base, before), (report, after)] {
                if without(breakdown) {
                    remarks.push(format!(
                        "symbols are not compared: {} has {} of them; a report to compare with is saved with `--top 100000`",
                        side.path.display(),
                        if breakdown.symbols.is_empty() { "none" } else { "only the largest" }
                    ));
                }
            }
            if before.symbols.is_empty() != after.symbols.is_empty() {
                // What comes of one side having no symbols at all is no growth.
                elf.retain(|table| table.what != "crates");
            }
            if !remarks.is_empty() {
                elf.retain(|table| table.what != "symbols");
            }
            tables.extend(elf);
        }
        _ => remarks.push("the root tasks are not compared: one of them is not there".to_owned()),
    }
    tables.retain(|table| !table.changes.is_empty());
    Comparison {
        base: base.path.clone(),
        path: report.path.clone(),
        total: Change::new("all files", Some(base.total), Some(report.total)),
        tables,
        remarks,
    }
}

/// The files of a medium without the folder that is called after the image's identity.
fn plain(parts: &[Part]) -> Vec<Part> {
    let name = |name: &str| match name.split('/').collect::<Vec<_>>()[..] {
        ["selkie", _, file] => format!("selkie/*/{file}"),
        _ => name.to_owned(),
    };
    parts.iter().map(|part| Part { name: name(&part.name), size: part.size }).collect()
}

impl Comparison {
    /// The comparison for a reader, with a line's end after each line.
    pub fn render_text(&self) -> String {
        // Writing to a string cannot fail.
        let (mut text, Change { before, after, growth, .. }) = (String::new(), &self.total);
        let _ = writeln!(text, "{}: {} bytes", self.path.display(), after.unwrap_or_default());
        let _ = writeln!(text, "{}: {} bytes", self.base.display(), before.unwrap_or_default());
        let _ = writeln!(text, "growth: {growth:+} bytes");
        render_tables(&mut text, &self.tables);
        for remark in &self.remarks {
            let _ = writeln!(text, "note: {remark}");
        }
        text
    }

    /// The comparison as Markdown, for the summary of a CI job.
    pub fn render_markdown(&self) -> String {
        let (mut text, Change { before, after, growth, .. }) = (String::new(), &self.total);
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        let _ = writeln!(text, "### `{}`: {after} bytes, {growth:+}\n", self.path.display());
        let _ = writeln!(text, "Before, in `{}`: {before} bytes.\n", self.base.display());
        for table in &self.tables {
            let _ =
                writeln!(text, "| {} | before | after | growth |\n| --- | ---: | ---: | ---: |", table.what);
            for Change { name, before, after, growth } in &table.changes {
                let name = printable(name).replace('|', "\\|").replace('`', "'");
                let _ = writeln!(text, "| `{name}` | {} | {} | {growth:+} |", shown(*before), shown(*after));
            }
            if table.left_out > 0 {
                let _ = writeln!(text, "| {} more | | | |", table.left_out);
            }
            text.push('\n');
        }
        for remark in &self.remarks {
            let _ = writeln!(text, "{remark}\n");
        }
        text
    }
}

fn shown(size: Option<u64>) -> String {
    size.map_or_else(|| "-".to_owned(), |size| size.to_string())
}

/// Tables for a reader.
pub(crate) fn render_tables(text: &mut String, tables: &[ChangeTable]) {
    for table in tables.iter().filter(|table| !table.changes.is_empty()) {
        let _ = writeln!(text, "{}:", printable(&table.what));
        for Change { name, before, after, growth } in &table.changes {
            let (before, after) = (shown(*before), shown(*after));
            let _ = writeln!(text, "  {before:>9} → {after:>9}  {growth:>+9}  {}", printable(name));
        }
        if table.left_out > 0 {
            let _ = writeln!(text, "  and {} more", table.left_out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(list: &[(&str, u64)]) -> Vec<Part> {
        list.iter().map(|(name, size)| Part { name: (*name).to_owned(), size: *size }).collect()
    }

    fn report(total: u64, symbols: &[(&str, u64)], left_out: usize) -> Report {
        let elf = Breakdown {
            sections: parts(&[(".text", total)]),
            crates: parts(&[("core", 5)]),
            symbols: parts(symbols),
            symbols_left_out: left_out,
        };
        Report {
            path: "x".into(),
            total,
            members: parts(&[("kernel", 10), ("root-task", total - 10)]),
            executable: Vec::new(),
            media: Vec::new(),
            elf: Some(elf),
            remark: None,
        }
    }

    #[test]
    fn what_changed_most_comes_first_and_what_is_the_same_not_at_all() {
        let before =
            parts(&[("same", 5), ("shrank", 100), ("grew", 10), ("gone", 7), ("twice", 1), ("twice", 2)]);
        let after = parts(&[("same", 5), ("shrank", 40), ("grew", 30), ("new", 1), ("twice", 3)]);
        let shown: Vec<_> = changes(&before, &after).into_iter().map(|one| (one.name, one.growth)).collect();
        let wanted = [("shrank", -60), ("grew", 20), ("gone", -7), ("new", 1)];
        assert_eq!(shown, wanted.map(|(name, growth)| (name.to_owned(), growth)));
        let huge = Change::new("x", Some(u64::MAX), Some(0));
        assert_eq!(huge.growth, -i64::MAX);
    }

    #[test]
    fn symbols_are_compared_only_when_all_are_there() {
        let (before, after) = (report(100, &[("a", 1), ("b", 2)], 0), report(120, &[("a", 21), ("b", 2)], 0));
        let all = compare(&before, &after, 5);
        assert!(all.tables.iter().any(|table| table.what == "symbols") && all.remarks.is_empty(), "{all:?}");
        assert!(all.render_text().contains("growth: +20 bytes\n"), "{}", all.render_text());
        assert!(
            all.render_text().contains("          1 →        21        +20  a\n"),
            "{}",
            all.render_text()
        );
        assert!(
            all.render_markdown().contains("| `root-task` | 90 | 110 | +20 |\n"),
            "{}",
            all.render_markdown()
        );
        let some = compare(&report(100, &[("a", 1)], 7), &after, 5);
        assert!(some.tables.iter().all(|table| table.what != "symbols"), "{some:?}");
        assert!(some.remarks[0].contains("`--top 100000`"), "{some:?}");
    }
}

//! A difference for a person, to be read from the top down.

use super::{Diff, FileDiff, Moved, SectionDiff};
use crate::{inspect::printable, size};
use std::fmt::Write as _;

impl Diff {
    /// The difference for a reader, with a line's end after each line.
    pub fn render_text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.render(&mut text);
        text
    }

    fn render(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "a: {}: {}", self.a.path.display(), self.a.what)?;
        writeln!(out, "b: {}: {}", self.b.path.display(), self.b.what)?;
        if self.same {
            writeln!(out, "the same, to the last byte")?;
        } else {
            let (inputs, files, same) = (self.inputs.len(), self.files.len(), self.same_files);
            let inputs = if inputs == 1 { "1 input".to_owned() } else { format!("{inputs} inputs") };
            let files =
                if files == 1 { "1 file differs".to_owned() } else { format!("{files} files differ") };
            writeln!(out, "{inputs} moved; {files}, {same} are the same")?;
        }
        if !self.inputs.is_empty() {
            writeln!(out, "\nwhat moved:")?;
        }
        let wide = self.inputs.iter().map(|one| one.name.chars().count()).max().unwrap_or_default();
        self.inputs.iter().try_for_each(|moved| input(out, moved, wide))?;
        if !self.files.is_empty() {
            writeln!(out, "\nwhat differs:")?;
        }
        for file in &self.files {
            line(out, file)?;
        }
        for file in self.files.iter().filter(|file| !file.sections.is_empty() || !file.tables.is_empty()) {
            writeln!(out, "\ninside {}:", printable(&file.name))?;
            inside(out, file)?;
        }
        self.remarks.iter().try_for_each(|remark| writeln!(out, "note: {}", printable(remark)))
    }
}

fn input(out: &mut String, moved: &Moved, wide: usize) -> std::fmt::Result {
    let Moved { name, kind: _, before, after, details } = moved;
    let text = |value: &Option<String>| value.as_deref().map_or("(nothing)".to_owned(), printable);
    writeln!(out, "  {:<wide$}  {} → {}", printable(name), text(before), text(after))?;
    details.iter().try_for_each(|detail| writeln!(out, "      {}", printable(detail)))
}

fn line(out: &mut String, file: &FileDiff) -> std::fmt::Result {
    let FileDiff { name, a, b, first_difference, .. } = file;
    let name = printable(name);
    let (Some(a), Some(b)) = (a, b) else {
        let (only, state) = if a.is_some() { ("a", a) } else { ("b", b) };
        let size = state.map_or(0, |state| state.size);
        return writeln!(out, "  {name}: only in {only}, {size} bytes");
    };
    let growth = i128::from(b.size) - i128::from(a.size);
    let size = if growth == 0 {
        format!("{} bytes in both", a.size)
    } else {
        format!("{} → {} bytes ({growth:+})", a.size, b.size)
    };
    let place = first_difference.map(|at| format!(", from byte {at:#x} on")).unwrap_or_default();
    writeln!(out, "  {name}: {size}{place}")
}

fn inside(out: &mut String, file: &FileDiff) -> std::fmt::Result {
    if !file.sections.is_empty() {
        writeln!(out, "sections:")?;
    }
    for SectionDiff { name, a, b, first_difference } in &file.sections {
        let shown = |size: &Option<u64>| size.map_or("-".to_owned(), |size| size.to_string());
        let growth = i128::from(b.unwrap_or_default()) - i128::from(a.unwrap_or_default());
        let place = first_difference.map(|at| format!(", from byte {at:#x} on")).unwrap_or_default();
        writeln!(out, "  {:>9} → {:>9}  {growth:>+9}  {}{place}", shown(a), shown(b), printable(name))?;
    }
    size::render_tables(out, &file.tables);
    match (file.symbols_known, file.tables.is_empty()) {
        (false, _) => writeln!(out, "note: it has no symbols, and those that it had are not in the cache"),
        (true, true) => writeln!(out, "note: no symbol changed its size"),
        (true, false) => Ok(()),
    }
}

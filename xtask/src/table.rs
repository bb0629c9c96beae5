//! Tables of plain text.

use std::fmt::Write as _;

/// Rows of cells under a header; the width of a column is that of its widest cell.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these columns.
    pub(crate) fn new<const N: usize>(header: [&str; N]) -> Self {
        Self { rows: vec![header.map(str::to_owned).to_vec()] }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// The table, each line ended, without spaces at the end of a line.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                self.rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, wide) in row.iter().zip(&widths) {
                let _ = write!(line, "{cell}{}  ", " ".repeat(wide - width(cell)));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// The number of characters that a cell shows: colours take no room.
fn width(cell: &str) -> usize {
    let mut inside = false;
    cell.chars()
        .filter(|c| {
            let shown = !inside && *c != '\x1b';
            inside = (inside || *c == '\x1b') && *c != 'm';
            shown
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_take_no_room() {
        let mut table = Table::new(["name", "state"]);
        table.row(["\x1b[32mok\x1b[0m".into(), "x".into()]);
        table.row(["longer".into(), String::new()]);
        assert_eq!(table.render(), "name    state\n\x1b[32mok\x1b[0m      x\nlonger\n");
    }
}

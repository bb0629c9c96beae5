//! What is wrong in a file that a user wrote: where, what, and what to do.
//!
//! A diagnostic is printed as
//!
//! ```text
//! recipes/hello.toml:12:1: `memroy` is not a key of [targets.qemu]
//!    12 | memroy = "64 MiB"
//!       | ^^^^^^
//!   help: did you mean `memory`?
//! ```
//!
//! Rows and columns count from 1, columns in characters.

use serde::Serialize;
use std::{fmt, ops::Range};

/// A shown line is cut to this many characters.
const WIDTH: usize = 100;
/// Characters kept before the caret of a line that was cut.
const BEFORE: usize = 40;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The file, relative to the checkout when it lies there.
    pub file: String,
    /// Where in the file; none when the file as a whole is meant.
    pub spot: Option<Spot>,
    /// What is wrong.
    pub message: String,
    /// What to do, one remedy each.
    pub help: Vec<String>,
}

/// A place in a file, with its line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spot {
    /// The row, from 1.
    pub row: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// The line, without its end; long lines are cut, control characters replaced.
    pub line: String,
    /// The characters of `line` that are meant, from 0; it may end one behind the line's end.
    pub span: Range<usize>,
}

/// What a piece of a printed diagnostic is, for those who colour it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `file:row:column:`
    Place,
    /// What is wrong.
    Message,
    /// The row's number and the bar.
    Gutter,
    /// The line of the file.
    Source,
    /// `^^^`
    Caret,
    /// `help:`
    HelpLabel,
    /// What to do.
    Help,
}

/// All that is wrong in one file. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostics(pub Vec<Diagnostic>);

crate::exit_code!(Diagnostics, Usage);

impl Diagnostic {
    /// Something wrong with `file` as a whole.
    pub fn of_file(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: file.into(), spot: None, message: message.into(), help: Vec::new() }
    }

    /// Something wrong at the bytes `span` of `text`, the content of `file`.
    pub fn at(file: impl Into<String>, text: &str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { spot: Some(Spot::new(text, span)), ..Self::of_file(file, message) }
    }

    /// Adds a remedy.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// The diagnostic in pieces that, joined, are its text; it ends without a newline.
    pub fn parts(&self) -> Vec<(Part, String)> {
        let mut parts = Vec::new();
        match &self.spot {
            None => parts.push((Part::Place, format!("{}: ", self.file))),
            Some(spot) => parts.push((Part::Place, format!("{}:{}:{}: ", self.file, spot.row, spot.column))),
        }
        parts.push((Part::Message, self.message.clone()));
        if let Some(spot) = &self.spot {
            let row = spot.row.to_string();
            let width = row.len().max(4);
            parts.push((Part::Gutter, format!("\n {row:>width$} |")));
            parts.push((
                Part::Source,
                if spot.line.is_empty() { String::new() } else { format!(" {}", spot.line) },
            ));
            parts.push((Part::Gutter, format!("\n {:>width$} |", "")));
            parts.push((Part::Caret, format!(" {}{}", spot.indent(), "^".repeat(spot.span.len()))));
        }
        for help in &self.help {
            parts.push((Part::HelpLabel, "\n  help: ".into()));
            parts.push((Part::Help, help.clone()));
        }
        parts
    }
}

impl Spot {
    fn new(text: &str, span: Range<usize>) -> Self {
        let start = floor(text, span.start);
        let from = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let to = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let line = text[from..to].trim_end_matches('\r');
        let start = start.min(from + line.len());
        let end = floor(text, span.end).clamp(start, from + line.len());
        let row = text[..from].matches('\n').count() + 1;
        let first = text[from..start].chars().count();
        let length = text[start..end].chars().count().max(1);
        let (line, begin) = window(line, first);
        let end = (begin + length).min(line.chars().count().max(begin + 1));
        Self { row, column: first + 1, line, span: begin..end }
    }

    /// What stands before the caret: tabs stay tabs, so that the caret is under what it means.
    fn indent(&self) -> String {
        let before = self.line.chars().chain(std::iter::repeat(' ')).take(self.span.start);
        before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect()
    }
}

/// The largest character boundary of `text` up to `at`.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// The part of `line` around its character `at` that fits on a screen, and where `at` is in it.
fn window(line: &str, at: usize) -> (String, usize) {
    let printable = |c: char| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c };
    let count = line.chars().count();
    if count <= WIDTH {
        return (line.chars().map(printable).collect(), at);
    }
    let skip = at.saturating_sub(BEFORE);
    let (left, right) = (if skip > 0 { "…" } else { "" }, if skip + WIDTH < count { "…" } else { "" });
    let middle: String = line.chars().skip(skip).take(WIDTH).map(printable).collect();
    (format!("{left}{middle}{right}"), at - skip + left.chars().count())
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts().iter().try_for_each(|(_, text)| f.write_str(text))
    }
}

impl Diagnostics {
    /// `Ok` when nothing is wrong.
    pub fn check(found: Vec<Diagnostic>) -> Result<(), Self> {
        if found.is_empty() { Ok(()) } else { Err(Self(found)) }
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(one: Diagnostic) -> Self {
        Self(vec![one])
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.0.iter().enumerate() {
            let gap = if i == 0 { "" } else { "\n" };
            write!(f, "{gap}{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str, span: Range<usize>) -> String {
        Diagnostic::at("f.toml", text, span, "wrong").help("mend it").to_string()
    }

    #[test]
    fn the_caret_is_under_the_span() {
        let text = "a = 1\r\nbee = 22\r\n";
        assert_eq!(
            show(text, 13..15),
            "f.toml:2:7: wrong\n    2 | bee = 22\n      |       ^^\n  help: mend it"
        );
    }

    #[test]
    fn columns_are_characters_and_tabs_stay() {
        let text = "\té = 'ü'";
        let start = text.find('\'').unwrap();
        assert_eq!(
            show(text, start..text.len()),
            "f.toml:1:6: wrong\n    1 | \té = 'ü'\n      | \t    ^^^\n  help: mend it"
        );
    }

    #[test]
    fn places_at_the_end_and_outside_are_shown() {
        assert!(show("a =", 3..3).ends_with("| a =\n      |    ^\n  help: mend it"));
        assert!(show("a =\n", 9..12).starts_with("f.toml:2:1: wrong"));
        assert!(show("", 0..0).starts_with("f.toml:1:1: wrong\n    1 |\n"));
        assert!(show("é", 1..1).starts_with("f.toml:1:1: "));
    }

    #[test]
    fn a_span_over_several_lines_ends_with_its_first() {
        assert!(show("a = [\n1,\n]", 4..11).contains("| a = [\n      |     ^\n"));
    }

    #[test]
    fn long_lines_are_cut_and_control_characters_replaced() {
        let text = format!("{}\u{1b}X{}", "a".repeat(5000), "b".repeat(5000));
        let diagnostic = Diagnostic::at("f", &text, 5001..5002, "wrong");
        let spot = diagnostic.spot.unwrap();
        assert_eq!(spot.column, 5002);
        assert_eq!(spot.line.chars().count(), WIDTH + 2);
        assert_eq!(spot.line.chars().nth(spot.span.start), Some('X'));
        assert!(!spot.line.contains('\u{1b}'));
    }

    #[test]
    fn every_span_of_every_text_is_shown_without_a_panic() {
        for text in ["", "é\r\n\tü\n", "\n\n", "a\rb"] {
            for start in 0..=text.len() + 1 {
                for end in 0..=text.len() + 1 {
                    assert!(show(text, start..end).contains('^'));
                }
            }
        }
    }
}

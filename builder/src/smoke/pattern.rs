//! The patterns of `[smoke]`, made ready to be looked for in a console's bytes.

use crate::recipe::RawPattern;
use regex::bytes::{Regex, RegexBuilder};
use std::fmt;

/// A pattern is no regular expression.
#[derive(Debug, thiserror::Error)]
#[error("`{pattern}` is not a regular expression: {source}")]
pub struct BadPattern {
    pattern: String,
    source: regex::Error,
}

crate::exit_code!(BadPattern, Usage);

/// One pattern.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    /// As written.
    raw: RawPattern,
    /// What finds it.
    pub(crate) regex: Regex,
}

impl Pattern {
    /// Compiles a pattern. In an expression `^` and `$` match at each line's ends, and `.` matches no
    /// line end.
    pub(crate) fn new(raw: &RawPattern) -> Result<Self, BadPattern> {
        let expression = match raw {
            RawPattern::Literal(text) => regex::escape(&text.replace("\r\n", "\n")),
            RawPattern::Regex { regex } => regex.clone(),
        };
        let regex = RegexBuilder::new(&expression)
            .multi_line(true)
            .build()
            .map_err(|source| BadPattern { pattern: expression, source })?;
        Ok(Self { raw: raw.clone(), regex })
    }

    pub(crate) fn all(raw: &[RawPattern]) -> Result<Vec<Self>, BadPattern> {
        raw.iter().map(Self::new).collect()
    }

    /// Where it ends in `text` when it is found from `start` on.
    pub(crate) fn find_end(&self, text: &[u8], start: usize) -> Option<usize> {
        self.regex.find_at(text, start).map(|found| found.end())
    }

    /// The line of `text` that is most like it, when one is.
    pub(crate) fn nearest(&self, text: &[u8]) -> Option<String> {
        let RawPattern::Literal(literal) = &self.raw else { return None };
        let wanted = literal.lines().find(|line| !line.trim().is_empty())?.trim();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(NEAREST_WINDOW)..]).into_owned();
        let likeness = |line: &str| {
            let line: String = line.trim().chars().take(NEAREST_LINE).collect();
            strsim::sorensen_dice(wanted, &line)
        };
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let (score, line) = lines
            .map(|line| (likeness(line), line))
            .fold((0.0, ""), |best, next| if next.0 >= best.0 { next } else { best });
        (score >= NEAREST_LIKENESS).then(|| line.trim().chars().take(NEAREST_LINE).collect())
    }
}

/// How much of the console's end is looked at for a near miss.
const NEAREST_WINDOW: usize = 64 << 10;
/// How much of a line is compared, in characters.
const NEAREST_LINE: usize = 200;
/// From which likeness on a line is shown.
const NEAREST_LIKENESS: f64 = 0.4;

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.raw {
            RawPattern::Literal(text) => write!(f, "`{}`", text.escape_debug()),
            RawPattern::Regex { regex } => write!(f, "regex `{regex}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> Pattern {
        Pattern::new(&RawPattern::Literal(text.into())).unwrap()
    }

    #[test]
    fn a_literal_is_no_expression_and_works_on_any_bytes() {
        let pattern = literal("a.b (1)\r\nü");
        assert_eq!(pattern.find_end(b"\xff\xfea.b (1)\n\xc3\xbc", 0), Some(12));
        assert_eq!(pattern.find_end(b"axb (1)\n\xc3\xbc", 0), None);
    }

    #[test]
    fn expressions_are_line_wise() {
        let pattern = Pattern::new(&RawPattern::Regex { regex: "^ok .*$".into() }).unwrap();
        assert_eq!(pattern.find_end(b"no\nok 1\nx", 0), Some(7));
        assert_eq!(pattern.find_end(b"not ok 1\n", 0), None);
        assert!(Pattern::new(&RawPattern::Regex { regex: "(".into() }).is_err());
    }

    #[test]
    fn the_nearest_line_is_a_near_miss_only() {
        let pattern = literal("Hello from seL4 5.0.0");
        assert_eq!(pattern.nearest(b"boot\nHello from seL4\r\nbye\n").unwrap(), "Hello from seL4");
        assert_eq!(pattern.nearest(b"something else\n"), None);
    }
}

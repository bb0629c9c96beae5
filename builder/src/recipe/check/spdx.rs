//! SPDX licence expressions, as far as their form goes (SPDX specification 2.3, annex D).

use std::ops::Range;

/// Why a text is no licence expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bad {
    /// The bytes that are wrong.
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) help: String,
}

const EXAMPLE: &str =
    "write an SPDX expression, for instance `\"MIT\"` or `\"Apache-2.0 OR MIT\"` (spdx.org/licenses)";

/// Checks characters, operators and parentheses of `text`. Names of licences are not looked up: the
/// list grows, and `LicenseRef-…` is free.
pub(super) fn check(text: &str) -> Result<(), Bad> {
    let bad = |span: Range<usize>, message: String, help: String| Err(Bad { span, message, help });
    if let Some((i, c)) =
        text.char_indices().find(|(_, c)| !(c.is_ascii_alphanumeric() || "-.+:() ".contains(*c)))
    {
        let help =
            if matches!(c, '/' | ',' | '|' | ';') { "write `OR` or `AND` between licences" } else { EXAMPLE };
        let message = format!("`{}` cannot be in a licence expression", c.escape_debug());
        return bad(i..i + c.len_utf8(), message, help.into());
    }
    let mut depth = 0_usize;
    let mut want_name = true;
    for (word, span) in words(text) {
        match word {
            "(" if want_name => depth += 1,
            ")" if !want_name && depth > 0 => depth -= 1,
            "AND" | "OR" | "WITH" if !want_name => want_name = true,
            "and" | "or" | "with" => {
                return bad(
                    span,
                    format!("the operator `{word}` must be in capitals"),
                    format!("write `{}`", word.to_uppercase()),
                );
            }
            "(" | ")" | "AND" | "OR" | "WITH" => {
                return bad(span, format!("`{word}` cannot stand here"), EXAMPLE.into());
            }
            _ if want_name => want_name = false,
            _ => {
                let message = format!("an operator is missing before `{word}`");
                return bad(span, message, "write `OR`, `AND` or `WITH` before it".into());
            }
        }
    }
    if want_name || depth > 0 {
        let what = if text.trim().is_empty() {
            "the licence is empty"
        } else {
            "the licence expression is not complete"
        };
        return bad(0..text.len(), what.into(), EXAMPLE.into());
    }
    Ok(())
}

/// The words and parentheses of `text`, with their bytes.
fn words(text: &str) -> Vec<(&str, Range<usize>)> {
    let mut words = Vec::new();
    let mut start = None;
    for (i, c) in text.char_indices().chain([(text.len(), ' ')]) {
        if matches!(c, ' ' | '(' | ')') {
            if let Some(start) = start.take() {
                words.push((&text[start..i], start..i));
            }
            if c != ' ' {
                words.push((&text[i..i + 1], i..i + 1));
            }
        } else {
            start.get_or_insert(i);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_pass_and_others_do_not() {
        for text in [
            "MIT",
            "Apache-2.0 OR MIT",
            "(GPL-2.0-only WITH Linux-syscall-note) AND BSD-3-Clause",
            "GPL-2.0+",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
        for text in
            ["", " ", "MIT/Apache-2.0", "MIT or X", "MIT BSD", "MIT OR", "OR MIT", "(MIT", "MIT)", "()", "Ⓒ"]
        {
            assert!(check(text).is_err(), "{text}");
        }
    }
}

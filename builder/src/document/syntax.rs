//! What is wrong with a text that is not TOML, in words for someone who does not know TOML by heart.

use super::Source;
use crate::diagnostic::Diagnostic;
use std::ops::Range;
use toml::de::{DeTable, Error};

/// The diagnostics of the parser's `errors`: every duplicate key, and of the others the first, since
/// the parser's guesses after it are seldom right.
pub(super) fn diagnostics(source: &Source, tree: &DeTable<'_>, errors: &[Error]) -> Vec<Diagnostic> {
    let place = |error: &Error| error.span().unwrap_or(0..0);
    let duplicate = |error: &&Error| error.message().starts_with("duplicate key");
    let stop = errors.iter().filter(|error| !duplicate(error)).min_by_key(|error| place(error).start);
    let end = stop.map_or(usize::MAX, |error| place(error).start);
    let doubles = errors.iter().filter(duplicate).filter(|error| place(error).start < end);
    let doubles = doubles.map(|error| double(source, tree, place(error)));
    doubles.chain(stop.map(|error| explain(source, error))).collect()
}

/// A key or table that is there twice.
fn double(source: &Source, tree: &DeTable<'_>, span: Range<usize>) -> Diagnostic {
    let name = source.text.get(span.clone()).unwrap_or_default();
    let header = line_before(&source.text, span.start).trim_start().starts_with('[');
    let (what, help) = if header {
        ("this table is already there", "put the keys of both under one header")
    } else {
        ("this key already has a value in the table", "keep one of the two")
    };
    let first = first_key(tree, name.trim_matches(['"', '\'']), span.start);
    let first = first.map(|at| format!(" (row {})", row(&source.text, at))).unwrap_or_default();
    source.diagnostic(span.clone(), format!("`{name}` is a duplicate: {what}{first}")).help(help)
}

/// Where the key `name` is written last before `before`, in any table.
fn first_key(tree: &DeTable<'_>, name: &str, before: usize) -> Option<usize> {
    let mut found = None;
    for (key, value) in tree {
        let inner = value.get_ref().as_table().and_then(|table| first_key(table, name, before));
        let own = (key.get_ref().as_ref() == name).then(|| key.span().start);
        found = found.max(inner).max(own.filter(|at| *at < before));
    }
    found
}

/// How the parser's messages begin, what they mean, and what usually mends it.
const REMEDIES: [(&str, &str, &str); 16] = [
    (ESCAPE.0, ESCAPE.1, ESCAPE.2),
    ("too few unicode value digits", ESCAPE.1, ESCAPE.2),
    ("invalid literal string", OPEN_TEXT.0, OPEN_TEXT.1),
    ("invalid basic string", OPEN_TEXT.0, OPEN_TEXT.1),
    ("unclosed table", OPEN_HEADER.0, OPEN_HEADER.1),
    ("unclosed array table", OPEN_HEADER.0, OPEN_HEADER.1),
    ("unclosed array", OPEN_LIST.0, OPEN_LIST.1),
    ("missing comma between array", OPEN_LIST.0, OPEN_LIST.1),
    ("unclosed inline table", OPEN_INLINE.0, OPEN_INLINE.1),
    ("missing comma between key", OPEN_INLINE.0, OPEN_INLINE.1),
    ("key with no value", "a key has no value", "write `key = value`, or `[table]` for a header"),
    ("unexpected leading zero", "a number begins with 0", "leave the zero out"),
    ("invalid unquoted key", KEY.0, KEY.1),
    ("invalid inline table element", OPEN_INLINE.0, OPEN_INLINE.1),
    ("recursion limit", DEEP.0, DEEP.1),
    ("cannot recurse further", DEEP.0, DEEP.1),
];
const ESCAPE: (&str, &str, &str) = (
    "missing escaped value",
    "a backslash begins an escape, and this is none",
    "write `\\\\` for a backslash, or put the text in single quotes, which take it as it is",
);
const KEY: (&str, &str) = (
    "this cannot be in a key, which has letters, digits, dashes and underscores",
    "write `key = value`; a key with other characters stands in quotes",
);
const DEEP: (&str, &str) =
    ("the values are nested too deeply", "nothing that Selkie reads is nested that deeply");
const OPEN_TEXT: (&str, &str) = (
    "the text is not closed, or has a control character in it",
    "end it on its line with the quote that it began with; `\"\"\"` begins a text of several lines",
);
const OPEN_HEADER: (&str, &str) = ("the table's header is not closed", "end it with `]`");
const OPEN_LIST: (&str, &str) =
    ("the list is not closed, or a comma is missing", "separate values by `,` and end the list with `]`");
const OPEN_INLINE: (&str, &str) =
    ("the inline table is not closed, or a comma is missing", "separate its keys by `,` and end it with `}`");

/// An error of syntax, with what usually mends it.
fn explain(source: &Source, error: &Error) -> Diagnostic {
    let span = error.span().unwrap_or(0..0);
    let message = error.message();
    let known = REMEDIES.iter().find(|(start, ..)| message.starts_with(start));
    let (what, help) = match known {
        Some((_, what, help)) => ((*what).to_owned(), (*help).to_owned()),
        None if message.starts_with("string values must be quoted")
            || message.starts_with("invalid boolean") =>
        {
            unquoted(source.text.get(span.clone()).unwrap_or_default().trim())
        }
        None => (message.to_owned(), "this is not TOML; a complete example is in docs/recipes.md".to_owned()),
    };
    source.diagnostic(span, what).help(help)
}

/// A value that is neither a text in quotes nor anything else.
fn unquoted(wrong: &str) -> (String, String) {
    match wrong.to_lowercase().as_str() {
        "" => (
            "the value is missing".into(),
            "write a value behind `=`, for instance `\"text\"`, `1` or `true`".into(),
        ),
        "true" | "yes" | "on" => (format!("`{wrong}` is not a value"), "write `true`".into()),
        "false" | "no" | "off" => (format!("`{wrong}` is not a value"), "write `false`".into()),
        _ => (
            format!("`{wrong}` is not a value"),
            format!("texts stand in quotes: `\"{}\"`", wrong.replace('"', "")),
        ),
    }
}

fn line_before(text: &str, at: usize) -> &str {
    let before = text.get(..at).unwrap_or_default();
    &before[before.rfind('\n').map_or(0, |newline| newline + 1)..]
}

fn row(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or_default().matches('\n').count() + 1
}

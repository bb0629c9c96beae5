//! TOML files that users write: read with care, with the place of every key and value, and checked
//! against the schema of the type that they become.

pub(crate) mod schema;
pub(crate) mod suggest;
mod syntax;

use crate::{
    Project,
    diagnostic::{Diagnostic, Diagnostics},
};
use schema::Schema;
use serde::de::DeserializeOwned;
use std::{
    fs::File,
    io::{ErrorKind, Read},
    ops::Range,
    path::Path,
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// No recipe and no kernel config is larger, in bytes.
const LIMIT: u64 = 1 << 20;

/// A file as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The file as diagnostics name it.
    pub(crate) file: String,
    /// Its content.
    pub(crate) text: String,
}

/// A TOML file with the place of everything in it.
#[derive(Debug, Clone)]
pub(crate) struct Document<'t> {
    source: &'t Source,
    tree: Spanned<DeTable<'t>>,
}

/// A step from a value to one inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// Into a table.
    Key(&'a str),
    /// Into a list, from 0.
    Index(usize),
}

impl<'a> From<&'a str> for Step<'a> {
    fn from(key: &'a str) -> Self {
        Self::Key(key)
    }
}

impl<'a> From<&'a String> for Step<'a> {
    fn from(key: &'a String) -> Self {
        Self::Key(key)
    }
}

impl From<usize> for Step<'_> {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// The way to a value: `at!["smoke", "expect", 2]`.
macro_rules! at {
    ($($step:expr),* $(,)?) => { &[$($crate::document::Step::from($step)),*] };
}
pub(crate) use at;

impl Source {
    /// Reads the file at `path`, which diagnostics call `file`. `missing` words what is to be said when
    /// there is none.
    pub(crate) fn read(
        path: &Path,
        file: &str,
        missing: impl FnOnce() -> Diagnostic,
    ) -> Result<Self, Diagnostics> {
        let bytes = read(path, file, missing)?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes());
            Diagnostic::at(file, &text, valid..valid + 1, "this is not UTF-8")
                .help("save the file as UTF-8; TOML has no other encoding")
        })?;
        if let Some(at) = text.find('\0') {
            let message = "this is not a text file: it has a NUL character in it";
            return Err(Diagnostic::at(file, &text, at..at + 1, message).help("name a TOML file").into());
        }
        Ok(Self { file: file.to_owned(), text })
    }

    /// Something wrong at `span`.
    pub(crate) fn diagnostic(&self, span: Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(&self.file, &self.text, span, message)
    }
}

impl<'t> Document<'t> {
    /// Parses what was read.
    pub(crate) fn parse(source: &'t Source) -> Result<Self, Diagnostics> {
        let (tree, errors) = DeTable::parse_recoverable(&source.text);
        if !errors.is_empty() {
            return Err(Diagnostics(syntax::diagnostics(source, tree.get_ref(), &errors)));
        }
        if tree.get_ref().is_empty() {
            let empty = source.diagnostic(0..0, "there is nothing in this file");
            return Err(empty.help("a complete example to start from is in docs/recipes.md").into());
        }
        Ok(Self { source, tree })
    }

    /// The file as a `T`, after every difference from `schema` was found.
    pub(crate) fn decode<T: DeserializeOwned>(&self, schema: &Schema) -> Result<T, Diagnostics> {
        Diagnostics::check(schema.check(self))?;
        let deserializer = toml::de::Deserializer::from(self.tree.clone());
        T::deserialize(deserializer).map_err(|error| {
            let what = error.message().to_owned();
            self.source
                .diagnostic(error.span().unwrap_or(0..0), what)
                .help("docs/recipes.md describes every key")
                .into()
        })
    }

    /// The top table.
    pub(crate) fn root(&self) -> &DeTable<'t> {
        self.tree.get_ref()
    }

    /// Whether something is written at `path`.
    pub(crate) fn has(&self, path: &[Step<'_>]) -> bool {
        self.find(path).is_some()
    }

    /// The place of the value at `path`; where it is not written, of the table that it would be in.
    pub(crate) fn span(&self, path: &[Step<'_>]) -> Range<usize> {
        (1..=path.len()).rev().find_map(|n| self.find(&path[..n])).map_or(0..0, |(_, value)| value.span())
    }

    /// The place of the key that ends `path`; where it is not written, of the table that it would be in.
    pub(crate) fn key_span(&self, path: &[Step<'_>]) -> Range<usize> {
        match self.find(path) {
            Some((Some(key), _)) => key,
            _ => self.span(path),
        }
    }

    /// The place of the bytes `inner` of the text at `path`; of the whole text when it is written
    /// with escapes or over several lines.
    pub(crate) fn span_in_text(&self, path: &[Step<'_>], inner: Range<usize>) -> Range<usize> {
        let whole = self.span(path);
        let written = self.source.text.get(whole.clone()).unwrap_or_default();
        let plain = match self.find(path).map(|(_, value)| value.get_ref()) {
            Some(DeValue::String(text)) => written.get(1..written.len().max(2) - 1) == Some(text.as_ref()),
            _ => false,
        };
        if plain { whole.start + 1 + inner.start..whole.start + 1 + inner.end } else { whole }
    }

    /// The key's place, when `path` ends in a key, and the value at `path`.
    fn find(&self, path: &[Step<'_>]) -> Option<(Option<Range<usize>>, &Spanned<DeValue<'t>>)> {
        let (Step::Key(first), rest) = path.split_first()? else { return None };
        let (key, mut value) = self.root().get_key_value(*first)?;
        let mut key = Some(key.span());
        for step in rest {
            (key, value) = match (step, value.get_ref()) {
                (Step::Key(name), DeValue::Table(table)) => {
                    let (key, value) = table.get_key_value(*name)?;
                    (Some(key.span()), value)
                }
                (Step::Index(index), DeValue::Array(array)) => (None, array.get(*index)?),
                _ => return None,
            };
        }
        Some((key, value))
    }
}

/// What is found wrong with one document.
pub(crate) struct Findings<'a> {
    /// Where.
    pub(crate) doc: &'a Document<'a>,
    /// What, so far.
    pub(crate) found: Vec<Diagnostic>,
}

impl<'a> Findings<'a> {
    /// Nothing yet.
    pub(crate) fn new(doc: &'a Document<'a>) -> Self {
        Self { doc, found: Vec::new() }
    }

    /// The value at `path` is wrong.
    pub(crate) fn value(&mut self, path: &[Step<'_>], message: impl Into<String>, help: impl Into<String>) {
        self.place(self.doc.span(path), message, help);
    }

    /// That there is this key is wrong.
    pub(crate) fn key(&mut self, path: &[Step<'_>], message: impl Into<String>, help: impl Into<String>) {
        self.place(self.doc.key_span(path), message, help);
    }

    /// Something at `span` is wrong.
    pub(crate) fn place(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.found.push(self.doc.source.diagnostic(span, message).help(help));
    }

    /// All that was found, in order of place.
    pub(crate) fn finish(mut self) -> Result<(), Diagnostics> {
        self.found.sort_by_key(|one| one.spot.as_ref().map(|spot| (spot.row, spot.column)));
        Diagnostics::check(self.found)
    }
}

/// The bytes of the file at `path`.
fn read(path: &Path, file: &str, missing: impl FnOnce() -> Diagnostic) -> Result<Vec<u8>, Diagnostics> {
    let unreadable = |error: std::io::Error| {
        let help = format!("`ls -l {}` shows who may read it", path.display());
        Diagnostic::of_file(file, format!("the file cannot be read: {error}")).help(help)
    };
    let kind = match path.metadata() {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(missing().into());
        }
        kind => kind.map_err(unreadable)?,
    };
    if kind.is_dir() {
        let help = "name the TOML file, not the folder that it is in";
        return Err(Diagnostic::of_file(file, "this is a folder").help(help).into());
    }
    if !kind.is_file() {
        let help = "name a TOML file";
        return Err(Diagnostic::of_file(file, "this is a device or a pipe, not a file").help(help).into());
    }
    let mut bytes = Vec::new();
    let opened = File::open(path).map_err(unreadable)?;
    opened.take(LIMIT + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LIMIT {
        let what = "the file is larger than 1 MiB";
        return Err(Diagnostic::of_file(file, what)
            .help("is it the right file? A recipe has some lines")
            .into());
    }
    Ok(bytes)
}

/// `path` as messages show it: relative to the checkout when it lies there.
pub(crate) fn shown(project: &Project, path: &Path) -> String {
    let shown = path.strip_prefix(&project.root).unwrap_or(path);
    if shown.as_os_str().is_empty() { ".".into() } else { shown.display().to_string() }
}

/// The names of the TOML files in `folder`, without `.toml`, sorted; none when there is no such folder.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>, Diagnostics> {
    let unreadable = |error: std::io::Error| {
        let message = format!("the folder cannot be read: {error}");
        let help = format!("`ls -ld {}` shows who may read it", folder.display());
        Diagnostic::of_file(folder.display().to_string(), message).help(help)
    };
    let entries = match folder.read_dir() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unreadable)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(unreadable)?.file_name();
        let name = name.to_str().and_then(|name| name.strip_suffix(".toml"));
        names.extend(name.filter(|name| !name.is_empty() && !name.starts_with('.')).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

//! What `verify` found: one row for each thing that was checked.

use crate::ExitCode;
use serde::Serialize;
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// What was found about a published folder or an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// What was checked.
    pub path: PathBuf,
    /// In the order of the checks.
    pub rows: Vec<Row>,
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Row {
    /// How it came out.
    pub outcome: Outcome,
    /// The file, by its path in the folder.
    pub file: String,
    /// What was found, or what is wrong.
    pub detail: String,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It holds.
    Ok,
    /// It does not.
    Fail,
    /// It was built again, and came out differently.
    Differs,
    /// It was not checked.
    Skip,
}

impl Outcome {
    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Fail => "FAIL",
            Self::Differs => "DIFF",
            Self::Skip => "SKIP",
        }
    }
}

impl Report {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), rows: Vec::new() }
    }

    pub(super) fn add(&mut self, outcome: Outcome, file: &str, detail: impl fmt::Display) {
        self.rows.push(Row { outcome, file: file.to_owned(), detail: detail.to_string() });
    }

    pub(super) fn ok(&mut self, file: &str, detail: impl fmt::Display) {
        self.add(Outcome::Ok, file, detail);
    }

    pub(super) fn fail(&mut self, file: &str, detail: impl fmt::Display) {
        self.add(Outcome::Fail, file, detail);
    }

    pub(super) fn skip(&mut self, file: &str, detail: impl fmt::Display) {
        self.add(Outcome::Skip, file, detail);
    }

    /// How many rows came out so.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.rows.iter().filter(|row| row.outcome == outcome).count()
    }

    /// What the command exits with.
    pub fn exit_code(&self) -> ExitCode {
        if self.count(Outcome::Fail) > 0 {
            ExitCode::Failed
        } else if self.count(Outcome::Differs) > 0 {
            ExitCode::NotReproducible
        } else {
            ExitCode::Ok
        }
    }
}

/// The table, and the sum of it.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.file.len()).max().unwrap_or_default();
        for Row { outcome, file, detail } in &self.rows {
            writeln!(f, "{:4}  {file:width$}  {detail}", outcome.word())?;
        }
        let verdict = match self.exit_code() {
            ExitCode::Ok => "is what was published",
            ExitCode::NotReproducible => "is sound, and was not built again the same",
            _ => "is not what was published",
        };
        writeln!(f, "{} {verdict}", self.path.display())
    }
}

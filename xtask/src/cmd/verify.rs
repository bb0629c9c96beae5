//! `verify`

use crate::{
    app::App,
    output::{Answer, Paint},
};
use builder::verify::{self, Outcome};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  cargo xtask verify dist                         a published folder: every file of it
  cargo xtask verify dist/hello-process.tar.gz    one archive, against the manifest in it

What is checked comes from others: nothing of it is believed, unpacked to a disk or run. Exit code 1 when anything
is wrong.";

/// Checks what was published
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Verify {
    /// A folder that `publish` wrote, or an archive of it
    #[arg(value_name = "DIR|FILE")]
    path: PathBuf,
}

impl Verify {
    pub(crate) fn run(&self, app: &App) -> anyhow::Result<Answer> {
        let report = verify::verify(&app.context(), &self.path)?;
        let code = report.exit_code();
        Ok(Answer::new(&report, text(app, &report))?.with_code(code))
    }
}

/// The table with its verdicts in colour.
fn text(app: &App, report: &verify::Report) -> String {
    let lines = report.to_string();
    let paint = |line: &str| match report.rows.iter().find(|row| line.starts_with(row.outcome.word())) {
        None => line.to_owned(),
        Some(row) => {
            let paint = match row.outcome {
                Outcome::Ok => Paint::Good,
                Outcome::Fail | Outcome::Differs => Paint::Bad,
                Outcome::Skip => Paint::Skipped,
            };
            let word = row.outcome.word();
            format!("{}{}", app.terminal.paint(paint, word), &line[word.len()..])
        }
    };
    lines.lines().map(|line| paint(line) + "\n").collect()
}

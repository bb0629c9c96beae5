//! `verify`

use super::common::{RumprunArg, SourceArgs};
use crate::{
    app::App,
    output::{Answer, Paint},
};
use builder::{
    Error,
    publish::sign::PublicKey,
    verify::{self, Options, Outcome},
};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  cargo xtask verify dist                         a published folder: every file of it
  cargo xtask verify dist --key selkie.pub        and that it was signed by whoever has this key
  cargo xtask verify dist --rebuild               build all of it again, from nothing, and compare
  cargo xtask verify dist/hello-process.tar.gz    one archive, against the manifest in it

What is checked comes from others: nothing of it is believed, unpacked to a disk or run.
Exit code 1 when anything is wrong, 5 when an image was not built again the same.";

/// Checks what was published
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Verify {
    /// A folder that `publish` wrote, or an archive of it
    #[arg(value_name = "DIR|FILE")]
    path: PathBuf,
    /// Require the signature of this key of minisign: a file, or the key itself
    #[arg(long, value_name = "PUBKEY")]
    key: Option<String>,
    /// Build each image again, in this checkout and from nothing, and compare
    #[arg(long)]
    rebuild: bool,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    rumprun: RumprunArg,
}

impl Verify {
    pub(crate) fn run(&self, app: &App) -> anyhow::Result<Answer> {
        let key = self.key.as_deref().map(PublicKey::read).transpose().map_err(Error::from)?;
        let source = self.source.named(app)?;
        let options = Options { key, rebuild: self.rebuild, source, rumprun: self.rumprun.named(true)? };
        let report = verify::verify(&app.context(), &self.path, &options)?;
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

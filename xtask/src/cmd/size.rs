//! `size`

use crate::{app::App, output::Answer};
use builder::{Error, size};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  cargo xtask size out/hello/qemu              files, sections, crates, largest functions
  cargo xtask size out/hello/qemu --top 50     more of the largest";

/// Says where the bytes of an image go
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Size {
    /// Folder of an image, or an ELF file
    image: PathBuf,
    /// How many of the largest functions and variables
    #[arg(long, default_value_t = 15)]
    top: usize,
}

impl Size {
    pub(crate) fn run(&self, app: &App) -> anyhow::Result<Answer> {
        let report = size::size(&app.project, &self.image, self.top).map_err(Error::from)?;
        Answer::new(&report, report.render_text())
    }
}

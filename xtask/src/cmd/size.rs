//! `size`

use super::common::ImageTarget;
use crate::{app::App, output::Answer};
use builder::{Error, inspect, size};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  cargo xtask size hello                       files, sections, crates, largest functions
  cargo xtask size hello --top 50              more of the largest";

/// Says where the bytes of an image go
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Size {
    /// Name of a recipe that was built, folder of an image, or an ELF file
    image: PathBuf,
    #[command(flatten)]
    target: ImageTarget,
    /// How many of the largest functions and variables
    #[arg(long, default_value_t = 15)]
    top: usize,
}

impl Size {
    pub(crate) fn run(&self, app: &App) -> anyhow::Result<Answer> {
        let image = inspect::find(&app.project, &self.image, self.target.target).map_err(Error::from)?;
        let report = size::size(&app.project, &image, self.top).map_err(Error::from)?;
        Answer::new(&report, report.render_text())
    }
}

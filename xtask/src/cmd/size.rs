//! `size`

use super::common::ImageTarget;
use crate::{app::App, output::Answer};
use builder::{Error, inspect, size};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  cargo xtask size hello                       files, sections, crates, largest functions
  cargo xtask size hello --top 50              more of the largest
  cargo xtask size hello --compare old/qemu    what grew since an image that was kept
  cargo xtask --format json size hello --top 100000
                                               a report with all symbols, to keep
  cargo xtask size hello --compare old.json --markdown
                                               what grew since such a report, for the summary of a CI job";

/// Says where the bytes of an image go
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Size {
    /// Name of a recipe that was built, folder of an image, its manifest, or a file of it
    image: PathBuf,
    #[command(flatten)]
    target: ImageTarget,
    /// How many of the largest functions and variables
    #[arg(long, default_value_t = 15)]
    top: usize,
    /// What grew and what shrank since this: folder of an image, its manifest, a file of it, or a report of `size`
    /// that was saved as JSON
    #[arg(long, value_name = "BASE")]
    compare: Option<PathBuf>,
    /// Print the comparison as Markdown
    #[arg(long, requires = "compare")]
    markdown: bool,
}

impl Size {
    pub(crate) fn run(&self, app: &App) -> anyhow::Result<Answer> {
        let image = inspect::find(&app.project, &self.image, self.target.target).map_err(Error::from)?;
        let measure = |path: &Path, top| size::size(&app.project, path, top).map_err(Error::from);
        let Some(base) = &self.compare else {
            let report = measure(&image, self.top)?;
            return Answer::new(&report, report.render_text());
        };
        let base = inspect::find(&app.project, base, self.target.target).map_err(Error::from)?;
        let comparison = size::compare(&measure(&base, usize::MAX)?, &measure(&image, usize::MAX)?, self.top);
        let text = if self.markdown { comparison.render_markdown() } else { comparison.render_text() };
        Answer::new(&comparison, text)
    }
}

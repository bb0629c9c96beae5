//! `diff`

use super::common::ImageTarget;
use crate::{app::App, output::Answer};
use builder::{Error, ExitCode, diff, inspect};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  cargo xtask diff out/hello/qemu ../old/out/hello/qemu   two images: which input moved, what came of it
  cargo xtask diff hello hello-c                          images of two recipes, as they were last built
  cargo xtask diff old-manifest.json hello                a manifest that was kept, and an image
  cargo xtask diff a/root-task b/root-task                two files: sections and symbols
  cargo xtask diff a/hello.iso b/hello.iso                two media: the files on them

Exit codes, as of diff(1): 0 the same, 1 different, 2 trouble.";

/// Says how two images differ: what moved, then the files, then sections and symbols
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Diff {
    /// Folder of an image, a manifest, any file of an image, or the name of a recipe that was built
    a: PathBuf,
    /// The same, to compare with
    b: PathBuf,
    #[command(flatten)]
    target: ImageTarget,
    /// How many of the symbols that changed most
    #[arg(long, default_value_t = 15)]
    top: usize,
}

impl Diff {
    pub(crate) fn run(&self, app: &App) -> anyhow::Result<Answer> {
        let find = |named: &Path| inspect::find(&app.project, named, self.target.target);
        let compare = || diff::diff(&app.project, &find(&self.a)?, &find(&self.b)?, self.top);
        // 1 says that they differ, so what went wrong has another code.
        let diff = compare().map_err(|error| Error::new(ExitCode::Usage, error.to_string()))?;
        let code = if diff.same { ExitCode::Ok } else { ExitCode::Failed };
        Ok(Answer::new(&diff, diff.render_text())?.with_code(code))
    }
}

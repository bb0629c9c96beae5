//! `inspect`

use super::common::ImageTarget;
use crate::{app::App, output::Answer};
use builder::{Error, ExitCode, inspect};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  cargo xtask inspect hello                        an image: manifest, files, kernel config
  cargo xtask inspect out/hello/qemu               the same, by its folder
  cargo xtask inspect hello --target process       the image for another target
  cargo xtask inspect out/hello/process/hello      an executable: tender, root task, filter, what is trusted
  cargo xtask inspect out/hello/qemu/root-task     a root task alone: the manifest in its note, segments
  cargo xtask inspect out/echo/bare-metal/echo.iso  an ISO image: what is on it
  cargo xtask inspect dist/hello-qemu.tar.gz       a published archive: the image in it
  cargo xtask inspect dist/hello-qemu.oci          a published OCI layout: its layers, and the image in it

What is shown comes from the file alone, so it may have been copied from anywhere. What does not fit together, for
instance a file that is not as the manifest says, is named as a problem, and the exit code is 1.";

/// Says what an image or any file of one is, from the file alone
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Inspect {
    /// Name of a recipe that was built, folder of an image, manifest.json, executable, ISO or disk image, netboot
    /// folder, root task, kernel, or a published archive, OCI layout or document
    file: PathBuf,
    #[command(flatten)]
    target: ImageTarget,
}

impl Inspect {
    pub(crate) fn run(&self, app: &App) -> anyhow::Result<Answer> {
        let file = inspect::find(&app.project, &self.file, self.target.target).map_err(Error::from)?;
        let report = inspect::inspect(&file).map_err(Error::from)?;
        let code = if report.problems.is_empty() { ExitCode::Ok } else { ExitCode::Failed };
        Ok(Answer::new(&report, report.render_text())?.with_code(code))
    }
}

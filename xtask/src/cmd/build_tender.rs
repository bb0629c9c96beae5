//! `build-tender`

use super::common::SourceArgs;
use crate::{app::App, output::Answer, table::Table};
use builder::process::operator;

const EXAMPLES: &str = "\
Examples:
  cargo xtask build-tender                            out/selkie-tender
  out/selkie-tender out/hello/qemu/root-task          runs a root task that others have built
  cargo xtask build-tender --kernel-source ../seL4    one that serves the interfaces of your kernels, too
  out/selkie-tender --memory 16M ROOT-TASK -- ARG     limits and devices come from here, not from the image

A second build with nothing changed does nothing and says so.";

/// Builds the tender that operators install
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BuildTender {
    #[command(flatten)]
    source: SourceArgs,
}

impl BuildTender {
    pub(crate) fn run(&self, app: &App) -> anyhow::Result<Answer> {
        let tender = operator::build(&app.context(), self.source.named(app)?.as_ref())?;
        let mut table = Table::new(["path", "bytes", "sha256"]);
        table.row([tender.path.display().to_string(), tender.size.to_string(), tender.sha256.to_string()]);
        let mut text = table.render();
        for interface in &tender.identity.tables {
            text.push_str(&format!("serves {} (interface {})\n", interface.config, interface.interface));
        }
        if !tender.fresh {
            text.push_str("nothing to do, all is as before\n");
        }
        Answer::new(&tender, text)
    }
}

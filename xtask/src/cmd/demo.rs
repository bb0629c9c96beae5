//! `demo`

use super::{build_image, common};
use crate::{app::App, output::Answer};
use builder::{
    Error, ExitCode, Target, doctor,
    recipe::Recipe,
    smoke::{self, SmokeOptions, Summary},
};

const EXAMPLES: &str = "\
Examples:
  cargo xtask demo

Says what this host lacks and installs it (apt, as root or by sudo -n; elsewhere it prints the line to
copy), builds recipes/hello.toml, boots it, shows its console and prints a table of results.";

/// Sets this host up, builds `hello` and boots it
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Demo {}

impl Demo {
    pub(crate) fn run(&self, app: &App) -> anyhow::Result<Answer> {
        let ctx = app.context();
        ctx.progress.note("1. what this host needs");
        let host = doctor::ensure(&ctx).map_err(Error::from)?;
        ctx.progress.note(&format!("{}: all there", host.host));
        ctx.progress.note("2. the image: a seL4 kernel and the function `hello`");
        let recipe = Recipe::load(&app.project, "hello")?;
        let image = common::image(&ctx, &recipe, Target::Qemu)?;
        ctx.progress.note("3. boot; what follows is the machine's console");
        app.show_console();
        let report = smoke::smoke(&ctx, &recipe, Target::Qemu, &image.dir, &SmokeOptions::default())?;
        ctx.progress.note("4. results");
        let summary = Summary { reports: vec![report] };
        let code = summary.exit_code(true);
        let next = match code {
            ExitCode::Ok => "\nnext: cargo xtask run hello; then copy functions/hello (see README.md)\n",
            _ => "",
        };
        let text = format!("{}\n{summary}\n{next}", build_image::text(std::slice::from_ref(&image)));
        let data = serde_json::json!({ "host": host, "image": image, "reports": summary.reports });
        Ok(Answer::new(&data, text)?.with_code(code))
    }
}

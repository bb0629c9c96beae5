//! `demo`

use super::{build_image, common};
use crate::{app::App, output::Answer};
use builder::{
    Error, ExitCode, Target,
    doctor::{self, Part},
    recipe::Recipe,
    smoke::{self, SmokeOptions, Summary},
};

const EXAMPLES: &str = "\
Examples:
  cargo xtask demo

Says what this host lacks and installs it (apt, as root or by sudo -n; elsewhere it prints the line to
copy), builds recipes/hello.toml, boots it in QEMU, runs it as a Linux process, shows both consoles and
prints a table of results.";

/// Sets this host up, builds `hello`, boots it and runs it as a process
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Demo {}

impl Demo {
    pub(crate) fn run(&self, app: &App) -> anyhow::Result<Answer> {
        let ctx = app.context();
        ctx.progress.note("1. what this host needs");
        let host = doctor::ensure(&ctx, &[Part::Base]).map_err(Error::from)?;
        ctx.progress.note(&format!("{}: all there", host.host));
        ctx.progress.note("2. the image: a seL4 kernel and the function `hello`");
        let recipe = Recipe::load(&app.project, "hello")?;
        let machine = common::image(&ctx, &recipe, Target::Qemu)?;
        ctx.progress.note("3. the same root task in an executable");
        let process = common::image(&ctx, &recipe, Target::Process)?;
        ctx.progress.note("4. boot; what follows is the machine's console");
        app.show_console();
        let options = SmokeOptions::default();
        let mut summary = Summary::default();
        summary.reports.push(smoke::smoke(&ctx, &recipe, Target::Qemu, &machine.dir, &options)?);
        ctx.progress.note("5. start the executable; what follows is the process's console");
        summary.reports.push(smoke::smoke(&ctx, &recipe, Target::Process, &process.dir, &options)?);
        ctx.progress.note("6. results");
        let images = [machine, process];
        let code = summary.exit_code(true);
        let next = match code {
            ExitCode::Ok => "\nnext: cargo xtask run hello; then copy functions/hello (see README.md)\n",
            _ => "",
        };
        let text = format!("{}\n{summary}\n{next}", build_image::text(&images));
        let data = serde_json::json!({ "host": host, "images": images, "reports": summary.reports });
        Ok(Answer::new(&data, text)?.with_code(code))
    }
}

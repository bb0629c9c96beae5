//! `run`

use super::common::{self, AccelArg, BootArg, OneRecipe, OneTarget};
use crate::{
    app::App,
    output::{Answer, Format},
};
use builder::{
    Error, ExitCode, Target,
    net::{NetChoice, PortChoice},
    run::{self, Overrides, RunOptions},
};

use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  cargo xtask run hello                        its console here; Ctrl-A x leaves
  cargo xtask run hello --target process       the same root task as a Linux process
  cargo xtask run hello --target process --trace   every seL4 call of it on stderr
  cargo xtask run hello --target bare-metal --boot disk/bios   from a medium, by firmware
  cargo xtask run hello --arg you --arg me     other arguments than the recipe's, for this run
  cargo xtask run hello --env GREETING=ahoy    more environment; --env NAME takes the host's value
  cargo xtask run http-hello --port 8080:80  at this port of the host instead of a free one
  cargo xtask run kv --disk kv.img             with this disk, not the one that is kept in out/
  cargo xtask run http-hello --net tap:tap0  its card in a tap device of yours, with no port forwarded
  cargo xtask run greeter.toml --net user      its own network, though the recipe names a tap
  cargo xtask run hello --secret KEY=@key.txt  environment from a file; it is in no image and no log

Exit code 0 when the function ended with status 0.";

/// Boots an image with its console here
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Run {
    #[command(flatten)]
    recipe: OneRecipe,
    /// Arguments instead of the recipe's; once for each
    #[arg(long = "arg", value_name = "TEXT", allow_hyphen_values = true)]
    args: Vec<String>,
    /// Environment besides the recipe's
    #[arg(long, value_name = "NAME=VALUE|NAME")]
    env: Vec<String>,
    /// Environment whose values nobody else may see
    #[arg(long = "secret", value_name = "NAME=@FILE|NAME")]
    secrets: Vec<String>,
    #[command(flatten)]
    target: OneTarget,
    #[command(flatten)]
    boot: BootArg,
    #[command(flatten)]
    accel: AccelArg,
    /// A port of this host, on 127.0.0.1, for one of the function's; 0 as HOST is any free one
    #[arg(long = "port", value_name = "HOST:GUEST[/udp]")]
    ports: Vec<PortChoice>,
    /// The function's disk instead of the one that is kept in `out/`: a file or a block device; FILE,ro is only read
    #[arg(long, value_name = "FILE")]
    disk: Option<PathBuf>,
    /// What the function's card is plugged into, whatever the recipe says: `user` is a network of its own with
    /// forwarded ports, tap:NAME a tap device of yours without
    #[arg(long, value_name = "user|tap:NAME")]
    net: Option<NetChoice>,
    /// Target process: every seL4 call on stderr, decoded
    #[arg(long)]
    trace: bool,
    /// Target process: no start when the host lacks one of the hardening calls
    #[arg(long)]
    strict: bool,
}

impl Run {
    pub(crate) fn run(&self, app: &App) -> anyhow::Result<Answer> {
        let ctx = app.context();
        let recipe = self.recipe.load(app)?;
        let target = self.target.target;
        self.boot.check(target)?;
        let image = common::image(&ctx, &recipe, target)?;
        let boot = common::boots(&image, self.boot.boot)?.first().copied().flatten();
        let overrides =
            Overrides { args: self.args.clone(), env: self.env.clone(), secrets: self.secrets.clone() };
        let json = app.terminal.format == Format::Json;
        let options = RunOptions {
            accel: self.accel.accel,
            overrides,
            boot,
            tender_options: self.tender_options(target)?,
            console_on_stderr: json,
            ports: self.ports.clone(),
            disk: self.disk.clone(),
            net: self.net.clone(),
            ..RunOptions::default()
        };
        let outcome = run::run(&ctx, &recipe, target, &image.dir, &options)?;
        let (ended, code) = match outcome.status {
            Some(0) => ("ended with status 0".to_owned(), ExitCode::Ok),
            Some(status) => (format!("ended with status {status}"), ExitCode::Failed),
            None => ("was left".to_owned(), ExitCode::Ok),
        };
        ctx.progress.note(&format!("{} {ended} after {:.2} s", image.name, outcome.duration.as_secs_f64()));
        // On stdout only the console: what the function prints may be piped elsewhere.
        Ok(Answer::new(&outcome, "")?.with_code(code))
    }

    fn tender_options(&self, target: Target) -> builder::Result<Vec<String>> {
        let options = [("--trace", self.trace), ("--strict", self.strict)];
        let given: Vec<String> =
            options.iter().filter(|(_, given)| *given).map(|(name, _)| (*name).to_owned()).collect();
        match given.first() {
            Some(option) if target != Target::Process => Err(Error::new(
                ExitCode::Usage,
                format!("`{option}` is for processes\n  help: add `--target process`, or leave it out"),
            )),
            _ => Ok(given),
        }
    }
}

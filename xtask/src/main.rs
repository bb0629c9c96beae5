//! `cargo xtask`: the command line of Selkie. It parses, calls `builder` and prints.

mod app;
mod cli;
mod cmd;
mod output;
mod progress;
mod table;

use app::App;
use clap::FromArgMatches;
use output::{Answer, Terminal};
use std::process::ExitCode;

/// The one place where the process ends.
fn main() -> ExitCode {
    let terminal = Terminal::of_args(std::env::args_os());
    let code = match parse(&terminal) {
        Ok(cli) => run(cli, terminal),
        Err(error) => terminal.clap(&error),
    };
    ExitCode::from(code)
}

fn parse(terminal: &Terminal) -> Result<cli::Cli, clap::Error> {
    let matches = cli::command(terminal.clap_color()).try_get_matches()?;
    cli::Cli::from_arg_matches(&matches)
}

fn run(cli: cli::Cli, terminal: Terminal) -> u8 {
    let app = match App::new(&cli.global, terminal.clone()) {
        Ok(app) => app,
        Err(error) => return terminal.error(&error, None),
    };
    let outcome: anyhow::Result<Answer> = cli.command.run(&app);
    app.finish();
    match outcome {
        Ok(answer) => terminal.answer(&answer),
        Err(error) => terminal.error(&error, app.signal_code()),
    }
}

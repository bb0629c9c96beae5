//! One file per verb.

mod clean;
mod doctor;
mod list;
mod test;

use crate::{app::App, output::Answer};

/// The verbs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Doctor(doctor::Doctor),
    Test(test::Test),
    List(list::List),
    Clean(clean::Clean),
}

impl Command {
    /// Does what was asked.
    pub(crate) fn run(&self, app: &App) -> anyhow::Result<Answer> {
        match self {
            Self::Doctor(verb) => verb.run(app),
            Self::Test(verb) => verb.run(app),
            Self::List(verb) => verb.run(app),
            Self::Clean(verb) => verb.run(app),
        }
    }
}

//! One file per verb.

mod bench;
mod build_image;
mod build_kernel;
mod build_tender;
mod clean;
mod common;
mod demo;
mod diff;
mod doctor;
mod explain;
mod inspect;
mod list;
mod lock;
mod publish;
mod repro;
mod run;
mod size;
mod smoke;
mod test;
mod this_machine;
mod verify;

use crate::{app::App, output::Answer};

/// The verbs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Demo(demo::Demo),
    Test(test::Test),
    BuildImage(build_image::BuildImage),
    BuildKernel(build_kernel::BuildKernel),
    BuildTender(build_tender::BuildTender),
    Run(run::Run),
    Smoke(smoke::Smoke),
    Publish(publish::Publish),
    Verify(verify::Verify),
    Explain(explain::Explain),
    Inspect(inspect::Inspect),
    Size(size::Size),
    Repro(repro::Repro),
    Lock(lock::Lock),
    Diff(diff::Diff),
    List(list::List),
    Doctor(doctor::Doctor),
    Clean(clean::Clean),
    Bench(bench::Bench),
}

impl Command {
    /// Does what was asked.
    pub(crate) fn run(&self, app: &App) -> anyhow::Result<Answer> {
        match self {
            Self::Demo(verb) => verb.run(app),
            Self::Test(verb) => verb.run(app),
            Self::BuildImage(verb) => verb.run(app),
            Self::BuildKernel(verb) => verb.run(app),
            Self::BuildTender(verb) => verb.run(app),
            Self::Run(verb) => verb.run(app),
            Self::Smoke(verb) => verb.run(app),
            Self::Publish(verb) => verb.run(app),
            Self::Verify(verb) => verb.run(app),
            Self::Explain(verb) => verb.run(app),
            Self::Inspect(verb) => verb.run(app),
            Self::Size(verb) => verb.run(app),
            Self::Repro(verb) => verb.run(app),
            Self::Lock(verb) => verb.run(app),
            Self::Diff(verb) => verb.run(app),
            Self::List(verb) => verb.run(app),
            Self::Doctor(verb) => verb.run(app),
            Self::Clean(verb) => verb.run(app),
            Self::Bench(verb) => verb.run(app),
        }
    }
}

//! For the tests: builds the image of one recipe in a process of its own, so that a test can choose its
//! environment and kill it. `build-one ROOT OUT RECIPE [TARGET]`; prints what happens, one line each.

use builder::{
    Context, Error, ExitCode, Project, Target, build,
    context::{Cancel, Progress},
    plan,
    recipe::Recipe,
};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::{path::PathBuf, process};

struct Lines;

impl Progress for Lines {
    fn begin(&self, step: &str) {
        println!("begin {step}");
    }

    fn end(&self, step: &str, note: &str) {
        println!("end {step}: {note}");
    }

    fn note(&self, text: &str) {
        println!("note {text}");
    }
}

fn main() -> process::ExitCode {
    let cancel = Cancel::default();
    for signal in [SIGINT, SIGTERM] {
        if let Err(error) = signal_hook::flag::register(signal, cancel.0.clone()) {
            eprintln!("error: {error}");
            return process::ExitCode::FAILURE;
        }
    }
    match run(cancel.clone()) {
        Ok(()) => process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            process::ExitCode::from(if cancel.requested() { 130 } else { error.code() as u8 })
        }
    }
}

fn run(cancel: Cancel) -> Result<(), Error> {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().ok_or_else(|| Error::new(ExitCode::Usage, "build-one ROOT OUT RECIPE"));
    let project = Project { root: PathBuf::from(next()?), out: PathBuf::from(next()?) };
    let ctx = Context::with_cancel(&project, &Lines, cancel);
    let recipe = Recipe::load(&project, &next()?)?;
    let named = args.next();
    let target = Target::ALL.iter().copied().find(|target| Some(target.name()) == named.as_deref());
    let plan = plan::plan(&ctx, &recipe, target.unwrap_or(Target::Qemu))?;
    println!("plan {}", plan.key);
    let image = build::build(&ctx, &plan)?;
    for member in &image.members {
        println!("member {} {}", member.name, member.sha256);
    }
    println!("{}", if image.fresh { "built" } else { "nothing to do" });
    Ok(())
}

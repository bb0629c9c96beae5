//! `run`: an image with a person, or a pipe, at its console.

mod overrides;
mod pc;
mod terminal;

pub(crate) use overrides::secret_from_file;
pub use overrides::{Overrides, OverridesError};

use crate::{
    Context, Result, Target,
    disk::{self, Attached},
    kernel_config::KernelConfig,
    net::{self, NetChoice, Passt, PortChoice, Published},
    process::Program,
    qemu::{
        self, AccelRequest, Accelerator, Binary, Boot, BootPath, Ended, GuestEnd, Host, How, Launch, Peer, Vm,
    },
    recipe::{Protocol, RawNet, Recipe},
    smoke,
};
use serde::Serialize;
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};
use terminal::Terminal;

/// How an image is run.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// KVM or TCG.
    pub accel: AccelRequest,
    /// The QEMU to use, a path or a name on PATH; `qemu-system-x86_64` when there is none.
    pub qemu: Option<PathBuf>,
    /// What the function is started with instead of what lies in the image.
    pub overrides: Overrides,
    /// What boots a bare-metal image: one of [`smoke::boots`]; the first of them when there is none.
    pub boot: Option<BootPath>,
    /// Options for the tender, `--trace` for instance; only for a process.
    pub tender_options: Vec<String>,
    /// The console's output goes to standard error, when something else is to stand on standard output.
    pub console_on_stderr: bool,
    /// Ports of the host instead of those that the recipe names, or besides.
    pub ports: Vec<PortChoice>,
    /// The file or block device that is the function's disk, instead of the one that is kept in `out/`; with `,ro` at its
    /// end it is only read.
    pub disk: Option<PathBuf>,
    /// What the card is plugged into, whatever the recipe says.
    pub net: Option<NetChoice>,
}

/// A run that is over.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunOutcome {
    /// The function's exit status, 0 to 111; none when the user left before.
    pub status: Option<u8>,
    /// KVM or TCG, and why; none for a process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<Accelerator>,
    /// From the start of QEMU or the process to its end.
    #[serde(skip)]
    pub duration: Duration,
}

/// A run that did not end with a status.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The guest ended, but not by the exit port.
    #[error(
        "the machine was reset (a triple fault does that, or a reboot) or switched off, without an exit status"
    )]
    Reset,
    /// The guest wrote what the runtime never writes.
    #[error("something in the guest wrote {0} to the exit port itself; no exit status looks like that")]
    ForeignExit(u8),
    /// QEMU failed.
    #[error("QEMU ended with exit code {code}{said}")]
    Qemu {
        /// Its exit code.
        code: i32,
        /// What it said, after a colon.
        said: String,
    },
    /// QEMU was killed.
    #[error("QEMU was killed by {0}")]
    Killed(String),
    /// The tender failed; it has said why on standard error.
    #[error("the tender ended with exit code {0}, which is no function's status")]
    Tender(i32),
    /// The process was killed.
    #[error("the process was killed by {0}")]
    ProcessKilled(String),
    /// KVM cannot run the guest.
    #[error("KVM cannot run the guest: {0}\n  help: `--accel tcg` does without KVM")]
    Kvm(String),
    /// The terminal or the pipes failed.
    #[error("the terminal failed: {0}")]
    Terminal(io::Error),
    /// Nothing hands an override over on bare metal.
    #[error(
        "`--arg`, `--env` and `--secret` do not reach a function on bare metal: there is nobody to hand them over\n  help: write them into [run.bare-metal] of the recipe, or run it on target `qemu`"
    )]
    Overridden,
    /// A machine without exit port that was switched off too early.
    #[error("the machine was switched off without an exit line, which names the exit status")]
    NoExitLine,
    /// The override cannot be handed over.
    #[error("the run configuration cannot be handed over: {0}")]
    Override(io::Error),
    /// The kernel needs a CPU that the emulation is not.
    #[error("it would not boot here: {0}\n  help: run it on a host with KVM, or take another kernel config")]
    Unfit(String),
}

crate::exit_code!(Error, |error| match error {
    Error::Overridden => crate::ExitCode::Usage,
    _ => crate::ExitCode::Failed,
});

/// Runs the image of `recipe` for `target` that lies in `dir`, with standard input and output as its
/// console.
///
/// At a terminal every key goes to the guest, Ctrl-C too; Ctrl-A x leaves. What is piped in goes to the
/// guest as it is, once the guest has printed something: before, nobody there would read it.
///
/// # Errors
/// When QEMU is missing (exit code 3), the guest ends without a status, or the user stops it by a signal.
pub fn run(
    ctx: &Context<'_>,
    recipe: &Recipe,
    target: Target,
    dir: &Path,
    options: &RunOptions,
) -> Result<RunOutcome> {
    let stdin = io::stdin();
    let (stdout, stderr) = (io::stdout(), io::stderr());
    let output = if options.console_on_stderr { stderr.as_fd() } else { stdout.as_fd() };
    let fds = (stdin.as_fd(), output);
    let plugged = net::plugged(recipe.devices.net.as_ref(), options.net.as_ref())?;
    let mut recipe = recipe.clone();
    recipe.devices.net = plugged;
    let recipe = &recipe;
    let card = recipe.devices.net.as_ref();
    let ports = net::publish(card, &options.ports)?;
    tell_ports(ctx, recipe, &ports);
    let disk = disk::of_run(ctx.project, recipe, options.disk.as_deref())?;
    let disk = disk.as_ref();
    if let Some(disk) = disk {
        ctx.progress.note(&format!("its disk is {}", disk.option()));
    }
    match target {
        Target::Qemu => {
            let kernel = KernelConfig::of(ctx.project, recipe)?;
            let boot = Boot::new(recipe, &kernel, dir);
            boot.check()?;
            let qemu = Binary::find(options.qemu.as_deref())?;
            let sign = smoke::sign_of_life(recipe.smoke.as_ref(), kernel.is_debug())?;
            let probe = qemu::Probe::new(&qemu, &boot, sign);
            let accelerator = qemu::choose(ctx, options.accel, &Host::read(), &probe)?;
            fit(ctx, &boot.vm, &accelerator)?;
            boot_at(ctx, &boot, &qemu, accelerator, &options.overrides, (&ports, disk), fds)
        }
        Target::BareMetal => {
            pc::run(ctx, recipe, dir, smoke::boot_of(dir, options.boot)?, options, (&ports, disk), fds)
        }
        Target::Process => {
            let program = Program::find(dir, &recipe.function.name)?;
            let (passt, net) = Passt::serve(card, &ports)?.unzip();
            let mut tender_options = options.tender_options.clone();
            tender_options.extend(tap_option(card));
            // What the tender says, traces among it, is for the user's eyes as it comes.
            let launch = |run_file| Launch {
                show_stderr: true,
                ..program.launch(run_file, net, disk, &tender_options)
            };
            let outcome = at_console(ctx, launch, None, &options.overrides, fds);
            if let Some(failure) = passt.and_then(|mut passt| passt.failure()) {
                ctx.progress.note(&format!("warning: {failure}"));
            }
            outcome
        }
    }
}

/// What a process is told of the tap device that its card is plugged into.
pub(crate) fn tap_option(card: Option<&RawNet>) -> Vec<String> {
    card.and_then(RawNet::tap).map(|tap| vec!["--net".to_owned(), tap.to_string()]).unwrap_or_default()
}

/// Says where the function is reached; a port that its smoke test asks by HTTP as an address to open.
fn tell_ports(ctx: &Context<'_>, recipe: &Recipe, ports: &[Published]) {
    let asked = || recipe.smoke.iter().flat_map(|smoke| &smoke.http);
    for port in ports {
        let http = port.protocol == Protocol::Tcp && asked().any(|request| request.port == port.guest);
        ctx.progress.note(&if http { port.http() } else { port.to_string() });
    }
}

/// Says which accelerator was chosen, and refuses it where it does not give the machine what its kernel needs.
fn fit(ctx: &Context<'_>, vm: &Vm, accelerator: &Accelerator) -> Result<(), Error> {
    ctx.progress.note(&accelerator.to_string());
    vm.unfit(accelerator.accel).map_or(Ok(()), |reason| Err(Error::Unfit(reason)))
}

/// Boots in QEMU, with everything chosen and any console.
fn boot_at(
    ctx: &Context<'_>,
    boot: &Boot,
    qemu: &Binary,
    accelerator: Accelerator,
    overrides: &Overrides,
    (ports, disk): (&[Published], Option<&Attached>),
    fds: (BorrowedFd<'_>, BorrowedFd<'_>),
) -> Result<RunOutcome> {
    let accel = accelerator.accel;
    let launch = |run_file| boot.launch(qemu, accel, run_file, ports, disk);
    at_console(ctx, launch, Some(accelerator), overrides, fds)
}

/// Runs what `launch` makes of the override's file, with any console.
fn at_console(
    ctx: &Context<'_>,
    launch: impl FnOnce(Option<OwnedFd>) -> Launch,
    accelerator: Option<Accelerator>,
    overrides: &Overrides,
    (stdin, stdout): (BorrowedFd<'_>, BorrowedFd<'_>),
) -> Result<RunOutcome> {
    let run_file = match overrides.encode(|name| std::env::var_os(name))? {
        Some(bytes) => Some(qemu::run_file(&bytes).map_err(Error::Override)?),
        None => None,
    };
    let mut terminal = Terminal::new(stdin, stdout).map_err(Error::Terminal)?;
    let ended = console(ctx, launch(run_file), &mut terminal, |terminal| terminal)?;
    let status = terminal.outcome(|| status(&ended))?;
    Ok(RunOutcome { status, accelerator, duration: ended.duration })
}

/// Runs a program until it ends or the user leaves, with `peer` at its console, who has a terminal.
fn console<'a, P: Peer>(
    ctx: &Context<'_>,
    launch: Launch,
    peer: &mut P,
    terminal: impl Fn(&P) -> &Terminal<'a>,
) -> Result<Ended> {
    if terminal(peer).has_keys() {
        ctx.progress.note("Ctrl-A x leaves, Ctrl-A h helps");
    }
    let _raw = terminal(peer).raw().map_err(Error::Terminal)?;
    Ok(qemu::drive(launch, None, &ctx.cancel, peer)?)
}

/// The function's status, when the guest ended by the exit port.
fn status(ended: &Ended) -> Result<u8, Error> {
    let said = qemu::own_words(&ended.stderr);
    let qemu =
        |code| Error::Qemu { code, said: if said.is_empty() { String::new() } else { format!(": {said}") } };
    match &ended.how {
        How::Ended(GuestEnd::Status(status)) => Ok(*status),
        How::Ended(GuestEnd::One) if said.is_empty() => Err(Error::ForeignExit(0)),
        How::Ended(GuestEnd::One) => Err(qemu(1)),
        How::Ended(GuestEnd::Failed(code)) => Err(qemu(*code)),
        How::Ended(GuestEnd::ForeignValue(value)) => Err(Error::ForeignExit(*value)),
        How::Ended(GuestEnd::Signal(signal)) => Err(Error::Killed(qemu::signal_name(*signal))),
        How::Ended(GuestEnd::Tender(code)) => Err(Error::Tender(*code)),
        How::Ended(GuestEnd::Killed(signal)) => Err(Error::ProcessKilled(qemu::signal_name(*signal))),
        How::KvmFailed(line) => Err(Error::Kvm(line.clone())),
        // A run has no time-out, and whoever stops it has said why before.
        How::Ended(GuestEnd::Reset | GuestEnd::PoweredOff) | How::TimedOut | How::Stopped => {
            Err(Error::Reset)
        }
    }
}

#[cfg(test)]
mod tests;

//! Smoke tests: run an image, watch its console, and say honestly what happened.
//!
//! PASS needs the expected texts, no forbidden one, the exit line of this very run as the last one, the
//! expected status in it, and the same status from the machine's exit port or of the process. Bare metal has no
//! exit port: there the machine must end as the recipe says, by switching itself off mostly. Anything else has a
//! cause of its own.

mod earlier;
pub(crate) mod frame;
mod junit;
pub(crate) mod nonce;
mod pattern;
mod report;
mod requests;
mod server;
mod verdict;
mod watch;

pub use earlier::{Earlier, Error as EarlierError};
pub use junit::junit;
pub use pattern::BadPattern;
pub use report::{RunReport, Summary, Timing};
pub use requests::{Failure, RequestReport};
pub use server::Error as ServerError;
pub use verdict::{Cause, Verdict};

use crate::{
    Context, Result, Target,
    disk::{self, Attached},
    image::Manifest,
    kernel_config::KernelConfig,
    net::{self, Passt, Published},
    process::Program,
    qemu::{self, AccelRequest, Accelerator, Binary, Boot, BootPath, Host, Launch, Pc, Probe, Traces, Vm},
    recipe::{AtExit, DiskFormat, Protocol, RawNet, RawPattern, Recipe, Smoke},
    run::{secret_from_file, tap_option},
    run_config::Override,
};
use pattern::Pattern;
use regex::bytes::Regex;
use requests::Requests;
use std::{
    fs::{File, Permissions},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};
use verdict::{Expectation, Observed, judge};
use watch::{Watched, Watcher};

/// How a smoke test is made.
#[derive(Debug, Clone, Default)]
pub struct SmokeOptions {
    /// KVM or TCG.
    pub accel: AccelRequest,
    /// The QEMU to use, a path or a name on PATH; `qemu-system-x86_64` when there is none.
    pub qemu: Option<PathBuf>,
    /// Instead of the recipe's time-out.
    pub timeout: Option<Duration>,
    /// What boots a bare-metal image: one of [`boots`].
    pub boot: Option<BootPath>,
}

/// The console cannot be logged, or nothing random is to be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log cannot be written.
    #[error(
        "{path}: {source}\n  help: the console's log goes into the image's folder, which must be writable"
    )]
    Log {
        /// The log.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An image without a medium.
    #[error("{dir}: nothing here could boot\n  help: build the image again with `cargo xtask build-image`")]
    NoBoot {
        /// The image's folder.
        dir: PathBuf,
    },
    /// The host gives no random numbers or no anonymous file.
    #[error("the run's nonce cannot be made: {0}")]
    Nonce(io::Error),
}

crate::exit_code!(Error, Failed);

/// The name of the console's log in the image's folder; bare metal has one for each boot, such as
/// `smoke-iso-cd-bios.log`.
pub const LOG: &str = "smoke.log";

/// The name of the console's log: each boot of an image has its own, and so has each that follows on the same disk.
fn log_name(boot: Option<BootPath>, number: usize) -> String {
    let path = boot.map(|boot| format!("-{}", boot.name().replace('/', "-"))).unwrap_or_default();
    match number {
        0 | 1 => format!("smoke{path}.log"),
        _ => format!("smoke{path}-again-{}.log", number - 1),
    }
}

/// The ways in which the image in `dir` boots, each of which is one smoke test: none but for a bare-metal image.
///
/// # Errors
/// When there is no image.
pub fn boots(dir: &Path) -> Result<Vec<BootPath>> {
    let media = Manifest::read(dir)?.media;
    Ok(media.map(|media| BootPath::of(&media.formats, &media.firmware)).unwrap_or_default())
}

/// The way that was asked for, else the first of [`boots`].
pub(crate) fn boot_of(dir: &Path, wanted: Option<BootPath>) -> Result<BootPath> {
    match wanted {
        Some(boot) => Ok(boot),
        None => Ok(boots(dir)?.first().copied().ok_or(Error::NoBoot { dir: dir.to_owned() })?),
    }
}

/// Runs the image of `recipe` for `target` that lies in `dir` and judges the run.
///
/// # Errors
/// When the test could not be made at all: no QEMU (exit code 3), the user cancels, files of the image
/// are missing, the log cannot be written. What the guest does wrong is a verdict, not an error.
pub fn smoke(
    ctx: &Context<'_>,
    recipe: &Recipe,
    target: Target,
    dir: &Path,
    options: &SmokeOptions,
) -> Result<RunReport> {
    let report = judged(ctx, recipe, target, dir, options)?;
    // In a process no kernel of seL4 runs.
    let manifest = (target != Target::Process).then(|| Manifest::read(dir).ok()).flatten();
    Ok(RunReport { verified: manifest.map(|manifest| manifest.kernel.verified), ..report })
}

fn judged(
    ctx: &Context<'_>,
    recipe: &Recipe,
    target: Target,
    dir: &Path,
    options: &SmokeOptions,
) -> Result<RunReport> {
    let name = &recipe.function.name;
    let boot = options.boot.filter(|_| target == Target::BareMetal);
    let skipped = |reason| Ok(RunReport::not_run(name, target, Verdict::Skip { reason }).by(boot));
    let Some(spec) = &recipe.smoke else { return skipped("the recipe has no [smoke] table".into()) };
    let net = recipe.devices.net.as_ref();
    if let Some(Err(lacking)) = net.and_then(RawNet::tap).map(|tap| tap.check()) {
        return skipped(lacking.to_string());
    }
    let own = recipe.run.address(target);
    let disk = disk::of_test(recipe, dir)?;
    let disk = disk.as_ref().map(|(_, attached)| attached);
    let trial = Trial { name, target, boot, spec, net, own, disk, dir, timeout: options.timeout };
    let report = tried(ctx, recipe, trial, options)?;
    Ok(
        match disk.filter(|_| report.verdict.passed()).map(|disk| damage(recipe, disk)).transpose()?.flatten()
        {
            Some(detail) => {
                RunReport { verdict: Verdict::Fail { cause: Cause::DiskDamaged, detail }, ..report }
            }
            None => report,
        },
    )
}

/// What the host finds wrong with the file system on the disk that a test has left; none where it cannot look into it.
fn damage(recipe: &Recipe, disk: &Attached) -> Result<Option<String>, disk::Error> {
    let format = recipe.devices.disk.as_ref().map(|disk| disk.format);
    let killed = recipe.smoke.iter().flat_map(Smoke::boots).any(|boot| boot.kill);
    match format {
        Some(DiskFormat::Ext2) => Ok(disk::fault_of_ext2(&disk.path, killed)?),
        _ => Ok(None),
    }
}

/// Runs one image in every boot of its test.
fn tried(ctx: &Context<'_>, recipe: &Recipe, trial: Trial<'_>, options: &SmokeOptions) -> Result<RunReport> {
    let Trial { name, target, boot, dir, .. } = trial;
    match target {
        Target::Qemu => {
            let kernel = KernelConfig::of(ctx.project, recipe)?;
            trial.in_machine(ctx, &Boot::new(recipe, &kernel, dir), options, &Host::read())
        }
        Target::Process => trial.as_process(ctx),
        Target::BareMetal => {
            let kernel = KernelConfig::of(ctx.project, recipe)?;
            let path = boot_of(dir, boot)?;
            let trial = Trial { boot: Some(path), ..trial };
            match Pc::new(recipe, &kernel, dir, path) {
                Ok(pc) => trial.on_pc(ctx, recipe.run.at_exit, &pc, path.allowance(), options),
                Err(lacking) => {
                    let reason = lacking.to_string();
                    Ok(RunReport::not_run(name, target, Verdict::Skip { reason }).by(Some(path)))
                }
            }
        }
    }
}

/// What a run was started with and left behind besides its console.
struct Run {
    launch: Launch,
    traces: Option<Traces>,
    /// The network of a process.
    passt: Option<Passt>,
}

impl From<Launch> for Run {
    fn from(launch: Launch) -> Self {
        Self { launch, traces: None, passt: None }
    }
}

/// One smoke test, with all that it depends on.
struct Trial<'a> {
    name: &'a str,
    target: Target,
    /// On bare metal: what boots it.
    boot: Option<BootPath>,
    spec: &'a Smoke,
    /// The function's network.
    net: Option<&'a RawNet>,
    /// Its own address there, where the recipe gives it one.
    own: Option<IpAddr>,
    /// Its disk.
    disk: Option<&'a Attached>,
    /// The image's folder.
    dir: &'a Path,
    /// Instead of the recipe's time-out.
    timeout: Option<Duration>,
}

impl Trial<'_> {
    /// Boots the image in QEMU.
    fn in_machine(
        &self,
        ctx: &Context<'_>,
        boot: &Boot,
        options: &SmokeOptions,
        host: &Host,
    ) -> Result<RunReport> {
        boot.check()?;
        let qemu = Binary::find(options.qemu.as_deref())?;
        let expected = self.expectation()?;
        let sign = expected.expect.first().map(|pattern| pattern.regex.clone());
        let accelerator = qemu::choose(ctx, options.accel, host, &Probe::new(&qemu, boot, sign))?;
        let accel = accelerator.accel;
        let launch = |run_file, ports: &[Published]| {
            Ok(boot.launch(&qemu, accel, Some(run_file), ports, self.disk).into())
        };
        self.emulated(ctx, expected, launch, accelerator, &boot.vm)
    }

    /// Lets the firmware of a PC boot the image.
    fn on_pc(
        &self,
        ctx: &Context<'_>,
        at_exit: AtExit,
        pc: &Pc,
        allowance: Duration,
        options: &SmokeOptions,
    ) -> Result<RunReport> {
        let qemu = Binary::find(options.qemu.as_deref())?;
        let expected = Expectation { allowance, at_exit: Some(at_exit), ..self.expectation()? };
        let sign = expected.expect.first().map(|pattern| pattern.regex.clone());
        let accelerator = pc.accelerator(ctx, options.accel, &qemu, sign)?;
        let accel = accelerator.accel;
        let launch = |run_file, ports: &[Published]| {
            let (launch, traces) = pc.launch(&qemu, accel, run_file, ports, self.disk)?;
            Ok(Run { launch, traces: Some(traces), passt: None })
        };
        self.emulated(ctx, expected, launch, accelerator, &pc.vm)
    }

    /// One run in QEMU, where the accelerator gives the machine what its kernel needs.
    fn emulated(
        &self,
        ctx: &Context<'_>,
        expected: Expectation,
        launch: impl Fn(OwnedFd, &[Published]) -> Result<Run>,
        accelerator: Accelerator,
        vm: &Vm,
    ) -> Result<RunReport> {
        if let Some(reason) = vm.unfit(accelerator.accel) {
            return Ok(RunReport::not_run(self.name, self.target, Verdict::Skip { reason }).by(self.boot));
        }
        self.all(ctx, expected, launch, Some(accelerator))
    }

    /// Starts the image's executable.
    fn as_process(&self, ctx: &Context<'_>) -> Result<RunReport> {
        let program = Program::find(self.dir, self.name)?;
        let launch = |run_file, ports: &[Published]| {
            let (passt, net) = Passt::serve(self.net, ports)?.unzip();
            let launch = program.launch(Some(run_file), net, self.disk, &tap_option(self.net));
            Ok(Run { launch, traces: None, passt })
        };
        self.all(ctx, self.expectation()?, launch, None)
    }

    /// Where the function's port for TCP is reached: at a tap device by its own address, else by one of the host's.
    fn reached(&self, ports: &[Published], guest: u16) -> Option<SocketAddr> {
        if self.net.is_some_and(RawNet::is_at_tap) {
            return Some((self.own?, guest).into());
        }
        let port = ports.iter().find(|port| port.protocol == Protocol::Tcp && port.guest == guest)?;
        Some((Ipv4Addr::LOCALHOST, port.host).into())
    }

    fn expectation(&self) -> Result<Expectation> {
        Ok(Expectation {
            expect: Pattern::all(&self.spec.expect)?,
            forbid: Pattern::all(&self.spec.forbid)?,
            status: self.spec.status,
            timeout: self.timeout.unwrap_or(self.spec.timeout),
            allowance: Duration::ZERO,
            at_exit: None,
            nonce: nonce::fresh().map_err(Error::Nonce)?,
            killed: self.spec.kill,
        })
    }

    /// One run for each boot of the recipe, on the same disk, until one fails.
    fn all(
        &self,
        ctx: &Context<'_>,
        first: Expectation,
        launch: impl Fn(OwnedFd, &[Published]) -> Result<Run>,
        accelerator: Option<Accelerator>,
    ) -> Result<RunReport> {
        let (allowance, at_exit) = (first.allowance, first.at_exit);
        let mut report = self.once(ctx, &first, &launch, accelerator.clone(), 1)?;
        for (spec, number) in self.spec.boots().skip(1).zip(2..) {
            if !report.verdict.passed() {
                break;
            }
            let trial = Trial { spec, ..*self };
            let expected = Expectation { allowance, at_exit, ..trial.expectation()? };
            let next = trial.once(ctx, &expected, &launch, accelerator.clone(), number)?;
            report = report.then(next, number);
        }
        Ok(report)
    }

    /// One run of what `launch` makes of the file with the run's nonce, and of the host's ports: boot `number`.
    fn once(
        &self,
        ctx: &Context<'_>,
        expected: &Expectation,
        launch: impl FnOnce(OwnedFd, &[Published]) -> Result<Run>,
        accelerator: Option<Accelerator>,
        number: usize,
    ) -> Result<RunReport> {
        let log = self.dir.join(log_name(self.boot, number));
        let file = new_log(&log).map_err(|source| Error::Log { path: log.clone(), source })?;
        let (_servers, mut env) = server::start(&self.spec.server)?;
        for (name, file) in &self.spec.secrets {
            env.insert(name.clone(), secret_from_file(name, &file.path)?);
        }
        let told = Override { nonce: Some(expected.nonce.clone()), env, ..Override::default() };
        let run_file = qemu::run_file(&told.encode()?).map_err(Error::Nonce)?;
        let ports = net::publish_anywhere(self.net)?;
        let reached = |port| self.reached(&ports, port);
        let requests = Requests::of(self.spec, reached);
        let Run { launch, mut traces, passt } = launch(run_file, &ports)?;
        let mut watcher =
            Watcher::new(file, ctx.progress, self.spec.input.as_deref(), expected.expect.first())
                .asking(requests, self.spec.stop.as_deref())
                .beside(passt);
        if expected.killed {
            watcher = watcher.killing();
        }
        if expected.at_exit == Some(AtExit::Halt) {
            watcher = watcher.until(&expected.nonce);
        }
        if let Some(traces) = &mut traces {
            watcher = watcher.with(&mut traces.monitor);
        }
        let limit = expected.timeout + expected.allowance;
        let mut ended = qemu::drive(launch, Some(limit), &ctx.cancel, &mut watcher)?;
        let Watched {
            text,
            screen,
            overflow,
            first_output,
            first_line,
            log_error,
            requests,
            network_failure,
        } = watcher.done();
        if let Some(traces) = &mut traces {
            traces.explain(&mut ended);
        }
        if let Some(source) = log_error {
            return Err(Error::Log { path: log, source }.into());
        }
        let (verdict, status) = judge(
            expected,
            &Observed {
                target: self.target,
                text: &text,
                overflow: overflow.then_some(watch::LIMIT),
                how: &ended.how,
                stderr: &ended.stderr,
                requests: &requests,
            },
        );
        let (verdict, status) = match network_failure {
            Some(detail) if !verdict.passed() => {
                (Verdict::Fail { cause: Cause::NetworkFailed, detail }, status)
            }
            _ => (verdict, status),
        };
        // Where the function has ended, firmware and boot loader did their part.
        let firmware =
            traces.filter(|_| status.is_none()).map(|mut traces| report::firmware(&traces.firmware()));
        Ok(RunReport {
            name: self.name.to_owned(),
            target: self.target,
            boot: self.boot,
            verdict,
            image: None,
            verified: None,
            status,
            // What was read last may have been read after the program's end was seen.
            timing: Timing { first_output, first_line, end: Some(ended.duration).max(first_line) },
            accelerator,
            log: Some(log),
            tail: report::tail(&text),
            requests,
            firmware: firmware.unwrap_or_default(),
            screen,
            said: ended.stderr.lines().map(str::to_owned).collect(),
        })
    }
}

/// A log of this run's own, even when another run of the same image still writes to the last one.
fn new_log(path: &Path) -> io::Result<File> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let file = tempfile::Builder::new().permissions(Permissions::from_mode(0o644)).tempfile_in(dir)?;
    Ok(file.persist(path)?)
}

/// By what an image shows that it runs: the first text that its smoke test expects. Where it has none,
/// any line will do on a kernel that prints nothing itself.
pub(crate) fn sign_of_life(smoke: Option<&Smoke>, kernel_prints: bool) -> Result<Option<Regex>, BadPattern> {
    match smoke.and_then(|smoke| smoke.expect.first()) {
        Some(text) => Ok(Some(Pattern::new(text)?.regex)),
        None if kernel_prints => Ok(None),
        None => Ok(Some(Pattern::new(&RawPattern::Regex { regex: r"\S.*$".into() })?.regex)),
    }
}

#[cfg(test)]
pub(crate) mod tests;

//! KVM or TCG: KVM only where a guest has been seen to run under it.
//!
//! A KVM device that opens proves little: nested KVM in software cannot run seL4 5.0.0 and only looks
//! hung. So the image at hand is booted under KVM once, with a short time-out, and the answer is
//! remembered for this QEMU, this kernel, this machine type and this host kernel.

use super::{Binary, Boot, Ended, Error, Flow, GuestEnd, How, Peer, drive};
use crate::{Context, Digest, exec, smoke::frame};
use serde::{Deserialize, Serialize};
use std::{fmt, fs, io, path::Path, time::Duration};

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accel {
    /// QEMU's own translator.
    Tcg,
    /// The host's processor, by Linux's KVM.
    Kvm,
}

impl Accel {
    /// QEMU's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Accel::Tcg => "tcg",
            Accel::Kvm => "kvm",
        }
    }
}

/// What the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccelRequest {
    /// KVM where a probe shows that it works, else TCG.
    #[default]
    Auto,
    /// This one, without a probe.
    Only(Accel),
}

/// An accelerator was asked for that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("there is no accelerator `{0}`\n  help: it is one of `auto`, `tcg` and `kvm`")]
pub struct UnknownAccel(String);

crate::exit_code!(UnknownAccel, Usage);

impl std::str::FromStr for AccelRequest {
    type Err = UnknownAccel;

    fn from_str(text: &str) -> Result<Self, UnknownAccel> {
        match text {
            "auto" => Ok(Self::Auto),
            "tcg" => Ok(Self::Only(Accel::Tcg)),
            "kvm" => Ok(Self::Only(Accel::Kvm)),
            _ => Err(UnknownAccel(text.to_owned())),
        }
    }
}

/// The accelerator of a run, and why it is this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accelerator {
    /// The accelerator.
    pub accel: Accel,
    /// Why, for the user.
    pub reason: String,
    /// Whether a probe of an earlier run has said so.
    pub remembered: bool,
}

impl Accelerator {
    /// The accelerator and why, whenever that was found out.
    pub fn reason(&self) -> String {
        let name = match self.accel {
            Accel::Tcg => "TCG",
            Accel::Kvm => "KVM",
        };
        format!("{name}: {}", self.reason)
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.reason(), if self.remembered { " (remembered)" } else { "" })
    }
}

/// What the choice depends on in the host.
#[derive(Debug, Clone)]
pub struct Host {
    /// Nothing when the KVM device opens, else why it does not.
    pub kvm: Result<(), String>,
    /// The host kernel's release and version.
    pub kernel: String,
}

const KVM_DEVICE: &str = "/dev/kvm";

impl Host {
    /// The host as it is now.
    pub fn read() -> Self {
        let uname = rustix::system::uname();
        let kernel = format!("{} {}", uname.release().to_string_lossy(), uname.version().to_string_lossy());
        Self { kvm: open(Path::new(KVM_DEVICE)).map_err(|error| refusal(&error)), kernel }
    }
}

fn open(device: &Path) -> io::Result<()> {
    fs::OpenOptions::new().read(true).write(true).open(device).map(drop)
}

fn refusal(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("the host has no {KVM_DEVICE}"),
        io::ErrorKind::PermissionDenied => {
            format!("{KVM_DEVICE} is not yours to open; being in its group (mostly `kvm`) would allow it")
        }
        _ => format!("{KVM_DEVICE} does not open: {error}"),
    }
}

/// How to find out whether KVM runs a guest.
#[derive(Debug)]
pub struct Probe<'a> {
    /// The QEMU to be used.
    pub qemu: &'a Binary,
    /// The image that is booted.
    pub boot: &'a Boot,
    /// A text by which the image shows that it runs. Its exit shows it too.
    pub sign: Option<regex::bytes::Regex>,
    /// How long it may take.
    pub limit: Duration,
}

/// How long a guest may take under KVM before it counts as hung. It needs about 0.3 s.
pub const PROBE_LIMIT: Duration = Duration::from_secs(3);

impl<'a> Probe<'a> {
    /// A probe with the usual time-out.
    pub fn new(qemu: &'a Binary, boot: &'a Boot, sign: Option<regex::bytes::Regex>) -> Self {
        Self { qemu, boot, sign, limit: PROBE_LIMIT }
    }
}

/// Everything that a remembered answer depends on.
#[derive(Serialize)]
struct Situation<'a> {
    qemu: &'a Binary,
    kernel: Digest,
    machine: crate::recipe::Machine,
    cpu: &'a str,
    host: &'a str,
}

/// Chooses the accelerator for an image: as `request` says, else by the remembered answer, else by a probe.
///
/// # Errors
/// When the user cancels, the image's kernel cannot be read or the cache cannot be written. A probe
/// that fails is no error: its reason comes with TCG.
pub fn choose(
    ctx: &Context<'_>,
    request: AccelRequest,
    host: &Host,
    probe: &Probe<'_>,
) -> crate::Result<Accelerator> {
    if let AccelRequest::Only(accel) = request {
        return Ok(Accelerator { accel, reason: "asked for".into(), remembered: false });
    }
    if let Err(reason) = &host.kvm {
        return Ok(tcg(reason.clone()));
    }
    let kernel = probe.boot.kernel();
    let situation = Situation {
        qemu: probe.qemu,
        kernel: Digest::of_file(&kernel).map_err(|source| Error::Image { path: kernel, source })?,
        machine: probe.boot.vm.machine,
        cpu: &probe.boot.vm.cpu,
        host: &host.kernel,
    };
    let entry = ctx.cache.step("accelerator", &situation, |dir| -> crate::Result<()> {
        ctx.progress.begin(STEP);
        let answer = probe.run(ctx);
        ctx.progress.end(STEP, answer.as_ref().map_or("stopped", |answer| answer.accel.name()));
        let answer = answer?;
        let path = dir.join(ANSWER);
        fs::write(&path, serde_json::to_vec(&answer).unwrap_or_default())
            .map_err(|source| Error::Memory { path, source })?;
        Ok(())
    })?;
    let path = entry.dir.join(ANSWER);
    let bytes = fs::read(&path).map_err(|source| Error::Memory { path: path.clone(), source })?;
    let mut answer: Accelerator =
        serde_json::from_slice(&bytes).map_err(|error| Error::Memory { path, source: error.into() })?;
    answer.remembered = !entry.fresh;
    Ok(answer)
}

const ANSWER: &str = "answer.json";
/// What the user is told while a probe runs.
const STEP: &str = "KVM probe";

impl Probe<'_> {
    /// Boots the image under KVM.
    fn run(&self, ctx: &Context<'_>) -> crate::Result<Accelerator> {
        let mut watch = Watch { sign: self.sign.as_ref(), text: Vec::new(), seen: false };
        let launch = self.boot.launch(self.qemu, Accel::Kvm, None, &[], None);
        let ended = match drive(launch, Some(self.limit), &ctx.cancel, &mut watch) {
            Ok(ended) => ended,
            Err(Error::Exec(exec::Error::Start { source, .. })) => {
                return Ok(tcg(format!("QEMU does not start: {source}")));
            }
            Err(error) => return Err(error.into()),
        };
        Ok(self.judge(&ended, &watch))
    }

    fn judge(&self, ended: &Ended, watch: &Watch<'_>) -> Accelerator {
        let kvm = |reason: &str| Accelerator { accel: Accel::Kvm, reason: reason.into(), remembered: false };
        if watch.seen {
            return kvm("a probe has booted this kernel under it");
        }
        match &ended.how {
            How::Ended(GuestEnd::Status(_)) => kvm("a probe has booted this kernel under it up to its exit"),
            How::Ended(end) => tcg(format!("under KVM {}", failure(*end, &ended.stderr))),
            How::KvmFailed(line) => tcg(format!("KVM cannot run the guest: {line}")),
            How::Stopped => {
                tcg("under KVM the guest printed no end of text, but nothing that is expected".into())
            }
            How::TimedOut => {
                let text = if watch.text.is_empty() {
                    "printed nothing"
                } else {
                    "printed nothing that is expected"
                };
                tcg(format!("under KVM the guest {text} within {} s", self.limit.as_secs_f32()))
            }
        }
    }
}

fn tcg(reason: String) -> Accelerator {
    Accelerator { accel: Accel::Tcg, reason, remembered: false }
}

fn failure(end: GuestEnd, stderr: &str) -> String {
    let said = super::own_words(stderr);
    let said = said.lines().next().map_or(String::new(), |line| format!(": {}", line.trim()));
    match end {
        GuestEnd::Signal(signal) | GuestEnd::Killed(signal) => {
            format!("QEMU died by {}{said}", super::exit::signal_name(signal))
        }
        GuestEnd::Reset | GuestEnd::PoweredOff => format!("the guest reset{said}"),
        GuestEnd::Failed(code) | GuestEnd::Tender(code) => format!("QEMU ended with exit code {code}{said}"),
        GuestEnd::One => format!("QEMU ended with exit code 1{said}"),
        GuestEnd::ForeignValue(value) => format!("the guest wrote {value} to the exit port{said}"),
        GuestEnd::Status(status) => format!("the guest ended with status {status}"),
    }
}

/// Looks for a sign of life.
struct Watch<'a> {
    sign: Option<&'a regex::bytes::Regex>,
    text: Vec<u8>,
    seen: bool,
}

/// How much is looked at.
const WATCH_LIMIT: usize = 1 << 20;

impl Peer for Watch<'_> {
    fn output(&mut self, bytes: &[u8], _: Duration, _: &mut Vec<u8>) -> io::Result<Flow> {
        frame::append(&mut self.text, bytes);
        let sign = self.sign.is_some_and(|sign| sign.is_match(&self.text));
        self.seen = sign || !frame::find(&self.text).is_empty();
        Ok(if self.seen || self.text.len() > WATCH_LIMIT { Flow::Stop } else { Flow::Continue })
    }
}

#[cfg(test)]
mod tests;

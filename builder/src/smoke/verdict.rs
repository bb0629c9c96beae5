//! From what was observed to a verdict: a pure function, so that every case can be tested.

use super::{
    RequestReport,
    frame::{self, Frame},
    pattern::Pattern,
};
use crate::{
    Target,
    qemu::{GuestEnd, How, own_words, signal_name},
    recipe::{AtExit, show_period},
};
use serde::Serialize;
use std::{fmt, time::Duration};

/// What a smoke test found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Verdict {
    /// Output, exit line and exit status are all as expected.
    Pass,
    /// Something is not.
    Fail {
        /// What kind of thing.
        cause: Cause,
        /// What exactly, for the user.
        detail: String,
    },
    /// The test could not be made.
    Skip {
        /// Why.
        reason: String,
    },
}

/// Why a smoke test failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// An expected text is missing.
    WrongOutput,
    /// A forbidden text was printed.
    Forbidden,
    /// No end within the time-out.
    Timeout,
    /// More output than a smoke test takes.
    OutputTooLong,
    /// The guest ended without its exit line.
    EarlyExit,
    /// The function gave another answer to a request than the expected one.
    WrongAnswer,
    /// The function gave no answer to a request.
    NoAnswer,
    /// The guest reset, crashed (a triple fault resets) or switched off without the exit port.
    Reset,
    /// The machine did not end as the recipe's `at-exit` says.
    WrongEnd,
    /// The exit line and the exit port name different statuses.
    ExitDisagrees,
    /// Another status than the expected one.
    WrongStatus,
    /// An exit line that is not of this run.
    ForgedExit,
    /// Text after the exit line.
    OutputAfterExit,
    /// The guest wrote something to the exit port that the runtime never writes.
    ForeignExit,
    /// QEMU failed by itself.
    QemuFailed,
    /// QEMU was killed.
    QemuKilled,
    /// KVM failed to run the guest.
    KvmFailed,
    /// The tender could not start the root task, or failed by itself.
    TenderFailed,
    /// The root task's process was killed.
    ProcessKilled,
    /// The program that is a process's network failed.
    NetworkFailed,
    /// The file system on the function's disk is damaged after its end.
    DiskDamaged,
    /// The image or the test could not be made.
    NotMade,
    /// The host lacks something, QEMU for instance.
    HostLacks,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Cause; 23] = [
        Cause::WrongOutput,
        Cause::Forbidden,
        Cause::Timeout,
        Cause::OutputTooLong,
        Cause::EarlyExit,
        Cause::WrongAnswer,
        Cause::NoAnswer,
        Cause::Reset,
        Cause::WrongEnd,
        Cause::ExitDisagrees,
        Cause::WrongStatus,
        Cause::ForgedExit,
        Cause::OutputAfterExit,
        Cause::ForeignExit,
        Cause::QemuFailed,
        Cause::QemuKilled,
        Cause::KvmFailed,
        Cause::TenderFailed,
        Cause::ProcessKilled,
        Cause::NetworkFailed,
        Cause::DiskDamaged,
        Cause::NotMade,
        Cause::HostLacks,
    ];
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::WrongOutput => "wrong output",
            Cause::Forbidden => "forbidden output",
            Cause::Timeout => "time-out",
            Cause::OutputTooLong => "too much output",
            Cause::EarlyExit => "early exit",
            Cause::WrongAnswer => "wrong answer",
            Cause::NoAnswer => "no answer",
            Cause::Reset => "reset",
            Cause::WrongEnd => "wrong end",
            Cause::ExitDisagrees => "exit line and exit port disagree",
            Cause::WrongStatus => "wrong status",
            Cause::ForgedExit => "forged exit line",
            Cause::OutputAfterExit => "output after the exit line",
            Cause::ForeignExit => "foreign exit",
            Cause::QemuFailed => "QEMU failed",
            Cause::QemuKilled => "QEMU was killed",
            Cause::KvmFailed => "KVM failed",
            Cause::TenderFailed => "tender failed",
            Cause::ProcessKilled => "process was killed",
            Cause::NetworkFailed => "network failed",
            Cause::DiskDamaged => "disk is damaged",
            Cause::NotMade => "could not be made",
            Cause::HostLacks => "host lacks something",
        })
    }
}

impl Verdict {
    /// Whether it is a pass.
    pub fn passed(&self) -> bool {
        *self == Verdict::Pass
    }

    /// `PASS`, `FAIL` or `SKIP`.
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Pass => "PASS",
            Verdict::Fail { .. } => "FAIL",
            Verdict::Skip { .. } => "SKIP",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Pass => f.write_str("PASS"),
            Verdict::Fail { cause, detail } => write!(f, "FAIL {cause}: {detail}"),
            Verdict::Skip { reason } => write!(f, "SKIP {reason}"),
        }
    }
}

fn shown(period: Duration) -> String {
    show_period(u64::try_from(period.as_millis()).unwrap_or(u64::MAX))
}

/// What a good run looks like.
#[derive(Debug)]
pub(crate) struct Expectation {
    pub(crate) expect: Vec<Pattern>,
    pub(crate) forbid: Vec<Pattern>,
    pub(crate) status: u8,
    pub(crate) timeout: Duration,
    /// What firmware and boot loader may take on top of it.
    pub(crate) allowance: Duration,
    /// What the machine does after the exit line, when it has no exit port.
    pub(crate) at_exit: Option<AtExit>,
    pub(crate) nonce: String,
    /// The test ends the guest when all requests have their answers.
    pub(crate) killed: bool,
}

/// What one run showed.
#[derive(Debug)]
pub(crate) struct Observed<'a> {
    /// What it ran on.
    pub(crate) target: Target,
    /// The console, with plain line ends.
    pub(crate) text: &'a [u8],
    /// The console had more to say than was taken, in bytes.
    pub(crate) overflow: Option<usize>,
    /// How the run ended.
    pub(crate) how: &'a How,
    /// What QEMU or the tender said on standard error.
    pub(crate) stderr: &'a str,
    /// How the requests went.
    pub(crate) requests: &'a [RequestReport],
}

/// A failure on the way to a verdict.
type Step<T> = Result<T, Verdict>;

fn fail<T>(cause: Cause, detail: impl Into<String>) -> Step<T> {
    Err(Verdict::Fail { cause, detail: detail.into() })
}

/// The verdict, and the status that the guest ended with when exit line and exit port (where there is one) name
/// the same.
pub(crate) fn judge(expected: &Expectation, observed: &Observed<'_>) -> (Verdict, Option<u8>) {
    let scene = Scene::new(expected, observed);
    if let Err(verdict) = scene.forbidden() {
        return (verdict, None);
    }
    if expected.killed && *observed.how == How::Stopped && observed.overflow.is_none() {
        // It had no time to end by itself.
        let verdict = scene.output().and_then(|()| scene.requests());
        return (verdict.err().unwrap_or(Verdict::Pass), None);
    }
    let status = match scene.ended().and_then(|status| scene.exit_line(status)) {
        Ok(status) => status,
        // The first thing that went wrong was the answer, even if the guest was not seen to end afterwards.
        Err(Verdict::Fail { cause: Cause::Timeout, .. }) if scene.requests().is_err() => {
            return (scene.requests().err().unwrap_or(Verdict::Pass), None);
        }
        Err(verdict) => return (verdict, None),
    };
    let verdict = scene.status(status).and_then(|()| scene.output()).and_then(|()| scene.requests());
    (verdict.err().unwrap_or(Verdict::Pass), Some(status))
}

struct Scene<'a> {
    expected: &'a Expectation,
    observed: &'a Observed<'a>,
    frames: Vec<Frame>,
    /// The first exit line of this run.
    frame: Option<Frame>,
}

impl<'a> Scene<'a> {
    fn new(expected: &'a Expectation, observed: &'a Observed<'a>) -> Self {
        let frames = frame::find(observed.text);
        let frame = frames.iter().find(|frame| frame.nonce == expected.nonce).cloned();
        Self { expected, observed, frames, frame }
    }

    /// The console up to the exit line.
    fn before(&self) -> &'a [u8] {
        &self.observed.text[..self.frame.as_ref().map_or(self.observed.text.len(), |frame| frame.span.start)]
    }

    /// The console after the exit line.
    fn after(&self) -> &'a [u8] {
        &self.observed.text[self.frame.as_ref().map_or(self.observed.text.len(), |frame| frame.span.end)..]
    }

    fn forbidden(&self) -> Step<()> {
        for (place, text) in [("", self.before()), (" after the exit line", self.after())] {
            for pattern in &self.expected.forbid {
                if let Some(found) = pattern.regex.find(text) {
                    let line = line_at(text, found.start());
                    return fail(
                        Cause::Forbidden,
                        format!("{pattern} was printed{place}, in the line `{line}`"),
                    );
                }
            }
        }
        Ok(())
    }

    /// The status from the exit port or of the process, when the guest ended by it; none for a machine that
    /// has no exit port and ended as it should.
    fn ended(&self) -> Step<Option<u8>> {
        if let Some(limit) = self.observed.overflow {
            return fail(
                Cause::OutputTooLong,
                format!("the console showed more than {} MiB; the guest was ended", limit >> 20),
            );
        }
        match self.observed.how {
            // The watcher stops a machine that halts after its exit line.
            How::Stopped if self.expected.at_exit == Some(AtExit::Halt) && self.frame.is_some() => Ok(None),
            How::TimedOut | How::Stopped => {
                let allowance = match self.expected.allowance {
                    Duration::ZERO => String::new(),
                    more => format!(" and {} for firmware and boot loader", shown(more)),
                };
                let limit = shown(self.expected.timeout);
                fail(Cause::Timeout, format!("no end within {limit}{allowance}; {}", self.progress()))
            }
            How::KvmFailed(line) => {
                fail(Cause::KvmFailed, format!("{line}\n  help: `--accel tcg` does without KVM"))
            }
            How::Ended(end) => self.exit_code(*end),
        }
    }

    fn exit_code(&self, end: GuestEnd) -> Step<Option<u8>> {
        let line = if self.frame.is_some() { "after" } else { "without" };
        let said = own_words(self.observed.stderr);
        match end {
            GuestEnd::Status(status) => Ok(Some(status)),
            GuestEnd::Reset | GuestEnd::PoweredOff if self.expected.at_exit.is_some() => {
                self.machine_end(end)
            }
            GuestEnd::Reset | GuestEnd::PoweredOff => fail(
                Cause::Reset,
                format!(
                    "the machine was reset (a triple fault does that, or a reboot) or switched off, {line} an exit \
                     line and without a status at the exit port; {}",
                    self.progress()
                ),
            ),
            GuestEnd::One if said.is_empty() => fail(
                Cause::ForeignExit,
                "QEMU ended with exit code 1 and no message: something in the guest wrote 0 to the exit port itself",
            ),
            GuestEnd::One => fail(Cause::QemuFailed, format!("exit code 1: {said}")),
            GuestEnd::ForeignValue(value) => fail(
                Cause::ForeignExit,
                format!(
                    "something in the guest wrote {value} to the exit port itself; no status looks like that"
                ),
            ),
            GuestEnd::Failed(code) => fail(Cause::QemuFailed, format!("exit code {code}: {said}")),
            GuestEnd::Signal(signal) => {
                let said = if said.is_empty() { String::new() } else { format!(": {said}") };
                fail(Cause::QemuKilled, format!("by {}{said}; {}", signal_name(signal), self.progress()))
            }
            GuestEnd::Tender(code) => {
                let said = if said.is_empty() { "it said nothing".into() } else { said };
                fail(Cause::TenderFailed, format!("exit code {code}: {said}"))
            }
            GuestEnd::Killed(signal) => {
                const SIGSYS: i32 = 31;
                let why =
                    if signal == SIGSYS { ": a system call that the filter does not allow" } else { "" };
                let signal = signal_name(signal);
                fail(
                    Cause::ProcessKilled,
                    format!("by {signal}{why}, {line} an exit line; {}", self.progress()),
                )
            }
        }
    }

    /// Whether a machine without exit port ended as the recipe says. One without exit line goes on to
    /// [`Self::exit_line`], unless it crashed.
    fn machine_end(&self, end: GuestEnd) -> Step<Option<u8>> {
        let line = self.frame.is_some();
        let (wanted, found) = match (self.expected.at_exit, end) {
            (Some(AtExit::PowerOff), GuestEnd::PoweredOff) | (Some(AtExit::Reboot), GuestEnd::Reset)
                if line =>
            {
                return Ok(None);
            }
            (_, GuestEnd::PoweredOff) if !line => return Ok(None),
            (_, _) if !line => {
                let what =
                    "the machine was reset (a triple fault does that, or a reboot), without an exit line";
                return fail(Cause::Reset, format!("{what}; {}", self.progress()));
            }
            (Some(AtExit::Reboot), _) => ("reboot", "was switched off"),
            (Some(AtExit::Halt), GuestEnd::PoweredOff) => ("halt", "was switched off"),
            (Some(AtExit::Halt), _) => ("halt", "was reset"),
            _ => ("power-off", "was reset, and not switched off"),
        };
        fail(
            Cause::WrongEnd,
            format!("the machine {found} after the exit line; `at-exit` in [run] is `{wanted}`"),
        )
    }

    /// Whether the exit line of this run is there, alone, last and of one mind with the exit port, if any.
    fn exit_line(&self, port: Option<u8>) -> Step<u8> {
        if let Some(forged) = self.frames.iter().find(|frame| frame.nonce != self.expected.nonce) {
            return fail(
                Cause::ForgedExit,
                format!(
                    "an exit line names the nonce `{}`, this run has `{}`",
                    forged.nonce, self.expected.nonce
                ),
            );
        }
        let Some(frame) = &self.frame else {
            let broken =
                self.observed.text.windows(frame::BEGINNING.len()).any(|text| text == frame::BEGINNING);
            let line = if broken {
                "its exit line is cut off or not alone on its line"
            } else {
                "without its exit line"
            };
            let status = match port {
                None => "the machine was switched off".to_owned(),
                Some(port) if self.observed.target == Target::Process => {
                    format!("the process ended with status {port}{}", meaning(port))
                }
                Some(port) => format!("status {port} came to the exit port"),
            };
            return fail(Cause::EarlyExit, format!("{status}, but {line}; {}", self.progress()));
        };
        if !self.after().trim_ascii().is_empty() {
            let line = self.after().trim_ascii();
            return fail(Cause::OutputAfterExit, format!("`{}`", line_at(line, 0)));
        }
        match (frame.status, port) {
            (Some(line), None) => Ok(line),
            (Some(line), Some(port)) if line == port => Ok(port),
            (line, port) => {
                let line = line.map_or("no valid status".into(), |status| format!("status {status}"));
                let port = match port {
                    None => String::new(),
                    Some(port) if self.observed.target == Target::Process => {
                        format!(", the process ended with status {port}")
                    }
                    Some(port) => format!(", status {port} at the exit port"),
                };
                fail(Cause::ExitDisagrees, format!("{line} in the exit line{port}"))
            }
        }
    }

    fn status(&self, status: u8) -> Step<()> {
        let wanted = self.expected.status;
        if status == wanted {
            return Ok(());
        }
        let meaning = meaning(status);
        fail(Cause::WrongStatus, format!("status {status}{meaning} instead of {wanted}; {}", self.progress()))
    }

    fn output(&self) -> Step<()> {
        let Some((index, start)) = self.missing() else { return Ok(()) };
        let pattern = &self.expected.expect[index];
        let of = format!("expected text {} of {}", index + 1, self.expected.expect.len());
        let text = self.before();
        let hint = if pattern.find_end(text, 0).is_some() {
            let last = &self.expected.expect[index - 1];
            format!("it came only before {last}, and the order counts")
        } else if let Some(line) = pattern.nearest(&text[start..]) {
            format!("the nearest line is `{}`", line.escape_debug())
        } else if text.trim_ascii().is_empty() {
            "nothing was printed".into()
        } else {
            "nothing like it was printed".into()
        };
        fail(Cause::WrongOutput, format!("{pattern} is missing ({of}); {hint}"))
    }

    /// Whether each request had the right answer.
    fn requests(&self) -> Step<()> {
        let Some(report) = self.observed.requests.iter().find(|report| report.answered < report.wanted)
        else {
            return Ok(());
        };
        match &report.failure {
            Some(failure) => fail(failure.cause, format!("{}; {}", failure.detail, self.progress())),
            None => {
                let what = format!("{} was not sent before the end", report.request);
                fail(Cause::NoAnswer, format!("{what}; {}", self.progress()))
            }
        }
    }

    /// The first expected pattern that is missing, and where the one before it ended.
    fn missing(&self) -> Option<(usize, usize)> {
        let mut start = 0;
        for (index, pattern) in self.expected.expect.iter().enumerate() {
            match pattern.find_end(self.before(), start) {
                Some(end) => start = end,
                None => return Some((index, start)),
            }
        }
        None
    }

    /// How far the guest had come.
    fn progress(&self) -> String {
        let total = self.expected.expect.len();
        let texts = match self.missing() {
            _ if self.observed.text.trim_ascii().is_empty() => {
                return "nothing was printed (a kernel that lacks a CPU feature or memory stops silently)"
                    .into();
            }
            None => "all expected texts were seen".to_owned(),
            Some((seen, _)) => {
                format!("{seen} of {total} expected texts were seen, not {}", self.expected.expect[seen])
            }
        };
        let requests = match self.observed.requests {
            [] => String::new(),
            requests => {
                let count = |count: fn(&RequestReport) -> u32| requests.iter().map(count).sum::<u32>();
                let (answered, wanted) = (count(|report| report.answered), count(|report| report.wanted));
                format!("; {answered} of {wanted} requests were answered as expected")
            }
        };
        let line = if self.frame.is_some() { "the exit line, too" } else { "no exit line" };
        format!("{texts}{requests}; {line}")
    }
}

/// What the runtime, or the tender, means by a status.
fn meaning(status: u8) -> &'static str {
    match status {
        101 => " (panic)",
        102 => " (out of memory)",
        103 => " (fault)",
        _ => "",
    }
}

/// The line of `text` around `position`, printable and not too long.
fn line_at(text: &[u8], position: usize) -> String {
    let start = text[..position].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let end = text[start..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| start + at);
    String::from_utf8_lossy(&text[start..end])
        .chars()
        .take(200)
        .collect::<String>()
        .escape_debug()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_explains_every_cause() {
        let guide = include_str!("../../../docs/smoke.md");
        for cause in Cause::ALL {
            assert!(guide.contains(&format!("| {cause} |")), "docs/smoke.md has no row for `{cause}`");
        }
    }
}

//! What a smoke test reports, and the table of many.

use super::{Cause, RequestReport, Verdict};
use crate::{
    Digest, Error, ExitCode, Target,
    image::{Image, Role, Verified},
    qemu::{Accelerator, BootPath},
};
use regex::Regex;
use serde::{Serialize, Serializer};
use std::{collections::BTreeSet, fmt, path::PathBuf, sync::LazyLock, time::Duration};

/// One smoke test: the verdict and what a user needs to understand it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunReport {
    /// The recipe's name.
    pub name: String,
    /// What it ran on.
    pub target: Target,
    /// What booted it, on bare metal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot: Option<BootPath>,
    /// What was found.
    pub verdict: Verdict,
    /// Which image it was: the digest of its manifest, which has those of its other files. None when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Digest>,
    /// Whether the kernel is a verified configuration; none where no kernel runs.
    pub verified: Option<Verified>,
    /// The function's exit status, where exit line and exit port agree on it.
    pub status: Option<u8>,
    /// When things happened.
    pub timing: Timing,
    /// KVM or TCG, and why; none when nothing ran in a machine.
    pub accelerator: Option<Accelerator>,
    /// The console, every byte of it; none when nothing ran.
    pub log: Option<PathBuf>,
    /// The console's last lines, printable.
    pub tail: Vec<String>,
    /// How the requests went.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<RequestReport>,
    /// The last lines that firmware wrote to its debug port, on bare metal, when the function came to no end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub firmware: Vec<String>,
    /// The text on the screen of a machine that had to be ended, on bare metal.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub screen: Vec<String>,
    /// What QEMU or the tender itself said.
    pub said: Vec<String>,
}

/// When things happened, each from the start of QEMU or of the process; milliseconds in JSON.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Timing {
    /// The first byte on the console.
    #[serde(rename = "first-output-ms", serialize_with = "millis")]
    pub first_output: Option<Duration>,
    /// The end of the first line that is not blank.
    #[serde(rename = "first-line-ms", serialize_with = "millis")]
    pub first_line: Option<Duration>,
    /// The end.
    #[serde(rename = "end-ms", serialize_with = "millis")]
    pub end: Option<Duration>,
}

fn millis<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => serializer.serialize_some(&(duration.as_micros() as f64 / 1000.0)),
        None => serializer.serialize_none(),
    }
}

impl RunReport {
    /// The report of a test that was not made.
    pub fn not_run(name: &str, target: Target, verdict: Verdict) -> Self {
        Self {
            name: name.to_owned(),
            target,
            boot: None,
            verdict,
            image: None,
            verified: None,
            status: None,
            timing: Timing::default(),
            accelerator: None,
            log: None,
            tail: Vec::new(),
            requests: Vec::new(),
            firmware: Vec::new(),
            screen: Vec::new(),
            said: Vec::new(),
        }
    }

    /// The report of this boot, which was good, and of `next`, which came after it as number `number`.
    pub(crate) fn then(mut self, next: Self, number: usize) -> Self {
        self.requests.extend(next.requests);
        let verdict = match next.verdict {
            Verdict::Fail { cause, detail } => {
                Verdict::Fail { cause, detail: format!("boot {number} on the same disk: {detail}") }
            }
            other => other,
        };
        let end = self.timing.end.zip(next.timing.end).map(|(one, other)| one + other);
        let timing = Timing { end, ..self.timing };
        Self { verdict, timing, requests: self.requests, ..next }
    }

    /// The same report for this boot.
    pub fn by(self, boot: Option<BootPath>) -> Self {
        Self { boot, ..self }
    }

    /// The same report about this image.
    pub fn of(self, image: &Image) -> Self {
        Self { image: image.member(Role::Manifest).map(|manifest| manifest.sha256), ..self }
    }

    /// The target, and what booted the image when there are several ways.
    pub fn place(&self) -> String {
        match self.boot {
            None => self.target.name().to_owned(),
            Some(boot) => format!("{} {boot}", self.target),
        }
    }

    /// The report of an image that could not be built, or of a test that could not be made.
    pub fn not_made(name: &str, target: Target, error: &Error) -> Self {
        let cause = match error.code() {
            ExitCode::HostLacks => Cause::HostLacks,
            _ => Cause::NotMade,
        };
        Self::not_run(name, target, Verdict::Fail { cause, detail: error.to_string() })
    }
}

/// For a person: the verdict, and on a failure the last lines and the log's path.
impl fmt::Display for RunReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}: {}", self.name, self.place(), self.verdict)?;
        if let Some(accelerator) = &self.accelerator {
            write!(f, "\n  accelerator: {accelerator}")?;
        }
        if !matches!(self.verdict, Verdict::Fail { .. }) {
            return Ok(());
        }
        for line in &self.tail {
            write!(f, "\n  | {line}")?;
        }
        let traces = [("firmware", &self.firmware), ("screen", &self.screen)];
        for (who, line) in traces.iter().flat_map(|(who, lines)| lines.iter().map(move |line| (who, line))) {
            write!(f, "\n  {who}: {line}")?;
        }
        let (who, lines) = match self.target {
            Target::Qemu | Target::BareMetal => ("qemu", 8),
            // The report of a fault has all registers.
            Target::Process => ("tender", 40),
        };
        for line in self.said.iter().take(lines) {
            write!(f, "\n  {who}: {line}")?;
        }
        match &self.log {
            Some(log) => write!(f, "\n  log: {}", log.display()),
            None => Ok(()),
        }
    }
}

/// The smoke tests of one command.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// One report per recipe, target and boot, in the order asked for.
    pub reports: Vec<RunReport>,
}

impl Summary {
    /// How many passed, failed and were skipped.
    pub fn counts(&self) -> [usize; 3] {
        ["PASS", "FAIL", "SKIP"].map(|word| self.reports.iter().filter(|r| r.verdict.word() == word).count())
    }

    /// What the command exits with. When `strict`, a skipped test counts as a failed one. What the host
    /// lacks goes before a failure: it is the first thing to put right.
    pub fn exit_code(&self, strict: bool) -> ExitCode {
        let causes = |wanted| {
            self.reports.iter().any(|r| matches!(r.verdict, Verdict::Fail { cause, .. } if cause == wanted))
        };
        let [_, failed, skipped] = self.counts();
        if causes(Cause::HostLacks) {
            ExitCode::HostLacks
        } else if failed > 0 || (strict && skipped > 0) {
            ExitCode::SmokeFailed
        } else {
            ExitCode::Ok
        }
    }
}

/// The table, and below it every failure in full.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let targets = self.reports.iter().map(|report| report.place().len()).max().unwrap_or_default();
        let width = self.reports.iter().map(|report| report.name.len()).max().unwrap_or_default();
        for report in &self.reports {
            let (word, target) = (report.verdict.word(), report.place());
            write!(f, "{word}  {:width$}  {target:targets$}", report.name)?;
            if let Some(end) = report.timing.end {
                write!(f, "  {:>7.2} s", end.as_secs_f64())?;
            }
            match &report.verdict {
                Verdict::Pass => writeln!(f)?,
                Verdict::Fail { cause, .. } => writeln!(f, "  {cause}")?,
                Verdict::Skip { reason } => writeln!(f, "  {reason}")?,
            }
            if let Some(verified) = report.verified.filter(|verified| *verified != Verified::None) {
                writeln!(f, "      verified configuration: {verified}")?;
            }
        }
        for report in self.reports.iter().filter(|report| report.verdict.word() == "FAIL") {
            writeln!(f, "\n{report}")?;
        }
        let accelerators: BTreeSet<_> = self
            .reports
            .iter()
            .filter_map(|report| report.accelerator.as_ref())
            .map(Accelerator::reason)
            .collect();
        for accelerator in accelerators {
            writeln!(f, "{accelerator}")?;
        }
        let [passed, failed, skipped] = self.counts();
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// How many lines a report shows.
const TAIL_LINES: usize = 15;
/// How much of a line it shows, in characters.
const TAIL_WIDTH: usize = 200;

/// What moves a terminal's cursor or sets its colours: boot loaders and firmware send it (ECMA-48, 5.4).
static CONTROL_SEQUENCE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\x1b\[[0-9;<=>?]*[ -/]*[@-~]").expect("a fixed expression"));

/// The last lines of a console, without a terminal's control sequences; other control characters are made
/// visible.
pub(super) fn tail(text: &[u8]) -> Vec<String> {
    let end = &text[text.len().saturating_sub(TAIL_LINES * TAIL_WIDTH * 4)..];
    let text = String::from_utf8_lossy(end);
    let text = CONTROL_SEQUENCE.replace_all(&text, "").replace('\r', "");
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    last.iter().map(|line| line.chars().take(TAIL_WIDTH).map(visible).collect()).collect()
}

/// How many lines of the firmware's log a report shows.
const FIRMWARE_LINES: usize = 8;

/// The last lines of a firmware's log, likewise.
pub(super) fn firmware(log: &[u8]) -> Vec<String> {
    let mut lines = tail(log);
    lines.drain(..lines.len().saturating_sub(FIRMWARE_LINES));
    lines
}

fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(verdict: Verdict) -> RunReport {
        RunReport::not_run("hello", Target::Qemu, verdict)
    }

    fn fail(cause: Cause) -> RunReport {
        report(Verdict::Fail { cause, detail: "so".into() })
    }

    #[test]
    fn a_skip_is_green_only_when_nobody_is_strict() {
        let skip = report(Verdict::Skip { reason: "no".into() });
        let summary = Summary { reports: vec![report(Verdict::Pass), skip] };
        assert_eq!(summary.exit_code(false), ExitCode::Ok);
        assert_eq!(summary.exit_code(true), ExitCode::SmokeFailed);
        assert!(summary.to_string().ends_with("1 passed, 0 failed, 1 skipped"), "{summary}");
    }

    #[test]
    fn the_exit_code_is_that_of_the_worst() {
        let code = |reports| Summary { reports }.exit_code(false);
        assert_eq!(code(vec![]), ExitCode::Ok);
        assert_eq!(code(vec![report(Verdict::Pass), fail(Cause::Timeout)]), ExitCode::SmokeFailed);
        assert_eq!(code(vec![fail(Cause::HostLacks), fail(Cause::Timeout)]), ExitCode::HostLacks);
    }

    #[test]
    fn the_accelerator_and_its_reason_are_always_shown() {
        let accelerator = Accelerator {
            accel: crate::qemu::Accel::Tcg,
            reason: "the host has no /dev/kvm".into(),
            remembered: false,
        };
        let report = |remembered| RunReport {
            accelerator: Some(Accelerator { remembered, ..accelerator.clone() }),
            ..report(Verdict::Pass)
        };
        let text = Summary { reports: vec![report(false), report(true)] }.to_string();
        assert_eq!(text.matches("TCG: the host has no /dev/kvm").count(), 1, "{text}");
    }

    #[test]
    fn the_tail_is_short_and_printable() {
        let mut text: Vec<u8> = (0..100).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        text.extend(b"\x1b[2Jgone\xff\n\n");
        let tail = tail(&text);
        assert_eq!(tail.len(), TAIL_LINES);
        assert_eq!(tail.last().unwrap(), "gone\u{fffd}");
        assert_eq!(super::tail(b"\x1b[01;01H\x1b[=3hone\x1b[0m \x1bx\x07"), ["one \u{fffd}x\u{fffd}"]);
    }

    #[test]
    fn the_json_has_milliseconds() {
        let mut report = report(Verdict::Pass);
        report.timing.end = Some(Duration::from_micros(1500));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["timing"]["end-ms"], 1.5);
        assert_eq!(json["verdict"]["kind"], "pass");
    }
}

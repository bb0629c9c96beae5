//! A bare-metal image with its console here: booted by the firmware of an emulated PC.

use super::{Error, RunOptions, RunOutcome, console, fit, terminal::Terminal};
use crate::{
    Context, Result,
    disk::Attached,
    kernel_config::KernelConfig,
    net::Published,
    qemu::{self, Binary, BootPath, Ended, Flow, GuestEnd, How, Pc, Peer},
    recipe::Recipe,
    run_config::Override,
    smoke::{self, frame, nonce},
};
use regex::bytes::Regex;
use std::{io, os::fd::BorrowedFd, path::Path, time::Duration};

/// Boots the image in `dir` by `path` and returns the status that its exit line names.
pub(super) fn run(
    ctx: &Context<'_>,
    recipe: &Recipe,
    dir: &Path,
    path: BootPath,
    options: &RunOptions,
    (ports, disk): (&[Published], Option<&Attached>),
    fds: (BorrowedFd<'_>, BorrowedFd<'_>),
) -> Result<RunOutcome> {
    if !options.overrides.are_none() {
        return Err(Error::Overridden.into());
    }
    let kernel = KernelConfig::of(ctx.project, recipe)?;
    let pc = Pc::new(recipe, &kernel, dir, path)?;
    let qemu = Binary::find(options.qemu.as_deref())?;
    let sign = smoke::sign_of_life(recipe.smoke.as_ref(), kernel.is_debug())?;
    let accelerator = pc.accelerator(ctx, options.accel, &qemu, sign.clone())?;
    fit(ctx, &pc.vm, &accelerator)?;
    ctx.progress.note(&format!("booted by {path}"));
    // It tells the exit line of this run from any other text.
    let nonce = nonce::fresh().map_err(Error::Override)?;
    let run_file = Override { nonce: Some(nonce.clone()), ..Override::default() }.encode()?;
    let run_file = qemu::run_file(&run_file).map_err(Error::Override)?;
    let (launch, mut traces) = pc.launch(&qemu, accelerator.accel, run_file, ports, disk)?;
    let terminal = Terminal::new(fds.0, fds.1).map_err(Error::Terminal)?;
    let sign = sign.filter(|_| !terminal.has_keys());
    let mut listener = Listener { terminal, text: Vec::new(), sign, held: Vec::new() };
    let mut ended = console(ctx, launch, &mut listener, |listener| &listener.terminal)?;
    traces.explain(&mut ended);
    let Listener { terminal, text, .. } = listener;
    let status = terminal.outcome(|| status(&ended, &text, &nonce))?;
    Ok(RunOutcome { status, accelerator: Some(accelerator), duration: ended.duration })
}

/// The status in the exit line of a machine that has switched itself off, or was reset after it.
fn status(ended: &Ended, text: &[u8], nonce: &str) -> Result<u8, Error> {
    let line =
        frame::find(text).into_iter().rfind(|frame| frame.nonce == nonce).and_then(|frame| frame.status);
    match (&ended.how, line) {
        (How::Ended(GuestEnd::PoweredOff | GuestEnd::Reset), Some(status)) => Ok(status),
        (How::Ended(GuestEnd::PoweredOff), None) => Err(Error::NoExitLine),
        _ => super::status(ended),
    }
}

/// The user at the console, and the end of what was printed there.
struct Listener<'a> {
    terminal: Terminal<'a>,
    text: Vec<u8>,
    /// What shows that the function runs, as long as it has not: a boot loader would swallow piped input.
    sign: Option<Regex>,
    /// Input that waits for it.
    held: Vec<u8>,
}

impl Listener<'_> {
    /// Hands `typed` on, or keeps it while nobody would read it.
    fn typed(&mut self, mut typed: Vec<u8>, input: &mut Vec<u8>) {
        self.held.append(&mut typed);
        if self.sign.is_none() {
            input.append(&mut self.held);
        }
    }
}

/// How much is kept, in bytes: more than an exit line.
const KEPT: usize = 4 << 10;

impl Peer for Listener<'_> {
    fn output(&mut self, bytes: &[u8], at: Duration, input: &mut Vec<u8>) -> io::Result<Flow> {
        frame::append(&mut self.text, bytes);
        self.text.drain(..self.text.len().saturating_sub(KEPT));
        if self.sign.as_ref().is_some_and(|sign| sign.is_match(&self.text)) {
            self.sign = None;
        }
        let mut typed = Vec::new();
        let flow = self.terminal.output(bytes, at, &mut typed);
        self.typed(typed, input);
        flow
    }

    fn source(&self, waiting: usize) -> Option<BorrowedFd<'_>> {
        self.terminal.source(waiting + self.held.len())
    }

    fn readable(&mut self, input: &mut Vec<u8>) -> io::Result<Flow> {
        let mut typed = Vec::new();
        let flow = self.terminal.readable(&mut typed);
        self.typed(typed, input);
        flow
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn piped_input_waits_for_the_function() {
        let (stdin, mut user) = std::io::pipe().unwrap();
        let (_reader, stdout) = std::io::pipe().unwrap();
        std::io::Write::write_all(&mut user, b"typed").unwrap();
        let mut listener = Listener {
            terminal: Terminal::new(stdin.as_fd(), stdout.as_fd()).unwrap(),
            text: Vec::new(),
            sign: Some(Regex::new("ready").unwrap()),
            held: Vec::new(),
        };
        let mut input = Vec::new();
        listener.output(b"GRUB\n", Duration::ZERO, &mut input).unwrap();
        listener.readable(&mut input).unwrap();
        assert!(input.is_empty(), "a boot loader gets nothing");
        listener.output(b"re", Duration::ZERO, &mut input).unwrap();
        listener.output(b"ady\n", Duration::ZERO, &mut input).unwrap();
        assert_eq!(input, b"typed");
    }

    #[test]
    fn the_status_is_that_of_this_runs_exit_line() {
        let ended = |end| Ended { how: How::Ended(end), stderr: String::new(), duration: Duration::ZERO };
        let text = b"[selkie:exit status=7 nonce=aa]\n[selkie:exit status=3 nonce=bb]\n";
        assert_eq!(status(&ended(GuestEnd::PoweredOff), text, "aa").unwrap(), 7);
        assert_eq!(status(&ended(GuestEnd::Reset), text, "bb").unwrap(), 3);
        assert!(matches!(status(&ended(GuestEnd::PoweredOff), text, "cc"), Err(Error::NoExitLine)));
        assert!(matches!(status(&ended(GuestEnd::Reset), text, "cc"), Err(Error::Reset)));
        assert!(matches!(status(&ended(GuestEnd::Failed(2)), text, "aa"), Err(Error::Qemu { code: 2, .. })));
    }
}

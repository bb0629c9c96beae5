//! The user's end of the console: a terminal with two keys of its own, or pipes.

use crate::qemu::{Flow, Peer};
use rustix::termios::{InputModes, OptionalActions, Termios, isatty, tcgetattr, tcsetattr};
use std::{io, os::fd::BorrowedFd, time::Duration};

/// Ctrl-A, after which a key is for us.
const PREFIX: u8 = 0x01;

const HELP: &str = "\r\nCtrl-A x       ends the machine or process\r\nCtrl-A Ctrl-A  sends Ctrl-A to the function\r\n\
                    Ctrl-A h       shows this\r\n";

/// Why the user's end was closed before the guest's.
#[derive(Debug)]
enum Left {
    /// By Ctrl-A x.
    ByKeys,
    /// Whoever read our output is gone.
    NobodyReads,
    /// The terminal failed.
    Failed(io::Error),
}

pub(super) struct Terminal<'a> {
    stdin: Option<BorrowedFd<'a>>,
    stdout: BorrowedFd<'a>,
    /// The terminal's own modes, when standard input is a terminal.
    modes: Option<Termios>,
    /// Ctrl-A was the last key.
    prefix: bool,
    /// The guest has printed something.
    awake: bool,
    /// Input that waits until the guest is awake.
    held: Vec<u8>,
    left: Option<Left>,
}

impl<'a> Terminal<'a> {
    pub(super) fn new(stdin: BorrowedFd<'a>, stdout: BorrowedFd<'a>) -> io::Result<Self> {
        let modes = if isatty(stdin) { Some(tcgetattr(stdin)?) } else { None };
        Ok(Self {
            stdin: Some(stdin),
            stdout,
            modes,
            prefix: false,
            awake: false,
            held: Vec::new(),
            left: None,
        })
    }

    /// Whether the input is a terminal, where Ctrl-A is a key of ours.
    pub(super) fn has_keys(&self) -> bool {
        self.modes.is_some()
    }

    /// Hands every key to us at once, as long as the guard lives. Nothing is done where the input is no
    /// terminal.
    pub(super) fn raw(&self) -> io::Result<Option<Raw<'a>>> {
        let (Some(fd), Some(modes)) = (self.stdin, &self.modes) else { return Ok(None) };
        let mut raw = modes.clone();
        raw.make_raw();
        // The Enter key sends a line feed, as a pipe and a recipe's input do; the guest's line ends are
        // shown well whether it sends `\r\n` or only `\n`.
        raw.input_modes |= InputModes::ICRNL;
        raw.output_modes = modes.output_modes;
        tcsetattr(fd, OptionalActions::Now, &raw)?;
        Ok(Some(Raw { fd, modes: modes.clone() }))
    }

    /// What `ended` says, unless the run was stopped from this end.
    pub(super) fn outcome(
        self,
        ended: impl FnOnce() -> Result<u8, super::Error>,
    ) -> Result<Option<u8>, super::Error> {
        match self.left {
            Some(Left::ByKeys | Left::NobodyReads) => Ok(None),
            Some(Left::Failed(error)) => Err(super::Error::Terminal(error)),
            None => ended().map(Some),
        }
    }

    fn leave(&mut self, why: Left) -> Flow {
        self.left = Some(why);
        Flow::Stop
    }

    /// Sorts what was typed: ours or the guest's.
    fn keys(&mut self, typed: &[u8]) -> Flow {
        for &key in typed {
            match (self.prefix, key) {
                (false, PREFIX) => {
                    self.prefix = true;
                    continue;
                }
                (false, _) | (true, PREFIX) => self.held.push(key),
                (true, b'x' | b'X') => return self.leave(Left::ByKeys),
                (true, b'h' | b'H' | b'?') => {
                    if let Err(error) = write_all(self.stdout, HELP.as_bytes()) {
                        return self.leave(Left::Failed(error));
                    }
                }
                (true, _) => {}
            }
            self.prefix = false;
        }
        Flow::Continue
    }
}

/// How much is read at once.
const CHUNK: usize = 4096;

impl Peer for Terminal<'_> {
    fn output(&mut self, bytes: &[u8], _: Duration, input: &mut Vec<u8>) -> io::Result<Flow> {
        self.awake = true;
        input.append(&mut self.held);
        Ok(match write_all(self.stdout, bytes) {
            Ok(()) => Flow::Continue,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.leave(Left::NobodyReads),
            Err(error) => self.leave(Left::Failed(error)),
        })
    }

    fn source(&self, waiting: usize) -> Option<BorrowedFd<'_>> {
        // A pipe waits until the guest reads; a person must be able to leave a guest that never does.
        self.stdin.filter(|_| self.has_keys() || waiting + self.held.len() < CHUNK)
    }

    fn readable(&mut self, input: &mut Vec<u8>) -> io::Result<Flow> {
        let Some(stdin) = self.stdin else { return Ok(Flow::Continue) };
        let mut buffer = [0; CHUNK];
        let flow = match rustix::io::read(stdin, &mut buffer) {
            Ok(0) => {
                self.stdin = None;
                Flow::Continue
            }
            Ok(n) if self.has_keys() => self.keys(&buffer[..n]),
            Ok(n) => {
                self.held.extend_from_slice(&buffer[..n]);
                Flow::Continue
            }
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Flow::Continue,
            // A terminal that was closed.
            Err(rustix::io::Errno::IO) => self.leave(Left::NobodyReads),
            Err(error) => self.leave(Left::Failed(error.into())),
        };
        if self.awake {
            input.append(&mut self.held);
        }
        Ok(flow)
    }
}

/// Writes straight to the descriptor: standard output's own buffer waits for line ends.
fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(rustix::io::Errno::INTR) => {}
            // Somebody else has made the terminal non-blocking.
            Err(rustix::io::Errno::AGAIN) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A terminal in raw mode; it gets its own modes back at the end, a panic's end included.
pub(super) struct Raw<'a> {
    fd: BorrowedFd<'a>,
    modes: Termios,
}

impl Drop for Raw<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs no modes.
        let _ = tcsetattr(self.fd, OptionalActions::Now, &self.modes);
    }
}

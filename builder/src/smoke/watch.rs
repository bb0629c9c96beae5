//! Who sits at the console of a smoke test: writes everything down and types the recipe's input.

use super::{
    frame,
    pattern::Pattern,
    requests::{RequestReport, Requests},
};
use crate::{
    context::Progress,
    net::Passt,
    qemu::{Flow, Monitor, Peer},
};
use std::{fs::File, io, io::Write, time::Duration};

/// How much a smoke test takes from a console, in bytes. A guest that prints more is in a loop.
pub(crate) const LIMIT: usize = 16 << 20;

/// How far back the text that input waits for may begin.
const CUE_WINDOW: usize = 64 << 10;

/// Longer than an exit line, in bytes.
const LINE: usize = 256;

pub(crate) struct Watcher<'a> {
    log: File,
    /// Who else is shown the console.
    show: &'a dyn Progress,
    /// The machine is ended when all requests have their answers.
    kills: bool,
    /// What is still to be typed.
    input: Option<&'a str>,
    /// The text to wait for before it is typed, and before requests are sent.
    cue: Option<&'a Pattern>,
    /// The cue was seen.
    cued: bool,
    /// What the function is asked, and what is typed afterwards.
    requests: Option<(Requests, &'a str)>,
    taken: usize,
    /// The nonce of the exit line after which the machine is left to itself for a while and then ended.
    halts: Option<&'a str>,
    /// When that line was seen.
    last: Option<Duration>,
    /// The network, without which nothing is left to wait for.
    network: Option<Passt>,
    /// Shows the screen of a machine that does not end.
    monitor: Option<&'a mut Monitor>,
    /// Something that is not blank was printed.
    began: bool,
    /// The console, with plain line ends.
    text: Vec<u8>,
    /// The guest printed more than [`LIMIT`].
    overflow: bool,
    /// From QEMU's start to the first byte.
    first_output: Option<Duration>,
    /// From QEMU's start to the end of the first line that is not blank.
    first_line: Option<Duration>,
    /// The log could not be written.
    log_error: Option<io::Error>,
    /// What was on the screen at the end.
    screen: Vec<String>,
}

/// What was seen.
pub(crate) struct Watched {
    /// The console, with plain line ends.
    pub(crate) text: Vec<u8>,
    /// What was on the screen of a machine that had to be ended.
    pub(crate) screen: Vec<String>,
    /// The guest printed more than [`LIMIT`].
    pub(crate) overflow: bool,
    /// From the start to the first byte.
    pub(crate) first_output: Option<Duration>,
    /// From the start to the end of the first line that is not blank.
    pub(crate) first_line: Option<Duration>,
    /// The log could not be written.
    pub(crate) log_error: Option<io::Error>,
    /// How the requests went.
    pub(crate) requests: Vec<RequestReport>,
    /// Why the network failed, if it did.
    pub(crate) network_failure: Option<String>,
}

/// How long a machine that halts is watched after its exit line: nothing may follow.
const AFTERWARDS: Duration = Duration::from_secs(1);

impl<'a> Watcher<'a> {
    pub(crate) fn new(
        log: File,
        show: &'a dyn Progress,
        input: Option<&'a str>,
        cue: Option<&'a Pattern>,
    ) -> Self {
        Self {
            log,
            show,
            kills: false,
            input,
            cue,
            cued: false,
            requests: None,
            taken: 0,
            halts: None,
            last: None,
            network: None,
            monitor: None,
            began: false,
            text: Vec::new(),
            overflow: false,
            first_output: None,
            first_line: None,
            log_error: None,
            screen: Vec::new(),
        }
    }

    /// The machine halts after the exit line with this nonce.
    pub(crate) fn until(mut self, nonce: &'a str) -> Self {
        self.halts = Some(nonce);
        self
    }

    /// Ends the machine, without a word, when all requests have their answers.
    pub(crate) fn killing(mut self) -> Self {
        self.kills = true;
        self
    }

    /// Gives up when the network has.
    pub(crate) fn beside(mut self, network: Option<Passt>) -> Self {
        self.network = network;
        self
    }

    /// Looks at the screen when the machine is ended.
    pub(crate) fn with(mut self, monitor: &'a mut Monitor) -> Self {
        self.monitor = Some(monitor);
        self
    }

    /// Sends requests once the cue was seen, and types `stop` when all have their answers.
    pub(crate) fn asking(mut self, requests: Option<Requests>, stop: Option<&'a str>) -> Self {
        self.requests = requests.map(|requests| (requests, stop.unwrap_or_default()));
        self
    }

    /// What was seen. The guest is gone.
    pub(crate) fn done(self) -> Watched {
        let Self { text, screen, overflow, first_output, first_line, log_error, mut network, .. } = self;
        let network_failure = network.as_mut().and_then(Passt::failure);
        // Whoever still waits for an answer gets none any more.
        drop(network);
        let requests = self.requests.map(|(requests, _)| requests.done()).unwrap_or_default();
        Watched { text, screen, overflow, first_output, first_line, log_error, requests, network_failure }
    }

    /// Whether the exit line has come by now.
    fn ended(&self, nonce: &str, from: usize) -> bool {
        frame::find(&self.text[from..]).iter().any(|frame| frame.nonce == nonce)
    }
}

impl Peer for Watcher<'_> {
    fn output(&mut self, bytes: &[u8], at: Duration, input: &mut Vec<u8>) -> io::Result<Flow> {
        let bytes = &bytes[..bytes.len().min(LIMIT + 1 - self.taken)];
        self.taken += bytes.len();
        if let Err(error) = self.log.write_all(bytes) {
            self.log_error = Some(error);
            return Ok(Flow::Stop);
        }
        self.show.console(bytes);
        frame::append(&mut self.text, bytes);
        self.first_output.get_or_insert(at);
        let line = if self.began { bytes } else { bytes.trim_ascii_start() };
        self.began |= !line.is_empty();
        if self.first_line.is_none() && line.contains(&b'\n') {
            self.first_line = Some(at);
        }
        let recent = self.text.len().saturating_sub(bytes.len() + CUE_WINDOW);
        self.cued = self.cued || self.cue.is_none_or(|cue| cue.find_end(&self.text, recent).is_some());
        if self.cued {
            input.extend_from_slice(self.input.take().unwrap_or_default().as_bytes());
            self.requests.iter_mut().for_each(|(requests, _)| requests.start());
        }
        let line = self.text.len().saturating_sub(bytes.len() + LINE);
        if self.last.is_none() && self.halts.is_some_and(|nonce| self.ended(nonce, line)) {
            self.last = Some(at);
        }
        self.overflow = self.taken > LIMIT;
        Ok(if self.overflow { Flow::Stop } else { Flow::Continue })
    }

    fn tick(&mut self, at: Duration, input: &mut Vec<u8>) -> Flow {
        if let Some((requests, stop)) = &mut self.requests
            && requests.finished()
        {
            if self.kills {
                return Flow::Stop;
            }
            input.extend_from_slice(stop.as_bytes());
        }
        let over = self.last.is_some_and(|last| at >= last + AFTERWARDS);
        if over || self.network.as_ref().is_some_and(Passt::has_failed) { Flow::Stop } else { Flow::Continue }
    }

    fn before_end(&mut self) {
        if let Some(monitor) = &mut self.monitor {
            self.screen = monitor.screen();
        }
    }
}

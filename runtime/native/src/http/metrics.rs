//! What is counted, and how it is told: the text format of Prometheus.

use super::request::Id;
use crate::card::Card;
use alloc::{format, string::String};
use core::{cell::Cell, fmt::Write};
use selkie::heap;
use selkie_drivers::Seed;

/// What is counted.
pub(super) struct Metrics {
    card: &'static Card,
    boot: u64,
    number: Cell<u32>,
    /// Answers by the first digit of their status.
    answers: [Cell<u64>; 6],
    /// Of these, those to requests that no handler has seen because they were none, or took too long.
    pub(super) refused: Cell<u64>,
    /// Connections that ended in the middle of a request or an answer.
    pub(super) dropped: Cell<u64>,
    /// Connections that were accepted, and that are open now.
    pub(super) accepted: Cell<u64>,
    pub(super) open: Cell<u64>,
    /// Time that handlers took, in microseconds.
    pub(super) handling: Cell<u64>,
}

/// Adds to a counter.
pub(super) fn add(counter: &Cell<u64>, count: u64) {
    counter.set(counter.get().wrapping_add(count));
}

impl Metrics {
    pub(super) fn new(card: &'static Card, seed: &Seed) -> Self {
        // The network stack has used the first bytes.
        let boot = seed.last_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let zero = || Cell::new(0);
        Self {
            card,
            boot,
            number: Cell::new(0),
            answers: Default::default(),
            refused: zero(),
            dropped: zero(),
            accepted: zero(),
            open: zero(),
            handling: zero(),
        }
    }

    /// A name for the next request.
    pub(super) fn id(&self) -> Id {
        let number = self.number.get().wrapping_add(1);
        self.number.set(number);
        Id { boot: self.boot, number }
    }

    /// An answer with this status was sent.
    pub(super) fn answer(&self, status: u16) {
        if let Some(counter) = self.answers.get(usize::from(status / 100)) {
            add(counter, 1);
        }
    }

    /// How many answers were sent.
    pub(super) fn answered(&self) -> u64 {
        self.answers.iter().map(Cell::get).sum()
    }

    /// All of it as text.
    pub(super) fn text(&self) -> String {
        let mut text = String::with_capacity(2048);
        let mut metric = |name: &str, kind: &str, help: &str, values: &[(&str, f64)]| {
            // Writing to a text does not fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in values {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        };
        let classes = ["{class=\"2xx\"}", "{class=\"3xx\"}", "{class=\"4xx\"}", "{class=\"5xx\"}"];
        let answers: [_; 4] =
            core::array::from_fn(|index| (classes[index], self.answers[index + 2].get() as f64));
        let count = |cell: &Cell<u64>| cell.get() as f64;
        let card = self.card;
        metric("http_responses_total", "counter", "Answers by status.", &answers);
        let help = "Requests that were refused before a handler saw them.";
        metric("http_requests_refused_total", "counter", help, &[("", count(&self.refused))]);
        let seconds = count(&self.handling) / 1e6;
        metric("http_handler_seconds_total", "counter", "Time that handlers took.", &[("", seconds)]);
        metric("http_connections_total", "counter", "Accepted connections.", &[("", count(&self.accepted))]);
        let help = "Connections that ended in the middle of a request or an answer.";
        metric("http_connections_dropped_total", "counter", help, &[("", count(&self.dropped))]);
        metric("http_connections_open", "gauge", "Open connections.", &[("", count(&self.open))]);
        let frames =
            [("{direction=\"in\"}", count(&card.received)), ("{direction=\"out\"}", count(&card.sent))];
        metric("net_frames_total", "counter", "Frames of the network.", &frames);
        let help = "Frames of no protocol that is served, in pieces, cut short, or with a wrong checksum.";
        metric("net_frames_malformed_total", "counter", help, &[("", count(&card.malformed))]);
        let help = "Begins of connections that came more than once: repeated by the network or the client.";
        metric("net_connections_repeated_total", "counter", help, &[("", count(&card.repeated))]);
        let help = "Frames that the network's driver did not take, or could not fill.";
        metric("net_frames_dropped_total", "counter", help, &[("", card.dropped() as f64)]);
        let help = "TCP connections that were refused or broken off from here.";
        metric("net_tcp_resets_total", "counter", help, &[("", count(&card.resets))]);
        let heap = heap::usage();
        let bytes = [("", heap.size), ("_used", heap.used), ("_peak", heap.peak)];
        let helps =
            ["Bytes of the heap.", "Bytes that are allocated.", "The most bytes that were allocated."];
        for ((name, bytes), help) in bytes.into_iter().zip(helps) {
            metric(&format!("heap{name}_bytes"), "gauge", help, &[("", bytes as f64)]);
        }
        let up = embassy_time::Instant::now().as_micros() as f64 / 1e6;
        metric("process_uptime_seconds", "gauge", "Time since the start.", &[("", up)]);
        text
    }
}

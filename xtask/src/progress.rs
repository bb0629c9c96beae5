//! Progress on stderr: spinners on a terminal, plain lines elsewhere.

use crate::output::{Paint, Terminal, stderr};
use builder::context::Progress;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Steps that took at least this long are printed with their time.
const WORTH_TELLING: Duration = Duration::from_millis(500);

/// Tells the user on stderr.
pub(crate) struct Reporter {
    terminal: Terminal,
    drawing: MultiProgress,
    running: Mutex<BTreeMap<String, (ProgressBar, Instant)>>,
    show_console: AtomicBool,
}

impl Reporter {
    /// A reporter that draws where `terminal` allows it.
    pub(crate) fn new(terminal: &Terminal) -> Self {
        Self {
            terminal: terminal.clone(),
            drawing: MultiProgress::new(),
            running: Mutex::default(),
            show_console: AtomicBool::new(false),
        }
    }

    /// Shows consoles of guests from now on.
    pub(crate) fn show_console(&self) {
        self.show_console.store(true, Ordering::Relaxed);
    }

    /// Removes what is drawn.
    pub(crate) fn clear(&self) {
        for (_, (bar, _)) in std::mem::take(&mut *self.running()) {
            bar.finish_and_clear();
        }
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, (ProgressBar, Instant)>> {
        // A map of bars is sound whatever its holder was doing when it panicked.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, text: &str) {
        if self.terminal.quiet {
            return;
        }
        self.drawing.suspend(|| stderr(text));
    }
}

impl Progress for Reporter {
    fn begin(&self, step: &str) {
        let bar = if self.terminal.draws() {
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}");
            let bar = self.drawing.add(ProgressBar::new_spinner().with_message(step.to_owned()));
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        } else {
            ProgressBar::hidden()
        };
        self.running().insert(step.to_owned(), (bar, Instant::now()));
    }

    fn end(&self, step: &str, note: &str) {
        let mut took = String::new();
        if let Some((bar, start)) = self.running().remove(step) {
            bar.finish_and_clear();
            if start.elapsed() >= WORTH_TELLING {
                took = format!(" ({:.1} s)", start.elapsed().as_secs_f64());
            }
        }
        self.line(&format!("{step}: {}", self.terminal.paint_prose(Paint::Dim, &format!("{note}{took}"))));
    }

    fn note(&self, text: &str) {
        self.line(text);
    }

    fn console(&self, bytes: &[u8]) {
        if self.show_console.load(Ordering::Relaxed) && !self.terminal.quiet {
            // Nobody is left to tell when stderr is gone.
            let _ = self.drawing.suspend(|| io::stderr().lock().write_all(bytes));
        }
    }
}

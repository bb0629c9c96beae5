//! What every verb is handed.

use crate::{cli::Global, output::Terminal, progress};
use anyhow::Context as _;
use builder::{Context, Project, context::Cancel};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// What every verb is handed: the checkout, the terminal, and whether to stop.
pub(crate) struct App {
    /// Where things lie.
    pub(crate) project: Project,
    /// How to print.
    pub(crate) terminal: Terminal,
    cancel: Cancel,
    progress: progress::Reporter,
    /// The signal that asked to stop; 0 when none did.
    signal: Arc<AtomicUsize>,
}

impl App {
    /// Reads the global options and begins to listen for SIGINT, SIGTERM and SIGHUP.
    pub(crate) fn new(global: &Global, terminal: Terminal) -> anyhow::Result<Self> {
        let mut project = match &global.checkout {
            Some(root) => Project::at(std::path::absolute(root)?),
            None => Project::here(),
        };
        if let Some(out) = &global.out {
            project.out = std::path::absolute(out).with_context(|| format!("--out {}", out.display()))?;
        }
        let cancel = Cancel::default();
        let signal = Arc::new(AtomicUsize::new(0));
        for number in [SIGINT, SIGTERM, SIGHUP] {
            let code = usize::try_from(number)?;
            // In this order: the second signal finds the flag set and ends the process at once.
            flag::register_conditional_shutdown(number, 128 + number, cancel.0.clone())?;
            flag::register_usize(number, signal.clone(), code)?;
            flag::register(number, cancel.0.clone())?;
        }
        let progress = progress::Reporter::new(&terminal);
        Ok(Self { project, terminal, cancel, progress, signal })
    }

    /// What `builder` is handed.
    pub(crate) fn context(&self) -> Context<'_> {
        Context::with_cancel(&self.project, &self.progress, self.cancel.clone())
    }

    /// Shows consoles of guests on stderr from now on.
    pub(crate) fn show_console(&self) {
        self.progress.show_console();
    }

    /// Clears what is drawn of the progress.
    pub(crate) fn finish(&self) {
        self.progress.clear();
    }

    /// 130 after SIGINT, 143 after SIGTERM, 129 after SIGHUP: what a shell expects of a process that a signal ended.
    pub(crate) fn signal_code(&self) -> Option<u8> {
        match self.signal.load(Ordering::Relaxed) {
            0 => None,
            number => u8::try_from(128 + number).ok(),
        }
    }
}

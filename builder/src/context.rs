//! What every step of a build is handed: where things lie, whom to tell, and whether to stop.

use crate::{Project, cache::Cache};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Receives what happens during long work. `xtask` draws it; tests record it.
pub trait Progress: Send + Sync {
    /// A step begins, for instance `kernel x86_64-release`.
    fn begin(&self, step: &str);
    /// The step that began last under this name is over; `note` says how, for instance `cached`.
    fn end(&self, step: &str, note: &str);
    /// A remark that a user should see once, for instance why TCG was chosen.
    fn note(&self, text: &str);
    /// What a guest has just printed on its console, as it came.
    fn console(&self, bytes: &[u8]) {
        let _ = bytes;
    }
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &str) {}
    fn end(&self, _: &str, _: &str) {}
    fn note(&self, _: &str) {}
}

/// Set by SIGINT or SIGTERM; long work looks at it and stops cleanly.
#[derive(Debug, Clone, Default)]
pub struct Cancel(pub Arc<AtomicBool>);

impl Cancel {
    /// Whether the user has asked to stop.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Asks long work to stop.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What every step is handed.
pub struct Context<'a> {
    /// Where things lie.
    pub project: &'a Project,
    /// Results of earlier steps, by the digest of their inputs.
    pub cache: Cache<'a>,
    /// Whom to tell.
    pub progress: &'a dyn Progress,
    /// Whether to stop.
    pub cancel: Cancel,
}

impl<'a> Context<'a> {
    /// A context for `project` that reports to `progress` and that nobody stops.
    pub fn new(project: &'a Project, progress: &'a dyn Progress) -> Self {
        Self::with_cancel(project, progress, Cancel::default())
    }

    /// A context for `project` that reports to `progress` and stops when `cancel` is set.
    pub fn with_cancel(project: &'a Project, progress: &'a dyn Progress, cancel: Cancel) -> Self {
        Self { project, cache: Cache::new(project.cache(), progress, cancel.clone()), progress, cancel }
    }
}

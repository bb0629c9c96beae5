//! What an image has in it that is none of its files: crates.

use super::Subject;
use crate::{
    Context, Result,
    kernel_config::Source,
    root_task::{self, LinkedCrate},
};

/// The crates of an image, each list sorted.
#[derive(Debug, Clone, Default)]
pub(super) struct Crates {
    /// Those that the root task is linked from; empty when it was linked elsewhere.
    pub(super) root_task: Vec<LinkedCrate>,
    /// Those that the tender is linked from, for target `process`.
    pub(super) tender: Vec<LinkedCrate>,
    /// The one that carries the kernel's source.
    pub(super) kernel: Option<LinkedCrate>,
}

impl Crates {
    /// The crates of `subject`, which Cargo has already: it was built from them.
    pub(super) fn of(ctx: &Context<'_>, subject: &Subject<'_>) -> Result<Self> {
        let plan = subject.plan;
        let root_task = match root_task::crate_of_recipe(ctx, &plan.recipe) {
            Some((folder, features)) => root_task::linked(ctx, &folder, &features, &plan.toolchain)?,
            None => Vec::new(),
        };
        let tender = match plan.tender {
            Some(_) => root_task::linked(ctx, &ctx.project.tender().join("host"), &[], &plan.toolchain)?,
            None => Vec::new(),
        };
        let kernel = match &plan.kernel.source {
            Source::Crate { name, .. } => root_task::locked_crate(&ctx.project.pinned_crate(name), name)?,
            _ => None,
        };
        Ok(Self { root_task, tender, kernel })
    }

    /// All of them, each once, sorted.
    pub(super) fn all(&self) -> Vec<LinkedCrate> {
        let mut all: Vec<_> =
            self.root_task.iter().chain(&self.tender).chain(&self.kernel).cloned().collect();
        all.sort();
        all.dedup();
        all
    }
}

//! What a recipe that has the right shape can still get wrong. Every check tells what is wrong, where,
//! and what to do; all of them run, so that a user sees everything at once.

mod bare_metal;
mod console;
mod disk;
mod function;
mod image_files;
mod kernel;
mod net;
mod process;
mod qemu;
mod requests;
mod root_task;
mod rumprun;
mod run;
mod smoke;
mod source;
mod spdx;

use super::{
    Component, Period, RawRecipe, Size,
    units::{BadQuantity, GIB, MIB, parse_period, parse_size, show_size},
};
use crate::{
    Project,
    diagnostic::Diagnostics,
    document::{Document, Findings, Step, shown},
    files,
};
use std::path::{Path, PathBuf};

/// What the checks worked out on the way.
#[derive(Debug, Clone)]
pub(super) struct Quantities {
    /// Whether the runtime reads ACPI tables.
    pub(super) acpi: bool,
    /// What is linked of NetBSD's kernel.
    pub(super) components: Vec<Component>,
    /// Stack in bytes.
    pub(super) stack: u64,
    /// Heap in bytes.
    pub(super) heap: u64,
    /// Guest memory in bytes.
    pub(super) memory: u64,
    /// Memory of the Linux process in bytes.
    pub(super) process_memory: u64,
    /// Memory of the bare machine in bytes.
    pub(super) bare_metal_memory: u64,
    /// Its disk in bytes, when it has one.
    pub(super) disk: Option<u64>,
    /// The smoke test's time-out in milliseconds.
    pub(super) timeout: u64,
    /// How long each HTTP request, then each TCP connection of it may take, in milliseconds.
    pub(super) answers: Vec<u64>,
}

/// One check of one recipe.
struct Check<'a> {
    project: &'a Project,
    /// The recipe's file.
    path: &'a Path,
    raw: &'a RawRecipe,
    findings: Findings<'a>,
}

/// Checks `raw`, which was read as `doc` from `path`.
pub(super) fn check(
    project: &Project,
    path: &Path,
    doc: &Document<'_>,
    raw: &RawRecipe,
) -> Result<Quantities, Diagnostics> {
    let mut check = Check { project, path, raw, findings: Findings::new(doc) };
    check.function();
    check.source();
    check.kernel();
    let components = check.rumprun();
    check.image_files();
    check.run();
    check.console();
    check.net();
    let disk = check.disk();
    let memory = check.qemu();
    let process_memory = check.process();
    let bare_metal_memory = check.bare_metal(memory);
    let acpi = check.acpi();
    let (stack, heap) = check.memory_use([memory, process_memory, bare_metal_memory]);
    check.needs();
    let (timeout, answers) = check.smoke();
    check.findings.finish()?;
    Ok(Quantities {
        acpi,
        components,
        stack,
        heap,
        memory,
        process_memory,
        bare_metal_memory,
        disk,
        timeout,
        answers,
    })
}

/// Memory where a recipe says nothing.
const MEMORY: u64 = 64 * MIB;
/// No target has more: seL4 5.0.0 boots up to here.
const MEMORY_MOST: u64 = 6 * GIB;

impl Check<'_> {
    /// Whether the recipe says something at `path`.
    fn has(&self, path: &[Step<'_>]) -> bool {
        self.findings.doc.has(path)
    }

    /// The value at `path` is wrong.
    fn wrong(&mut self, path: &[Step<'_>], message: impl Into<String>, help: impl Into<String>) {
        self.findings.value(path, message, help);
    }

    /// The bytes of the size at `path`: what was found wrong with it makes it its default.
    fn size(&mut self, path: &[Step<'_>], size: Option<&Size>, default: u64) -> u64 {
        match size {
            None => default,
            Some(Size::Bytes(bytes)) => *bytes,
            Some(Size::Text(text)) => {
                parse_size(text).unwrap_or_else(|bad| self.quantity(path, text, bad, default))
            }
        }
    }

    /// The bytes of a target's memory at `at`: whole MiB, `least` or more; the default when they are wrong.
    fn memory(&mut self, at: &[Step<'_>], written: Option<&Size>, least: u64, default: u64) -> u64 {
        let memory = self.size(at, written, default);
        if !(least..=MEMORY_MOST).contains(&memory) {
            let (least_text, most_text) = (size(least), size(MEMORY_MOST));
            let help = match written {
                Some(Size::Bytes(number)) if (least / MIB..=MEMORY_MOST / MIB).contains(number) => {
                    format!("a number alone is bytes: write `\"{number} MiB\"`")
                }
                _ => format!("write `\"{least_text}\"` or more, at most `\"{most_text}\"`"),
            };
            let message = format!("`memory` must be {least_text} to {most_text}, not {}", size(memory));
            self.wrong(at, message, help);
        } else if !memory.is_multiple_of(MIB) {
            let message = format!("`memory` must be whole MiB, not {}", size(memory));
            self.wrong(at, message, format!("write `\"{}\"`", size(memory.next_multiple_of(MIB))));
        } else {
            return memory;
        }
        default
    }

    /// The milliseconds of the period at `path`, likewise.
    fn period(&mut self, path: &[Step<'_>], period: Option<&Period>, default: u64) -> u64 {
        match period {
            None => default,
            Some(Period::Seconds(seconds)) => seconds.saturating_mul(1000),
            Some(Period::Text(text)) => {
                parse_period(text).unwrap_or_else(|bad| self.quantity(path, text, bad, default))
            }
        }
    }

    fn quantity(&mut self, path: &[Step<'_>], text: &str, bad: BadQuantity, default: u64) -> u64 {
        self.wrong(path, format!("`{text}` {}", bad.what), bad.help);
        default
    }

    /// The place that the path `written` names, when it is one that a recipe may have.
    fn input(&mut self, at: &[Step<'_>], written: &str) -> Option<PathBuf> {
        if written.is_empty() {
            self.wrong(at, "the path is empty", "write a path relative to the recipe's folder");
            return None;
        }
        if written.contains('\0') {
            self.wrong(at, "the path has a NUL character in it", "take it out");
            return None;
        }
        if Path::new(written).is_absolute() || written.starts_with('~') {
            let help = "write it relative to the recipe's folder, so that the recipe works on other machines";
            self.wrong(at, format!("`{written}` is an absolute path"), help);
            return None;
        }
        Some(resolve(self.path, written))
    }

    /// The path as messages show it.
    fn shown(&self, path: &Path) -> String {
        shown(self.project, path)
    }
}

/// The place of the path `written` in the recipe at `recipe`.
pub(super) fn resolve(recipe: &Path, written: &str) -> PathBuf {
    files::clean(&recipe.parent().unwrap_or(Path::new("/")).join(written))
}

/// The first value that is there twice: its index.
fn repeated<T: PartialEq>(values: &[T]) -> Option<usize> {
    (0..values.len()).find(|&i| values[..i].contains(&values[i]))
}

/// `bytes`, for a message.
fn size(bytes: u64) -> String {
    show_size(bytes)
}

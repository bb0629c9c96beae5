//! `[root-task]`

use super::{
    Check, repeated,
    rumprun::{HEAP, STACK},
    size,
};
use crate::{
    document::at,
    recipe::{
        Size,
        units::{KIB, MIB},
    },
};
use std::path::Path;

/// Pages on x86_64.
const PAGE: u64 = 4 * KIB;
/// Stacks below are too small for formatted printing in a panic.
const STACK_LEAST: u64 = 16 * KIB;
/// Memory kept for firmware, kernel, the image itself and the capability space (2^16 slots of 32 bytes).
const KEPT: u64 = 8 * MIB;
/// The same in a Linux process, which has no firmware and no kernel in its memory.
const KEPT_IN_PROCESS: u64 = 3 * MIB;

impl Check<'_> {
    pub(super) fn source(&mut self) {
        let task = &self.raw.root_task;
        let sources = [
            ("crate", task.crate_dir.is_some()),
            ("c-sources", task.c_sources.is_some()),
            ("source", task.source.is_some()),
            ("program", task.program.is_some()),
            ("prebuilt", task.prebuilt.is_some()),
        ];
        let written: Vec<_> = sources.iter().filter(|(_, there)| *there).map(|(key, _)| *key).collect();
        match written.as_slice() {
            [] => {
                let help = "write one of `crate`, `c-sources`, `source`, `program` and `prebuilt`, for instance \
                            `crate = \"../functions/hello\"`";
                self.findings.key(at!["root-task"], "nothing says what the root task is made of", help);
            }
            [_] => {}
            [first, rest @ ..] => {
                for key in rest {
                    let message = format!(
                        "`{key}` and `{first}` exclude each other: a root task is made of one of them"
                    );
                    self.findings.key(at!["root-task", *key], message, "keep one of them");
                }
            }
        }
        if let Some(folder) = &task.crate_dir {
            self.crate_dir(folder);
        }
        for (i, file) in task.c_sources.iter().flatten().enumerate() {
            self.c_source(i, file);
        }
        if task.c_sources.as_ref().is_some_and(Vec::is_empty) {
            self.wrong(at!["root-task", "c-sources"], "there are no C sources", "write at least one C file");
        }
        if let Some(file) = &task.prebuilt {
            self.prebuilt(file);
        }
        self.source_package();
        self.features(&written);
    }

    fn crate_dir(&mut self, written: &str) {
        let at = at!["root-task", "crate"];
        let Some(path) = self.input(at, written) else { return };
        let shown = self.shown(&path);
        if path.is_file() {
            let help = "name the crate's folder, the one that has `Cargo.toml`";
            self.wrong(at, format!("`{shown}` is a file"), help);
        } else if !path.is_dir() {
            self.absent(at!["root-task", "crate"], &path, "folder");
        } else if !path.join("Cargo.toml").is_file() {
            let help = "name a folder with a `Cargo.toml`, or write `c-sources` for C";
            self.wrong(at, format!("`{shown}` is not a crate: it has no `Cargo.toml`"), help);
        }
    }

    fn c_source(&mut self, i: usize, written: &str) {
        let at = at!["root-task", "c-sources", i];
        if self.raw.root_task.c_sources.iter().flatten().take(i).any(|other| other == written) {
            return self.wrong(at, format!("`{written}` is there twice"), "keep one of them");
        }
        let Some(path) = self.input(at, written) else { return };
        if path.is_dir() {
            self.wrong(
                at,
                format!("`{}` is a folder", self.shown(&path)),
                "name the C files in it, one by one",
            );
        } else if !path.is_file() {
            self.absent(at, &path, "file");
        } else if !self.is_source(&path) {
            let help = match self.is_rumprun() {
                true => {
                    "name files that end with `.c`, or with `.cc` or `.cpp` for C++; headers are found beside them"
                }
                false => "name files that end with `.c`; headers are found beside them",
            };
            self.wrong(at, format!("`{written}` is not a C file"), help);
        }
    }

    /// Whether the compiler takes it: NetBSD has a library for C++, too.
    pub(super) fn is_source(&self, path: &Path) -> bool {
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension == Some("c") || (self.is_rumprun() && matches!(extension, Some("cc" | "cpp" | "cxx")))
    }

    fn prebuilt(&mut self, written: &str) {
        let at = at!["root-task", "prebuilt"];
        if let Some(path) = self.input(at, written) {
            if path.is_dir() {
                self.wrong(at, format!("`{}` is a folder", self.shown(&path)), "name the ELF file");
            } else if !path.is_file() {
                self.absent(at, &path, "file");
            }
        }
        for key in ["libos", "stack", "heap", "acpi"] {
            if self.has(at!["root-task", key]) {
                let message = format!("`{key}` cannot be set for a prebuilt root task");
                self.findings.key(
                    at!["root-task", key],
                    message,
                    "take it out: it was decided when the ELF was linked",
                );
            }
        }
    }

    /// There is nothing at `path`.
    pub(super) fn absent(&mut self, at: &[crate::document::Step<'_>], path: &Path, kind: &str) {
        let message = format!("there is no {kind} `{}`", self.shown(path));
        let near = path.file_name().and_then(|name| name.to_str()).and_then(|name| neighbour(path, name));
        let help = match near {
            Some(near) => format!("did you mean `{near}`? Paths are relative to the recipe's folder"),
            None => "paths are relative to the recipe's folder".into(),
        };
        self.wrong(at, message, help);
    }

    fn features(&mut self, sources: &[&str]) {
        let features = &self.raw.root_task.features;
        if self.has(at!["root-task", "features"]) && !sources.contains(&"crate") && !sources.is_empty() {
            let message = format!("`features` cannot be set together with `{}`", sources[0]);
            let help = "take it out: only a `crate` has Cargo features";
            return self.findings.key(at!["root-task", "features"], message, help);
        }
        for (i, feature) in features.iter().enumerate() {
            let allowed = |c: char| c.is_alphanumeric() || "_-+./?:".contains(c);
            if feature.is_empty() || !feature.chars().all(allowed) {
                let help = "write one feature per text, as `Cargo.toml` names it";
                self.wrong(at!["root-task", "features", i], format!("`{feature}` is not a feature"), help);
            }
        }
        if let Some(i) = repeated(features) {
            let message = format!("`{}` is there twice", features[i]);
            self.wrong(at!["root-task", "features", i], message, "keep one of them");
        }
    }

    /// Whether the runtime reads ACPI tables: as written, else where the recipe speaks of bare metal.
    pub(super) fn acpi(&self) -> bool {
        let task = &self.raw.root_task;
        let wanted = task.acpi.unwrap_or(self.raw.targets.bare_metal.is_some());
        wanted && task.prebuilt.is_none()
    }

    /// The bytes of stack and heap, which must fit into the memory of the virtual machine, of the process and
    /// of the bare machine.
    pub(super) fn memory_use(&mut self, [machine, process, metal]: [u64; 3]) -> (u64, u64) {
        let task = &self.raw.root_task;
        if task.prebuilt.is_some() {
            return (0, 0);
        }
        let (usual_stack, usual_heap) = if self.is_rumprun() { (STACK, HEAP) } else { (64 * KIB, 256 * KIB) };
        let stack = self.pages("stack", task.stack.as_ref(), usual_stack);
        let heap = self.pages("heap", task.heap.as_ref(), usual_heap);
        self.rumprun_memory(heap);
        if stack < STACK_LEAST {
            let message = format!("a stack of {} is too small", size(stack));
            self.wrong(
                at!["root-task", "stack"],
                message,
                format!("write at least `\"{}\"`", size(STACK_LEAST)),
            );
        }
        let places = [
            (machine, KEPT, "virtual machine", "qemu"),
            (process, KEPT_IN_PROCESS, "Linux process", "process"),
            (metal, KEPT, "machine", "bare-metal"),
        ];
        for (memory, kept, what, target) in places {
            let room = memory.saturating_sub(kept);
            if stack.saturating_add(heap) > room {
                let larger = if heap >= stack { "heap" } else { "stack" };
                let message = format!(
                    "stack ({}) and heap ({}) do not fit into the {} of the {what}",
                    size(stack),
                    size(heap),
                    size(memory)
                );
                let help = format!(
                    "raise `memory` in [targets.{target}], or leave both together at most {}",
                    size(room)
                );
                self.wrong(at!["root-task", larger], message, help);
                // Once is enough: the remedy is the same.
                break;
            }
        }
        (stack, heap)
    }

    fn pages(&mut self, key: &str, written: Option<&Size>, default: u64) -> u64 {
        let bytes = self.size(at!["root-task", key], written, default);
        if !bytes.is_multiple_of(PAGE) {
            let near = bytes.checked_next_multiple_of(PAGE).unwrap_or(default);
            let message = format!("`{key}` must be whole pages of 4 KiB, not {}", size(bytes));
            self.wrong(at!["root-task", key], message, format!("write `\"{}\"`", size(near)));
        }
        bytes
    }
}

/// What lies beside `path` and has a name close to `name`.
fn neighbour(path: &Path, name: &str) -> Option<String> {
    let entries = std::fs::read_dir(path.parent()?).ok()?.flatten();
    let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    crate::document::suggest::closest(name, names.iter().map(String::as_str)).map(str::to_owned)
}

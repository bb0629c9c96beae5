//! `[targets.process]`, and what not every target has

use super::{Check, MEMORY, repeated};
use crate::{Target, document::at, recipe::units::MIB};

/// The root task's CNode alone may have 2 MiB (2^16 slots of 32 bytes).
const MEMORY_LEAST: u64 = 4 * MIB;

impl Check<'_> {
    /// Memory of the process in bytes; the default when the recipe's is wrong.
    pub(super) fn process(&mut self) -> u64 {
        let written = self.raw.targets.process.memory.as_ref();
        let at = at!["targets", "process", "memory"];
        self.memory(at, written, MEMORY_LEAST, MEMORY)
    }

    /// `needs` and `wants` of `[root-task]`.
    pub(super) fn needs(&mut self) {
        let task = &self.raw.root_task;
        for (key, words) in [("needs", &task.needs), ("wants", &task.wants)] {
            if let Some(i) = repeated(words) {
                let message = format!("`{}` is there twice", words[i]);
                self.wrong(at!["root-task", key, i], message, "keep one of them");
            }
        }
        if let Some(i) = task.wants.iter().position(|word| task.needs.contains(word)) {
            let word = task.wants[i];
            let message = format!("`{word}` is in `needs` as well");
            let help = "leave it in `needs` when the function cannot do without, else in `wants`";
            self.wrong(at!["root-task", "wants", i], message, help);
        }
        let targets = [(Target::Process, "process")];
        for (target, table) in targets {
            let lacking = task.needs.iter().find_map(|need| Some((need, need.lacking(target)?)));
            if let Some((need, why)) = lacking
                && self.has(at!["targets", table])
            {
                let message = format!("target `{target}` cannot have what the function needs: {why}");
                let help = format!(
                    "take [targets.{table}] out; or write `{need}` into `wants` instead of `needs` when the \
                     function copes without"
                );
                self.findings.key(at!["targets", table], message, help);
            }
        }
    }
}

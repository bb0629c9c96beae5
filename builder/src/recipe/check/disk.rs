//! `[devices.disk]`

use super::{Check, size};
use crate::{
    document::at,
    recipe::{
        LibOs,
        units::{GIB, MIB},
    },
};

/// A disk where a recipe says nothing of its size.
const SIZE: u64 = 16 * MIB;
const LEAST: u64 = MIB;
const MOST: u64 = 1024 * GIB;

impl Check<'_> {
    /// The bytes of a disk that Selkie makes, when there is one.
    pub(super) fn disk(&mut self) -> Option<u64> {
        let disk = self.raw.devices.disk.as_ref()?;
        let task = &self.raw.root_task;
        if task.prebuilt.is_none() && task.libos.unwrap_or_default() == LibOs::None {
            let help = "write `libos = \"native\"` into [root-task], or take the table out";
            self.findings.key(at!["devices", "disk"], "nothing in the function drives a disk", help);
        }
        let at = at!["devices", "disk", "size"];
        let bytes = self.size(at, disk.size.as_ref(), SIZE);
        if !(LEAST..=MOST).contains(&bytes) {
            let message = format!("a disk has {} to {}, not {}", size(LEAST), size(MOST), size(bytes));
            self.wrong(at, message, format!("write a size such as `\"{}\"`", size(SIZE)));
        } else if !bytes.is_multiple_of(MIB) {
            let message = format!("a disk has whole MiB, not {}", size(bytes));
            self.wrong(at, message, format!("write `\"{}\"`", size(bytes.next_multiple_of(MIB))));
        }
        Some(bytes)
    }
}

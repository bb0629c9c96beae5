//! `[devices.console]`

use super::Check;
use crate::{
    document::at,
    recipe::{ConsoleKind, LibOs},
};

impl Check<'_> {
    pub(super) fn console(&mut self) {
        let virtio = self.raw.devices.console_kind() == ConsoleKind::Virtio;
        let task = &self.raw.root_task;
        if virtio && task.prebuilt.is_none() && task.libos != Some(LibOs::Native) {
            let message = "nothing in the function drives a virtio console";
            let help = "write `libos = \"native\"` into [root-task], or take the table out";
            self.wrong(at!["devices", "console", "kind"], message, help);
        }
    }
}

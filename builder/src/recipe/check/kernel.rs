//! `[kernel]`

use super::Check;
use crate::document::{at, names, suggest::did_you_mean};

impl Check<'_> {
    pub(super) fn kernel(&mut self) {
        let config = self.raw.kernel.config.as_str();
        let there = names(&self.project.kernel_configs()).unwrap_or_default();
        if there.iter().any(|name| name == config) {
            return;
        }
        let bare = config.rsplit('/').next().unwrap_or(config).trim_end_matches(".toml");
        let help = if bare != config && there.iter().any(|name| name == bare) {
            format!("write its name alone: `\"{bare}\"`")
        } else {
            did_you_mean(bare, "kernel configs", &there)
        };
        let message = format!("there is no kernel config `{config}` in `kernel-configs/`");
        self.wrong(at!["kernel", "config"], message, help);
    }
}

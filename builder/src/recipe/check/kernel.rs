//! `[kernel]`

use super::Check;
use crate::document::{at, names, suggest::did_you_mean};

impl Check<'_> {
    pub(super) fn kernel(&mut self) {
        let config = self.raw.kernel.config.as_str();
        let there = names(&self.project.kernel_configs()).unwrap_or_else(|_| Vec::new());
        if there.iter().any(|name| name == config) {
            return;
        }
        let there: Vec<_> = there.iter().map(String::as_str).collect();
        let bare = config.rsplit('/').next().unwrap_or(config).trim_end_matches(".toml");
        let help = if bare != config && there.contains(&bare) {
            format!("write its name alone: `\"{bare}\"`")
        } else {
            did_you_mean(bare, "kernel configs", &there)
        };
        let message = format!("there is no kernel config `{config}` in `kernel-configs/`");
        self.wrong(at!["kernel", "config"], message, help);
    }
}

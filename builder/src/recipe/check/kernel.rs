//! `[kernel]`

use super::Check;
use crate::{
    document::{at, names, suggest::did_you_mean},
    files,
    kernel::prebuilt,
};

impl Check<'_> {
    pub(super) fn kernel(&mut self) {
        self.kernel_config();
        if let Some(file) = &self.raw.kernel.prebuilt {
            self.prebuilt_kernel(file);
        }
    }

    fn prebuilt_kernel(&mut self, written: &str) {
        let at = at!["kernel", "prebuilt"];
        let Some(path) = self.input(at, written) else { return };
        let shown = self.shown(&path);
        if path.is_dir() {
            self.wrong(at, format!("`{shown}` is a folder"), "name the kernel's ELF file");
        } else if !path.is_file() {
            self.absent(at, &path, "file");
        } else {
            let fault = match files::read_at_most(&path, prebuilt::MOST) {
                Ok(file) => prebuilt::loadable(&file).err().map(|error| error.to_string()),
                Err(error) => Some(error.to_string()),
            };
            if let Some(fault) = fault {
                let help = "name a kernel that a Multiboot loader takes, for instance the file `kernel.elf` that a build \
                            of seL4 installs; or leave `prebuilt` out";
                self.wrong(at, format!("no kernel can be booted from `{shown}`: {fault}"), help);
            }
        }
    }

    fn kernel_config(&mut self) {
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

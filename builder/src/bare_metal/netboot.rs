//! Booting over the network: kernel and root task as they are, and a script for iPXE.

use crate::{files, image::name, recipe::Recipe, template};
use serde::Serialize;
use std::path::Path;

const SCRIPT: &str = include_str!("../../../templates/bare-metal/boot.ipxe.hbs");

#[derive(Serialize)]
struct Script<'a> {
    name: &'a str,
    /// With a space before it, unless it is empty.
    command_line: String,
}

/// Writes the folder `netboot` into the image's folder `dir`, of the kernel and the root task there.
pub(crate) fn netboot(dir: &Path, recipe: &Recipe) -> Result<(), files::Error> {
    let [kernel, root_task, script] = name::NETBOOT.map(|name| dir.join(name));
    if let Some(folder) = script.parent() {
        files::create_dir_all(folder)?;
    }
    files::copy(&dir.join(name::KERNEL), &kernel)?;
    files::copy(&dir.join(name::ROOT_TASK), &root_task)?;
    files::write(&script, text(&recipe.function.name, recipe.bare_metal.command_line_after_a_space()))
}

/// The script.
fn text(name: &str, command_line: String) -> String {
    template::render(SCRIPT, &Script { name, command_line })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_starts_the_kernel_with_its_command_line() {
        let script = text("hello", " console_port=0x3f8".to_owned());
        assert!(script.starts_with("#!ipxe\n"), "{script}");
        assert!(
            script.contains("\nkernel kernel console_port=0x3f8 || goto failed\nmodule root-task ||"),
            "{script}"
        );
        assert!(text("hello", String::new()).contains("\nkernel kernel || goto failed\n"));
    }
}

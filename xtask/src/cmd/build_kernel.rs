//! `build-kernel`

use super::common::SourceArgs;
use crate::{app::App, output::Answer, table::Table};
use builder::{kernel_alone, kernel_alone::KernelAlone, plan};

const EXAMPLES: &str = "\
Examples:
  cargo xtask build-kernel x86_64-release          out/kernels/x86_64-release/bin/kernel.elf
  cargo xtask build-kernel aarch64-qemu-arm-virt --kernel-source ../seL4
                                                   one for a machine that no image can be made for yet
  cargo xtask list                                 the kernel configs that there are
  cargo xtask explain --kernel-config x86_64-release    what it would be built from

The folder is an installed kernel (what rust-sel4 calls SEL4_PREFIX) where the tree is seL4 13 or later.
A second build with nothing changed does nothing and says so.";

/// Builds a kernel alone, without a function
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BuildKernel {
    /// Name of a file in kernel-configs/ (without .toml)
    #[arg(value_name = "KERNEL-CONFIG")]
    name: String,
    #[command(flatten)]
    source: SourceArgs,
}

impl BuildKernel {
    pub(crate) fn run(&self, app: &App) -> anyhow::Result<Answer> {
        let ctx = app.context();
        let plan = plan::kernel_alone::plan(&ctx, &self.name, self.source.named(app)?.as_ref())?;
        let kernel = kernel_alone::build(&ctx, &plan)?;
        Answer::new(&kernel, text(&kernel))
    }
}

/// How many headers and the like there are; path, size and digest of every other file.
fn text(kernel: &KernelAlone) -> String {
    let (headers, files): (Vec<_>, Vec<_>) =
        kernel.files.iter().partition(|file| file.name.starts_with("libsel4/"));
    let mut text = format!("kernel {}: seL4 {}\n", kernel.name, kernel.version);
    if !headers.is_empty() {
        let folder = kernel.dir.join("libsel4");
        text.push_str(&format!("{} headers and interface files in {}\n", headers.len(), folder.display()));
    }
    if !kernel.has_interface {
        text.push_str("no bindings: nothing describes this kernel's interface for Selkie so far (an era; docs/kernels.md)\n");
    }
    if !kernel.fresh {
        text.push_str("nothing to do, all is as before\n");
    }
    let mut table = Table::new(["path", "bytes", "sha256"]);
    for file in files {
        let path = kernel.dir.join(&file.name);
        table.row([path.display().to_string(), file.size.to_string(), file.sha256.to_string()]);
    }
    text + &table.render()
}

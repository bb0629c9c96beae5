//! By which protocols a kernel can be booted: the headers that boot loaders look for in its file.

use crate::kernel;
use std::path::Path;

/// Which headers a kernel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers {
    /// Multiboot 1 (0.6.96): a PC BIOS only.
    pub multiboot1: bool,
    /// Multiboot 2: UEFI, too.
    pub multiboot2: bool,
}

impl Headers {
    /// The headers of a kernel's file.
    pub fn of_file(file: &[u8]) -> Self {
        let multiboot1 = kernel::multiboot_header(file).is_some();
        Self { multiboot1, multiboot2: kernel::multiboot2_header(file).is_some() }
    }

    /// The headers of the kernels that the seL4 tree at `root` makes: every tree for the PC has the first, and
    /// one that can read what a Multiboot 2 loader says has the second.
    pub fn of_tree(root: &Path) -> Self {
        let multiboot2 = root.join("include/arch/x86/arch/kernel/multiboot2.h").exists();
        Self { multiboot1: true, multiboot2 }
    }
}

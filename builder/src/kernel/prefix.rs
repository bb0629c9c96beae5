//! An installed kernel, the layout that rust-sel4 calls SEL4_PREFIX: `bin/kernel.elf` and `libsel4/include/`.
//! Nothing is compiled: the kernel is made loadable, and its options are read.

use super::{Error, KernelTree, elf32, locate, make, resolved};
use crate::{
    Result, files,
    kernel_config::{Arch, KernelConfig, OptionValue},
};
use std::path::{Path, PathBuf};

/// The installed kernel.
const KERNEL: &str = "bin/kernel.elf";

/// What a prefix has besides the kernel: interface, options, headers.
const HAS: &[&str] = &[
    KERNEL,
    "libsel4/include/sel4/sel4.h",
    "libsel4/include/api/syscall.xml",
    "libsel4/include/interfaces/object-api.xml",
    "libsel4/include/interfaces/object-api-sel4-arch.xml",
    "libsel4/include/interfaces/object-api-arch.xml",
    "libsel4/include/kernel/gen_config.json",
];

/// Options by whose names a prefix without a `VERSION` tells its release, and that release; the first that is
/// there counts. seL4 added or removed each of them with a release (its CHANGES).
const TELLS: [(&str, &str); 4] = [
    ("PLAT_BCM2712", "16.0.0"),
    ("NUM_DOMAIN_SCHEDULES", "15.0.0"),
    ("FPU_MAX_RESTORES_SINCE_SWITCH", "13.0.0"),
    ("SIGNAL_FASTPATH", "14.0.0"),
];

/// The folder `path`, when it is a prefix for the machine that `config` is for.
pub(super) fn check(path: &Path, config: &KernelConfig) -> Result<PathBuf, Error> {
    let root = locate::folder(path)?;
    if let Some(lacks) = HAS.iter().find(|file| !root.join(file).is_file()) {
        return Err(Error::NotAPrefix { root, lacks: (*lacks).to_owned() });
    }
    let options = resolved::of_prefix(&root)?;
    let text = |name: &str| match options.get(name) {
        Some(OptionValue::Text(text)) => text.clone(),
        _ => "?".to_owned(),
    };
    let found = format!("{} ({})", text("SEL4_ARCH"), text("PLAT"));
    let wanted = format!("{} ({})", config.arch, config.platform.name());
    if found != wanted {
        return Err(Error::OtherMachine { root, config: config.name.clone(), wanted, found });
    }
    Ok(root)
}

/// The release. seL4 does not install its `VERSION`: where there is none, options tell that came with a release.
pub(super) fn version(root: &Path) -> Result<String, Error> {
    let written = locate::version_of(root);
    if !written.is_empty() {
        return Ok(written);
    }
    let options = resolved::names(root)?;
    let release = TELLS.iter().find(|(option, _)| options.contains(*option));
    release
        .map(|(_, version)| (*version).to_owned())
        .ok_or_else(|| Error::NoVersion { root: root.to_owned() })
}

/// Takes the kernel of the prefix `tree` into the empty folder `dir`.
pub(super) fn take(config: &KernelConfig, tree: &KernelTree, dir: &Path) -> Result<()> {
    let kernel = files::read(&tree.root.join(KERNEL))?;
    files::write(&dir.join(make::ELF), &kernel)?;
    if config.arch == Arch::X86_64 {
        let multiboot = elf32::convert(&kernel).map_err(Error::from)?;
        files::write(&dir.join(make::MULTIBOOT), multiboot)?;
    }
    Ok(resolved::keep(dir, &resolved::of_prefix(&tree.root).map_err(Error::from)?)?)
}

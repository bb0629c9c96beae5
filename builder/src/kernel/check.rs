//! Whether a kernel config fits its kernel's tree: options that the tree knows, overlays of its headers.

use super::{Error, KernelTree, OverlayFile, kconfig::Kconfig, make::Layout};
use crate::{Context, Result, files, kernel_config::KernelConfig};

/// Reads the overlays of `config`.
pub(super) fn overlays(ctx: &Context<'_>, config: &KernelConfig) -> Result<Vec<OverlayFile>> {
    let read = |overlay: &crate::kernel_config::Overlay| {
        let content = files::read(&ctx.project.kernel_configs().join(&overlay.file))?;
        Ok(OverlayFile { header: overlay.header.clone(), content })
    };
    config.overlays.iter().map(read).collect()
}

/// Checks options and overlays against `tree`.
pub(super) fn config(config: &KernelConfig, tree: &KernelTree, layout: &Layout) -> Result<()> {
    let kconfig = Kconfig::read(&tree.root, &layout.kconfig(&tree.root));
    let kconfig = kconfig.map_err(|source| Error::Unreadable { root: tree.root.clone(), source })?;
    let complaints = kconfig.check(&config.options);
    if complaints.is_empty() { Ok(()) } else { Err(Error::Options(complaints).into()) }
}

//! What the host has to boot an emulated PC with besides QEMU's own BIOS.

use super::BootPath;
use crate::{
    doctor,
    recipe::{Firmware, Format},
};
use std::path::PathBuf;

/// The host has no such firmware.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the host has no {what}; packages that have it: {packages}")]
pub struct Lacking {
    /// What is missing.
    pub what: &'static str,
    /// The packages that have it, by family of distributions.
    pub packages: String,
}

crate::exit_code!(Lacking, HostLacks);

/// What `path` needs of the host besides QEMU and its BIOS; none when that is nothing.
pub(super) fn find(path: BootPath) -> Result<Option<PathBuf>, Lacking> {
    let what = match (path.firmware(), path.format()) {
        (Firmware::Uefi, _) => "UEFI for QEMU",
        (Firmware::Bios, Format::Netboot) => "iPXE for QEMU",
        (Firmware::Bios, _) => return Ok(None),
    };
    doctor::file(what).map(Some).map_err(|packages| Lacking { what, packages })
}

//! What the host has to boot an emulated PC with besides QEMU's own BIOS.

use super::BootPath;
use crate::{
    doctor,
    recipe::{Firmware, Format},
};
use std::path::{Path, PathBuf};

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

/// The file with the first state of the variables of the UEFI in `code`, which lies beside it.
pub(super) fn variables(code: &Path) -> Option<PathBuf> {
    let name = code.file_name()?.to_str()?;
    let beside = ["CODE", "code"].iter().zip(["VARS", "vars"]).map(|(from, to)| name.replace(from, to));
    beside.filter(|other| other != name).map(|other| code.with_file_name(other)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_lie_beside_the_code() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd", "OVMF_CODE.4m.fd"] {
            std::fs::write(at(name), "").unwrap();
        }
        assert_eq!(variables(&at("OVMF_CODE_4M.fd")), Some(at("OVMF_VARS_4M.fd")));
        assert_eq!(variables(&at("OVMF_CODE.4m.fd")), None);
        assert_eq!(variables(&at("OVMF.fd")), None);
    }
}

//! What the host has to boot an emulated PC with besides QEMU's own BIOS.

use super::BootPath;
use crate::recipe::{Firmware, Format};
use std::path::{Path, PathBuf};

/// UEFI for QEMU: its code alone, in a flash that is not written to.
const UEFI: Files = Files {
    what: "UEFI firmware for QEMU (OVMF)",
    package: "ovmf, on Fedora and Arch edk2-ovmf",
    paths: &[
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/OVMF/OVMF_CODE.fd",
        "/usr/share/edk2/ovmf/OVMF_CODE_4M.fd",
        "/usr/share/edk2/ovmf/OVMF_CODE.fd",
        "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
        "/usr/share/edk2-ovmf/x64/OVMF_CODE.fd",
        "/usr/share/qemu/edk2-x86_64-code.fd",
    ],
};

/// iPXE for the network card e1000.
const IPXE: Files = Files {
    what: "iPXE for the network card of QEMU",
    package: "ipxe-qemu, on Fedora ipxe-roms-qemu, on Arch qemu-system-x86-firmware",
    paths: &[
        "/usr/lib/ipxe/qemu/pxe-e1000.rom",
        "/usr/lib/ipxe/qemu/efi-e1000.rom",
        "/usr/share/ipxe/qemu/pxe-e1000.rom",
        "/usr/share/ipxe/qemu/efi-e1000.rom",
        "/usr/share/ipxe/8086100e.rom",
        "/usr/share/qemu/pxe-e1000.rom",
        "/usr/share/qemu/efi-e1000.rom",
    ],
};

/// Where distributions have one thing.
struct Files {
    what: &'static str,
    package: &'static str,
    paths: &'static [&'static str],
}

/// The host has no such firmware.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the host has no {what}: it comes with the package {package}")]
pub struct Lacking {
    /// What is missing.
    pub what: &'static str,
    /// The package that has it, by distribution.
    pub package: &'static str,
}

crate::exit_code!(Lacking, HostLacks);

/// What `path` needs of the host besides QEMU and its BIOS; none when that is nothing.
pub(super) fn find(path: BootPath) -> Result<Option<PathBuf>, Lacking> {
    match (path.firmware(), path.format()) {
        (Firmware::Uefi, _) => UEFI.find(Path::new("/")).map(Some),
        (Firmware::Bios, Format::Netboot) => IPXE.find(Path::new("/")).map(Some),
        (Firmware::Bios, _) => Ok(None),
    }
}

impl Files {
    /// The first of the files that is there, below `root`.
    fn find(&self, root: &Path) -> Result<PathBuf, Lacking> {
        let mut paths = self.paths.iter().map(|path| root.join(path.trim_start_matches('/')));
        paths.find(|path| path.is_file()).ok_or(Lacking { what: self.what, package: self.package })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let host = tempfile::tempdir().unwrap();
        let text = UEFI.find(host.path()).unwrap_err().to_string();
        assert!(text.contains("OVMF") && text.contains("package ovmf"), "{text}");
        let text = IPXE.find(host.path()).unwrap_err().to_string();
        assert!(text.contains("iPXE") && text.contains("package ipxe-qemu"), "{text}");
        let rom = host.path().join("usr/share/qemu/efi-e1000.rom");
        std::fs::create_dir_all(rom.parent().unwrap()).unwrap();
        std::fs::write(&rom, "").unwrap();
        assert_eq!(IPXE.find(host.path()).unwrap(), rom);
    }
}

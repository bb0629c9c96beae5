//! The ways in which firmware comes from the power button to a function.

use crate::recipe::{Firmware, Format};
use serde::{Serialize, Serializer};
use std::{fmt, str::FromStr, time::Duration};

/// One way from the power button to the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BootPath {
    /// The ISO as a CD, BIOS.
    IsoCdBios,
    /// The ISO on a USB stick, BIOS.
    IsoUsbBios,
    /// The disk image on a disk, BIOS.
    DiskBios,
    /// iPXE in the network card's ROM, BIOS.
    NetbootBios,
    /// The ISO as a CD, UEFI.
    IsoCdUefi,
    /// The ISO on a USB stick, UEFI.
    IsoUsbUefi,
    /// The disk image on a disk, UEFI.
    DiskUefi,
}

impl BootPath {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Self; 7] = [
        Self::IsoCdBios,
        Self::IsoUsbBios,
        Self::DiskBios,
        Self::NetbootBios,
        Self::IsoCdUefi,
        Self::IsoUsbUefi,
        Self::DiskUefi,
    ];

    /// The word for it: what is booted, from what kind of device when there are several, by what firmware.
    pub fn name(self) -> &'static str {
        match self {
            Self::IsoCdBios => "iso/cd/bios",
            Self::IsoUsbBios => "iso/usb/bios",
            Self::DiskBios => "disk/bios",
            Self::NetbootBios => "netboot/bios",
            Self::IsoCdUefi => "iso/cd/uefi",
            Self::IsoUsbUefi => "iso/usb/uefi",
            Self::DiskUefi => "disk/uefi",
        }
    }

    /// What is booted.
    pub fn format(self) -> Format {
        match self {
            Self::IsoCdBios | Self::IsoUsbBios | Self::IsoCdUefi | Self::IsoUsbUefi => Format::Iso,
            Self::DiskBios | Self::DiskUefi => Format::Disk,
            Self::NetbootBios => Format::Netboot,
        }
    }

    /// What boots it.
    pub fn firmware(self) -> Firmware {
        match self {
            Self::IsoCdBios | Self::IsoUsbBios | Self::DiskBios | Self::NetbootBios => Firmware::Bios,
            Self::IsoCdUefi | Self::IsoUsbUefi | Self::DiskUefi => Firmware::Uefi,
        }
    }

    /// Those that exist for an image with these formats, made for this firmware.
    pub fn of(formats: &[Format], firmware: &[Firmware]) -> Vec<Self> {
        let there = |path: &Self| formats.contains(&path.format()) && firmware.contains(&path.firmware());
        Self::ALL.into_iter().filter(there).collect()
    }

    /// How long firmware and boot loader may take before the kernel starts. Emulated and on an idle host they
    /// need 0.4 s (BIOS), 3 s (UEFI) and 5 s (network).
    pub fn allowance(self) -> Duration {
        match (self.format(), self.firmware()) {
            (Format::Netboot, _) => Duration::from_secs(60),
            (_, Firmware::Bios) => Duration::from_secs(15),
            (_, Firmware::Uefi) => Duration::from_secs(45),
        }
    }
}

impl fmt::Display for BootPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for BootPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// There is no such way.
#[derive(Debug, thiserror::Error)]
#[error("there is no boot `{0}`\n  help: it is one of {all}", all = BootPath::ALL.map(BootPath::name).join(", "))]
pub struct UnknownBoot(String);

crate::exit_code!(UnknownBoot, Usage);

impl FromStr for BootPath {
    type Err = UnknownBoot;

    fn from_str(text: &str) -> Result<Self, UnknownBoot> {
        Self::ALL.into_iter().find(|path| path.name() == text).ok_or_else(|| UnknownBoot(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_ways_are_the_same() {
        for path in BootPath::ALL {
            assert_eq!(path.name().parse::<BootPath>().unwrap(), path);
            assert_eq!(serde_json::to_value(path).unwrap(), path.name());
        }
        let error = "iso/uefi".parse::<BootPath>().unwrap_err().to_string();
        assert!(error.contains("iso/cd/bios, iso/usb/bios"), "{error}");
    }

    #[test]
    fn an_image_boots_by_what_it_has() {
        use {Firmware::*, Format::*};
        assert_eq!(BootPath::of(&[Iso, Disk, Netboot], &[Bios, Uefi]), BootPath::ALL);
        assert_eq!(BootPath::of(&[Disk, Netboot], &[Uefi]), [BootPath::DiskUefi]);
        assert!(BootPath::of(&[Netboot], &[Uefi]).is_empty());
    }
}

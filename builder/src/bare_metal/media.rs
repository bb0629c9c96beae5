//! Which media are made: decided from the recipe and from what the kernel can be booted by.

use super::Headers;
use crate::{
    image::{Role, name},
    recipe::{AtExit, BareMetalTarget, Firmware, Format, Recipe, RootTaskSource},
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The protocol between boot loader and kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Multiboot 1.
    Multiboot,
    /// Multiboot 2.
    Multiboot2,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Multiboot => "Multiboot 1",
            Self::Multiboot2 => "Multiboot 2",
        })
    }
}

/// The media of one image, and what was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Media {
    /// What they are made for, sorted.
    pub firmware: Vec<Firmware>,
    /// What is made, sorted.
    pub formats: Vec<Format>,
    /// How GRUB starts the kernel: by Multiboot 2 where the kernel has it.
    pub protocol: Protocol,
    /// What was not asked for by name and cannot be made, with the reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

/// Something that was not made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LeftOut {
    /// The word of the recipe for it.
    pub what: String,
    /// Why.
    pub why: String,
}

/// What the recipe asks for by name cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// UEFI without Multiboot 2.
    #[error(
        "`{name}` cannot boot on UEFI: {why}\n  help: write `firmware = [\"bios\"]` in [targets.bare-metal], or name a current kernel in [kernel]: `cargo xtask list` shows them"
    )]
    Uefi {
        /// The recipe's name.
        name: String,
        /// Why.
        why: String,
    },
    /// Netboot without Multiboot 1.
    #[error(
        "`{name}` cannot boot over the network: {why}\n  help: take `\"netboot\"` out of `formats` in [targets.bare-metal]"
    )]
    Netboot {
        /// The recipe's name.
        name: String,
        /// Why.
        why: String,
    },
    /// No header at all.
    #[error(
        "the kernel of `{name}` cannot be booted on a PC: it has neither a Multiboot 1 nor a Multiboot 2 header\n  help: name another kernel in [kernel]"
    )]
    NoHeader {
        /// The recipe's name.
        name: String,
    },
}

crate::exit_code!(Error, Usage);

/// Whether a PC halts at the end although it is to go off: the root task knows nothing of ACPI. What a prebuilt one
/// knows nobody can tell.
pub(crate) fn halts(recipe: &Recipe) -> bool {
    let built = !matches!(recipe.source, RootTaskSource::Prebuilt(_));
    built && !recipe.acpi && recipe.run.at_exit == AtExit::PowerOff
}

/// Why UEFI is left out.
const NO_MULTIBOOT2: &str = "its kernel has a Multiboot 1 header only, and by that UEFI hands over no ACPI tables, without \
                             which seL4 does not start";
/// Why netboot is left out.
const NO_MULTIBOOT1: &str = "its kernel has no Multiboot 1 header, and iPXE knows no other";
/// Likewise.
const NO_BIOS: &str = "netboot is for BIOS only: iPXE on UEFI does not start a Multiboot kernel";

impl Media {
    /// Decides what is made of `recipe` with a kernel that has these headers.
    pub fn decide(recipe: &Recipe, headers: Headers) -> Result<Self, Error> {
        let BareMetalTarget { firmware, formats, .. } = &recipe.bare_metal;
        let name = || recipe.function.name.clone();
        if headers == Headers::default() {
            return Err(Error::NoHeader { name: name() });
        }
        let mut left_out = Vec::new();
        let mut leave = |what: &str, why: &str| {
            left_out.push(LeftOut { what: what.to_owned(), why: why.to_owned() });
        };
        let all = || vec![Firmware::Bios, Firmware::Uefi];
        let mut chosen = firmware.clone().unwrap_or_else(all);
        if chosen.contains(&Firmware::Uefi) && !headers.multiboot2 {
            if firmware.is_some() {
                return Err(Error::Uefi { name: name(), why: NO_MULTIBOOT2.to_owned() });
            }
            leave("uefi", NO_MULTIBOOT2);
            chosen.retain(|one| *one != Firmware::Uefi);
        }
        let mut made = formats.clone().unwrap_or_else(|| vec![Format::Iso, Format::Disk, Format::Netboot]);
        let why = match (headers.multiboot1, chosen.contains(&Firmware::Bios)) {
            (true, true) => None,
            (false, _) => Some(NO_MULTIBOOT1),
            (true, false) => Some(NO_BIOS),
        };
        if let Some(why) = why.filter(|_| made.contains(&Format::Netboot)) {
            if formats.is_some() {
                return Err(Error::Netboot { name: name(), why: why.to_owned() });
            }
            leave("netboot", why);
            made.retain(|one| *one != Format::Netboot);
        }
        let protocol = if headers.multiboot2 { Protocol::Multiboot2 } else { Protocol::Multiboot };
        Ok(Self { firmware: chosen, formats: made, protocol, left_out })
    }

    /// Whether `format` is made.
    pub fn has(&self, format: Format) -> bool {
        self.formats.contains(&format)
    }

    /// Whether the media boot on `firmware`.
    pub fn boots(&self, firmware: Firmware) -> bool {
        self.firmware.contains(&firmware)
    }

    /// The files of the media in an image's folder, for the recipe `name`, and what each is.
    pub fn files(&self, recipe: &str) -> Vec<(String, Role)> {
        let files = |format: &Format| match format {
            Format::Iso => vec![(name::iso(recipe), Role::Iso)],
            Format::Disk => vec![(name::disk(recipe), Role::Disk)],
            Format::Netboot => name::NETBOOT.map(|name| (name.to_owned(), Role::Netboot)).to_vec(),
        };
        self.formats.iter().flat_map(files).collect()
    }
}

//! `[targets.bare-metal]`

use super::{Check, qemu::MEMORY_LEAST, repeated};
use crate::{
    document::at,
    recipe::{Firmware, Format, SERIAL_SPEED},
};

/// GRUB takes so much on one line of its configuration, and more than any option of seL4 needs.
const COMMAND_LINE_MOST: usize = 512;

impl Check<'_> {
    /// Memory of the machine in bytes; `default` when the recipe says nothing, or something wrong.
    pub(super) fn bare_metal(&mut self, default: u64) -> u64 {
        let Some(target) = &self.raw.targets.bare_metal else { return default };
        self.media();
        if let Some(speed) = target.serial_speed
            && (speed == 0 || !SERIAL_SPEED.is_multiple_of(speed) || SERIAL_SPEED / speed > 0xffff)
        {
            let help = "write one of 115200, 57600, 38400, 19200, 9600, 4800, 2400, 1200";
            let message = format!("a serial port cannot be set to {speed} bits per second");
            self.wrong(at!["targets", "bare-metal", "serial-speed"], message, help);
        }
        self.command_line();
        let at = at!["targets", "bare-metal", "memory"];
        self.memory(at, target.memory.as_ref(), MEMORY_LEAST, default)
    }

    /// `firmware` and `formats`: each once, at least one, and not against each other.
    fn media(&mut self) {
        let Some(target) = &self.raw.targets.bare_metal else { return };
        let (firmware, formats) = (target.firmware.as_deref(), target.formats.as_deref());
        if firmware == Some(&[]) {
            let help = "write `[\"bios\"]`, `[\"uefi\"]` or both, or take the line out";
            self.wrong(at!["targets", "bare-metal", "firmware"], "nothing could boot the media", help);
        }
        if formats == Some(&[]) {
            let help =
                "write some of `\"iso\"`, `\"disk\"`, `\"netboot\"`, or take the line out for all of them";
            self.wrong(at!["targets", "bare-metal", "formats"], "nothing would be made", help);
        }
        if let Some(i) = firmware.and_then(repeated) {
            self.wrong(
                at!["targets", "bare-metal", "firmware", i],
                "this firmware is there twice",
                "keep one of them",
            );
        }
        if let Some(i) = formats.and_then(repeated) {
            self.wrong(
                at!["targets", "bare-metal", "formats", i],
                "this format is there twice",
                "keep one of them",
            );
        }
        let netboot = formats.and_then(|list| list.iter().position(|one| *one == Format::Netboot));
        if let (Some([Firmware::Uefi]), Some(i)) = (firmware, netboot) {
            let message = "netboot is for BIOS only: iPXE on UEFI starts UEFI programs and Linux, not a Multiboot kernel";
            let help = "add `\"bios\"` to `firmware`, or take `\"netboot\"` out; UEFI boots the ISO and the disk image";
            self.wrong(at!["targets", "bare-metal", "formats", i], message, help);
        }
    }

    /// `kernel-command-line`: it stands in GRUB's configuration and in a script of iPXE, between quotes in the
    /// one and bare in the other.
    fn command_line(&mut self) {
        let Some(line) =
            self.raw.targets.bare_metal.as_ref().and_then(|one| one.kernel_command_line.as_deref())
        else {
            return;
        };
        let at = at!["targets", "bare-metal", "kernel-command-line"];
        let plain = |c: char| c.is_ascii_alphanumeric() || " =_-+,.:/@%".contains(c);
        if let Some(c) = line.chars().find(|c| !plain(*c)) {
            let message = format!("`{}` cannot stand in a kernel command line", c.escape_debug());
            let help = "seL4's options need letters, digits and `=_-+,.:/@%` only, with one space between two options";
            self.wrong(at, message, help);
        } else if line.len() > COMMAND_LINE_MOST {
            let message = format!(
                "the kernel command line has {} characters, more than {COMMAND_LINE_MOST}",
                line.len()
            );
            self.wrong(
                at,
                message,
                "seL4 has few options, and passes none on: write `args` in [run] for the function",
            );
        }
    }
}

//! The boot loader: GRUB, from the host's packages, as core images with nothing but the modules needed and a
//! configuration inside.
//!
//! GRUB has no menu here and no shell: its modules `normal` and those that it needs would be most of its size.
//! The lines of its configuration are done one after the other; what fails says so on screen and serial line.

use super::{Media, Protocol, layout};
use crate::{
    Context, Digest, Result, doctor,
    exec::{self, Tool},
    files,
    inputs::{
        tools::{self, HostTool},
        tree,
    },
    recipe::{Firmware, Format, Recipe, Serial},
    template,
};
use serde::Serialize;
use std::path::{Path, PathBuf};

const CONFIG: &str = include_str!("../../../templates/bare-metal/grub.cfg.hbs");

/// What reads the media, shows something, and finds the files.
const COMMON: [&str; 7] = ["iso9660", "fat", "part_gpt", "serial", "terminal", "echo", "search_fs_file"];

/// GRUB's files for a firmware on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Platform {
    /// What boots it.
    pub(crate) firmware: Firmware,
    /// The folder with its modules.
    pub(crate) dir: PathBuf,
    /// The digest of that folder.
    pub(crate) digest: Digest,
}

/// GRUB on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grub {
    /// The program that makes core images.
    pub(crate) mkimage: HostTool,
    /// Its files for the firmware of the media.
    pub(crate) platforms: Vec<Platform>,
}

/// GRUB is not there, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program is missing.
    #[error(
        "`grub-mkimage` was not found on PATH\n  help: `cargo xtask doctor --fix` installs the package that has it ({packages})"
    )]
    Program {
        /// The packages that have it.
        packages: String,
    },
    /// The modules for a firmware are missing.
    #[error(
        "GRUB's modules for {firmware} were not found\n  help: `cargo xtask doctor --fix` installs the package that has them ({packages}){}",
        instead.as_ref().map(|firmware| format!("; without them, write `firmware = [\"{firmware}\"]` in [targets.bare-metal]")).unwrap_or_default()
    )]
    Platform {
        /// The firmware.
        firmware: Firmware,
        /// The packages that have them.
        packages: String,
        /// What the recipe may ask for instead.
        instead: Option<&'static str>,
    },
    /// One file of GRUB is missing.
    #[error("{}: this file of GRUB is missing\n  help: install GRUB's package for {firmware} anew ({packages})", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// The firmware that it is for.
        firmware: Firmware,
        /// The packages that have it.
        packages: String,
    },
}

crate::exit_code!(Error, HostLacks);

impl Platform {
    /// The platform's name in GRUB's folders and options.
    pub(crate) fn name(&self) -> &'static str {
        platform(self.firmware)
    }

    /// Where one of its files lies.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

fn platform(firmware: Firmware) -> &'static str {
    match firmware {
        Firmware::Bios => "i386-pc",
        Firmware::Uefi => "x86_64-efi",
    }
}

/// The need of that name in the table of what the host must have.
fn need(firmware: Firmware) -> &'static str {
    match firmware {
        Firmware::Bios => "GRUB for BIOS",
        Firmware::Uefi => "GRUB for UEFI",
    }
}

/// The modules for a medium: the BIOS core finds disks by the BIOS, UEFI's firmware shows them itself.
fn modules(firmware: Firmware, protocol: Protocol) -> Vec<&'static str> {
    let mut modules = COMMON.to_vec();
    modules.extend((firmware == Firmware::Bios).then_some("biosdisk"));
    match protocol {
        Protocol::Multiboot => modules.push("multiboot"),
        Protocol::Multiboot2 => modules.extend(["multiboot2", "gzio"]),
    }
    modules
}

/// The files besides modules that a medium takes.
fn other_files(firmware: Firmware) -> &'static [&'static str] {
    match firmware {
        Firmware::Bios => {
            &["moddep.lst", "boot.img", "boot_hybrid.img", "cdboot.img", "diskboot.img", "kernel.img"]
        }
        Firmware::Uefi => &["moddep.lst", "kernel.img"],
    }
}

impl Grub {
    /// Finds all that `media` need.
    pub(crate) fn find(ctx: &Context<'_>, media: &Media) -> Result<Self> {
        let mkimage =
            ["grub-mkimage", "grub2-mkimage"].into_iter().find(|name| tools::lookup(name).is_some());
        let packages = || doctor::packages_of_need("GRUB");
        let mkimage = mkimage.ok_or_else(|| Error::Program { packages: packages() })?;
        let mkimage = HostTool { name: "grub-mkimage".to_owned(), ..tools::find(ctx, mkimage)? };
        let mut platforms = Vec::new();
        for &firmware in &media.firmware {
            let instead = match (firmware, media.protocol) {
                (Firmware::Uefi, _) => Some("bios"),
                (Firmware::Bios, Protocol::Multiboot2) => Some("uefi"),
                (Firmware::Bios, Protocol::Multiboot) => None,
            };
            let found = doctor::file(need(firmware));
            let list = found.map_err(|packages| Error::Platform { firmware, packages, instead })?;
            let dir = list.parent().unwrap_or(Path::new("/")).to_owned();
            complete(&dir, firmware, media.protocol)?;
            let digest = tree::digest(ctx, &dir)?;
            platforms.push(Platform { firmware, dir, digest });
        }
        Ok(Self { mkimage, platforms })
    }

    /// The files for `firmware`, when the media are made for it.
    pub(crate) fn platform(&self, firmware: Firmware) -> Option<&Platform> {
        self.platforms.iter().find(|platform| platform.firmware == firmware)
    }

    /// Makes the core image `output` in the format `format` of `grub-mkimage`, in the folder `work`, where the
    /// configuration `config` lies.
    pub(crate) fn core(
        &self,
        ctx: &Context<'_>,
        platform: &Platform,
        protocol: Protocol,
        work: &Path,
        (format, output): (&str, &Path),
    ) -> Result<(), exec::Error> {
        let tool = Tool::new(&self.mkimage.path, work)
            .args(["-O", format, "-p", layout::FOLDER, "-c", CONFIG_FILE, "-d"])
            .arg(&platform.dir)
            .arg("-o")
            .arg(output)
            .args(modules(platform.firmware, protocol));
        tool.run(&ctx.cancel).map(drop)
    }
}

/// Every file that will be used is there: `grub-mkimage` names a missing one, but not its package.
fn complete(dir: &Path, firmware: Firmware, protocol: Protocol) -> Result<(), Error> {
    let modules = modules(firmware, protocol).into_iter().map(|name| format!("{name}.mod"));
    let files = other_files(firmware).iter().map(|name| (*name).to_owned());
    match files.chain(modules).map(|name| dir.join(name)).find(|file| !file.is_file()) {
        None => Ok(()),
        Some(file) => Err(Error::File { file, firmware, packages: doctor::packages_of_need(need(firmware)) }),
    }
}

/// The configuration's file in the working folder.
const CONFIG_FILE: &str = "grub.cfg";

#[derive(Serialize)]
struct Config<'a> {
    unit: u8,
    port: &'a str,
    speed: u32,
    name: &'a str,
    version: &'a str,
    folder: &'a str,
    kernel: &'a str,
    module: &'a str,
    root_task: &'a str,
    /// With a space before it, unless it is empty.
    command_line: String,
}

/// Writes the configuration into the folder `work`: it starts the files in `folder` of the medium.
pub(crate) fn write_config(
    work: &Path,
    recipe: &Recipe,
    protocol: Protocol,
    folder: &str,
) -> Result<(), files::Error> {
    files::write(&work.join(CONFIG_FILE), config(recipe, protocol, folder))
}

/// The formats of `grub-mkimage` that the core images of `media` have.
fn formats(media: &Media) -> Vec<(Firmware, &'static str)> {
    let formats = [
        (Firmware::Bios, Format::Iso, "i386-pc-eltorito"),
        (Firmware::Bios, Format::Disk, "i386-pc"),
        (Firmware::Uefi, Format::Iso, "x86_64-efi"),
        (Firmware::Uefi, Format::Disk, "x86_64-efi"),
    ];
    let wanted = formats
        .into_iter()
        .filter(|(firmware, format, _)| media.firmware.contains(firmware) && media.has(*format));
    let mut formats: Vec<_> = wanted.map(|(firmware, _, name)| (firmware, name)).collect();
    formats.dedup();
    formats
}

/// What Selkie adds to GRUB for the image with the identity `key`, as files by their names: the configuration in its
/// core images and the commands that make them.
pub(crate) fn additions(recipe: &Recipe, media: &Media, key: Digest) -> [(&'static str, String); 2] {
    let command = |(firmware, format): (Firmware, &str)| {
        let modules = modules(firmware, media.protocol).join(" ");
        let folder = platform(firmware);
        format!(
            "grub-mkimage -O {format} -p {} -c {CONFIG_FILE} -d \"${{GRUB:-/usr/lib/grub}}/{folder}\" -o {format} {modules}\n",
            layout::FOLDER
        )
    };
    let commands: String = formats(media).into_iter().map(command).collect();
    let script =
        format!("#!/bin/sh\n# Makes GRUB's core images from its modules and grub.cfg.\nset -eu\n{commands}");
    [(CONFIG_FILE, config(recipe, media.protocol, &layout::folder(key))), ("core-images.sh", script)]
}

fn config(recipe: &Recipe, protocol: Protocol, folder: &str) -> String {
    let (unit, port) = match recipe.devices.serial {
        Serial::Com1 => (0, "COM1"),
        Serial::Com2 => (1, "COM2"),
    };
    let (kernel, module) = match protocol {
        Protocol::Multiboot => ("multiboot", "module"),
        Protocol::Multiboot2 => ("multiboot2", "module2"),
    };
    let data = Config {
        unit,
        port,
        speed: recipe.bare_metal.serial_speed,
        name: &recipe.function.name,
        version: &recipe.function.version,
        folder,
        kernel,
        module,
        root_task: layout::root_task(protocol),
        command_line: recipe.bare_metal.command_line_after_a_space(),
    };
    template::render(CONFIG, &data)
}

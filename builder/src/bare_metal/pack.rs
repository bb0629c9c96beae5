//! From a kernel, a root task and the host's boot loader to media.

use super::{
    Headers, Media, Protocol, disk, fat,
    grub::{self, Grub},
    iso::{self, Iso},
    layout, netboot,
};
use crate::{
    Context, Digest, Result, exec, files,
    image::name,
    inputs::tools::{self, HostTool},
    recipe::{Firmware, Format, Recipe, show_size},
};
use object::{
    LittleEndian as Le,
    elf::{FileHeader32, PT_LOAD},
    read::elf::{FileHeader, ProgramHeader},
};
use std::path::{Path, PathBuf};

/// The tools of the host that make media; none are needed for the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packer {
    /// The boot loader.
    pub(crate) grub: Grub,
    /// What makes an ISO, when one is made.
    pub(crate) xorriso: Option<HostTool>,
}

/// What goes onto the media, and what they are called after.
pub(crate) struct Payload<'a> {
    /// The recipe.
    pub(crate) recipe: &'a Recipe,
    /// Which media.
    pub(crate) media: &'a Media,
    /// The image's key: all identifiers come from it.
    pub(crate) key: Digest,
    /// The time that the image carries, in seconds since 1970.
    pub(crate) epoch: u64,
    /// The manifest that lies on the media.
    pub(crate) manifest: &'a str,
}

/// Media cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel is not what its source made expect.
    #[error(
        "the kernel of `{name}` has no Multiboot 2 header, though its source has the code for one\n  help: write `firmware = [\"bios\"]` in [targets.bare-metal], or switch the kernel's option `KernelMultiboot2Header` on"
    )]
    Header {
        /// The recipe's name.
        name: String,
    },
    /// The machine is too small.
    #[error(
        "the root task of `{name}` does not fit into {} of memory: the kernel ends at {}, the boot loader puts {} behind it, and in memory the root task takes {} with its heap\n  help: raise `memory` in [targets.bare-metal], or make the function smaller (`cargo xtask size` shows what is large)",
        show_size(*.memory), near(*.kernel), near(*.module), near(*.root_task)
    )]
    Memory {
        /// The recipe's name.
        name: String,
        /// The machine's memory in bytes.
        memory: u64,
        /// Where the kernel ends.
        kernel: u64,
        /// Bytes of the module.
        module: u64,
        /// Bytes of the root task in memory, its heap included.
        root_task: u64,
    },
    /// The ISO.
    #[error(transparent)]
    Iso(#[from] iso::Error),
    /// The disk image.
    #[error(transparent)]
    Disk(#[from] disk::Error),
    /// GRUB failed.
    #[error(transparent)]
    Tool(#[from] exec::Error),
    /// A file or folder failed.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// The root task cannot be packed, or the file system for UEFI cannot be made.
    #[error("the media cannot be made: {0}")]
    Io(#[from] std::io::Error),
}

crate::exit_code!(Error, |error| match error {
    Error::Iso(error) => error.exit_code(),
    Error::Disk(error) => error.exit_code(),
    Error::Tool(error) => error.exit_code(),
    Error::Files(error) => error.exit_code(),
    Error::Memory { .. } => crate::ExitCode::Usage,
    Error::Header { .. } | Error::Io(_) => crate::ExitCode::Failed,
});

/// A size for a reader: MiB with one digit.
fn near(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10).div_ceil(1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

impl Packer {
    /// Finds the tools that `media` need; none when no tool is needed.
    pub(crate) fn find(ctx: &Context<'_>, media: &Media) -> Result<Option<Self>> {
        if !media.has(Format::Iso) && !media.has(Format::Disk) {
            return Ok(None);
        }
        let grub = Grub::find(ctx, media)?;
        let xorriso = media.has(Format::Iso).then(|| tools::find(ctx, "xorriso")).transpose()?;
        Ok(Some(Self { grub, xorriso }))
    }
}

/// Writes the media of `payload` into the image's folder `dir`, where kernel and root task lie already.
pub(crate) fn pack(
    ctx: &Context<'_>,
    packer: Option<&Packer>,
    payload: &Payload<'_>,
    dir: &Path,
) -> Result<(), Error> {
    let kernel = files::read(&dir.join(name::KERNEL))?;
    let root_task = files::read(&dir.join(name::ROOT_TASK))?;
    let Payload { recipe, media, .. } = payload;
    if media.protocol == Protocol::Multiboot2 && !Headers::of_file(&kernel).multiboot2 {
        return Err(Error::Header { name: recipe.function.name.clone() });
    }
    fits(payload, &kernel, &root_task)?;
    if media.has(Format::Netboot) {
        netboot::netboot(dir, recipe)?;
    }
    let Some(packer) = packer else { return Ok(()) };
    let work = Work { ctx, packer, payload, dir, place: dir.join("work") };
    work.media(&kernel, &layout::module(&root_task, media.protocol)?)?;
    Ok(files::remove(&work.place)?)
}

/// Kernel, module, and what seL4 makes of the module must find room in the machine's memory.
fn fits(payload: &Payload<'_>, kernel: &[u8], root_task: &[u8]) -> Result<(), Error> {
    let recipe = payload.recipe;
    let memory = recipe.bare_metal.memory;
    // What cannot be read was refused before.
    let kernel_end = end(kernel).unwrap_or_default();
    let module = layout::module_size(root_task.len(), payload.media.protocol) as u64;
    let loaded = crate::elf::Elf::parse(root_task).map(|elf| elf.span()).unwrap_or_default();
    let root_task = loaded.saturating_add(recipe.heap);
    if kernel_end.saturating_add(module).saturating_add(root_task) > memory {
        let name = recipe.function.name.clone();
        return Err(Error::Memory { name, memory, kernel: kernel_end, module, root_task });
    }
    Ok(())
}

/// The first physical address behind the kernel.
fn end(kernel: &[u8]) -> Option<u64> {
    let header = FileHeader32::<Le>::parse(kernel).ok()?;
    let segments = header.program_headers(Le, kernel).ok()?.iter();
    let loaded = segments.filter(|segment| segment.p_type(Le) == PT_LOAD);
    loaded.map(|segment| u64::from(segment.p_paddr(Le)) + u64::from(segment.p_memsz(Le))).max()
}

/// The making of one image's media.
struct Work<'a> {
    ctx: &'a Context<'a>,
    packer: &'a Packer,
    payload: &'a Payload<'a>,
    /// The image's folder.
    dir: &'a Path,
    /// Where things lie meanwhile.
    place: PathBuf,
}

impl Work<'_> {
    fn media(&self, kernel: &[u8], module: &[u8]) -> Result<(), Error> {
        let Payload { recipe, media, key, manifest, .. } = self.payload;
        let folder = layout::folder(*key);
        let file = |name: &str| format!("{}/{name}", &folder[1..]);
        let mut contents: Vec<(String, &[u8])> = vec![
            (file(layout::KERNEL), kernel),
            (file(layout::MANIFEST), manifest.as_bytes()),
            (file(layout::root_task(media.protocol)), module),
        ];
        files::create_dir_all(&self.place)?;
        grub::write_config(&self.place, recipe, media.protocol, &folder)?;
        let uefi = self.core(Firmware::Uefi, "x86_64-efi")?;
        let uefi: Option<(String, &[u8])> =
            uefi.as_deref().map(|program| ("EFI/BOOT/BOOTX64.EFI".to_owned(), program));
        if media.has(Format::Iso) {
            self.iso(&contents, uefi.as_ref())?;
        }
        contents.extend(uefi);
        if media.has(Format::Disk) {
            self.disk(&contents)?;
        }
        Ok(())
    }

    /// GRUB's core image in the format `format` of `grub-mkimage`, when the media are made for `firmware`.
    fn core(&self, firmware: Firmware, format: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some(platform) = self.packer.grub.platform(firmware) else { return Ok(None) };
        let output = self.place.join(format);
        let protocol = self.payload.media.protocol;
        self.packer.grub.core(self.ctx, platform, protocol, &self.place, (format, &output))?;
        Ok(Some(files::read(&output)?))
    }

    fn iso(&self, contents: &[(String, &[u8])], uefi: Option<&(String, &[u8])>) -> Result<(), Error> {
        let Some(xorriso) = &self.packer.xorriso else { return Ok(()) };
        let Payload { recipe, key, epoch, .. } = self.payload;
        let tree = self.place.join(iso::TREE);
        let put = |path: &str, bytes: &[u8]| -> Result<(), files::Error> {
            let path = tree.join(path);
            path.parent().map_or(Ok(()), files::create_dir_all)?;
            files::write(&path, bytes)
        };
        contents.iter().try_for_each(|(path, bytes)| put(path, bytes))?;
        if let Some(core) = self.core(Firmware::Bios, "i386-pc-eltorito")? {
            put(iso::BIOS, &core)?;
        }
        if let Some((path, program)) = uefi {
            let files = [(path.clone(), *program)];
            put(iso::UEFI, &fat::write(&files, layout::serial(*key, "iso fat"), "SELKIE")?)?;
        }
        let mbr = self.packer.grub.platform(Firmware::Bios).map(|platform| platform.file("boot_hybrid.img"));
        let iso = Iso { xorriso, mbr: mbr.as_deref(), uefi: uefi.is_some(), key: *key, epoch: *epoch };
        Ok(iso.write(self.ctx, &self.place, &self.dir.join(name::iso(&recipe.function.name)))?)
    }

    fn disk(&self, contents: &[(String, &[u8])]) -> Result<(), Error> {
        let Payload { recipe, key, .. } = self.payload;
        let core = self.core(Firmware::Bios, "i386-pc")?;
        let platform = self.packer.grub.platform(Firmware::Bios);
        let boot = platform.map(|platform| files::read(&platform.file("boot.img"))).transpose()?;
        let bios = boot.as_deref().zip(core.as_deref());
        let image = disk::image(&disk::Contents { key: *key, bios, files: contents })?;
        Ok(files::write(&self.dir.join(name::disk(&recipe.function.name)), image)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Project, elf_sample::Sample};

    #[test]
    fn a_root_task_that_does_not_fit_into_memory_is_refused_with_the_sizes() {
        let mut recipe = Recipe::load(&Project::here(), "hello").unwrap();
        let media = Media::decide(&recipe, Headers { multiboot1: true, multiboot2: true }).unwrap();
        let root_task = Sample::good().bytes();
        let fits = |recipe: &Recipe| {
            let payload = Payload { recipe, media: &media, key: Digest::of(""), epoch: 0, manifest: "" };
            super::fits(&payload, b"", &root_task)
        };
        recipe.bare_metal.memory = 16 << 20;
        fits(&recipe).unwrap();
        recipe.heap = 14 << 20;
        let text = fits(&recipe).unwrap_err().to_string();
        for part in [
            "`hello` does not fit into 16 MiB",
            "puts 2.0 MiB behind it",
            "raise `memory` in [targets.bare-metal]",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

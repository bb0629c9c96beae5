//! The hybrid ISO image, made by xorriso: from a CD the firmware starts it by its El Torito catalogue; written
//! to a stick, by its MBR (BIOS) and by its partition table (UEFI).

use super::layout;
use crate::{Context, Digest, exec, exec::Tool, files, inputs::tools::HostTool};
use std::path::Path;

/// The folder in the working folder that becomes the ISO's content.
pub(super) const TREE: &str = "tree";
/// GRUB's core image for a CD on BIOS, in that folder.
pub(super) const BIOS: &str = "boot/bios.img";
/// The file system with GRUB for UEFI, likewise.
pub(super) const UEFI: &str = "boot/efi.img";

/// How an ISO is made.
pub(super) struct Iso<'a> {
    /// The program.
    pub(super) xorriso: &'a HostTool,
    /// GRUB's code for the MBR, when it boots on BIOS.
    pub(super) mbr: Option<&'a Path>,
    /// Whether it boots on UEFI.
    pub(super) uefi: bool,
    /// The image's key: all identifiers come from it.
    pub(super) key: Digest,
    /// The time that the image carries, in seconds since 1970.
    pub(super) epoch: u64,
}

impl Iso<'_> {
    /// Makes `output` of the folder [`TREE`] in `work`.
    pub(super) fn write(&self, ctx: &Context<'_>, work: &Path, output: &Path) -> Result<(), Error> {
        let guid: String = layout::guid(self.key, "iso").iter().map(|byte| format!("{byte:02x}")).collect();
        // No start-up file of this user's is read; `-r`: nobody's ownership and permissions.
        let mut tool = Tool::new(&self.xorriso.path, work)
            .env("SOURCE_DATE_EPOCH", self.epoch.to_string())
            .args(["-no_rc", "-as", "mkisofs", "-quiet", "-r", "-iso-level", "1", "-volid", "SELKIE"])
            .args(["-appid", "", "-publisher", "", "-preparer", "", "-sysid", ""])
            .args(["--gpt_disk_guid", guid.as_str()]);
        if let Some(mbr) = self.mbr {
            tool = tool
                .args(["-b", BIOS, "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"])
                .arg("--grub2-boot-info")
                .arg("--grub2-mbr")
                .arg(mbr)
                .arg("--mbr-force-bootable");
        }
        if self.uefi {
            if self.mbr.is_some() {
                tool = tool.arg("-eltorito-alt-boot");
            }
            tool = tool.args(["-e", UEFI, "-no-emul-boot", "-efi-boot-part", "--efi-boot-image"]);
        }
        tool = tool.args(["-c", "boot/catalog"]);
        for (weight, path) in self.order(work)?.iter().enumerate() {
            // The larger, the earlier in the image: never left to the host's file system.
            tool = tool.arg("--sort-weight").arg((1000 - weight).to_string()).arg(format!("/{path}"));
        }
        tool.arg("-o").arg(output).arg(TREE).run(&ctx.cancel).map(drop)?;
        Ok(())
    }

    /// All files of the tree, sorted.
    fn order(&self, work: &Path) -> Result<Vec<String>, files::Error> {
        let mut paths = Vec::new();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            for entry in files::sorted_entries(&work.join(TREE).join(&folder))? {
                let path = format!("{folder}{}", entry.file_name().to_string_lossy());
                if entry.path().is_dir() { folders.push(format!("{path}/")) } else { paths.push(path) }
            }
        }
        paths.sort();
        Ok(paths)
    }
}

/// An ISO cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// xorriso failed.
    #[error(transparent)]
    Tool(#[from] exec::Error),
    /// A file or folder failed.
    #[error(transparent)]
    Files(#[from] files::Error),
}

crate::exit_code!(Error, |error| match error {
    Error::Tool(error) => error.exit_code(),
    Error::Files(error) => error.exit_code(),
});

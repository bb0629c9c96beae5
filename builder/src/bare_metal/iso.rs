//! The hybrid ISO image, made by xorriso: from a CD the firmware starts it by its El Torito catalogue; written
//! to a stick, by its MBR (BIOS) and by its partition table (UEFI).

use super::layout;
use crate::{Context, Digest, exec, exec::Tool, files, inputs::tools::HostTool};
use std::{
    fs::{File, FileTimes},
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

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
        let (folders, paths) = content(&work.join(TREE))?;
        // What is asked for by an option is not done for the time 0.
        for path in paths.iter().chain(&folders) {
            self.stamp(&work.join(TREE).join(path))?;
        }
        for (weight, path) in paths.iter().enumerate() {
            // The larger, the earlier in the image: never left to the host's file system.
            tool = tool.arg("--sort-weight").arg((1000 - weight).to_string()).arg(format!("/{path}"));
        }
        tool.arg("-o").arg(output).arg(TREE).run(&ctx.cancel).map(drop)?;
        Ok(())
    }

    /// Gives a file or folder the image's time.
    fn stamp(&self, path: &Path) -> Result<(), files::Error> {
        let time = UNIX_EPOCH.checked_add(Duration::from_secs(self.epoch)).unwrap_or(UNIX_EPOCH);
        let times = FileTimes::new().set_modified(time).set_accessed(time);
        let set = File::open(path).and_then(|file| file.set_times(times));
        set.map_err(files::Error::at("set the time of", path))
    }
}

/// All folders below `root`, itself included, and all files, by their paths there; each sorted.
fn content(root: &Path) -> Result<(Vec<String>, Vec<String>), files::Error> {
    let (mut folders, mut paths) = (vec![String::new()], Vec::new());
    let mut next = 0;
    while let Some(folder) = folders.get(next).cloned() {
        next += 1;
        for entry in files::sorted_entries(&root.join(&folder))? {
            let path = format!("{folder}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() { folders.push(format!("{path}/")) } else { paths.push(path) }
        }
    }
    folders.sort();
    paths.sort();
    Ok((folders, paths))
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

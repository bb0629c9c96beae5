//! The raw disk image: a GPT, a BIOS boot partition for GRUB's core image, and one FAT partition, which is the
//! EFI system partition, too.
//!
//! | sectors | what |
//! | --- | --- |
//! | 0 | protective MBR with GRUB's `boot.img` |
//! | 1 to 33 | partition table |
//! | 34 to 2047 | BIOS boot partition; without BIOS, nothing |
//! | 2048 to the 34th from the end | FAT: the files of the image, and GRUB as `EFI/BOOT/BOOTX64.EFI` |
//! | the last 33 | the second partition table |

use super::{
    fat,
    gpt::{self, BEHIND, BIOS_BOOT, EFI_SYSTEM, FIRST, Partition, SECTOR},
    layout,
};
use crate::Digest;

/// Where the FAT partition begins: 1 MiB, the alignment that every partitioning tool keeps.
const FAT_FIRST: usize = 2048;
/// `boot.img`: where the sector of the core image is written (GRUB, boot.h: `KERNEL_SECTOR`).
const KERNEL_SECTOR: usize = 0x5c;
/// `boot.img`: a jump over the check of the BIOS's drive number, which hard disks want done (`DRIVE_CHECK`).
const DRIVE_CHECK: usize = 0x66;
/// `boot.img`: code up to here; disk signature and partitions follow.
const CODE: usize = 440;
/// The core image's first sector: where the sector of all others is written.
const REST_SECTOR: usize = SECTOR - 12;

/// What a disk image is made of.
pub(super) struct Contents<'a> {
    /// The image's key: all identifiers come from it.
    pub(super) key: Digest,
    /// GRUB's `boot.img` and the core image for a PC BIOS.
    pub(super) bios: Option<(&'a [u8], &'a [u8])>,
    /// The files of the FAT partition, by path.
    pub(super) files: &'a [(String, &'a [u8])],
}

/// A disk image cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The core image is too large for the gap, or GRUB's images are not what they should be.
    #[error("GRUB's core image for BIOS has {size} bytes, and {room} fit before the first MiB of a disk")]
    Core {
        /// Its size.
        size: usize,
        /// The room.
        room: usize,
    },
    /// GRUB's first sectors are of an unknown layout.
    #[error(
        "GRUB's `boot.img` or core image is shorter than a sector\n  help: install GRUB's package for BIOS anew"
    )]
    Boot,
    /// The file system.
    #[error("the FAT partition cannot be made: {0}")]
    Fat(#[from] std::io::Error),
}

crate::exit_code!(Error, Failed);

/// The disk image, byte for byte.
pub(super) fn image(contents: &Contents<'_>) -> Result<Vec<u8>, Error> {
    let key = contents.key;
    let volume = fat::write(contents.files, layout::serial(key, "disk fat"), "SELKIE")?;
    let fat_sectors = volume.len() / SECTOR;
    let mut disk = vec![0; (FAT_FIRST + fat_sectors + BEHIND) * SECTOR];
    disk[FAT_FIRST * SECTOR..][..volume.len()].copy_from_slice(&volume);
    let mut partitions = Vec::new();
    if let Some((boot, core)) = contents.bios {
        let sectors = install(&mut disk, boot, core)?;
        let guid = layout::guid(key, "bios boot partition");
        partitions.push(Partition { kind: BIOS_BOOT, guid, first: FIRST, sectors, name: "GRUB for BIOS" });
    }
    let guid = layout::guid(key, "fat partition");
    partitions.push(Partition {
        kind: EFI_SYSTEM,
        guid,
        first: FAT_FIRST,
        sectors: fat_sectors,
        name: "Selkie",
    });
    gpt::write(&mut disk, layout::guid(key, "disk"), &partitions);
    Ok(disk)
}

/// Writes GRUB's first sector into the MBR and the core image behind the partition table; gives the sectors of
/// the latter. The same is what `grub-bios-setup` does to a real disk.
fn install(disk: &mut [u8], boot: &[u8], core: &[u8]) -> Result<usize, Error> {
    let room = (FAT_FIRST - FIRST) * SECTOR;
    if core.len() > room {
        return Err(Error::Core { size: core.len(), room });
    }
    if boot.len() < SECTOR || core.len() <= SECTOR {
        return Err(Error::Boot);
    }
    disk[..CODE].copy_from_slice(&boot[..CODE]);
    disk[KERNEL_SECTOR..][..8].copy_from_slice(&(FIRST as u64).to_le_bytes());
    // Two instructions that do nothing.
    disk[DRIVE_CHECK..][..2].fill(0x90);
    let start = FIRST * SECTOR;
    disk[start..][..core.len()].copy_from_slice(core);
    disk[start + REST_SECTOR..][..8].copy_from_slice(&(FIRST as u64 + 1).to_le_bytes());
    Ok(core.len().div_ceil(SECTOR))
}

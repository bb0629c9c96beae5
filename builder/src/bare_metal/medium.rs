//! Reading a medium back: which image lies on it. Nothing of it is trusted.

use super::{
    Protocol,
    fat::{self, Fat},
    gpt,
    iso9660::{self, Iso},
    layout,
};
use crate::{Digest, image, inspect::printable, recipe::Format};
use flate2::read::GzDecoder;
use std::io::Read;

/// No module unpacks to more, in bytes: what fits an image's root task, which is an ELF file.
const MODULE_MOST: u64 = crate::elf::MAX_FILE;
/// No more files of a medium are listed.
const FILES_MOST: usize = 64;

/// What lies on a medium.
#[derive(Debug, Clone)]
pub(crate) struct Medium {
    /// The manifest on it: its members are the kernel and the root task.
    pub(crate) manifest: image::Manifest,
    /// The kernel.
    pub(crate) kernel: Vec<u8>,
    /// The root task, unpacked, without the padding behind it.
    pub(crate) root_task: Vec<u8>,
    /// The files with their sizes, in the order of their paths.
    pub(crate) files: Vec<(String, u64)>,
}

/// A medium cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another tool made it.
    #[error("this is {what}, but not one that Selkie made: {why}")]
    Foreign {
        /// What it is.
        what: String,
        /// By what that is known.
        why: &'static str,
    },
    /// It is damaged.
    #[error("this is {what}, but it is damaged: {why}")]
    Damaged {
        /// What it is.
        what: &'static str,
        /// How.
        why: String,
    },
}

impl Error {
    /// A file that begins like a medium of this format and is larger than any of ours.
    pub(crate) fn too_large(format: Format) -> Self {
        let what = if format == Format::Iso { ISO } else { DISK };
        Self::Foreign { what: what.to_owned(), why: "it is larger than any of them" }
    }
}

/// By what a foreign medium is known.
const NO_FOLDER: &str = "it has no folder `selkie` with an image";
const ISO: &str = "an ISO image";
const DISK: &str = "a disk image";

/// What `data` is, when it is a medium at all.
pub(crate) fn format(data: &[u8]) -> Option<Format> {
    if iso9660::is_there(data) {
        return Some(Format::Iso);
    }
    if data.starts_with(b"\x7fELF") {
        return None;
    }
    // A disk with an old partition table is one, too: it ends up as somebody else's.
    let signed = data.get(510..512) == Some(&[0x55, 0xaa]);
    (gpt::is_there(data) || signed).then_some(Format::Disk)
}

impl Medium {
    /// Reads the medium in `data`, which is of this format.
    pub(crate) fn read(data: &[u8], format: Format) -> Result<Self, Error> {
        match format {
            Format::Iso => Self::iso(data),
            Format::Disk | Format::Netboot => Self::disk(data),
        }
    }

    fn iso(data: &[u8]) -> Result<Self, Error> {
        let damaged = |error: iso9660::Error| Error::Damaged { what: ISO, why: error.to_string() };
        let iso = Iso::new(data).map_err(damaged)?;
        let foreign = || {
            let volume: String = iso.volume.chars().filter(|c| !c.is_control()).collect();
            Error::Foreign { what: format!("{ISO} (volume `{volume}`)"), why: NO_FOLDER }
        };
        let top = iso.folder(&["selkie"]).map_err(damaged)?.ok_or_else(foreign)?;
        let id = top.iter().find(|entry| entry.folder).map(|entry| entry.name.clone()).ok_or_else(foreign)?;
        let mut files = Vec::new();
        let mut own = Vec::new();
        for path in [&["boot"][..], &["selkie", &id]] {
            for entry in iso.folder(path).map_err(damaged)?.unwrap_or_default() {
                files.push((format!("{}/{}", path.join("/"), entry.name), entry.content.len() as u64));
                if path.len() == 2 && is_wanted(&entry.name, &own) {
                    own.push((entry.name, data[entry.content].to_vec()));
                }
            }
        }
        Self::new(ISO, own, files)?.ok_or_else(foreign)
    }

    fn disk(data: &[u8]) -> Result<Self, Error> {
        let wrong = |why: String| Error::Damaged { what: DISK, why };
        if !gpt::is_there(data) {
            let what = "a disk image or a boot sector".to_owned();
            return Err(Error::Foreign { what, why: "it has no GUID partition table" });
        }
        let partitions = gpt::read(data).map_err(|error| wrong(error.to_string()))?;
        let foreign = |why| Error::Foreign { what: DISK.to_owned(), why };
        let boot = partitions.iter().find(|(kind, _)| *kind == gpt::EFI_SYSTEM);
        let (_, place) = boot.ok_or_else(|| foreign("it has no EFI system partition"))?;
        let fat = Fat::new(&data[place.clone()]).map_err(|error| match error {
            fat::Error::NotFat => foreign("its EFI system partition has no FAT12 or FAT16 file system"),
            fat::Error::Damaged => wrong(error.to_string()),
        })?;
        let damaged = |error: fat::Error| wrong(error.to_string());
        let top = fat.folder(&["selkie"]).map_err(damaged)?.ok_or_else(|| foreign(NO_FOLDER))?;
        let id = top.iter().find(|entry| entry.folder).map(|entry| entry.name.clone());
        let id = id.ok_or_else(|| foreign(NO_FOLDER))?;
        let core = partitions.iter().filter(|(kind, _)| *kind == gpt::BIOS_BOOT);
        let mut files: Vec<_> =
            core.map(|(_, range)| ("(BIOS boot partition)".to_owned(), range.len() as u64)).collect();
        let mut own = Vec::new();
        for path in [&["efi", "boot"][..], &["selkie", &id]] {
            for entry in
                fat.folder(path).map_err(damaged)?.unwrap_or_default().iter().filter(|one| !one.folder)
            {
                files.push((format!("{}/{}", path.join("/"), entry.name), entry.size as u64));
                if path[0] == "selkie" && is_wanted(&entry.name, &own) {
                    own.push((entry.name.clone(), fat.content(entry).map_err(damaged)?));
                }
            }
        }
        Self::new(DISK, own, files)?.ok_or_else(|| foreign(NO_FOLDER))
    }

    /// The medium with these files in the image's own folder; none when there is no manifest.
    fn new(
        what: &'static str,
        own: Vec<(String, Vec<u8>)>,
        mut files: Vec<(String, u64)>,
    ) -> Result<Option<Self>, Error> {
        let damaged = |why: String| Error::Damaged { what, why };
        let file =
            |name: &str| own.iter().find(|(own, _)| own == name).map(|(_, content)| content.as_slice());
        let Some(manifest) = file(layout::MANIFEST).filter(|text| text.len() as u64 <= image::MAX_MANIFEST)
        else {
            return Ok(None);
        };
        let manifest: image::Manifest = serde_json::from_slice(manifest)
            .map_err(|error| damaged(format!("its manifest is none: {}", printable(&error.to_string()))))?;
        let missing = |name: &str| damaged(format!("it has no file `{name}`"));
        let kernel = file(layout::KERNEL).ok_or_else(|| missing(layout::KERNEL))?.to_vec();
        let size =
            manifest.members.iter().find(|member| member.role == image::Role::RootTask).map(|one| one.size);
        let size = size.unwrap_or_default().min(MODULE_MOST) as usize;
        let module = match (file(layout::ROOT_TASK), file(layout::ROOT_TASK_PADDED)) {
            (Some(plain), _) => plain.to_vec(),
            (None, Some(packed)) => unpack(packed, size).map_err(damaged)?,
            (None, None) => return Err(missing(layout::ROOT_TASK)),
        };
        let Some((root_task, padding)) = module.split_at_checked(size) else {
            return Err(damaged("its root task is shorter than its manifest says".to_owned()));
        };
        if padding.iter().any(|byte| *byte != 0) {
            return Err(damaged("something follows its root task".to_owned()));
        }
        files.sort();
        files.truncate(FILES_MOST);
        Ok(Some(Self { manifest, kernel, root_task: root_task.to_vec(), files }))
    }

    /// Its kernel and its root task, each with its role and its digest.
    pub(crate) fn parts(&self) -> [(image::Role, u64, Digest); 2] {
        let part = |role, bytes: &Vec<u8>| (role, bytes.len() as u64, Digest::of(bytes));
        [part(image::Role::Kernel, &self.kernel), part(image::Role::RootTask, &self.root_task)]
    }
}

/// Whether a file is one that an image has on a medium, and the first of its name: a folder may have very many
/// entries, each with the same large content.
fn is_wanted(name: &str, own: &[(String, Vec<u8>)]) -> bool {
    let ours = [layout::MANIFEST, layout::KERNEL, layout::ROOT_TASK, layout::ROOT_TASK_PADDED];
    ours.contains(&name) && own.iter().all(|(other, _)| other != name)
}

/// A packed root task that has `size` bytes without its padding: no more is unpacked than it takes.
fn unpack(packed: &[u8], size: usize) -> Result<Vec<u8>, String> {
    let most = layout::module_size(size, Protocol::Multiboot2) as u64;
    let mut module = Vec::new();
    let read = GzDecoder::new(packed).take(most + 1).read_to_end(&mut module);
    read.map_err(|error| format!("its root task cannot be unpacked: {error}"))?;
    if module.len() as u64 > most {
        return Err("its root task unpacks to more than its manifest says".to_owned());
    }
    Ok(module)
}

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
use std::{borrow::Cow, io::Read};

/// No module unpacks to more, in bytes: what fits an image's root task, which is an ELF file.
const MODULE_MOST: u64 = crate::elf::MAX_FILE;
/// No medium has more files.
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
    /// The files, in the order of their paths.
    pub(crate) files: Vec<Listed>,
}

/// A file on a medium.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Listed {
    /// Its path.
    pub(crate) path: String,
    /// Bytes.
    pub(crate) size: u64,
    /// The digest of its content.
    pub(crate) sha256: Digest,
}

/// The files of a medium as they are found. Together they are no larger than it is: a folder may have very many
/// entries, each with the same large content, and reading them all would never end.
struct Listing {
    what: &'static str,
    room: usize,
    files: Vec<Listed>,
    /// Those that every image has, with their contents.
    own: Vec<(String, Vec<u8>)>,
}

impl Listing {
    fn new(what: &'static str, medium: &[u8]) -> Self {
        Self { what, room: medium.len(), files: Vec::new(), own: Vec::new() }
    }

    /// Makes sure that a file of this size may be read.
    fn take(&mut self, size: usize) -> Result<(), Error> {
        let left = self.room.checked_sub(size).filter(|_| self.files.len() < FILES_MOST);
        let why = "its files are more than fit on it".to_owned();
        self.room = left.ok_or(Error::Damaged { what: self.what, why })?;
        Ok(())
    }

    fn add(&mut self, path: String, content: Cow<'_, [u8]>) {
        let (size, sha256) = (content.len() as u64, Digest::of(&content));
        if let Some(name) =
            path.strip_prefix("selkie/").and_then(|rest| rest.split_once('/')).map(|two| two.1)
        {
            self.own.push((name.to_owned(), content.into_owned()));
        }
        self.files.push(Listed { path, size, sha256 });
    }
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
        let mut listing = Listing::new(ISO, data);
        for path in [&["boot"][..], &["selkie", &id]] {
            let entries = iso.folder(path).map_err(damaged)?.unwrap_or_default();
            for entry in entries.into_iter().filter(|entry| !entry.folder) {
                listing.take(entry.content.len())?;
                listing.add(format!("{}/{}", path.join("/"), entry.name), data[entry.content].into());
            }
        }
        Self::new(listing)?.ok_or_else(foreign)
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
        let mut listing = Listing::new(DISK, data);
        for (_, range) in core {
            listing.take(range.len())?;
            listing.add("(BIOS boot partition)".to_owned(), data[range.clone()].into());
        }
        for path in [&["efi", "boot"][..], &["selkie", &id]] {
            for entry in
                fat.folder(path).map_err(damaged)?.unwrap_or_default().iter().filter(|one| !one.folder)
            {
                listing.take(entry.size)?;
                let content = fat.content(entry).map_err(damaged)?;
                listing.add(format!("{}/{}", path.join("/"), entry.name), content.into());
            }
        }
        Self::new(listing)?.ok_or_else(|| foreign(NO_FOLDER))
    }

    /// The medium with these files; none when there is no manifest.
    fn new(listing: Listing) -> Result<Option<Self>, Error> {
        let Listing { what, own, mut files, .. } = listing;
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
        Ok(Some(Self { manifest, kernel, root_task: root_task.to_vec(), files }))
    }

    /// Its kernel and its root task, each with its role and its digest.
    pub(crate) fn parts(&self) -> [(image::Role, u64, Digest); 2] {
        let part = |role, bytes: &Vec<u8>| (role, bytes.len() as u64, Digest::of(bytes));
        [part(image::Role::Kernel, &self.kernel), part(image::Role::RootTask, &self.root_task)]
    }
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

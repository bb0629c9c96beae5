//! ISO 9660 file systems (ECMA-119), read as far as our own images need it, from files that somebody else may
//! have made.

use std::ops::Range;

/// Bytes of a logical block; other sizes are allowed, but nobody writes them.
const BLOCK: usize = 2048;
/// Where the volume descriptors begin (ECMA-119, 6.2.1 and 8).
const DESCRIPTORS: usize = 16 * BLOCK;
/// A folder has no more bytes than this here.
const FOLDER_MOST: usize = 64 * 1024;

/// What is wrong with an ISO image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The first descriptor is none, or has another block size.
    #[error("it has no primary volume descriptor")]
    NoDescriptor,
    /// A folder or file leads out of the image.
    #[error("it is cut off, or its folders contradict themselves")]
    Damaged,
}

/// An ISO image in memory.
#[derive(Debug)]
pub(crate) struct Iso<'a> {
    data: &'a [u8],
    root: Range<usize>,
    /// How the volume is called.
    pub(crate) volume: String,
}

/// An entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The name without its version, in small letters.
    pub(crate) name: String,
    /// Whether it is a folder.
    pub(crate) folder: bool,
    /// Where its content lies.
    pub(crate) content: Range<usize>,
}

/// Whether `data` looks like an ISO image.
pub(crate) fn is_there(data: &[u8]) -> bool {
    data.get(DESCRIPTORS + 1..).is_some_and(|rest| rest.starts_with(b"CD001"))
}

impl<'a> Iso<'a> {
    /// The ISO image in `data`.
    pub(crate) fn new(data: &'a [u8]) -> Result<Self, Error> {
        let descriptor = data.get(DESCRIPTORS..DESCRIPTORS + BLOCK).ok_or(Error::NoDescriptor)?;
        let block = u16::from_le_bytes([descriptor[128], descriptor[129]]);
        if descriptor[0] != 1 || usize::from(block) != BLOCK {
            return Err(Error::NoDescriptor);
        }
        let volume = String::from_utf8_lossy(&descriptor[40..72]).trim_end().to_owned();
        Ok(Self { data, root: extent(data, &descriptor[156..190])?, volume })
    }

    /// The entries of the folder at `path`, whose parts are in small letters.
    pub(crate) fn folder(&self, path: &[&str]) -> Result<Option<Vec<Entry>>, Error> {
        let mut entries = self.entries(&self.root)?;
        for part in path {
            let Some(folder) = entries.into_iter().find(|entry| entry.folder && entry.name == *part) else {
                return Ok(None);
            };
            entries = self.entries(&folder.content)?;
        }
        Ok(Some(entries))
    }

    /// The entries of the folder with this content, but itself and the one above (ECMA-119, 9.1).
    fn entries(&self, folder: &Range<usize>) -> Result<Vec<Entry>, Error> {
        let folder = &self.data[folder.start..folder.end.min(folder.start + FOLDER_MOST)];
        let mut entries = Vec::new();
        // No record crosses a block's end; a length of 0 ends a block.
        for block in folder.chunks(BLOCK) {
            let mut rest = block;
            while let Some(length) =
                rest.first().map(|length| usize::from(*length)).filter(|length| *length > 0)
            {
                let record = rest.get(..length).ok_or(Error::Damaged)?;
                entries.extend(self.entry(record)?);
                rest = &rest[length..];
            }
        }
        Ok(entries)
    }

    fn entry(&self, record: &[u8]) -> Result<Option<Entry>, Error> {
        let length = usize::from(*record.get(32).ok_or(Error::Damaged)?);
        let name = record.get(33..33 + length).ok_or(Error::Damaged)?;
        if matches!(name, [0] | [1]) {
            return Ok(None);
        }
        let name = String::from_utf8_lossy(name).to_lowercase();
        let name = name.split(';').next().unwrap_or_default().trim_end_matches('.').to_owned();
        let folder = record[25] & 2 != 0;
        Ok(Some(Entry { name, folder, content: extent(self.data, record)? }))
    }
}

/// Where the content of a record lies (ECMA-119, 9.1.3 and 9.1.4).
fn extent(data: &[u8], record: &[u8]) -> Result<Range<usize>, Error> {
    let number = |at: usize| {
        let bytes = record.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).ok_or(Error::Damaged)?;
        Ok(u32::from_le_bytes(bytes) as usize)
    };
    let start = number(2)?.checked_mul(BLOCK).ok_or(Error::Damaged)?;
    let end = start.checked_add(number(10)?).ok_or(Error::Damaged)?;
    if end > data.len() { Err(Error::Damaged) } else { Ok(start..end) }
}

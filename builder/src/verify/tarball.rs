//! Reads a `.tar.gz` that somebody else may have made. Only what [`archive`](crate::publish::archive) writes is
//! taken: files and folders with plain names, each once, in order, every byte of every header accounted for. Nothing
//! is written to a disk, and members are held in memory only when somebody asks for them.

use crate::{
    Digest, files,
    publish::{archive, sums},
};
use flate2::bufread::GzDecoder;
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};
use tar::{EntryType, Header};

/// An archive unpacks to at most this many bytes.
pub(crate) const MOST: u64 = 1 << 30;
/// An archive has at most this many files and folders.
const MOST_MEMBERS: usize = 50_000;
/// The size of a header, and what contents are padded to.
const BLOCK: u64 = 512;

/// What an archive holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Archive {
    /// The digest of the archive before it was compressed.
    pub tar: Option<Digest>,
    /// The time that every member has; none without members.
    pub mtime: Option<u64>,
    /// The files by path.
    pub files: BTreeMap<String, Member>,
}

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Bytes.
    pub size: u64,
    /// Whether it is a program.
    pub executable: bool,
    /// The digest of its content.
    pub sha256: Digest,
    /// Its content, when it was asked for.
    pub content: Option<Vec<u8>>,
}

/// Why an archive is none that was published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// It cannot be read.
    #[error(transparent)]
    Files(#[from] files::Error),
    /// It is not compressed, or the compressed data are damaged or cut off.
    #[error("it cannot be unpacked: {0}")]
    Gzip(io::Error),
    /// A gzip bomb, or simply too much.
    #[error("it unpacks to more than {MOST} bytes")]
    Large,
    /// Another gzip member, or anything else.
    #[error("bytes follow the compressed data")]
    Trailing,
    /// Cut off.
    #[error("it ends at byte {0}, within a member or without its end mark")]
    Cut(u64),
    /// The sum in a header is not the header's.
    #[error("the header at byte {0} is damaged")]
    Header(u64),
    /// A name that could lead elsewhere, or that a terminal would not show as it is.
    #[error("the name {0} is not plain: folders and a file, relative")]
    Name(String),
    /// A link, a device, an extension of another tar.
    #[error("`{name}` is {kind}: only files and folders are published")]
    Kind {
        /// The member.
        name: String,
        /// What it is.
        kind: String,
    },
    /// Twice, or not sorted.
    #[error("`{0}` stands twice or out of order")]
    Order(String),
    /// A folder that no file is in, or a file whose folder has no entry.
    #[error("`{0}` does not follow its folder, or is an empty one")]
    Folder(String),
    /// A header that says more than is meant.
    #[error("the header of `{0}` has an owner, a mode, a time or other things that no published file has")]
    Foreign(String),
    /// Bytes where there should be none.
    #[error("bytes that belong to no member follow `{0}`")]
    Padding(String),
    /// Bytes after the end.
    #[error("there is more after its end mark")]
    After,
    /// Too many members.
    #[error("it has more than {MOST_MEMBERS} members")]
    Many,
    /// A member is too large to be looked into.
    #[error("`{name}` has more than {most} bytes")]
    Member {
        /// The member.
        name: String,
        /// The limit.
        most: u64,
    },
}

/// Reads the archive `path`. The contents of members for which `keep` gives a limit are kept.
///
/// # Errors
/// When it is not one that was published.
pub(crate) fn read(path: &Path, keep: impl Fn(&str) -> Option<u64>) -> Result<Archive, Fault> {
    let file = File::open(path).map_err(files::Error::at("read", path))?;
    let mut reader = Reader::new(BufReader::new(file));
    let archive = reader.archive(&keep)?;
    // The rest of the compressed data, with the sum over all, must be there and nothing else.
    let mut decoder = reader.input.into_inner();
    if decoder.read(&mut [0]).map_err(Fault::Gzip)? != 0 {
        return Err(Fault::After);
    }
    let mut rest = decoder.into_inner();
    let trailing = !rest.fill_buf().map_err(files::Error::at("read", path))?.is_empty();
    if trailing { Err(Fault::Trailing) } else { Ok(archive) }
}

struct Reader<R: BufRead> {
    input: io::Take<GzDecoder<R>>,
    /// Bytes read so far.
    offset: u64,
    hasher: Sha256,
}

impl<R: BufRead> Reader<R> {
    fn new(input: R) -> Self {
        Self { input: GzDecoder::new(input).take(MOST), offset: 0, hasher: Sha256::new() }
    }

    fn archive(&mut self, keep: &impl Fn(&str) -> Option<u64>) -> Result<Archive, Fault> {
        let mut archive = Archive::default();
        let mut folders = BTreeSet::new();
        let mut last: Option<String> = None;
        for _ in 0..MOST_MEMBERS {
            let at = self.offset;
            let Some(head) = self.header()? else {
                if let Some(folder) = last.filter(|last| last.ends_with('/')) {
                    return Err(Fault::Folder(folder));
                }
                archive.tar = Some(Digest::from_bytes(self.hasher.finalize_reset().into()));
                return Ok(archive);
            };
            let entry = Entry::of(&head, at, *archive.mtime.get_or_insert(head.mtime().unwrap_or(u64::MAX)))?;
            if last.as_ref().is_some_and(|last| last.ends_with('/') && !entry.name.starts_with(last.as_str()))
            {
                return Err(Fault::Folder(last.unwrap_or_default()));
            }
            let parent = entry.name.trim_end_matches('/').rsplit_once('/').map_or("", |(parent, _)| parent);
            if !parent.is_empty() && !folders.contains(parent) {
                return Err(Fault::Folder(entry.name));
            }
            match entry.name.strip_suffix('/') {
                Some(folder) if !folders.insert(folder.to_owned()) => return Err(Fault::Order(entry.name)),
                Some(_) => {}
                None => {
                    let before = archive.files.last_key_value();
                    if before.is_some_and(|(before, _)| *before >= entry.name) {
                        return Err(Fault::Order(entry.name));
                    }
                    let member = self.member(&entry, keep(&entry.name))?;
                    archive.files.insert(entry.name.clone(), member);
                }
            }
            last = Some(entry.name);
        }
        Err(Fault::Many)
    }

    /// The next header; none at the end mark, two empty blocks.
    fn header(&mut self) -> Result<Option<Header>, Fault> {
        let mut header = Header::new_old();
        self.fill(header.as_mut_bytes())?;
        if header.as_bytes().iter().any(|byte| *byte != 0) {
            return Ok(Some(header));
        }
        let mut second = [0; BLOCK as usize];
        self.fill(&mut second)?;
        if second.iter().any(|byte| *byte != 0) { Err(Fault::After) } else { Ok(None) }
    }

    fn member(&mut self, entry: &Entry, keep: Option<u64>) -> Result<Member, Fault> {
        if let Some(most) = keep.filter(|most| entry.size > *most) {
            return Err(Fault::Member { name: entry.name.clone(), most });
        }
        let mut content = keep.map(|_| Vec::new());
        let mut hasher = Sha256::new();
        let mut left = entry.size;
        let mut buffer = [0; 1 << 14];
        while left > 0 {
            let piece = &mut buffer[..left.min(1 << 14) as usize];
            self.fill(piece)?;
            hasher.update(&*piece);
            content.iter_mut().for_each(|content| content.extend_from_slice(piece));
            left -= piece.len() as u64;
        }
        let mut padding = [0; BLOCK as usize];
        let padding = &mut padding[..(entry.size.next_multiple_of(BLOCK) - entry.size) as usize];
        self.fill(padding)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(Fault::Padding(entry.name.clone()));
        }
        let sha256 = Digest::from_bytes(hasher.finalize().into());
        Ok(Member { size: entry.size, executable: entry.executable, sha256, content })
    }

    /// Reads exactly as much as fits into `buffer`.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Fault> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.input.read(&mut buffer[filled..]) {
                Ok(0) if self.input.limit() == 0 => return Err(Fault::Large),
                Ok(0) => return Err(Fault::Cut(self.offset + filled as u64)),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::Gzip(error)),
            }
        }
        self.offset += buffer.len() as u64;
        self.hasher.update(&*buffer);
        Ok(())
    }
}

/// What a header says.
struct Entry {
    /// Its path; a folder's ends with `/`.
    name: String,
    size: u64,
    executable: bool,
}

impl Entry {
    /// Reads the header at byte `at`, which must be to the last byte what is written for such a member.
    fn of(header: &Header, at: u64, mtime: u64) -> Result<Self, Fault> {
        let sum = |header: &Header| {
            let bytes = header.as_bytes();
            // The sum counts its own place as spaces (POSIX, `pax`, ustar interchange format).
            let rest = bytes[..148].iter().chain(&bytes[156..]).map(|byte| u32::from(*byte));
            rest.sum::<u32>() + 8 * u32::from(b' ')
        };
        if header.cksum().ok() != Some(sum(header)) {
            return Err(Fault::Header(at));
        }
        let name = String::from_utf8_lossy(&header.path_bytes()).into_owned();
        let shown = || crate::inspect::printable(&name);
        let folder = match header.entry_type() {
            EntryType::Regular => false,
            EntryType::Directory => true,
            other => return Err(Fault::Kind { name: shown(), kind: kind(other) }),
        };
        let path = if folder { name.strip_suffix('/').unwrap_or("") } else { &name };
        if !sums::is_plain(path) {
            return Err(Fault::Name(format!("`{}`", shown())));
        }
        let size = header.size().map_err(|_| Fault::Header(at))?;
        if size > MOST {
            return Err(Fault::Large);
        }
        let executable = header.mode().is_ok_and(|mode| mode & 0o111 != 0);
        let expected = archive::entry(&name, folder, executable, size, mtime);
        if expected.is_none_or(|expected| expected.as_bytes() != header.as_bytes()) {
            return Err(Fault::Foreign(name));
        }
        Ok(Self { name, size, executable: executable && !folder })
    }
}

/// What a member is that is neither file nor folder.
fn kind(kind: EntryType) -> String {
    match kind {
        EntryType::Symlink => "a symbolic link".into(),
        EntryType::Link => "a link to another member".into(),
        EntryType::Char | EntryType::Block => "a device".into(),
        EntryType::Fifo => "a pipe".into(),
        EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader | EntryType::XGlobalHeader => {
            "an extended header".into()
        }
        other => format!("of kind {:#04x}", other.as_byte()),
    }
}

//! Reading a root task, an ELF that nobody vouches for.

use crate::{Note, PAGE};
use core::ops::Range;
use object::{
    LittleEndian,
    elf::{self, FileHeader64, ProgramHeader64, SectionHeader64},
    pod,
    read::elf::{FileHeader, ProgramHeader, SectionHeader, SectionTable},
};

/// The most segments that a root task may have.
pub const MAX_SEGMENTS: usize = 8;
/// The lowest address of an image: Linux keeps what is below for itself (`vm.mmap_min_addr`).
pub(crate) const LOWEST: u64 = 0x1_0000;
/// Images end below this. Then each address has 31 bits, and jumps reach all of the image.
const HIGHEST: u64 = 1 << 31;
/// Program headers that are looked at.
const MAX_HEADERS: usize = 64;

const NOTE_SECTION: &[u8] = b".note.selkie";
const NOTE_OWNER: &[u8] = b"selkie";
const NOTE_TYPE: elf::NoteType = elf::NoteType(1);
const SITES_SECTION: &[u8] = b".sel4_sites";

type Header = FileHeader64<LittleEndian>;
type SegmentHeader = ProgramHeader64<LittleEndian>;

/// Why a file is no root task that can be hosted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ElfError {
    #[error(
        "it is not a 64-bit x86-64 ELF file\n  help: name the root task's ELF file, not an image of a machine"
    )]
    NotElf,
    #[error("it is not a static program at fixed addresses\n  help: link it with -static -no-pie")]
    NotStatic,
    #[error("its program headers are damaged or more than 64\n  help: build it anew")]
    Headers,
    #[error(
        "it has no segment to load, or more than 16\n  help: link it as a program, with the linker script of the root tasks"
    )]
    Count,
    #[error(
        "its segment at {0:#x} lies outside of the addresses from 0x10000 to 0x80000000\n  help: link it at 0x400000"
    )]
    Range(u64),
    #[error(
        "its segment at {0:#x} names bytes outside of the file\n  help: the file is cut off: copy or build it anew"
    )]
    Truncated(u64),
    #[error(
        "its segment at {0:#x} has more bytes in the file than in memory\n  help: mend the linker script"
    )]
    MoreThanMemory(u64),
    #[error(
        "its segment at {0:#x} does not lie in the file as in its pages\n  help: link it so that offset and address are equal modulo 4096"
    )]
    Alignment(u64),
    #[error(
        "its segment at {0:#x} shares a page with another one\n  help: begin each segment on a page of its own"
    )]
    Overlap(u64),
    #[error(
        "its segment at {0:#x} is writable and executable\n  help: keep code and data apart: do not link with -N"
    )]
    WritableCode(u64),
    #[error(
        "its segment at {0:#x} is read-only, yet larger than in the file\n  help: put zeroed data into a writable segment"
    )]
    ReadOnlyZeros(u64),
    #[error("its segment at {0:#x} can be executed but not read\n  help: give it the flags R and E")]
    Unreadable(u64),
    #[error(
        "its entry {0:#x} does not lie in its code\n  help: name a function as ENTRY in the linker script"
    )]
    Entry(u64),
    #[error("its section headers are damaged\n  help: build it anew")]
    Sections,
    #[error(
        "it has no valid manifest note (section .note.selkie)\n  help: build it with `cargo xtask build-image`"
    )]
    Note,
}

/// How a segment may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Constants.
    Read,
    /// Data.
    ReadWrite,
    /// Code.
    ReadExecute,
}

/// A segment to load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where it begins.
    pub address: u64,
    /// Bytes in memory. Those that are not in the file are zero.
    pub memory_size: u64,
    /// Where it begins in the file.
    pub offset: u64,
    /// Bytes in the file.
    pub file_size: u64,
    /// How it may be used.
    pub access: Access,
}

impl Segment {
    const NONE: Self = Self { address: 0, memory_size: 0, offset: 0, file_size: 0, access: Access::Read };

    /// The pages that it lies in.
    pub fn pages(&self) -> Range<u64> {
        let end = (self.address + self.memory_size).next_multiple_of(PAGE);
        self.address - self.address % PAGE..end
    }

    /// Where the first of its pages begins in the file.
    pub fn page_offset(&self) -> u64 {
        self.offset - self.offset % PAGE
    }

    /// Its bytes in the file.
    pub(crate) fn bytes<'a>(&self, file: &'a [u8]) -> &'a [u8] {
        let (offset, size) = (self.offset as usize, self.file_size as usize);
        file.get(offset..).and_then(|rest| rest.get(..size)).unwrap_or_default()
    }

    /// Whether `size` bytes at `address` come from its part of the file.
    pub(crate) fn holds(&self, address: u64, size: u64) -> bool {
        let Some(before) = address.checked_sub(self.address) else { return false };
        before.checked_add(size).is_some_and(|end| end <= self.file_size)
    }
}

/// A root task, checked: whatever the file holds, what is said here is safe to map.
#[derive(Debug, Clone)]
pub struct RootTask<'a> {
    /// Where it begins.
    pub entry: u64,
    file: &'a [u8],
    segments: [Segment; MAX_SEGMENTS],
    count: usize,
    sites: &'a [[u8; 8]],
}

impl<'a> RootTask<'a> {
    /// Checks a file. Anything but a root task that can be hosted is an error; nothing panics.
    pub fn parse(file: &'a [u8]) -> Result<Self, ElfError> {
        let header = Header::parse(file).map_err(|_| ElfError::NotElf)?;
        if !header.is_little_endian() || header.e_machine.get(LittleEndian) != elf::EM_X86_64 {
            return Err(ElfError::NotElf);
        }
        if header.e_type.get(LittleEndian) != elf::ET_EXEC {
            return Err(ElfError::NotStatic);
        }
        let (segments, count) = segments(header, file)?;
        let entry = header.e_entry.get(LittleEndian);
        let is_code = |segment: &Segment| segment.access == Access::ReadExecute && segment.holds(entry, 1);
        if !segments[..count].iter().any(is_code) {
            return Err(ElfError::Entry(entry));
        }
        let sections = Sections::of(header, file).ok_or(ElfError::Sections)?;
        let sites = section(&sections, SITES_SECTION)
            .map_or(Ok(&[][..]), |section| section.data(LittleEndian, file))
            .map_err(|_| ElfError::Sections)?;
        Ok(Self { entry, file, segments, count, sites: sites.as_chunks().0 })
    }

    /// What it says about itself.
    ///
    /// # Errors
    /// When it says nothing, or nothing that makes sense.
    pub fn note(&self) -> Result<Note<'a>, ElfError> {
        let header = Header::parse(self.file).map_err(|_| ElfError::NotElf)?;
        let sections = Sections::of(header, self.file).ok_or(ElfError::Sections)?;
        note(&sections, self.file)
    }

    /// The segments, in the order of their addresses; no two share a page.
    pub fn segments(&self) -> &[Segment] {
        &self.segments[..self.count]
    }

    /// The pages from the first segment to the last one.
    pub fn image(&self) -> Range<u64> {
        let segments = self.segments();
        let start = segments.first().map_or(0, |segment| segment.pages().start);
        start..segments.last().map_or(start, |segment| segment.pages().end)
    }

    /// The addresses in the list of system-call sites; they may be anything.
    pub fn sites(&self) -> impl ExactSizeIterator<Item = u64> + use<'a> {
        self.sites.iter().map(|site| u64::from_le_bytes(*site))
    }
}

/// The segments to load, checked, in the order of their addresses.
fn segments(header: &Header, file: &[u8]) -> Result<([Segment; MAX_SEGMENTS], usize), ElfError> {
    let headers = header.program_headers(LittleEndian, file).map_err(|_| ElfError::Headers)?;
    if headers.len() > MAX_HEADERS {
        return Err(ElfError::Headers);
    }
    let mut segments = [Segment::NONE; MAX_SEGMENTS];
    let mut count = 0;
    for header in headers {
        match header.p_type(LittleEndian) {
            elf::PT_LOAD if header.p_memsz(LittleEndian) == 0 => {}
            elf::PT_LOAD => {
                *segments.get_mut(count).ok_or(ElfError::Count)? = segment(header, file.len() as u64)?;
                count += 1;
            }
            elf::PT_INTERP | elf::PT_DYNAMIC | elf::PT_TLS => return Err(ElfError::NotStatic),
            _ => {}
        }
    }
    let found = &mut segments[..count];
    found.sort_unstable_by_key(|segment| segment.address);
    if found.is_empty() {
        return Err(ElfError::Count);
    }
    for pair in found.windows(2) {
        if pair[0].pages().end > pair[1].pages().start {
            return Err(ElfError::Overlap(pair[1].address));
        }
    }
    Ok((segments, count))
}

/// One segment, checked by itself.
fn segment(header: &SegmentHeader, file: u64) -> Result<Segment, ElfError> {
    let address = header.p_vaddr(LittleEndian);
    let (memory_size, file_size) = (header.p_memsz(LittleEndian), header.p_filesz(LittleEndian));
    let offset = header.p_offset(LittleEndian);
    let flags = header.p_flags(LittleEndian);
    let end = address.checked_add(memory_size).filter(|end| *end <= HIGHEST - PAGE);
    if address < LOWEST || end.is_none() {
        return Err(ElfError::Range(address));
    }
    if file_size > memory_size {
        return Err(ElfError::MoreThanMemory(address));
    }
    if file_size > 0 && offset.checked_add(file_size).is_none_or(|end| end > file) {
        return Err(ElfError::Truncated(address));
    }
    let has = |flag| flags & flag == flag;
    let access = match (has(elf::PF_W), has(elf::PF_X)) {
        (true, true) => return Err(ElfError::WritableCode(address)),
        (true, false) => Access::ReadWrite,
        (false, true) if has(elf::PF_R) => Access::ReadExecute,
        (false, true) => return Err(ElfError::Unreadable(address)),
        (false, false) => Access::Read,
    };
    if access != Access::ReadWrite {
        if offset % PAGE != address % PAGE {
            return Err(ElfError::Alignment(address));
        }
        if file_size != memory_size {
            return Err(ElfError::ReadOnlyZeros(address));
        }
    }
    Ok(Segment { address, memory_size, offset, file_size, access })
}

/// The manifest in its note.
fn note<'a>(sections: &Sections<'a>, file: &'a [u8]) -> Result<Note<'a>, ElfError> {
    let section = section(sections, NOTE_SECTION).ok_or(ElfError::Note)?;
    let mut notes = section.notes(LittleEndian, file).ok().flatten().ok_or(ElfError::Note)?;
    let note = notes.next().ok().flatten().ok_or(ElfError::Note)?;
    if note.name() != NOTE_OWNER || note.n_type(LittleEndian) != NOTE_TYPE {
        return Err(ElfError::Note);
    }
    Note::decode(note.desc()).ok_or(ElfError::Note)
}

fn section<'a>(sections: &Sections<'a>, name: &[u8]) -> Option<&'a SectionHeader64<LittleEndian>> {
    let is_it = |section: &&SectionHeader64<LittleEndian>| {
        let rest = sections.names.get(section.sh_name.get(LittleEndian) as usize..);
        rest.and_then(|rest| rest.strip_prefix(name)).is_some_and(|rest| rest.first() == Some(&0))
    };
    sections.table.iter().find(is_it)
}

/// The sections, and their names, each ended by a zero. The library's own search for a name writes to memory,
/// which takes a page at every start.
struct Sections<'a> {
    table: SectionTable<'a, Header>,
    names: &'a [u8],
}

impl<'a> Sections<'a> {
    fn of(header: &Header, file: &'a [u8]) -> Option<Self> {
        let table = header.sections(LittleEndian, file).ok()?;
        let index = header.section_strings_index(LittleEndian, file).ok()?;
        let names = table.section(index).ok()?.data(LittleEndian, file).ok()?;
        Some(Self { table, names })
    }
}

/// The segment of the tender itself that `address` lies in, by its program headers.
pub(crate) fn own_segment(headers: &[u8], address: u64) -> Option<Segment> {
    own_segments(headers)
        .find(|segment| address.checked_sub(segment.address).is_some_and(|before| before < segment.file_size))
}

/// The segments of the tender itself, by its program headers.
pub(crate) fn own_segments(headers: &[u8]) -> impl Iterator<Item = Segment> {
    loaded(headers).filter(|segment| segment.address >= HIGHEST)
}

/// Whether `segment` of the root task, whose file lies at `file`, is one that Linux has mapped when it started
/// the executable with these program headers: the same pages, from the same place of the executable.
pub(crate) fn is_mapped(headers: &[u8], file: &[u8], segment: &Segment) -> bool {
    let file = file.as_ptr() as u64;
    let Some(own) = own_segment(headers, file) else { return false };
    let page_offset = own.offset + (file - own.address) + segment.page_offset();
    let is_same = |other: Segment| other.pages() == segment.pages() && other.page_offset() == page_offset;
    loaded(headers).any(|other| other.access == segment.access && is_same(other))
}

/// What Linux maps of an executable with these program headers.
fn loaded(headers: &[u8]) -> impl Iterator<Item = Segment> {
    let count = headers.len() / size_of::<SegmentHeader>();
    let headers = pod::slice_from_bytes::<SegmentHeader>(headers, count).map_or(&[][..], |(found, _)| found);
    let loaded = headers.iter().filter(|header| header.p_type(LittleEndian) == elf::PT_LOAD);
    loaded.map(|header| Segment {
        address: header.p_vaddr(LittleEndian),
        memory_size: header.p_memsz(LittleEndian),
        offset: header.p_offset(LittleEndian),
        file_size: header.p_filesz(LittleEndian),
        access: match header.p_flags(LittleEndian) {
            flags if flags.contains(elf::PF_W) => Access::ReadWrite,
            flags if flags.contains(elf::PF_X) => Access::ReadExecute,
            _ => Access::Read,
        },
    })
}

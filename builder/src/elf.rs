//! Reading ELF files that nobody vouches for: every offset is checked, nothing is trusted to be small.
//!
//! The `object` crate reads the structures; this module keeps what the rest of the builder looks at,
//! for 32-bit (the multiboot kernel) and 64-bit files alike.

use object::{
    Endianness,
    elf::{self, FileHeader32, FileHeader64},
    read::elf::{FileHeader, ProgramHeader, SectionHeader, Sym},
};
use std::ffi::CStr;

/// Files longer than this are not read: the largest root task that seL4's boot code maps is far smaller.
pub const MAX_FILE: u64 = 256 << 20;
/// A longer name of a section or symbol is cut: names may overlap, so that a small file could hold
/// very many very long ones.
const MAX_NAME: usize = 4096;
/// No more sections and program headers are read: the most that linkers make without being told to is far below.
const MAX_HEADERS: usize = 1 << 16;
/// No more symbols are read.
const MAX_SYMBOLS: usize = 1 << 20;

/// A file is not an ELF file, or its structures contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The first bytes are not those of an ELF file.
    #[error("it is not an ELF file")]
    NotElf,
    /// A structure of the file is wrong.
    #[error("it is a damaged ELF file: {0}")]
    Malformed(String),
}

/// What is of interest in an ELF file.
#[derive(Debug)]
pub struct Elf<'a> {
    /// The whole file.
    pub data: &'a [u8],
    /// Whether it is a 64-bit file.
    pub is_64: bool,
    /// Whether its numbers are written little end first.
    pub is_little_endian: bool,
    /// `e_machine`
    pub machine: elf::Machine,
    /// `e_type`
    pub kind: elf::FileType,
    /// `e_entry`
    pub entry: u64,
    /// The program headers, in the file's order.
    pub segments: Vec<Segment>,
    /// The section headers, in the file's order, the null section included.
    pub sections: Vec<Section<'a>>,
    /// The symbols, without the null symbol; empty in a stripped file.
    pub symbols: Vec<Symbol<'a>>,
}

/// A program header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// `p_type`
    pub kind: elf::ProgramType,
    /// `p_flags`
    pub flags: elf::ProgramFlags,
    /// Offset in the file.
    pub offset: u64,
    /// Address.
    pub address: u64,
    /// Bytes in the file.
    pub file_size: u64,
    /// Bytes in memory.
    pub memory_size: u64,
}

/// A section header.
#[derive(Debug, Clone, Copy)]
pub struct Section<'a> {
    /// Its name; empty when it has none or one that is not UTF-8.
    pub name: &'a str,
    /// `sh_type`
    pub kind: elf::SectionType,
    /// `sh_flags`
    pub flags: elf::SectionFlags,
    /// Address.
    pub address: u64,
    /// Offset in the file.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
}

/// A symbol.
#[derive(Debug, Clone, Copy)]
pub struct Symbol<'a> {
    /// Its name; empty when it has none or one that is not UTF-8.
    pub name: &'a str,
    /// Address.
    pub address: u64,
    /// Bytes; 0 when nobody said.
    pub size: u64,
    /// `STT_*`
    pub kind: elf::SymbolType,
    /// `STB_*`
    pub binding: elf::SymbolBind,
    /// Index of its section, or `SHN_*`.
    pub section: elf::SymbolSection,
}

impl Segment {
    /// The first address after it, or none when it wraps around.
    pub fn end(&self) -> Option<u64> {
        self.address.checked_add(self.memory_size)
    }

    /// `R`, `W` and `X` as far as they are set, for messages.
    pub fn permissions(&self) -> String {
        let flag = |bit, letter| if self.flags.contains(bit) { letter } else { '-' };
        [flag(elf::PF_R, 'R'), flag(elf::PF_W, 'W'), flag(elf::PF_X, 'X')].iter().collect()
    }

    /// The type's name, for messages.
    pub fn kind_name(&self) -> String {
        match self.kind {
            elf::PT_NULL => "PT_NULL".into(),
            elf::PT_LOAD => "PT_LOAD".into(),
            elf::PT_DYNAMIC => "PT_DYNAMIC".into(),
            elf::PT_INTERP => "PT_INTERP".into(),
            elf::PT_NOTE => "PT_NOTE".into(),
            elf::PT_PHDR => "PT_PHDR".into(),
            elf::PT_TLS => "PT_TLS".into(),
            elf::PT_GNU_STACK => "PT_GNU_STACK".into(),
            elf::PT_GNU_RELRO => "PT_GNU_RELRO".into(),
            elf::PT_GNU_EH_FRAME => "PT_GNU_EH_FRAME".into(),
            elf::PT_GNU_PROPERTY => "PT_GNU_PROPERTY".into(),
            other => format!("type {:#x}", other.0),
        }
    }
}

impl Section<'_> {
    /// Whether it takes part in the memory image.
    pub fn is_allocated(&self) -> bool {
        self.flags.contains(elf::SHF_ALLOC)
    }

    /// Whether it holds instructions.
    pub fn is_executable(&self) -> bool {
        self.is_allocated() && self.flags.contains(elf::SHF_EXECINSTR)
    }

    /// Whether it has bytes in the file.
    pub fn has_bytes(&self) -> bool {
        self.kind != elf::SHT_NOBITS && self.kind != elf::SHT_NULL
    }
}

impl<'a> Elf<'a> {
    /// Reads `data` without copying it.
    pub fn parse(data: &'a [u8]) -> Result<Self, Error> {
        if data.get(..4) != Some(&elf::ELFMAG) {
            return Err(Error::NotElf);
        }
        match data.get(4).map(|&class| elf::FileClass(class)) {
            Some(elf::ELFCLASS32) => read::<FileHeader32<Endianness>>(data, false),
            Some(elf::ELFCLASS64) => read::<FileHeader64<Endianness>>(data, true),
            _ => Err(Error::Malformed("its class is neither 32 nor 64 bit".into())),
        }
    }

    /// From the lowest to the highest address that is loaded, in bytes.
    pub fn span(&self) -> u64 {
        let loaded = || self.segments.iter().filter(|segment| segment.kind == elf::PT_LOAD);
        let end = loaded().filter_map(Segment::end).max().unwrap_or_default();
        end.saturating_sub(loaded().map(|segment| segment.address).min().unwrap_or_default())
    }

    /// The first section of this name.
    pub fn section(&self, name: &str) -> Option<&Section<'a>> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// The first section whose bytes in the file are at `offset` too.
    pub fn section_at(&self, offset: u64) -> Option<&Section<'a>> {
        let holds = |one: &Section<'_>| one.offset <= offset && offset - one.offset < one.size;
        self.sections.iter().find(|one| one.has_bytes() && holds(one))
    }

    /// The bytes of a section in the file; none for one that has none or lies outside of the file.
    pub fn section_data(&self, section: &Section<'_>) -> Option<&'a [u8]> {
        if section.has_bytes() { slice(self.data, section.offset, section.size) } else { None }
    }

    /// The bytes of a segment in the file; none when it lies outside of the file.
    pub fn segment_data(&self, segment: &Segment) -> Option<&'a [u8]> {
        slice(self.data, segment.offset, segment.file_size)
    }
}

fn slice(data: &[u8], offset: u64, size: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    data.get(start..start.checked_add(usize::try_from(size).ok()?)?)
}

fn read<'a, H: FileHeader<Endian = Endianness>>(data: &'a [u8], is_64: bool) -> Result<Elf<'a>, Error> {
    let malformed =
        |what: &'static str| move |error: object::Error| Error::Malformed(format!("{what}: {error}"));
    let header = H::parse(data).map_err(malformed("header"))?;
    let endian = header.endian().map_err(malformed("header"))?;
    let segments = header.program_headers(endian, data).map_err(malformed("program headers"))?;
    let headers = header.section_headers(endian, data).map_err(malformed("section headers"))?;
    if segments.len() > MAX_HEADERS || headers.len() > MAX_HEADERS {
        return Err(Error::Malformed(format!("it has more than {MAX_HEADERS} headers")));
    }
    let names = if headers.is_empty() {
        None
    } else {
        let index = header.shstrndx(endian, data).map_err(malformed("section names"))?;
        headers
            .get(index as usize)
            .and_then(|section| slice(data, section.sh_offset(endian).into(), section.sh_size(endian).into()))
    };
    let sections = headers.iter().map(|section| Section {
        name: name_at(names, section.sh_name(endian)),
        kind: section.sh_type(endian),
        flags: section.sh_flags(endian),
        address: section.sh_addr(endian).into(),
        offset: section.sh_offset(endian).into(),
        size: section.sh_size(endian).into(),
    });
    Ok(Elf {
        data,
        is_64,
        is_little_endian: endian == Endianness::Little,
        machine: header.e_machine(endian),
        kind: header.e_type(endian),
        entry: header.e_entry(endian).into(),
        segments: segments
            .iter()
            .map(|segment| Segment {
                kind: segment.p_type(endian),
                flags: segment.p_flags(endian),
                offset: segment.p_offset(endian).into(),
                address: segment.p_vaddr(endian).into(),
                file_size: segment.p_filesz(endian).into(),
                memory_size: segment.p_memsz(endian).into(),
            })
            .collect(),
        sections: sections.collect(),
        symbols: symbols::<H>(endian, data, headers)?,
    })
}

fn symbols<'a, H: FileHeader<Endian = Endianness>>(
    endian: Endianness,
    data: &'a [u8],
    headers: &'a [H::SectionHeader],
) -> Result<Vec<Symbol<'a>>, Error> {
    let Some(table) = headers.iter().find(|section| section.sh_type(endian) == elf::SHT_SYMTAB) else {
        return Ok(Vec::new());
    };
    let entries: &[H::Sym] = table
        .data_as_array(endian, data)
        .map_err(|error: object::Error| Error::Malformed(format!("symbols: {error}")))?;
    if entries.len() > MAX_SYMBOLS {
        return Err(Error::Malformed(format!("it has more than {MAX_SYMBOLS} symbols")));
    }
    let names = headers
        .get(table.sh_link(endian) as usize)
        .and_then(|section| slice(data, section.sh_offset(endian).into(), section.sh_size(endian).into()));
    let symbol = |symbol: &H::Sym| Symbol {
        name: name_at(names, symbol.st_name(endian)),
        address: symbol.st_value(endian).into(),
        size: symbol.st_size(endian).into(),
        kind: symbol.st_type(),
        binding: symbol.st_bind(),
        section: symbol.st_shndx(endian),
    };
    Ok(entries.iter().skip(1).map(symbol).collect())
}

fn name_at(table: Option<&[u8]>, offset: u32) -> &str {
    let bytes = table.and_then(|table| table.get(offset as usize..)).unwrap_or_default();
    let bytes = &bytes[..bytes.len().min(MAX_NAME)];
    let name = CStr::from_bytes_until_nul(bytes).map_or(bytes, CStr::to_bytes);
    std::str::from_utf8(name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_program_reads_as_what_it_is() {
        let data = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let file = Elf::parse(&data).unwrap();
        assert!(file.is_64 && file.machine == elf::EM_X86_64);
        assert!(file.section(".text").is_some_and(|text| text.is_executable() && text.size > 0));
        assert!(file.symbols.iter().any(|symbol| symbol.name == "main"));
        assert!(
            file.segments
                .iter()
                .any(|segment| segment.kind == elf::PT_LOAD && segment.permissions() == "R-X")
        );
    }

    #[test]
    fn other_files_are_refused() {
        assert_eq!(Elf::parse(b"").unwrap_err(), Error::NotElf);
        assert_eq!(Elf::parse(b"#!/bin/sh\n").unwrap_err(), Error::NotElf);
        assert!(matches!(Elf::parse(b"\x7fELF").unwrap_err(), Error::Malformed(_)));
        assert!(matches!(Elf::parse(b"\x7fELF\x02\x01\x01").unwrap_err(), Error::Malformed(_)));
    }
}

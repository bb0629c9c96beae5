//! An ELF file: kernel, root task, or another.

use super::Kind;
use crate::{
    Digest,
    elf::{self, Elf},
    kernel, note,
    root_task::{SITES, files_section},
    run_config,
};
use object::elf::{EM_386, EM_X86_64, PT_LOAD};
use serde::Serialize;

/// An ELF file.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ElfReport {
    /// Bytes.
    pub size: u64,
    /// The digest of the file.
    pub sha256: Digest,
    /// 32 or 64.
    pub bits: u8,
    /// The machine's name, or its number.
    pub machine: String,
    /// Where it is entered.
    pub entry: u64,
    /// Whether it has symbols.
    pub symbols: bool,
    /// The program headers.
    pub segments: Vec<Segment>,
    /// What a root task says about itself.
    pub manifest: Option<note::Manifest>,
    /// The records of a root task's run configuration.
    pub run: Option<Vec<(String, String)>>,
    /// The files that lie in a root task: names and sizes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<(String, u64)>>,
    /// The number of listed system-call sites.
    pub system_call_sites: Option<u64>,
}

/// A program header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Segment {
    /// Its type.
    pub kind: String,
    /// `R`, `W`, `X`.
    pub permissions: String,
    /// Address.
    pub address: u64,
    /// Bytes in the file.
    pub file_size: u64,
    /// Bytes in memory.
    pub memory_size: u64,
}

/// What the ELF file `data` is, and what it says.
pub(super) fn inspect_elf(data: &[u8], problems: &mut Vec<String>) -> Result<(Kind, ElfReport), elf::Error> {
    let elf = Elf::parse(data)?;
    let manifest = note::Manifest::of_elf(&elf).unwrap_or_else(|error| {
        problems.push(error.to_string());
        None
    });
    let content = |name| elf.section(name).and_then(|section| elf.section_data(section));
    problems.extend(elf.segments.iter().enumerate().filter_map(|(index, one)| unsound(&elf, index, one)));
    let run = content(run_config::SECTION).map(run_config::decode);
    if run == Some(None) {
        problems.push(format!("the run configuration in `{}` is damaged", run_config::SECTION));
    }
    let files = content(files_section::SECTION).filter(|bytes| !bytes.is_empty()).map(files_section::list);
    if let Some(Err(error)) = &files {
        problems.push(format!("the files in `{}` are damaged: {error}", files_section::SECTION));
    }
    let sites = content(SITES).map(|bytes| bytes.len() as u64);
    if sites.is_some_and(|bytes| !bytes.is_multiple_of(8)) {
        problems.push(format!("the list of system-call sites in `{SITES}` is damaged"));
    }
    let kind = if elf.section(note::SECTION).is_some() {
        Kind::RootTask
    } else if kernel::multiboot_header(data).is_some() || kernel::multiboot2_header(data).is_some() {
        Kind::Kernel
    } else {
        Kind::Elf
    };
    if kind != Kind::Elf && !elf.segments.iter().any(|segment| segment.kind == PT_LOAD) {
        problems.push("it has no segment to load".to_owned());
    }
    let report = ElfReport {
        size: data.len() as u64,
        sha256: Digest::of(data),
        bits: if elf.is_64 { 64 } else { 32 },
        machine: match elf.machine {
            EM_X86_64 => "x86-64".into(),
            EM_386 => "x86".into(),
            other => other.0.to_string(),
        },
        entry: elf.entry,
        symbols: !elf.symbols.is_empty(),
        segments: elf.segments.iter().map(segment).collect(),
        manifest,
        run: run.flatten(),
        files: files.and_then(Result::ok),
        system_call_sites: sites.map(|bytes| bytes / 8),
    };
    Ok((kind, report))
}

/// What no loader would take of a program header.
fn unsound(elf: &Elf<'_>, index: usize, segment: &elf::Segment) -> Option<String> {
    let why = if segment.file_size > 0 && elf.segment_data(segment).is_none() {
        "ends outside of the file: the file is cut off, or the header is damaged"
    } else if segment.kind == PT_LOAD && segment.end().is_none() {
        "wraps around the end of memory"
    } else if segment.kind == PT_LOAD && segment.file_size > segment.memory_size {
        "has more bytes in the file than in memory"
    } else {
        return None;
    };
    Some(format!("segment {index} ({}) {why}", segment.kind_name()))
}

fn segment(segment: &elf::Segment) -> Segment {
    Segment {
        kind: segment.kind_name(),
        permissions: segment.permissions(),
        address: segment.address,
        file_size: segment.file_size,
        memory_size: segment.memory_size,
    }
}

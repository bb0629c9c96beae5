//! Small ELF files for tests, written field by field so that a test can set any of them wrong.

use crate::{note, run_config};

/// A section. Its bytes lie in the file where its address says (see [`offset`]).
#[derive(Debug, Clone)]
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) kind: u32,
    pub(crate) flags: u64,
    pub(crate) address: u64,
    pub(crate) data: Vec<u8>,
}

/// A program header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) address: u64,
    pub(crate) file_size: u64,
    pub(crate) memory_size: u64,
}

/// A symbol.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Symbol {
    pub(crate) name: &'static str,
    pub(crate) address: u64,
    pub(crate) size: u64,
    pub(crate) kind: u8,
    /// Index of its section, counted from 1; 0 for an undefined symbol.
    pub(crate) section: u16,
}

/// A 64-bit ELF file.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) kind: u16,
    pub(crate) machine: u16,
    pub(crate) entry: u64,
    pub(crate) sections: Vec<Section>,
    pub(crate) segments: Vec<Segment>,
    pub(crate) symbols: Vec<Symbol>,
}

pub(crate) const R: u32 = 4;
pub(crate) const RW: u32 = 6;
pub(crate) const RX: u32 = 5;
pub(crate) const TEXT: u64 = 0x40_1000;
pub(crate) const RODATA: u64 = 0x40_2000;
pub(crate) const DATA: u64 = 0x40_3000;
/// Where the listed system-call site lies.
pub(crate) const SITE: u64 = TEXT + 0x20;

/// The file offset of an address.
fn offset(address: u64) -> u64 {
    0x1000 + address.wrapping_sub(TEXT) % 0x10_0000
}

/// Code at [`TEXT`]: `_start` calls `stub`, whose site is at [`SITE`]; `plain` holds the bytes of a
/// system call inside of an operand.
fn code() -> Vec<u8> {
    let mut code = vec![0xcc; 0x40];
    code[..7].copy_from_slice(&[0xe8, 0x1b, 0, 0, 0, 0x0f, 0x0b]);
    code[0x20..0x29].copy_from_slice(&[0x49, 0x89, 0xe6, 0x0f, 0x05, 0x4c, 0x89, 0xf4, 0xc3]);
    code[0x30..0x36].copy_from_slice(&[0xb8, 0x0f, 0x05, 0xcd, 0x80, 0xc3]);
    code
}

impl Sample {
    /// A root task that breaks no rule.
    pub(crate) fn good() -> Self {
        let note = note::tests::sample().encode();
        let run =
            run_config::encode(&Default::default(), crate::recipe::Serial::Com1, 115_200, "0123456789abcdef")
                .unwrap();
        let sites = SITE.to_le_bytes().to_vec();
        let sites_at = RODATA + 0x800;
        let size = 0x808;
        let note_size = note.len() as u64;
        let section = |name, kind, flags, address, data| Section { name, kind, flags, address, data };
        let segment = |kind, flags, address, file_size, memory_size| Segment {
            kind,
            flags,
            address,
            file_size,
            memory_size,
        };
        let function = |name, address, size| Symbol { name, address, size, kind: 2, section: 1 };
        Self {
            kind: 2,
            machine: 62,
            entry: TEXT,
            sections: vec![
                section(".text", 1, 6, TEXT, code()),
                section(".note.selkie", 7, 2, RODATA, note),
                section(".selkie.run", 1, 2, RODATA + 0x600, run),
                section(".sel4_sites", 1, 2, sites_at, sites),
                section(".data", 1, 3, DATA, vec![1; 16]),
            ],
            segments: vec![
                segment(1, RW, 0x40_0000, 0, 0x1000),
                segment(1, RX, TEXT, 0x40, 0x40),
                segment(1, R, RODATA, size, size),
                segment(1, RW, DATA, 16, 64),
                segment(4, R, RODATA, note_size, note_size),
                segment(0x6474_e551, RW, 0, 0, 0),
            ],
            symbols: vec![
                function("_start", TEXT, 7),
                function("_ZN7runtime4stub17h0123456789abcdefE", SITE, 9),
                function("_ZN8function5plain17h0123456789abcdefE", TEXT + 0x30, 6),
                Symbol { name: "counter", address: DATA, size: 8, kind: 1, section: 5 },
            ],
        }
    }

    /// The section of this name.
    pub(crate) fn section(&mut self, name: &str) -> &mut Section {
        self.sections.iter_mut().find(|section| section.name == name).unwrap()
    }

    /// The file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = vec![0; 64 + self.segments.len() * 56];
        let mut names = vec![0];
        let mut headers = vec![[0u64; 10]];
        for section in &self.sections {
            headers.push(header(&mut names, section.name, section, offset(section.address)));
            if section.kind != 8 {
                place(&mut out, offset(section.address) as usize, &section.data);
            }
        }
        let mut strings = vec![0];
        let mut table = vec![0; 24];
        for symbol in &self.symbols {
            table.extend_from_slice(&(strings.len() as u32).to_le_bytes());
            table.extend_from_slice(&[0x10 | symbol.kind, 0]);
            table.extend_from_slice(&symbol.section.to_le_bytes());
            table.extend_from_slice(&symbol.address.to_le_bytes());
            table.extend_from_slice(&symbol.size.to_le_bytes());
            strings.extend_from_slice(symbol.name.as_bytes());
            strings.push(0);
        }
        let plain = |name, kind, data| Section { name, kind, flags: 0, address: 0, data };
        for (name, kind, data) in [(".symtab", 2, table), (".strtab", 3, strings)] {
            let section = plain(name, kind, data);
            let mut entry = header(&mut names, name, &section, out.len() as u64);
            if kind == 2 {
                (entry[6], entry[7], entry[9]) = (headers.len() as u64 + 1, 1, 24);
            }
            headers.push(entry);
            out.extend_from_slice(&section.data);
        }
        let mut own = header(&mut names, ".shstrtab", &plain(".shstrtab", 3, vec![]), out.len() as u64);
        own[5] = names.len() as u64;
        headers.push(own);
        out.extend_from_slice(&names);
        let table = out.len().next_multiple_of(8);
        out.resize(table, 0);
        for header in &headers {
            for (value, width) in header.iter().zip([4, 4, 8, 8, 8, 8, 4, 4, 8, 8]) {
                out.extend_from_slice(&value.to_le_bytes()[..width]);
            }
        }
        self.file_header(&mut out, table, headers.len());
        self.program_headers(&mut out);
        out
    }

    fn file_header(&self, out: &mut [u8], table: usize, count: usize) {
        let mut header = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        for half in [self.kind, self.machine, 1, 0] {
            header.extend_from_slice(&half.to_le_bytes());
        }
        for word in [self.entry, 64, table as u64] {
            header.extend_from_slice(&word.to_le_bytes());
        }
        let phnum = self.segments.len() as u16;
        for half in [0, 0, 64, 56, phnum, 64, count as u16, count as u16 - 1] {
            header.extend_from_slice(&half.to_le_bytes());
        }
        out[..64].copy_from_slice(&header);
    }

    fn program_headers(&self, out: &mut [u8]) {
        for (index, one) in self.segments.iter().enumerate() {
            let mut bytes = Vec::new();
            bytes.extend_from_slice(&one.kind.to_le_bytes());
            bytes.extend_from_slice(&one.flags.to_le_bytes());
            let from = if one.file_size == 0 { 0 } else { offset(one.address) };
            for word in [from, one.address, one.address, one.file_size, one.memory_size, 1] {
                bytes.extend_from_slice(&word.to_le_bytes());
            }
            out[64 + index * 56..][..56].copy_from_slice(&bytes);
        }
    }
}

/// Name, type, flags, address, offset, size, link, info, alignment, entry size.
fn header(names: &mut Vec<u8>, name: &str, section: &Section, offset: u64) -> [u64; 10] {
    let at = names.len() as u64;
    names.extend_from_slice(name.as_bytes());
    names.push(0);
    let Section { kind, flags, address, data, .. } = section;
    [at, u64::from(*kind), *flags, *address, offset, data.len() as u64, 0, 0, 1, 0]
}

fn place(out: &mut Vec<u8>, at: usize, data: &[u8]) {
    out.resize(out.len().max(at + data.len()), 0);
    out[at..at + data.len()].copy_from_slice(data);
}

//! Small root tasks for tests, written field by field so that a test can set any of them wrong, and the
//! payload of a tender that serves them.
#![allow(dead_code, reason = "each test uses a part of it")]

use selkie_tender_table::{
    Table,
    payload::{Header, MAGIC, Part, Settings},
};

/// Flags of segments.
pub(crate) const R: u32 = 4;
pub(crate) const RW: u32 = 6;
pub(crate) const RX: u32 = 5;

/// The image: four pages of stack, a page each of text, constants and data, and two of zeroed data.
pub(crate) const BASE: u64 = 0x40_0000;
pub(crate) const TEXT: u64 = 0x40_4200;
pub(crate) const RODATA: u64 = 0x40_5600;
pub(crate) const DATA: u64 = 0x40_6a00;
pub(crate) const IMAGE_END: u64 = 0x40_9000;
/// A listed site, which returns; and a system call that is not listed.
pub(crate) const SITE: u64 = TEXT + 0x40;
pub(crate) const UNLISTED: u64 = TEXT + 0x80;
/// What a site looks like.
pub(crate) const SITE_BYTES: [u8; 8] = [0x48, 0x89, 0xe0, 0x0f, 0x05, 0x48, 0x89, 0xc4];
/// What the data begins with.
pub(crate) const GREETING: &[u8] = b"data of the root task";

/// The interface of the samples.
pub(crate) const DIGEST: [u8; 32] = [0xab; 32];

#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) file_size: u64,
    pub(crate) memory_size: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) kind: u32,
    pub(crate) address: u64,
    pub(crate) data: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) kind: u16,
    pub(crate) machine: u16,
    pub(crate) entry: u64,
    pub(crate) segments: Vec<Segment>,
    pub(crate) sections: Vec<Section>,
}

/// The JSON of a manifest for this interface and kernel config.
pub(crate) fn manifest(interface: [u8; 32], config: &str) -> String {
    let digest: String = interface.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{{\"devices\":{{\"serial\":\"com1\"}},\"format\":1,\"function\":{{\"description\":\"Says \\\"hi\\\" [twice]\",\
         \"license\":null,\"name\":\"hello\",\"version\":\"0.1.0\"}},\"heap\":262144,\"kernel\":{{\"config\":\"{config}\",\
         \"interface\":\"{digest}\",\"version\":\"5.0.0\"}},\"libos\":\"none\",\"memory\":{{\"qemu\":67108864}},\
         \"stack\":65536,\"targets\":[\"qemu\"]}}"
    )
}

/// A note with this owner, type and descriptor.
pub(crate) fn note(owner: &[u8], kind: u32, descriptor: &[u8]) -> Vec<u8> {
    let mut note = Vec::new();
    for word in [owner.len() as u32, descriptor.len() as u32, kind] {
        note.extend(word.to_le_bytes());
    }
    for text in [owner, descriptor] {
        note.extend(text);
        note.resize(note.len().next_multiple_of(4), 0);
    }
    note
}

/// The file offset of an address.
pub(crate) fn offset(address: u64) -> u64 {
    address - 0x40_3000
}

impl Sample {
    /// A root task that breaks no rule.
    pub(crate) fn good() -> Self {
        let mut text = vec![0xcc; 0x100];
        text[..2].copy_from_slice(&[0xeb, 0x3e]);
        text[0x40..0x48].copy_from_slice(&SITE_BYTES);
        text[0x48] = 0xc3;
        text[0x80..0x83].copy_from_slice(&[0x0f, 0x05, 0xc3]);
        let note = note(b"selkie\0", 1, manifest(DIGEST, "x86_64-test").as_bytes());
        let mut rodata = note.clone();
        rodata.resize(0x800, 0x5a);
        rodata.extend(SITE.to_le_bytes());
        let section = |name, kind, address, data| Section { name, kind, address, data };
        let segment = |kind, flags, address, file_size, memory_size| Segment {
            kind,
            flags,
            offset: if file_size == 0 { 0 } else { offset(address) },
            address,
            file_size,
            memory_size,
        };
        let mut data = vec![0x77; 0x60];
        data[..GREETING.len()].copy_from_slice(GREETING);
        Self {
            kind: 2,
            machine: 62,
            entry: TEXT,
            segments: vec![
                segment(1, RW, BASE, 0, 0x4000),
                segment(1, RX, TEXT, 0x100, 0x100),
                segment(1, R, RODATA, 0x808, 0x808),
                segment(1, RW, DATA, 0x60, IMAGE_END - DATA - 0x10),
                segment(4, R, RODATA, note.len() as u64, note.len() as u64),
                segment(0x6474_e551, RW, 0, 0, 0),
            ],
            sections: vec![
                section(".text", 1, TEXT, text),
                section(".rodata", 1, RODATA, rodata),
                section(".note.selkie", 7, RODATA, note),
                section(".sel4_sites", 1, RODATA + 0x800, SITE.to_le_bytes().to_vec()),
                section(".data", 1, DATA, data),
            ],
        }
    }

    pub(crate) fn section(&mut self, name: &str) -> &mut Section {
        self.sections.iter_mut().find(|section| section.name == name).expect("a section")
    }

    /// Replaces the list of sites.
    pub(crate) fn with_sites(mut self, sites: &[u64]) -> Self {
        let bytes = sites.iter().flat_map(|site| site.to_le_bytes()).collect();
        // Elsewhere in the file, so that the list may have any length.
        let list = self.section(".sel4_sites");
        (list.address, list.data) = (0x41_0000, bytes);
        self
    }

    /// The file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = vec![0; 64];
        for segment in &self.segments {
            out.extend([segment.kind, segment.flags].iter().flat_map(|word| word.to_le_bytes()));
            let words =
                [segment.offset, segment.address, segment.address, segment.file_size, segment.memory_size];
            out.extend(words.iter().chain(&[4096]).flat_map(|word| word.to_le_bytes()));
        }
        let mut names = vec![0];
        let mut table = vec![0; 64];
        let mut header = |name: &str, kind: u32, address: u64, offset: u64, size: u64| {
            table.extend((names.len() as u32).to_le_bytes());
            table.extend(kind.to_le_bytes());
            let words = [2, address, offset, size, 0, 1, 0];
            table.extend(words.iter().flat_map(|word: &u64| word.to_le_bytes()));
            names.extend(name.as_bytes());
            names.push(0);
        };
        for section in &self.sections {
            let start = offset(section.address) as usize;
            out.resize(out.len().max(start + section.data.len()), 0);
            out[start..start + section.data.len()].copy_from_slice(&section.data);
            header(section.name, section.kind, section.address, start as u64, section.data.len() as u64);
        }
        let names_at = out.len() as u64;
        header(".shstrtab", 3, 0, names_at, 0);
        let (names_size, count) = (names.len(), table.len() / 64);
        // The size is known only now.
        let last = table.len() - 64;
        table[last + 32..last + 40].copy_from_slice(&(names_size as u64).to_le_bytes());
        out.extend(names);
        out.resize(out.len().next_multiple_of(8), 0);
        let table_at = out.len() as u64;
        out.extend(table);
        out[..16].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        out[16..18].copy_from_slice(&self.kind.to_le_bytes());
        out[18..20].copy_from_slice(&self.machine.to_le_bytes());
        out[20..24].copy_from_slice(&1u32.to_le_bytes());
        for (at, word) in [(24, self.entry), (32, 64), (40, table_at)] {
            out[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        let halves = [64, 56, self.segments.len(), 64, count, count - 1];
        for (at, half) in (52..).step_by(2).zip(halves) {
            out[at..at + 2].copy_from_slice(&(half as u16).to_le_bytes());
        }
        out
    }
}

/// Random numbers that are the same in every run (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// The table of an interface that has nothing but its digest and name.
pub(crate) fn table(digest: [u8; 32], name: &str) -> Table {
    let mut table: Table = bytemuck::Zeroable::zeroed();
    table.digest = digest;
    table.config[..name.len()].copy_from_slice(name.as_bytes());
    table
}

/// A payload with these tables and this root task; the digests are right.
pub(crate) fn payload(tables: &[Table], root_task: &[u8], settings: Settings) -> Vec<u64> {
    use sha2::{Digest, Sha256};
    let tables: &[u8] = bytemuck::cast_slice(tables);
    let part = |offset: usize, bytes: &[u8]| Part {
        offset: offset as u64,
        size: bytes.len() as u64,
        sha256: Sha256::digest(bytes).into(),
    };
    let second = (4096 + tables.len()).next_multiple_of(4096);
    let size = (second + root_task.len()).next_multiple_of(8);
    let header = Header {
        magic: MAGIC,
        size: size as u64,
        own: size_of::<Header>() as u64,
        tables: part(4096, tables),
        root_task: part(second, root_task),
        settings,
    };
    let mut words = vec![0u64; size / 8];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    bytes[..size_of::<Header>()].copy_from_slice(bytemuck::bytes_of(&header));
    bytes[4096..4096 + tables.len()].copy_from_slice(tables);
    bytes[second..second + root_task.len()].copy_from_slice(root_task);
    words
}

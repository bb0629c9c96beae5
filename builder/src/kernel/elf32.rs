//! The kernel as multiboot loaders want it: an ELF32 file with nothing but what is loaded.
//!
//! QEMU's `-kernel` and GRUB load by physical addresses and enter in 32-bit mode; QEMU refuses ELF64.

use object::{
    LittleEndian as Le, U16, U32,
    elf::{self, FileHeader32, FileHeader64, ProgramHeader32},
    pod,
    read::elf::{FileHeader as _, ProgramHeader as _},
};

/// The multiboot header must lie in the first this many bytes of the file (Multiboot 0.6.96, 3.1).
const MULTIBOOT_WINDOW: usize = 8192;
/// The first word of a multiboot header (Multiboot 0.6.96, 3.1.2).
const MULTIBOOT_MAGIC: u32 = 0x1bad_b002;

/// A multiboot 2 header must lie in the first this many bytes of the file (Multiboot 2.0, 3.1).
const MULTIBOOT2_WINDOW: usize = 32768;
/// The first word of a multiboot 2 header (Multiboot 2.0, 3.1.2).
const MULTIBOOT2_MAGIC: u32 = 0xe852_50d6;

/// The linked kernel is not one that a multiboot loader could start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no ELF file.
    #[error("the kernel is not an ELF64 file: {0}")]
    Malformed(#[from] object::read::Error),
    /// A segment's bytes are not all there.
    #[error("the kernel is cut off")]
    Truncated,
    /// Physical memory above 4 GiB is out of a 32-bit loader's reach.
    #[error("the kernel wants to be loaded or entered at {0:#x}, above 4 GiB")]
    TooHigh(u64),
    /// There is no multiboot header.
    #[error(
        "the kernel has no multiboot header: neither one of Multiboot 1 in its first {MULTIBOOT_WINDOW} bytes, nor one of Multiboot 2 in its first {MULTIBOOT2_WINDOW}"
    )]
    NoMultiboot,
}

/// The loadable segments of the ELF64 file `kernel` as an ELF32 file for i386.
///
/// Virtual addresses keep their low 32 bits: no multiboot loader looks at them.
pub(super) fn convert(kernel: &[u8]) -> Result<Vec<u8>, Error> {
    let header = FileHeader64::<Le>::parse(kernel)?;
    let endian = header.endian()?;
    let small = |value: u64| u32::try_from(value).map_err(|_| Error::TooHigh(value));
    let segments: Vec<_> = header
        .program_headers(endian, kernel)?
        .iter()
        .filter(|segment| segment.p_type(endian) == elf::PT_LOAD && segment.p_memsz(endian) > 0)
        .collect();
    let header_size = size_of::<FileHeader32<Le>>();
    let entry_size = size_of::<ProgramHeader32<Le>>();
    // A Multiboot 2 header must not leave its multiple of 8.
    let start = (header_size + segments.len() * entry_size).next_multiple_of(8);
    let mut headers = Vec::new();
    let mut content = Vec::new();
    for segment in &segments {
        let data = segment.data(endian, kernel).map_err(|()| Error::Truncated)?;
        let offset = start + content.len();
        small(segment.p_paddr(endian).saturating_add(segment.p_memsz(endian)))?;
        headers.push(ProgramHeader32::<Le> {
            p_type: U32::new(Le, elf::PT_LOAD),
            p_offset: U32::new(Le, small(offset as u64)?),
            p_vaddr: U32::new(Le, segment.p_vaddr(endian) as u32),
            p_paddr: U32::new(Le, small(segment.p_paddr(endian))?),
            p_filesz: U32::new(Le, small(data.len() as u64)?),
            p_memsz: U32::new(Le, small(segment.p_memsz(endian))?),
            p_flags: U32::new(Le, segment.p_flags(endian)),
            // Without alignment the segments need no padding between them.
            p_align: U32::new(Le, 1),
        });
        content.extend_from_slice(data);
        content.resize(content.len().next_multiple_of(8), 0);
    }
    let file_header = FileHeader32::<Le> {
        e_ident: elf::Ident {
            magic: elf::ELFMAG,
            class: elf::ELFCLASS32,
            data: elf::ELFDATA2LSB,
            version: elf::EV_CURRENT,
            os_abi: elf::ELFOSABI_NONE,
            abi_version: 0,
            padding: [0; 7],
        },
        e_type: U16::new(Le, elf::ET_EXEC),
        e_machine: U16::new(Le, elf::EM_386),
        e_version: U32::new(Le, elf::EV_CURRENT.0.into()),
        e_entry: U32::new(Le, small(header.e_entry(endian))?),
        e_phoff: U32::new(Le, header_size as u32),
        e_shoff: U32::new(Le, 0),
        e_flags: U32::new(Le, elf::FileFlags(0)),
        e_ehsize: U16::new(Le, header_size as u16),
        e_phentsize: U16::new(Le, entry_size as u16),
        e_phnum: U16::new(Le, segments.len() as u16),
        e_shentsize: U16::new(Le, 0),
        e_shnum: U16::new(Le, 0),
        e_shstrndx: U16::new(Le, elf::SHN_UNDEF),
    };
    let mut file = pod::bytes_of(&file_header).to_vec();
    file.extend_from_slice(pod::bytes_of_slice(&headers));
    file.resize(start, 0);
    file.extend(content);
    let found = multiboot_header(&file).or_else(|| multiboot2_header(&file));
    found.map(|_| file).ok_or(Error::NoMultiboot)
}

/// Where the multiboot header lies in a file, when it has one that a loader would find.
pub fn multiboot_header(file: &[u8]) -> Option<usize> {
    header::<3>(file, MULTIBOOT_MAGIC, MULTIBOOT_WINDOW, 4)
}

/// Where the multiboot 2 header lies in a file, likewise.
pub fn multiboot2_header(file: &[u8]) -> Option<usize> {
    header::<4>(file, MULTIBOOT2_MAGIC, MULTIBOOT2_WINDOW, 8)
}

/// Where `WORDS` words that begin with `magic` and add up to 0 lie in the first `window` bytes of a file, at
/// a multiple of `align`.
fn header<const WORDS: usize>(file: &[u8], magic: u32, window: usize, align: usize) -> Option<usize> {
    let window = &file[..file.len().min(window)];
    (0..window.len()).step_by(align).find(|at| {
        let Some(bytes) = window.get(*at..*at + 4 * WORDS) else { return false };
        let words =
            bytes.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        words.clone().next() == Some(magic) && words.fold(0, u32::wrapping_add) == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::{U64, elf::ProgramHeader64};

    /// An ELF64 file with one segment that holds `content` and has `paddr`.
    fn kernel(content: &[u8], paddr: u64) -> Vec<u8> {
        let header = FileHeader64::<Le> {
            e_ident: elf::Ident {
                magic: elf::ELFMAG,
                class: elf::ELFCLASS64,
                data: elf::ELFDATA2LSB,
                version: elf::EV_CURRENT,
                os_abi: elf::ELFOSABI_NONE,
                abi_version: 0,
                padding: [0; 7],
            },
            e_type: U16::new(Le, elf::ET_EXEC),
            e_machine: U16::new(Le, elf::EM_X86_64),
            e_version: U32::new(Le, 1),
            e_entry: U64::new(Le, paddr + 12),
            e_phoff: U64::new(Le, 64),
            e_shoff: U64::new(Le, 0),
            e_flags: U32::new(Le, elf::FileFlags(0)),
            e_ehsize: U16::new(Le, 64),
            e_phentsize: U16::new(Le, 56),
            e_phnum: U16::new(Le, 1),
            e_shentsize: U16::new(Le, 0),
            e_shnum: U16::new(Le, 0),
            e_shstrndx: U16::new(Le, elf::SHN_UNDEF),
        };
        let segment = ProgramHeader64::<Le> {
            p_type: U32::new(Le, elf::PT_LOAD),
            p_flags: U32::new(Le, elf::PF_R | elf::PF_X),
            p_offset: U64::new(Le, 120),
            p_vaddr: U64::new(Le, paddr.wrapping_add(0xffff_ffff_8000_0000)),
            p_paddr: U64::new(Le, paddr),
            p_filesz: U64::new(Le, content.len() as u64),
            p_memsz: U64::new(Le, content.len() as u64 + 4096),
            p_align: U64::new(Le, 4096),
        };
        [pod::bytes_of(&header), pod::bytes_of(&segment), content].concat()
    }

    fn multiboot() -> Vec<u8> {
        let words = [MULTIBOOT_MAGIC, 3, 0u32.wrapping_sub(MULTIBOOT_MAGIC).wrapping_sub(3)];
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn a_segment_keeps_its_content_and_physical_address() {
        let file = convert(&kernel(&multiboot(), 0x10_0000)).unwrap();
        let header = FileHeader32::<Le>::parse(&*file).unwrap();
        assert_eq!((header.e_machine(Le), header.e_entry(Le)), (elf::EM_386, 0x10_000c));
        let [segment] = header.program_headers(Le, &*file).unwrap() else { panic!("one segment") };
        assert_eq!((segment.p_paddr(Le), segment.p_vaddr(Le)), (0x10_0000, 0x8010_0000));
        assert_eq!((segment.p_filesz(Le), segment.p_memsz(Le)), (12, 12 + 4096));
        assert_eq!(segment.data(Le, &*file).unwrap(), multiboot());
        assert_eq!(multiboot_header(&file), Some(88));
    }

    #[test]
    fn what_no_loader_could_start_is_refused() {
        assert!(matches!(convert(b"\x7fELF"), Err(Error::Malformed(_))));
        assert!(matches!(convert(&kernel(&multiboot(), 1 << 32)), Err(Error::TooHigh(_))));
        assert!(matches!(convert(&kernel(&multiboot()[..8], 0x10_0000)), Err(Error::NoMultiboot)));
        let late = [vec![0; MULTIBOOT_WINDOW], multiboot()].concat();
        assert!(matches!(convert(&kernel(&late, 0x10_0000)), Err(Error::NoMultiboot)));
    }

    #[test]
    fn a_multiboot_2_header_may_lie_further_back() {
        let words = [MULTIBOOT2_MAGIC, 0, 24, 0u32.wrapping_sub(MULTIBOOT2_MAGIC).wrapping_sub(24)];
        let header: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        // The segment begins at byte 88 of the converted file.
        let at = |padding: usize| [vec![0; padding], header.clone()].concat();
        let file = convert(&kernel(&at(MULTIBOOT_WINDOW), 0x10_0000)).unwrap();
        assert_eq!((multiboot_header(&file), multiboot2_header(&file)), (None, Some(8280)));
        assert!(
            matches!(convert(&kernel(&at(4), 0x10_0000)), Err(Error::NoMultiboot)),
            "not at a multiple of 8"
        );
        assert_eq!(multiboot2_header(&at(MULTIBOOT2_WINDOW - 16)), Some(MULTIBOOT2_WINDOW - 16));
        assert_eq!(multiboot2_header(&at(MULTIBOOT2_WINDOW - 8)), None);
    }
}

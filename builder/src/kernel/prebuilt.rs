//! A kernel that was built elsewhere, `[kernel] prebuilt`: whether a boot loader can load it, and what is
//! known of it, which is its digest.

use super::elf32;
use object::{
    LittleEndian as Le,
    elf::{EM_386, EM_X86_64, ET_EXEC, FileHeader32, FileHeader64, PT_LOAD},
    read::elf::{FileHeader, ProgramHeader},
};

/// No kernel is larger than this, in bytes.
pub(crate) const MOST: u64 = 64 << 20;

/// The file is no kernel that a Multiboot loader could start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It is something else.
    #[error("it is not an executable ELF file for x86, 32 or 64 bits")]
    NotElf,
    /// It is damaged, has no Multiboot header, or wants to lie above 4 GiB.
    #[error(transparent)]
    Elf(#[from] elf32::Error),
}

/// The kernel in `file` as an ELF32 file, which every Multiboot loader takes: as it is, or its loadable
/// segments when it has 64 bits.
pub(crate) fn loadable(file: &[u8]) -> Result<Vec<u8>, Error> {
    if let Ok(header) = FileHeader64::<Le>::parse(file)
        && (header.e_machine(Le), header.e_type(Le)) == (EM_X86_64, ET_EXEC)
    {
        return Ok(elf32::convert(file)?);
    }
    let header = FileHeader32::<Le>::parse(file).map_err(|_| Error::NotElf)?;
    if (header.e_machine(Le), header.e_type(Le)) != (EM_386, ET_EXEC) {
        return Err(Error::NotElf);
    }
    let segments = header.program_headers(Le, file).map_err(elf32::Error::Malformed)?;
    let cut = |segment: &&_| ProgramHeader::data(*segment, Le, file).is_err();
    if segments.iter().filter(|segment| segment.p_type(Le) == PT_LOAD).any(|segment| cut(&segment)) {
        return Err(elf32::Error::Truncated.into());
    }
    if elf32::multiboot_header(file).is_none() && elf32::multiboot2_header(file).is_none() {
        return Err(elf32::Error::NoMultiboot.into());
    }
    Ok(file.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_kernel_is_refused() {
        for file in [&b""[..], b"\x7fELF", b"#!/bin/sh\n", &[0; 64]] {
            assert!(matches!(loadable(file), Err(Error::NotElf)), "{file:?}");
        }
        // This test's own program: an x86-64 ELF file, but no kernel.
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(loadable(&own).is_err());
    }
}

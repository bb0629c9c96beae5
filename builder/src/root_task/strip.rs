//! Dropping symbols and debug information from a root task.

use crate::elf::{Elf, Error};
use object::elf::{SHF_INFO_LINK, SHN_UNDEF, SHT_STRTAB};

const FILE_HEADER: usize = 64;
const SECTION_HEADER: usize = 64;

/// The file without symbols, debug information and all else that is not loaded.
///
/// The linker lays what is loaded before everything else, so the file is cut where that ends and gets
/// a new table of the sections that remain. The program headers and all that they load stay byte for
/// byte as they were.
pub fn strip(data: &[u8]) -> Result<Vec<u8>, Error> {
    let elf = Elf::parse(data)?;
    if !elf.is_64 || !elf.is_little_endian {
        return Err(Error::Malformed("only 64-bit little-endian files are stripped".into()));
    }
    let malformed = |what: &str| Error::Malformed(what.to_owned());
    let header = |index: usize| {
        let table = u64::from_le_bytes(data[0x28..0x30].try_into().unwrap_or_default()) as usize;
        data.get(table + index * SECTION_HEADER..table + (index + 1) * SECTION_HEADER)
    };
    let kept: Vec<usize> = elf
        .sections
        .iter()
        .enumerate()
        .filter(|(_, section)| section.is_allocated())
        .map(|(index, _)| index)
        .collect();
    let of_sections = kept.iter().map(|&index| &elf.sections[index]).filter(|section| section.has_bytes());
    let of_segments = elf.segments.iter().filter(|segment| segment.file_size > 0);
    let end = of_sections
        .map(|section| section.offset.saturating_add(section.size))
        .chain(of_segments.map(|segment| segment.offset.saturating_add(segment.file_size)))
        .chain([(FILE_HEADER + elf.segments.len() * 56) as u64])
        .max()
        .unwrap_or_default();
    let end = usize::try_from(end).map_err(|_| malformed("a section ends outside of the file"))?;
    let mut out = data.get(..end).ok_or_else(|| malformed("a section ends outside of the file"))?.to_vec();

    let mut names = vec![0];
    let mut table = vec![0; SECTION_HEADER];
    for &index in &kept {
        let mut entry =
            header(index).ok_or_else(|| malformed("a section header lies outside of the file"))?.to_vec();
        put32(&mut entry, 0, names.len());
        names.extend_from_slice(elf.sections[index].name.as_bytes());
        names.push(0);
        // `sh_link` and, with this flag, `sh_info` are numbers of sections.
        let flags = elf.sections[index].flags;
        for at in [Some(0x28), (flags.contains(SHF_INFO_LINK)).then_some(0x2c)].into_iter().flatten() {
            let old = u32::from_le_bytes(entry[at..at + 4].try_into().unwrap_or_default()) as usize;
            let new = kept.iter().position(|&one| one == old).map_or(usize::from(SHN_UNDEF.0), |new| new + 1);
            put32(&mut entry, at, new);
        }
        table.extend_from_slice(&entry);
    }
    let own_name = names.len();
    names.extend_from_slice(b".shstrtab\0");
    let mut entry = vec![0; SECTION_HEADER];
    put32(&mut entry, 0, own_name);
    put32(&mut entry, 4, SHT_STRTAB.0 as usize);
    put64(&mut entry, 0x18, out.len());
    put64(&mut entry, 0x20, names.len());
    put64(&mut entry, 0x30, 1);
    table.extend_from_slice(&entry);

    out.extend_from_slice(&names);
    out.resize(out.len().next_multiple_of(8), 0);
    let table_offset = out.len();
    out.extend_from_slice(&table);
    put64(&mut out, 0x28, table_offset);
    let count = u16::try_from(kept.len() + 2).map_err(|_| malformed("it has too many sections"))?;
    out[0x3c..0x3e].copy_from_slice(&count.to_le_bytes());
    out[0x3e..0x40].copy_from_slice(&(count - 1).to_le_bytes());
    Ok(out)
}

fn put32(bytes: &mut [u8], at: usize, value: usize) {
    bytes[at..at + 4].copy_from_slice(&(value as u32).to_le_bytes());
}

fn put64(bytes: &mut [u8], at: usize, value: usize) {
    bytes[at..at + 8].copy_from_slice(&(value as u64).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{elf_sample::Sample, note::Manifest};

    #[test]
    fn what_is_loaded_stays_as_it_was() {
        let data = Sample::good().bytes();
        let stripped = strip(&data).unwrap();
        assert!(stripped.len() < data.len());
        let (before, after) = (Elf::parse(&data).unwrap(), Elf::parse(&stripped).unwrap());
        assert_eq!(before.segments, after.segments);
        assert!(!before.symbols.is_empty() && after.symbols.is_empty());
        for segment in &before.segments {
            assert_eq!(before.segment_data(segment), after.segment_data(segment));
        }
        let section =
            |elf: &Elf<'_>, name| elf.section(name).and_then(|one| elf.section_data(one)).map(<[u8]>::to_vec);
        for name in [".text", ".sel4_sites", ".selkie.run"] {
            assert_eq!(section(&before, name), section(&after, name), "{name}");
        }
        assert_eq!(Manifest::of_elf(&before).unwrap(), Manifest::of_elf(&after).unwrap());
        assert_eq!(strip(&stripped).unwrap(), stripped);
    }

    #[test]
    fn a_big_endian_file_is_not_taken_for_another_one() {
        let mut header = vec![0; FILE_HEADER];
        header[..7].copy_from_slice(b"\x7fELF\x02\x02\x01");
        header[0x11] = 2;
        header[0x13] = 62;
        assert!(!Elf::parse(&header).unwrap().is_little_endian);
        assert!(matches!(strip(&header), Err(Error::Malformed(_))));
    }

    #[test]
    fn damaged_files_are_errors_or_stripped_but_never_a_panic() {
        let data = Sample::good().bytes();
        for end in (0..data.len()).step_by(61) {
            assert!(strip(&data[..end]).is_err(), "cut at {end}");
        }
        for at in (0..64).chain(data.len() - 700..data.len()) {
            let mut bad = data.clone();
            bad[at] ^= 0xff;
            let _ = strip(&bad);
        }
    }
}

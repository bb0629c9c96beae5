//! The single executable: a tender whose payload segment holds tables, settings and a root task.
//!
//! The tender is linked with an empty payload in its last segment: a header, and constants of the tender. Here that
//! segment is made larger and filled, and what follows it in the file (symbols, the table of sections) is dropped: only bytes that are
//! loaded are in the result. Spare program headers are given to the root task's read-only segments, so that
//! Linux maps them together with the tender. Taking the payload away again gives the bare tender, byte for
//! byte, so that its digest can be read off any executable.

use crate::{
    Digest,
    elf::{self, Elf, Segment},
};
use object::elf::{EM_X86_64, ET_EXEC, PF_R, PF_W, PF_X, PT_LOAD, PT_NULL};
use selkie_tender_filter::TRAP_END;
use selkie_tender_table::{
    Table,
    payload::{ALIGN, Header, MAGIC, Part, Settings},
};

/// Bytes of an empty payload.
const HEADER: usize = size_of::<Header>();
const PROGRAM_HEADER: usize = 56;

/// What an executable is given beside the tender.
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    /// The interface tables.
    pub tables: &'a [Table],
    /// The root task, an ELF; empty in the tender that an operator installs.
    pub root_task: &'a [u8],
    /// What the image asks for.
    pub settings: Settings,
}

/// What an executable holds beside the tender, read from bytes that nobody vouches for.
#[derive(Debug, Clone)]
pub struct Contents<'a> {
    /// The header, as it stands there.
    pub header: Header,
    /// The interface tables.
    pub tables: Vec<Table>,
    /// The root task; empty in the tender that an operator installs.
    pub root_task: &'a [u8],
}

/// An executable is no tender, or is damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No ELF file.
    #[error(transparent)]
    Elf(#[from] elf::Error),
    /// A program, but not a tender.
    #[error("it is not a tender: {0}")]
    NoTender(&'static str),
    /// The payload contradicts itself.
    #[error("its payload is damaged: {0}")]
    Damaged(&'static str),
}

crate::exit_code!(Error, Failed);

/// The executable of `tender`, with or without a payload, and `payload`.
///
/// The same inputs give the same bytes.
pub fn assemble(tender: &[u8], payload: &Payload<'_>) -> Result<Vec<u8>, Error> {
    let mut executable = bare(tender)?;
    let place = place(&executable)?;
    let tables: &[u8] = bytemuck::cast_slice(payload.tables);
    let mut header = empty(place.own as u64);
    header.settings = payload.settings;
    let start = place.offset;
    for (part, bytes) in [(&mut header.tables, tables), (&mut header.root_task, payload.root_task)] {
        if bytes.is_empty() {
            continue;
        }
        executable.resize(start + (executable.len() - start).next_multiple_of(ALIGN as usize), 0);
        *part = Part {
            offset: (executable.len() - start) as u64,
            size: bytes.len() as u64,
            sha256: *Digest::of(bytes).bytes(),
        };
        executable.extend_from_slice(bytes);
    }
    header.size = (executable.len() - start) as u64;
    if !payload.root_task.is_empty() {
        map_by_linux(&mut executable, payload.root_task, start as u64 + header.root_task.offset)?;
    }
    executable[start..start + HEADER].copy_from_slice(bytemuck::bytes_of(&header));
    place.resize(&mut executable, header.size);
    Ok(executable)
}

/// The tender in `executable` with an empty payload and without symbols: what its digest is taken of.
pub fn bare(executable: &[u8]) -> Result<Vec<u8>, Error> {
    let place = place(executable)?;
    let mut bare = executable[..place.offset + place.own].to_vec();
    let own = place.own as u64;
    bare[place.offset..place.offset + HEADER].copy_from_slice(bytemuck::bytes_of(&empty(own)));
    place.resize(&mut bare, own);
    for spare in spares(executable)? {
        bare[spare..spare + PROGRAM_HEADER].fill(0);
    }
    // There is no table of sections any more: `e_shoff`, and the sizes after `e_phnum`.
    bare[0x28..0x30].fill(0);
    bare[0x3a..0x40].fill(0);
    Ok(bare)
}

/// The digest of the tender in `executable`, whatever payload it has.
pub fn tender_digest(executable: &[u8]) -> Result<Digest, Error> {
    Ok(Digest::of(bare(executable)?))
}

/// Whether `data` is an executable with a tender's payload segment, damaged or not.
pub fn is_tender(data: &[u8]) -> bool {
    let Ok(elf) = Elf::parse(data) else { return false };
    let last = elf.segments.iter().rfind(|segment| segment.kind == PT_LOAD);
    let payload = last.and_then(|segment| data.get(usize::try_from(segment.offset).ok()?..));
    payload.is_some_and(|payload| payload.starts_with(&MAGIC))
}

/// What `executable` holds beside the tender. The digests in the header are not compared.
pub fn contents(executable: &[u8]) -> Result<Contents<'_>, Error> {
    let place = place(executable)?;
    let payload = executable.get(place.offset..place.offset + place.size);
    let payload = payload.ok_or(Error::Damaged("it ends outside of the file"))?;
    let header: Header = bytemuck::pod_read_unaligned(&payload[..HEADER]);
    if header.size != place.size as u64 {
        return Err(Error::Damaged("its size is not that of its segment"));
    }
    let part = |part: &Part| {
        if part.size == 0 { Some(&[][..]) } else { part.of(payload) }
    };
    let tables = part(&header.tables).ok_or(Error::Damaged("the tables lie outside of it"))?;
    let root_task = part(&header.root_task).ok_or(Error::Damaged("the root task lies outside of it"))?;
    let (tables, rest) = tables.as_chunks::<{ size_of::<Table>() }>();
    if !rest.is_empty() {
        return Err(Error::Damaged("the tables have not the size of whole tables"));
    }
    let tables = tables.iter().map(|bytes| bytemuck::pod_read_unaligned(bytes)).collect();
    Ok(Contents { header, tables, root_task })
}

/// Gives the spare program headers to the read-only segments of `root_task`, which begins at `offset` in the
/// file. Those that are left over the tender maps itself.
fn map_by_linux(executable: &mut [u8], root_task: &[u8], offset: u64) -> Result<(), Error> {
    // What is no ELF the tender refuses.
    let Ok(task) = Elf::parse(root_task) else { return Ok(()) };
    let read_only =
        task.segments.iter().filter(|segment| segment.kind == PT_LOAD && !segment.flags.contains(PF_W));
    for (spare, segment) in spares(executable)?.into_iter().zip(read_only) {
        let before = segment.address % ALIGN;
        let (address, size) = (segment.address - before, segment.file_size + before);
        let place = (offset + segment.offset).checked_sub(before).filter(|at| at.is_multiple_of(ALIGN));
        let place = place.ok_or(Error::Damaged("the root task's segments do not lie on pages"))?;
        let kind = u64::from(PT_LOAD.0) | u64::from(segment.flags.0) << 32;
        let words = [kind, place, address, address, size, size, ALIGN];
        for (at, word) in (spare..).step_by(8).zip(words) {
            executable[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
    }
    Ok(())
}

/// Where the program headers are that the root task may have: empty ones, and those below the tender.
fn spares(executable: &[u8]) -> Result<Vec<usize>, Error> {
    let elf = Elf::parse(executable)?;
    let table = table(executable);
    let spare = |segment: &Segment| segment.kind == PT_NULL || is_of_root_task(segment);
    let spares = elf.segments.iter().enumerate().filter(|(_, segment)| spare(segment));
    let places: Vec<usize> = spares.map(|(index, _)| table.saturating_add(index * PROGRAM_HEADER)).collect();
    let fits = |at: &usize| at.checked_add(PROGRAM_HEADER).is_some_and(|end| end <= executable.len());
    if places.iter().all(fits) {
        Ok(places)
    } else {
        Err(Error::NoTender("its program headers lie outside of the file"))
    }
}

/// Whether a segment of an executable lies where root tasks do, not tenders.
fn is_of_root_task(segment: &Segment) -> bool {
    segment.kind == PT_LOAD && segment.address < TRAP_END
}

/// Where the table of program headers begins.
fn table(executable: &[u8]) -> usize {
    let offset = executable.get(0x20..0x28).and_then(|bytes| bytes.try_into().ok());
    offset.and_then(|bytes| usize::try_from(u64::from_le_bytes(bytes)).ok()).unwrap_or(usize::MAX)
}

/// The header of a payload without parts, of which `own` bytes are the tender's.
fn empty(own: u64) -> Header {
    Header { magic: MAGIC, size: own, own, ..bytemuck::Zeroable::zeroed() }
}

/// Where the payload lies in an executable.
struct Place {
    /// Its offset in the file.
    offset: usize,
    /// Its bytes in the file.
    size: usize,
    /// Those of them that are the tender's own, the header among them.
    own: usize,
    /// The offset of its program header.
    header: usize,
}

impl Place {
    /// Sets the segment's size in the file and in memory.
    fn resize(&self, executable: &mut [u8], size: u64) {
        for field in [0x20, 0x28] {
            let at = self.header + field;
            executable[at..at + 8].copy_from_slice(&size.to_le_bytes());
        }
    }
}

/// Finds the payload: the last loaded segment, which lies after all others in memory and in the file, is
/// only readable and begins with [`MAGIC`].
fn place(executable: &[u8]) -> Result<Place, Error> {
    let elf = Elf::parse(executable)?;
    if !elf.is_64 || !elf.is_little_endian || elf.machine != EM_X86_64 || elf.kind != ET_EXEC {
        return Err(Error::NoTender("it is not a static x86-64 program"));
    }
    let loads = elf.segments.iter().enumerate().filter(|(_, segment)| segment.kind == PT_LOAD);
    let Some((index, segment)) = loads.clone().next_back() else {
        return Err(Error::NoTender("it has nothing to load"));
    };
    let flags = segment.flags;
    if !flags.contains(PF_R) || flags.contains(PF_W) || flags.contains(PF_X) {
        return Err(Error::NoTender("its last segment is not a payload: it is not only readable"));
    }
    let begin = elf.segment_data(segment).ok_or(Error::Damaged("it ends outside of the file"))?;
    if begin.len() < HEADER || !begin.starts_with(&MAGIC) {
        return Err(Error::NoTender("its last segment does not begin with a payload's header"));
    }
    let own = bytemuck::pod_read_unaligned::<Header>(&begin[..HEADER]).own;
    let own = usize::try_from(own).ok().filter(|own| (HEADER..=begin.len()).contains(own));
    let own = own.ok_or(Error::Damaged("its header does not say what of it is the tender's"))?;
    let before = |other: &Segment| {
        let file = other.offset.checked_add(other.file_size).is_some_and(|end| end <= segment.offset);
        file && other.end().is_some_and(|end| end <= segment.address)
    };
    if !elf
        .segments
        .iter()
        .enumerate()
        .all(|(at, other)| at == index || other.file_size == 0 || is_of_root_task(other) || before(other))
        || !segment.offset.is_multiple_of(ALIGN)
        || !segment.address.is_multiple_of(ALIGN)
    {
        return Err(Error::NoTender("its payload does not lie on a page of its own after all else"));
    }
    let header = table(executable).saturating_add(index * PROGRAM_HEADER);
    if header.saturating_add(PROGRAM_HEADER) > segment.offset as usize {
        return Err(Error::NoTender("its program headers do not lie before its payload"));
    }
    Ok(Place { offset: segment.offset as usize, size: begin.len(), own, header })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A tender of two segments with spare program headers between them: headers with a little code, and an
    /// empty payload followed by what a linker adds. `payload` begins the second segment.
    pub(crate) fn sample_with(payload: &[u8]) -> Vec<u8> {
        let mut file = vec![0; 64];
        file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        let base = 0x7e00_0000_0000_u64;
        let put =
            |file: &mut Vec<u8>, at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(&mut file, 0x10, &2_u16.to_le_bytes());
        put(&mut file, 0x12, &62_u16.to_le_bytes());
        put(&mut file, 0x14, &1_u32.to_le_bytes());
        put(&mut file, 0x18, &(base + 0x200).to_le_bytes());
        put(&mut file, 0x20, &64_u64.to_le_bytes());
        put(&mut file, 0x34, &[64, 0, 56, 0, 4, 0, 64, 0, 0, 0, 0, 0]);
        let size = payload.len() as u64;
        let code = (1_u32, 5_u32, 0_u64, 0x300_u64);
        for (kind, flags, offset, size) in [code, (0, 4, 0, 0), (0, 4, 0, 0), (1, 4, 0x1000, size)] {
            file.extend_from_slice(&kind.to_le_bytes());
            file.extend_from_slice(&flags.to_le_bytes());
            for word in [offset, base + offset, base + offset, size, size, 4096] {
                file.extend_from_slice(&word.to_le_bytes());
            }
        }
        file.resize(0x300, 0x90);
        file.resize(0x1000, 0);
        file.extend_from_slice(payload);
        file.extend_from_slice(b"symbols of the linker");
        file
    }

    pub(crate) fn sample() -> Vec<u8> {
        sample_with(&[bytemuck::bytes_of(&empty(HEADER as u64 + 16)), &[7; 16]].concat())
    }

    fn settings() -> Settings {
        Settings { memory: 16 << 20, devices: 5 }
    }

    fn table(byte: u8) -> Table {
        Table { digest: [byte; 32], ..bytemuck::Zeroable::zeroed() }
    }

    #[test]
    fn what_goes_in_comes_out() {
        let tables = [table(1), table(2)];
        let payload = Payload { tables: &tables, root_task: b"\x7fELF root task", settings: settings() };
        let executable = assemble(&sample(), &payload).unwrap();
        let contents = contents(&executable).unwrap();
        assert_eq!((contents.tables.as_slice(), contents.root_task), (&tables[..], payload.root_task));
        assert_eq!(contents.header.settings, settings());
        assert_eq!(contents.header.root_task.sha256, *Digest::of(payload.root_task).bytes());
        for part in [contents.header.tables, contents.header.root_task] {
            assert!(part.offset.is_multiple_of(ALIGN));
        }
        // The segment ends where the file does, and holds every part.
        let elf = Elf::parse(&executable).unwrap();
        let last = elf.segments.last().unwrap();
        assert_eq!(
            (last.offset + last.file_size, last.file_size),
            (executable.len() as u64, last.memory_size)
        );
        assert_eq!(last.file_size, contents.header.size);
        assert!(elf.sections.is_empty() && elf.symbols.is_empty());
    }

    #[test]
    fn the_tender_reads_the_same_header() {
        let payload = Payload { tables: &[table(7)], root_task: b"task", settings: settings() };
        let executable = assemble(&sample(), &payload).unwrap();
        // As the tender has it: mapped, so at a page.
        let mut mapped = vec![0_u64; (executable.len() - 0x1000).div_ceil(8)];
        bytemuck::cast_slice_mut(&mut mapped)[..executable.len() - 0x1000]
            .copy_from_slice(&executable[0x1000..]);
        let bytes: &[u8] = bytemuck::cast_slice(&mapped);
        let header = Header::read(bytes).unwrap();
        assert_eq!(header.tables(bytes).unwrap(), [table(7)]);
        assert_eq!(header.root_task.of(bytes), Some(&b"task"[..]));
    }

    #[test]
    fn linux_maps_what_the_root_task_only_reads() {
        let root_task = crate::elf_sample::Sample::good().bytes();
        let payload = Payload { tables: &[table(1)], root_task: &root_task, settings: settings() };
        let executable = assemble(&sample(), &payload).unwrap();
        let begin = contents(&executable).unwrap().header.root_task.offset + 0x1000;
        let elf = Elf::parse(&executable).unwrap();
        let mapped: Vec<_> = elf.segments.iter().filter(|segment| is_of_root_task(segment)).collect();
        let expected = Elf::parse(&root_task).unwrap();
        let read_only =
            expected.segments.iter().filter(|one| one.kind == PT_LOAD && !one.flags.contains(PF_W));
        let read_only: Vec<_> = read_only.collect();
        assert!(mapped.len() == 2 && read_only.len() == 2);
        for (is, wanted) in mapped.iter().zip(&read_only) {
            assert_eq!((is.address, is.flags), (wanted.address & !(ALIGN - 1), wanted.flags));
            assert_eq!(is.offset, begin + wanted.offset - wanted.address % ALIGN);
            assert_eq!(is.address + is.file_size, wanted.address + wanted.file_size);
        }
        assert_eq!(tender_digest(&executable).unwrap(), tender_digest(&sample()).unwrap());
    }

    #[test]
    fn the_tenders_digest_is_that_of_the_bare_tender_whatever_it_carries() {
        let digest = tender_digest(&sample()).unwrap();
        let with = |tables: &[Table], root_task| {
            assemble(&sample(), &Payload { tables, root_task, settings: settings() }).unwrap()
        };
        let one = with(&[table(1)], b"one");
        assert_eq!(one, with(&[table(1)], b"one"), "the same inputs give the same bytes");
        let tables = [table(1)];
        let again = Payload { tables: &tables, root_task: b"one", settings: settings() };
        assert_eq!(assemble(&with(&[], b"another"), &again).unwrap(), one, "an old payload leaves no trace");
        for executable in [&one, &with(&[], b""), &bare(&one).unwrap()] {
            assert_eq!(tender_digest(executable).unwrap(), digest);
        }
        let mut other = sample();
        other[0x250] ^= 1;
        assert_ne!(tender_digest(&other).unwrap(), digest);
        assert_eq!(contents(&bare(&one).unwrap()).unwrap().root_task, b"");
    }

    #[test]
    fn programs_that_are_no_tender_are_refused() {
        let refused = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut file = sample();
            change(&mut file);
            bare(&file).unwrap_err().to_string()
        };
        assert!(refused(&|file| file.truncate(3)).contains("not an ELF file"));
        assert!(refused(&|file| file[0x10] = 3).contains("static"));
        assert!(refused(&|file| file[64 + 3 * 56 + 4] = 6).contains("not only readable"));
        assert!(refused(&|file| file[0x1000] = b's').contains("does not begin with"));
        // The first segment reaches into the payload.
        assert!(refused(&|file| file[64 + 0x20 + 1] = 0x20).contains("page of its own"));
        assert!(refused(&|file| file.truncate(0x1008)).contains("outside of the file"));
    }

    #[test]
    fn no_damage_makes_the_reader_panic() {
        let payload = Payload { tables: &[table(1)], root_task: b"task", settings: settings() };
        let executable = assemble(&sample(), &payload).unwrap();
        for at in (0..64 + 112).chain(0x1000..0x1000 + HEADER) {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bad = executable.clone();
                bad[at] = value;
                let _ = contents(&bad);
                let _ = bare(&bad);
                let _ = assemble(&bad, &payload);
            }
        }
        for end in (0..executable.len()).step_by(7) {
            let _ = contents(&executable[..end]);
            let _ = bare(&executable[..end]);
        }
    }
}

//! Damaged root tasks and kernels.

use crate::{
    Cases, Images, add,
    bytes::{find, get16, get32, get64, with},
};
use builder::{Target, elf::Elf};
use std::path::Path;

/// The offset of the section header of this name.
fn section(bytes: &[u8], name: &str) -> usize {
    let elf = Elf::parse(bytes).unwrap();
    let index = elf.sections.iter().position(|section| section.name == name).unwrap();
    get64(bytes, 0x28) + index * get16(bytes, 0x3a)
}

/// Program headers of a 64-bit file begin here, and have this many bytes.
const PROGRAM_HEADERS: usize = 64;
const PROGRAM_HEADER: usize = 56;

pub(crate) fn cases(cases: &mut Cases, dir: &Path, images: &Images) {
    let task = images.read(Target::Qemu, "root-task").unwrap();
    let mut case = |name: &str, content: &[u8]| add(cases, dir, &format!("root task: {name}"), content);
    let most = u64::MAX.to_le_bytes();
    let sections = get64(&task, 0x28);
    for (name, end) in [
        ("empty", 0),
        ("cut off after the magic number", 4),
        ("cut off in the header", 0x30),
        ("cut off in the program headers", PROGRAM_HEADERS + 20),
        ("cut off in the middle", task.len() / 2),
        ("cut off before the section headers", sections),
        ("cut off in the section headers", sections + 70),
    ] {
        case(name, &task[..end]);
    }
    case("of no class", &with(&task, 4, &[9]));
    case("of no byte order", &with(&task, 5, &[9]));
    case("65535 program headers", &with(&task, 0x38, &[0xff, 0xff]));
    case("program headers outside", &with(&task, 0x20, &most));
    case("program headers of another size", &with(&task, 0x36, &[1, 0]));
    case("65535 section headers", &with(&task, 0x3c, &[0xff, 0xff]));
    case("section headers outside", &with(&task, 0x28, &most));
    case("section names outside", &with(&task, 0x3e, &[0xfe, 0xff]));
    // A count of 0 says that the first section has the real one.
    let counted = with(&task, 0x3c, &[0, 0]);
    case("2^64 section headers", &with(&counted, sections + 0x20, &most));
    let load = (0..get16(&task, 0x38)).map(|index| PROGRAM_HEADERS + index * PROGRAM_HEADER);
    let load = load.into_iter().find(|at| get32(&task, *at) == 1 && get64(&task, at + 0x20) > 0).unwrap();
    case("a segment outside", &with(&task, load + 0x20, &most));
    case("a segment at the end of memory", &with(&task, load + 0x10, &most));
    case("a segment with less memory than file", &with(&task, load + 0x28, &1_u64.to_le_bytes()));
    let note = get64(&task, section(&task, ".note.selkie") + 0x18);
    let json = note + 20;
    case("a note's owner of 4 GiB", &with(&task, note, &[0xff; 4]));
    case("a note's manifest of 4 GiB", &with(&task, note + 4, &[0xff; 4]));
    case("a note of another type", &with(&task, note + 8, &[2]));
    case("a note of another owner", &with(&task, note + 12, b"S"));
    case("a note that is no JSON", &with(&task, json, b"["));
    case("a note of open brackets", &with(&task, json, &vec![b'['; get32(&task, note + 4)]));
    let targets = b"\"targets\":[\"";
    let target = json + find(&task[json..], targets) + targets.len();
    case("a note with a control sequence", &with(&task, target, b"\x1b[2J"));
    case("a note with an unknown target", &with(&task, target, b"\\\\nn"));
    case("a note outside", &with(&task, section(&task, ".note.selkie") + 0x18, &most));
    case("a note of 2^64 bytes", &with(&task, section(&task, ".note.selkie") + 0x20, &most));
    let run = get64(&task, section(&task, ".selkie.run") + 0x18);
    case("a run configuration of another version", &with(&task, run + 9, b"9"));
    let size = section(&task, ".selkie.run") + 0x20;
    case("a run configuration that is cut off", &with(&task, size, &20_u64.to_le_bytes()));
    case("half a system-call site", &with(&task, section(&task, ".sel4_sites") + 0x20, &[12]));

    let kernel = images.read(Target::Qemu, "kernel").unwrap();
    let mut case = |name: &str, content: &[u8]| add(cases, dir, &format!("kernel: {name}"), content);
    case("cut off in the header", &kernel[..0x20]);
    case("cut off in the program headers", &kernel[..0x40]);
    case("cut off in the middle", &kernel[..kernel.len() / 2]);
    case("65535 program headers", &with(&kernel, 0x2c, &[0xff, 0xff]));
    case("65535 section headers", &with(&with(&kernel, 0x30, &[0xff, 0xff]), 0x20, &[0x34, 0, 0, 0]));
    let header = get32(&kernel, 0x1c);
    case("a segment outside", &with(&kernel, header + 16, &[0xff; 4]));
}

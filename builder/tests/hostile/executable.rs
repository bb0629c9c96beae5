//! Damaged executables of target `process`.

use crate::{
    Cases, Images, add,
    bytes::{flipped, with},
};
use builder::{Target, elf::Elf};
use selkie_tender_table::payload::{Header, MAGIC};
use std::path::Path;

pub(crate) fn cases(cases: &mut Cases, dir: &Path, images: &Images) {
    let program = images.read(Target::Process, "hello").unwrap();
    let elf = Elf::parse(&program).unwrap();
    let payload = elf.segments.iter().rfind(|segment| segment.file_size > 0).unwrap().offset as usize;
    assert!(program[payload..].starts_with(&MAGIC), "the payload is the last segment");
    let size = size_of::<Header>();
    let header: Header = bytemuck::pod_read_unaligned(&program[payload..payload + size]);
    let mut case = |name: &str, content: &[u8]| add(cases, dir, &format!("executable: {name}"), content);
    let part = |offset: u64| payload + offset as usize;
    case("cut off in the tender", &program[..payload / 2]);
    case("cut off in the payload's header", &program[..payload + 20]);
    case("cut off in the tables", &program[..part(header.tables.offset) + 100]);
    case("cut off in the root task", &program[..program.len() - 100]);
    case("a byte of the tables changed", &flipped(&program, part(header.tables.offset) + 200));
    case("a byte of the root task changed", &flipped(&program, part(header.root_task.offset) + 0x2000));
    case("a root task that is none", &with(&program, part(header.root_task.offset), b"#!/bin/sh"));
    let mut changed = |name: &str, change: &dyn Fn(&mut Header)| {
        let mut header = header;
        change(&mut header);
        case(name, &with(&program, payload, bytemuck::bytes_of(&header)));
    };
    changed("a payload of 2^64 bytes", &|header| header.size = u64::MAX);
    changed("all of the payload the tender's own", &|header| header.own = u64::MAX);
    changed("none of the payload the tender's own", &|header| header.own = 0);
    changed("tables outside", &|header| header.tables.offset = u64::MAX);
    changed("tables of 2^64 bytes", &|header| header.tables.size = u64::MAX);
    changed("half a table", &|header| header.tables.size /= 2);
    changed("no tables", &|header| header.tables.size = 0);
    changed("a root task outside", &|header| header.root_task.offset = u64::MAX - 8);
    changed("a root task of 2^64 bytes", &|header| header.root_task.size = u64::MAX);
    changed("the tables as root task", &|header| header.root_task = header.tables);
    changed("the digest of another root task", &|header| header.root_task.sha256 = [7; 32]);
}

//! One wrong file for each rule of the check.

use super::*;
use crate::elf_sample::{DATA, R, RODATA, RW, RX, SITE, Sample, Segment, Symbol, TEXT};

const LIMITS: Limits = Limits { memory: 16 << 20, slots: 8192, hosted: false };

fn offences(sample: &Sample) -> Vec<Offence> {
    check(&Elf::parse(&sample.bytes()).unwrap(), &LIMITS, &BTreeSet::new())
}

/// The only offence of the good file after `change`.
fn offence(change: impl FnOnce(&mut Sample)) -> Offence {
    let mut sample = Sample::good();
    change(&mut sample);
    let found = offences(&sample);
    assert_eq!(found.len(), 1, "{found:#?}");
    // Every text says what to do.
    assert!(found[0].to_string().contains("\n  help: "), "{}", found[0]);
    found[0].clone()
}

fn load(flags: u32, address: u64, size: u64) -> Segment {
    Segment { kind: 1, flags, address, file_size: 0, memory_size: size }
}

#[test]
fn a_good_file_breaks_no_rule() {
    assert_eq!(offences(&Sample::good()), []);
}

#[test]
fn only_static_x86_64_programs_pass() {
    assert_eq!(offence(|sample| sample.machine = 183), Offence::Machine);
    assert_eq!(offence(|sample| sample.kind = 3), Offence::Type { kind: "ET_DYN".into() });
    assert_eq!(offence(|sample| sample.kind = 1), Offence::Type { kind: "1".into() });
}

#[test]
fn a_big_endian_file_is_refused() {
    let mut header = vec![0; 64];
    header[..7].copy_from_slice(b"\x7fELF\x02\x02\x01");
    header[0x11] = 2;
    header[0x13] = 62;
    let found = check(&Elf::parse(&header).unwrap(), &LIMITS, &BTreeSet::new());
    assert_eq!(found, [Offence::Machine]);
}

#[test]
fn headers_for_a_dynamic_linker_or_thread_local_storage_are_refused() {
    for (kind, name) in [(2, "PT_DYNAMIC"), (3, "PT_INTERP"), (7, "PT_TLS")] {
        let found = offence(|sample| {
            sample.segments.push(Segment { kind, flags: R, address: RODATA, file_size: 8, memory_size: 8 })
        });
        assert_eq!(found, Offence::Header { kind: name.into() });
    }
    assert!(matches!(
        offence(|sample| {
            sample.section(".data").flags |= 0x400;
        }),
        Offence::ThreadLocal { section, users } if section == ".data" && users == "`counter`"
    ));
}

#[test]
fn every_header_with_a_size_lies_in_a_loaded_segment() {
    let header = |address, memory_size| Segment { kind: 4, flags: R, address, file_size: 0, memory_size };
    for (address, size) in [(0x50_0000, 8), (RODATA + 0x800, 64), (u64::MAX, 8)] {
        let found = offence(|sample| sample.segments.push(header(address, size)));
        assert_eq!(found, Offence::Outside { kind: "PT_NOTE".into(), address });
    }
    assert_eq!(
        offences(&{
            let mut sample = Sample::good();
            sample.segments.push(header(0x50_0000, 0));
            sample
        }),
        []
    );
    assert_eq!(offence(|sample| sample.segments[5].memory_size = 4096), Offence::StackHeader);
}

#[test]
fn memory_is_never_smaller_than_the_file() {
    let expected =
        Offence::MoreThanMemory { kind: "PT_LOAD".into(), address: DATA, file_size: 16, memory_size: 8 };
    assert_eq!(offence(|sample| sample.segments[3].memory_size = 8), expected);
    let expected = Offence::Truncated { kind: "PT_LOAD".into(), address: DATA };
    assert_eq!(
        offence(|sample| (sample.segments[3].file_size, sample.segments[3].memory_size) = (1 << 20, 1 << 20)),
        expected
    );
}

#[test]
fn the_image_lies_where_the_boot_code_can_map_it() {
    assert_eq!(
        offence(|sample| sample.segments[0] = load(RW, 0x40_0010, 8)),
        Offence::Unaligned { address: 0x40_0010 }
    );
    assert_eq!(offence(|sample| sample.segments[0] = load(RW, 0, 8)), Offence::Range { address: 0 });
    let high = 0x7fff_ffff_d000;
    assert_eq!(offence(|sample| sample.segments[0] = load(RW, high, 4096)), Offence::Range { address: high });
    assert_eq!(
        offence(|sample| sample.segments[0] = load(RW, u64::MAX - 4095, 8192)),
        Offence::Range { address: u64::MAX - 4095 }
    );
    assert!(matches!(
        offence(|sample| sample.segments[0] = load(RW, 0x140_0000, 0x1_0000)),
        Offence::TooLarge { .. }
    ));
    let mut sample = Sample::good();
    sample.segments[0] = load(RW, 0x240_0000, 0x1_0000);
    assert_eq!(offences(&sample).len(), 2, "too large for the memory and for the slots");
}

#[test]
fn segments_keep_apart() {
    assert_eq!(
        offence(|sample| sample.segments[0] = load(RW, 0x40_0000, 0x1001)),
        Offence::Overlap { first: 0x40_0000, second: TEXT }
    );
    assert_eq!(
        offence(|sample| sample.segments.push(load(RW, RODATA + 0xf00, 8))),
        Offence::SharedPage { first: RODATA, second: RODATA + 0xf00 }
    );
    assert_eq!(offence(|sample| sample.segments[1].flags = RX | RW), Offence::WritableCode { address: TEXT });
}

#[test]
fn the_entry_point_lies_in_code() {
    assert_eq!(offence(|sample| sample.entry = DATA), Offence::EntryPoint { entry: DATA });
    assert_eq!(offence(|sample| sample.entry = 0), Offence::EntryPoint { entry: 0 });
    let mut sample = Sample::good();
    sample.segments.clear();
    assert!(offences(&sample).contains(&Offence::Empty));
}

#[test]
fn the_note_is_read_only() {
    assert_eq!(offence(|sample| sample.segments[2].flags = RW), Offence::NotePlace);
    assert_eq!(offence(|sample| sample.section(".note.selkie").address = DATA + 0x100), Offence::NotePlace);
}

#[test]
fn initialisers_are_refused() {
    let found = offence(|sample| sample.section(".data").name = ".init_array");
    assert_eq!(found, Offence::Initialisers { section: ".init_array".into() });
}

#[test]
fn undefined_and_libc_symbols_are_refused_by_name() {
    let symbol = |name, section| Symbol { name, address: SITE, size: 9, kind: 2, section };
    let found = offence(|sample| sample.symbols.push(symbol("_ZN1a1b17h0123456789abcdefE", 0)));
    assert_eq!(found, Offence::Undefined { symbol: "a::b".into() });
    let found = offence(|sample| sample.symbols[1].name = "malloc");
    assert_eq!(found, Offence::Libc { symbol: "malloc".into(), users: vec!["_start".into()] });
    let mut sample = Sample::good();
    sample.symbols[1].name = "malloc";
    let own = ["malloc".to_owned()].into();
    assert_eq!(check(&Elf::parse(&sample.bytes()).unwrap(), &LIMITS, &own), []);
    assert!(found.to_string().contains("`malloc` of a C library, used by the function `_start`"), "{found}");
}

#[test]
fn the_bytes_of_a_system_call_inside_of_an_operand_are_none() {
    // As in the good file, whose `plain` is `mov eax, 0x80cd050f`.
    for bytes in [[0x0f, 0x05], [0x0f, 0x34], [0xcd, 0x80]] {
        let mut sample = Sample::good();
        sample.section(".text").data[0x31..0x33].copy_from_slice(&bytes);
        assert_eq!(offences(&sample), []);
    }
}

#[test]
fn a_system_call_in_another_function_names_function_and_crate() {
    for (bytes, instruction) in
        [([0x0f, 0x05], "syscall"), ([0x0f, 0x34], "sysenter"), ([0xcd, 0x80], "int 0x80")]
    {
        let found = offence(|sample| {
            let code = &mut sample.section(".text").data;
            code[0x30..0x33].copy_from_slice(&[bytes[0], bytes[1], 0xc3]);
            code[0x33..0x36].fill(0x90);
        });
        let expected = Offence::SystemCall {
            instruction: instruction.into(),
            address: TEXT + 0x30,
            function: Some("function::plain".into()),
        };
        assert_eq!(found, expected);
        assert!(found.to_string().contains("`function::plain` of the crate `function`"), "{found}");
    }
    // Without symbols, too, and in padding that no symbol covers.
    let found = offence(|sample| {
        sample.symbols.clear();
        sample.section(".text").data[0x38..0x3a].copy_from_slice(&[0x0f, 0x05]);
    });
    assert!(matches!(found, Offence::SystemCall { function: None, .. }));
}

#[test]
fn a_site_is_exactly_three_instructions() {
    let found = |at: usize, byte: u8| {
        let mut sample = Sample::good();
        sample.section(".text").data[0x20 + at] = byte;
        offences(&sample)
    };
    let site = Offence::Site { address: SITE, function: Some("runtime::stub".into()) };
    // Another register on one side, the wrong direction, a clobbered register.
    assert_eq!(found(2, 0xe5), std::slice::from_ref(&site));
    assert_eq!(found(7, 0xec), std::slice::from_ref(&site));
    assert_eq!(found(1, 0x8b), std::slice::from_ref(&site));
    let mut sample = Sample::good();
    sample.section(".text").data[0x20..0x28]
        .copy_from_slice(&[0x49, 0x89, 0xe3, 0x0f, 0x05, 0x4c, 0x89, 0xdc]);
    assert_eq!(offences(&sample), [site]);
    // No system call there at all: the list names another place.
    let mut sample = Sample::good();
    sample.section(".sel4_sites").data = (TEXT + 1).to_le_bytes().to_vec();
    assert_eq!(offences(&sample).len(), 2, "neither the listed site nor the unlisted call");
    assert_eq!(offence(|sample| sample.section(".sel4_sites").data.push(0)), Offence::SiteList { size: 9 });
}

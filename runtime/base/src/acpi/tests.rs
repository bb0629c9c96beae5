//! Tables as QEMU and firmware of PCs have them, damaged ones, and hostile ones.

use super::*;

/// Physical memory that is empty but for some tables, and how often it was read.
#[derive(Default, Clone)]
struct Machine {
    tables: Vec<(u64, Vec<u8>)>,
    reads: u64,
}

impl Physical for Machine {
    fn byte(&mut self, address: u64) -> u8 {
        self.reads += 1;
        let at = |(begin, bytes): &(u64, Vec<u8>)| {
            bytes.get(usize::try_from(address.checked_sub(*begin)?).ok()?).copied()
        };
        self.tables.iter().find_map(at).unwrap_or_default()
    }
}

impl Machine {
    fn with(mut self, address: u64, bytes: Vec<u8>) -> Self {
        self.tables.push((address, bytes));
        self
    }

    fn power(&mut self) -> Power {
        Power::find(self, None)
    }
}

const RSDP_AT: u64 = 0xf_5a10;
const RSDT_AT: u64 = 0x7fe_2000;
const XSDT_AT: u64 = 0x1_7fe2_1000;
const FADT_AT: u64 = 0x7fe_1f00;
const DSDT_AT: u64 = 0x7fe_0040;

/// Makes the sum of all bytes 0 by the one at `place`.
fn summed(mut bytes: Vec<u8>, place: usize) -> Vec<u8> {
    bytes[place] = bytes[place].wrapping_sub(sum(&bytes));
    bytes
}

fn table(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = signature.to_vec();
    bytes.extend((36 + body.len() as u32).to_le_bytes());
    bytes.resize(36, 0);
    bytes.extend(body);
    summed(bytes, 9)
}

fn rsdp(rsdt: u64, xsdt: Option<u64>) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.resize(16, 0);
    bytes[15] = if xsdt.is_some() { 2 } else { 0 };
    bytes.extend((rsdt as u32).to_le_bytes());
    bytes = summed(bytes, 8);
    if let Some(xsdt) = xsdt {
        bytes.extend(36_u32.to_le_bytes());
        bytes.extend(xsdt.to_le_bytes());
        bytes.extend([0; 4]);
        bytes = summed(bytes, 32);
    }
    bytes
}

/// A FADT of `length` bytes with these values at these offsets.
fn fadt(length: usize, fields: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = table(b"FACP", &vec![0; length - 36]);
    for (offset, value) in fields {
        bytes[*offset..*offset + value.len()].copy_from_slice(value);
    }
    summed(bytes, 9)
}

/// A generic address: the space, then a port or an address.
fn generic(space: u8, address: u64) -> Vec<u8> {
    [&[space, 16, 0, 2][..], &address.to_le_bytes()].concat()
}

/// `Name (_S5, Package (0x04) {Zero, Zero, Zero, Zero})`, as QEMU 7.2 has it.
const QEMU_S5: &[u8] = b"\x08_S5_\x12\x06\x04\0\0\0\0";

/// The tables of QEMU's machine q35, as far as they matter: ACPI 1.0, and a FADT of version 3.
fn q35() -> Machine {
    let mut flags = 0x84a5_u32;
    flags |= 1 << 10;
    let fadt = fadt(
        244,
        &[
            (40, &(DSDT_AT as u32).to_le_bytes()),
            (48, &0xb2_u32.to_le_bytes()),
            (52, &[2]),
            (64, &0x604_u32.to_le_bytes()),
            (112, &flags.to_le_bytes()),
            (116, &generic(1, 0xcf9)),
            (128, &[0x0f]),
            (140, &DSDT_AT.to_le_bytes()),
            (172, &generic(1, 0x604)),
        ],
    );
    let aml =
        [b"\x10\x4d\x04_SB_\x5b\x82\x0f_S5_not a name".as_slice(), QEMU_S5, b"\x14\x05_PTS\x01"].concat();
    let entries = [0x7fe_3000_u32, FADT_AT as u32].map(u32::to_le_bytes).concat();
    Machine::default()
        .with(RSDP_AT, rsdp(RSDT_AT, None))
        .with(RSDT_AT, table(b"RSDT", &entries))
        .with(FADT_AT, fadt)
        .with(DSDT_AT, table(b"DSDT", &aml))
}

/// A PC with ACPI 2.0, where only the wide fields count and sleep has two registers.
fn pc() -> Machine {
    let fadt = fadt(
        268,
        &[
            (40, &0xdead_0000_u32.to_le_bytes()),
            (64, &0xdead_u32.to_le_bytes()),
            (140, &DSDT_AT.to_le_bytes()),
            (172, &generic(1, 0x1804)),
            (184, &generic(1, 0x1844)),
        ],
    );
    let aml = b"\x08\\_S5_\x12\x09\x04\x0a\x07\x0b\x05\x00\x00\x00";
    Machine::default()
        .with(RSDP_AT, rsdp(0, Some(XSDT_AT)))
        .with(XSDT_AT, table(b"XSDT", &FADT_AT.to_le_bytes()))
        .with(FADT_AT, fadt)
        .with(DSDT_AT, table(b"DSDT", aml))
}

const Q35: Power = Power { control: [0x604, 0], off: [0, 0], enable: (0xb2, 2), reset: (0xcf9, 0x0f) };
const PC: Power = Power { control: [0x1804, 0x1844], off: [7, 5], enable: (0, 0), reset: (0, 0) };

#[test]
fn reads_the_tables_of_machines() {
    assert_eq!(q35().power(), Q35);
    assert_eq!(pc().power(), PC);
    assert_eq!(Machine::default().power(), Power::UNKNOWN);
}

#[test]
fn an_rsdp_that_is_known_is_not_searched_for() {
    let mut machine = pc();
    let (_, rsdp) = machine.tables.remove(0);
    assert_eq!(Power::find(&mut machine, Some(&rsdp)), PC);
    assert_eq!(machine.power(), Power::UNKNOWN);
    for length in 0..20 {
        assert_eq!(Power::find(&mut machine, Some(&rsdp[..length])), Power::UNKNOWN);
    }
    assert_eq!(Power::find(&mut q35(), Some(&super::tests::rsdp(RSDT_AT, None))), Q35);
}

#[test]
fn a_damaged_rsdp_leads_to_the_next() {
    let mut damaged = rsdp(RSDT_AT, None);
    damaged[17] ^= 1;
    assert_eq!(q35().with(0xe_0000, damaged).power(), Q35);
    // Where only what ACPI 2.0 added is damaged, the RSDT is left.
    let mut machine = q35();
    machine.tables[0].1 = rsdp(RSDT_AT, Some(XSDT_AT));
    machine.tables[0].1[25] ^= 1;
    assert_eq!(machine.power(), Q35);
    // The same where the XSDT leads nowhere.
    machine.tables[0].1[25] ^= 1;
    assert_eq!(machine.power(), Q35);
}

#[test]
fn no_damaged_bit_is_believed() {
    for (machine, whole) in [(q35(), Q35), (pc(), PC)] {
        for index in 0..machine.tables.len() {
            for bit in 0..machine.tables[index].1.len() * 8 {
                let mut machine = machine.clone();
                machine.tables[index].1[bit / 8] ^= 1 << (bit % 8);
                let power = machine.power();
                let expected =
                    if index == 3 { Power { reset: whole.reset, ..Power::UNKNOWN } } else { Power::UNKNOWN };
                // A table that has become longer may end in zeros, which change no sum.
                if power != whole || !(4 * 8..8 * 8).contains(&bit) {
                    assert_eq!(power, expected, "table {index}, bit {bit}");
                }
            }
        }
    }
}

#[test]
fn tables_that_lead_in_a_circle_lead_nowhere() {
    let root = |address: u64| table(b"XSDT", &address.to_le_bytes());
    let circle = |root: Vec<u8>| Machine::default().with(RSDP_AT, rsdp(0, Some(XSDT_AT))).with(XSDT_AT, root);
    assert_eq!(circle(root(XSDT_AT)).power(), Power::UNKNOWN);
    assert_eq!(circle(root(RSDP_AT)).power(), Power::UNKNOWN);
    let own = fadt(268, &[(140, &FADT_AT.to_le_bytes()), (172, &generic(1, 0x604))]);
    assert_eq!(circle(root(FADT_AT)).with(FADT_AT, own).power(), Power::UNKNOWN);
    for address in [u64::MAX, u64::MAX - 3, 1 << 52, 0] {
        assert_eq!(circle(root(address)).power(), Power::UNKNOWN);
    }
}

#[test]
fn lengths_are_bounded() {
    for length in [0, 1, 35, LONGEST as u32, u32::MAX] {
        for index in 1..4 {
            let mut machine = q35();
            let bytes = &mut machine.tables[index].1;
            bytes[4..8].copy_from_slice(&length.to_le_bytes());
            machine.tables[index].1 = summed(machine.tables[index].1.clone(), 9);
            assert_eq!(machine.power().control, [0, 0], "table {index}, length {length}");
            assert!(machine.reads < 100_000, "{}", machine.reads);
        }
    }
}

/// The types that AML with this text gives.
fn types(aml: &[u8]) -> Option<[u16; 2]> {
    let mut machine = Machine::default().with(DSDT_AT, table(b"DSDT", aml));
    let dsdt = Table::new(&mut machine, DSDT_AT, b"DSDT").expect("a good table");
    sleep_types(&mut machine, dsdt)
}

#[test]
fn finds_the_sleep_state_in_aml() {
    assert_eq!(types(QEMU_S5), Some([0, 0]));
    assert_eq!(types(b"\x08_S5_\x12\x0a\x04\x0a\x05\x0a\x05\0\0"), Some([5, 5]));
    assert_eq!(types(b"\x08_S5_\x12\x4a\x00\x02\x01\x00"), Some([1, 0]));
    assert_eq!(types(b"\x08_S5_\x12\x0a\x01\x0b\x07\x06"), Some([7, 6]));
    assert_eq!(types(b"\x08_S5_\x12\x0a\x02\x0c\x07\0\0\0\x0c\x03\0\0\0"), Some([7, 3]));
    // The first that is one.
    assert_eq!(
        types(b"\x70_S5_\x12\x06\x04\x01\x01\x08_S5_\x12\x06\x02\x05\x05\x08_S5_\x12\x06\x02\x0a\x06\x00"),
        Some([6, 0])
    );
}

#[test]
fn what_is_no_sleep_state_is_none() {
    for aml in [
        &b""[..],
        b"_S5_\x12\x06\x04\0\0\0\0",
        b"\xa4_S5_",
        b"\x14\x06_S5_\x00\xa4\x00",
        b"\x08_S4_\x12\x06\x04\0\0\0\0",
        b"\x08_S5_\x12\x06\x00\0\0\0\0",
        b"\x08_S5_\x12\x06\x04\x0a\x08\0\0\0",
        b"\x08_S5_\x12\x06\x02\x00\xff",
        b"\x08_S5_\x12\x0a\x02\x0c\x07\0\x01\0\x00",
        b"\x08_S5_\x12\x06\x02\x00",
        b"\x08_S5_\x12\x06\x02\x00\x0a",
        b"\x08_S5_\x12\xc6",
        b"\x08_S5_\x12",
        b"\x08_S5_",
    ] {
        assert_eq!(types(aml), None, "{aml:x?}");
    }
}

#[test]
fn registers_that_are_no_ports_are_none() {
    for (fields, control) in [
        (&[(172, &generic(0, 0xfed0_0000)[..]), (64, &0x604_u32.to_le_bytes()[..])][..], [0, 0]),
        (&[(172, &generic(1, 0x1_0604)), (64, &0x604_u32.to_le_bytes())], [0, 0]),
        (&[(64, &0x1_0604_u32.to_le_bytes())], [0, 0]),
        (&[(64, &0x404_u32.to_le_bytes()), (68, &0x408_u32.to_le_bytes())], [0x404, 0x408]),
    ] {
        let mut machine = pc();
        let dsdt = [(140, &DSDT_AT.to_le_bytes()[..])];
        machine.tables[2].1 = fadt(268, &[fields, &dsdt].concat());
        assert_eq!(machine.power().control, control);
    }
}

/// The first table of ACPI 1.0 ends before the wide fields and the reset register.
#[test]
fn a_short_fadt_has_the_narrow_fields_only() {
    let mut machine = q35();
    let (dsdt, control) = ((DSDT_AT as u32).to_le_bytes(), 0xb004_u32.to_le_bytes());
    machine.tables[2].1 = fadt(116, &[(40, &dsdt), (64, &control), (112, &[0, 4, 0, 0])]);
    assert_eq!(machine.power(), Power { control: [0xb004, 0], ..Power::UNKNOWN });
}

/// Bytes of a xorshift generator (Marsaglia, 2003): the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// Tables with right sums whose fields, addresses and lengths are anything.
#[test]
fn hostile_tables_end_in_ports_or_in_nothing() {
    let mut random = Random(0x5e1c_1e00_ac91);
    for _ in 0..1000 {
        let mut machine = if random.next().is_multiple_of(2) { q35() } else { pc() };
        let addresses = [RSDP_AT, RSDT_AT, XSDT_AT, FADT_AT, DSDT_AT, u64::MAX, (1 << 52) - 1];
        for _ in 0..1 + random.below(6) {
            let index = random.below(machine.tables.len());
            let bytes = &mut machine.tables[index].1;
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] = random.next() as u8,
                1 => bytes.truncate(at.max(40)),
                2 => bytes.extend(QEMU_S5.iter().copied().cycle().take(random.below(5000))),
                _ => {
                    let value = addresses[random.below(addresses.len())].to_le_bytes();
                    let size = value.len().min(bytes.len() - at);
                    bytes[at..at + size].copy_from_slice(&value[..size]);
                }
            }
            if index > 0 && !random.next().is_multiple_of(4) {
                let length = bytes.len() as u32;
                bytes[4..8].copy_from_slice(&length.to_le_bytes());
            }
            let place = if index == 0 { 8 } else { 9 };
            let bytes = if index == 0 { &bytes[..20.min(bytes.len())] } else { &bytes[..] };
            let wrong = sum(bytes);
            let byte = &mut machine.tables[index].1[place];
            *byte = byte.wrapping_sub(wrong);
        }
        let power = machine.power();
        assert!(power.off.into_iter().all(|kind| kind <= MAX_SLEEP_TYPE));
        // The area, four tables' sums, the addresses, the AML: each once, some bytes several times.
        assert!(machine.reads < 64 * LONGEST, "{}", machine.reads);
    }
}

/// Ports that remember what was written, one of which the firmware answers.
#[derive(Default)]
struct Board {
    written: Vec<(u16, u16)>,
    /// PM1a control; the firmware sets the first bit some reads after ACPI was switched on.
    control: u16,
    answers_in: Option<u32>,
    reads: u32,
}

impl Ports for Board {
    fn in16(&mut self, _: u16) -> u16 {
        self.reads += 1;
        self.answers_in = self.answers_in.map(|left| left.saturating_sub(1));
        if self.answers_in == Some(0) { self.control | SCI_EN } else { self.control }
    }
    fn out8(&mut self, port: u16, value: u8) {
        self.written.push((port, value.into()));
    }
    fn out16(&mut self, port: u16, value: u16) {
        self.written.push((port, value));
    }
}

#[test]
fn switches_acpi_on_and_the_machine_off() {
    let mut board = Board { answers_in: Some(100), control: 0x1c00, ..Board::default() };
    Q35.off(&mut board);
    assert_eq!(board.written, [(0xb2, 2), (0x604, 0x0001), (0x604, 0x2001)]);
    let mut board = Board { control: 0x0205, ..Board::default() };
    PC.off(&mut board);
    let expected = [(0x1804, 0x1e05), (0x1844, 0x1605), (0x1804, 0x3e05), (0x1844, 0x3605)];
    assert_eq!(board.written, expected);
    let mut board = Board::default();
    Q35.reset(&mut board);
    assert_eq!(board.written, [(0xcf9, 0x0f)]);
}

#[test]
fn what_is_not_known_is_not_done_and_patience_ends() {
    let mut board = Board::default();
    Power::UNKNOWN.off(&mut board);
    Power::UNKNOWN.reset(&mut board);
    assert_eq!((board.written.len(), board.reads), (0, 0));
    Q35.off(&mut board);
    assert_eq!(board.written.last(), Some(&(0x604, 0x2000)));
    assert!((PATIENCE..PATIENCE + 10).contains(&board.reads));
}

//! What the firmware's ACPI tables say about switching the machine off and resetting it, and how it is done.
//!
//! Every byte of the tables is taken for hostile: lengths are bounded, sums must be right, and nothing is
//! followed that could lead in a circle. Layouts: ACPI specification 6.5, sections 5.2.5 (RSDP), 5.2.7 and
//! 5.2.8 (RSDT, XSDT), 5.2.9 (FADT), 20.2 (AML), 7.4.2 (`_Sx`), 4.8.3.2 (PM1 control).

use core::ops::Range;

/// The firmware's area, where a PC keeps the RSDP, at a multiple of 16.
const BIOS_AREA: Range<u64> = 0xe_0000..0x10_0000;
/// What the RSDP begins with.
const SIGNATURE: &[u8] = b"RSD PTR ";
/// Bytes of the RSDP in ACPI 1.0, which its first sum is over.
const RSDP_1: usize = 20;
/// Bytes of the RSDP since ACPI 2.0.
const RSDP: usize = 36;
/// Bytes in front of every table.
const HEADER: u64 = 36;
/// The most bytes that a table may have: far above any real one.
const LONGEST: u64 = 1 << 20;
/// The most bytes that are looked at of a table of addresses.
const LONGEST_ROOT: u64 = 4 << 10;
/// Bits of a physical address: no processor has more.
const ADDRESS_BITS: u32 = 52;
/// The greatest type of sleep.
const MAX_SLEEP_TYPE: u16 = 7;
/// PM1 control: the machine is under ACPI's control.
const SCI_EN: u16 = 1 << 0;
/// PM1 control: the first bit of the type of sleep.
const SLP_TYP: u32 = 10;
/// PM1 control: go to sleep.
const SLP_EN: u16 = 1 << 13;
/// How often PM1 control is read until the machine is under ACPI's control. A read takes about a
/// microsecond, and firmware answers within some milliseconds.
const PATIENCE: u32 = 1_000_000;

/// Physical memory.
pub trait Physical {
    /// The byte at `address`; 0 where it cannot be read.
    fn byte(&mut self, address: u64) -> u8;
}

/// IO ports. What nobody answers for reads as 0, and is written without effect.
pub trait Ports {
    /// Reads two bytes.
    fn in16(&mut self, port: u16) -> u16;
    /// Writes a byte.
    fn out8(&mut self, port: u16, value: u8);
    /// Writes two bytes.
    fn out16(&mut self, port: u16, value: u16);
}

/// How to leave the machine, as its tables have it. A port of 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Power {
    /// The registers PM1a and PM1b control.
    control: [u16; 2],
    /// The type of sleep that means "off" in each.
    off: [u16; 2],
    /// Where, and with what, ACPI is switched on.
    enable: (u16, u8),
    /// The reset register and its value.
    reset: (u16, u8),
}

impl Power {
    /// No way is known.
    pub const UNKNOWN: Self = Self { control: [0; 2], off: [0; 2], enable: (0, 0), reset: (0, 0) };

    /// Reads the tables. `rsdp` is the RSDP where it is known, else the firmware's area is searched for it.
    ///
    /// What the tables do not say, or what is damaged, is left unknown.
    pub fn find(memory: &mut impl Physical, rsdp: Option<&[u8]>) -> Self {
        match rsdp.map_or_else(|| search(memory), rsdp_of).and_then(|rsdp| fadt(memory, &rsdp)) {
            Some(fadt) => Self::of(memory, fadt),
            None => Self::UNKNOWN,
        }
    }

    fn of(memory: &mut impl Physical, fadt: Table) -> Self {
        let mut power = Self::UNKNOWN;
        if let Some(types) = dsdt(memory, fadt).and_then(|dsdt| sleep_types(memory, dsdt)) {
            power.off = types;
            power.control = [fadt.register(memory, 172, 64), fadt.register(memory, 184, 68)];
            power.enable = (port(fadt.field(memory, 48, 4)), fadt.field(memory, 52, 1) as u8);
        }
        // The flag RESET_REG_SUP.
        if fadt.field(memory, 112, 4) & 1 << 10 != 0 {
            power.reset = (fadt.register(memory, 116, 0), fadt.field(memory, 128, 1) as u8);
        }
        power
    }

    /// Switches the machine off. Returns when it is not known how, or when it did not work.
    pub fn off(&self, ports: &mut impl Ports) {
        let ([first, _], (enable, value)) = (self.control, self.enable);
        if first == 0 {
            return;
        }
        if enable != 0 && value != 0 && ports.in16(first) & SCI_EN == 0 {
            ports.out8(enable, value);
            let mut left = PATIENCE;
            while ports.in16(first) & SCI_EN == 0 && left > 0 {
                left -= 1;
            }
        }
        // First the type in both registers, then the sleep: the machine goes when both have it.
        for enable in [0, SLP_EN] {
            for (port, off) in self.control.into_iter().zip(self.off) {
                if port != 0 {
                    let kept = ports.in16(port) & !(MAX_SLEEP_TYPE << SLP_TYP | SLP_EN);
                    ports.out16(port, kept | off << SLP_TYP | enable);
                }
            }
        }
    }

    /// Resets the machine. Returns when it is not known how, or when it did not work.
    pub fn reset(&self, ports: &mut impl Ports) {
        if self.reset.0 != 0 {
            ports.out8(self.reset.0, self.reset.1);
        }
    }
}

/// The RSDP in the firmware's area.
fn search(memory: &mut impl Physical) -> Option<[u8; RSDP]> {
    let mut address = BIOS_AREA.start;
    while address < BIOS_AREA.end {
        if holds(memory, address, SIGNATURE) {
            let mut bytes = [0; RSDP];
            for (byte, address) in bytes.iter_mut().zip(address..) {
                *byte = memory.byte(address);
            }
            let rsdp = rsdp_of(&bytes);
            if rsdp.is_some() {
                return rsdp;
            }
        }
        address += 16;
    }
    None
}

/// Checks an RSDP. What ACPI 2.0 has added is zeros where it is missing or its sum is wrong.
fn rsdp_of(bytes: &[u8]) -> Option<[u8; RSDP]> {
    let first = bytes.get(..RSDP_1)?;
    if !first.starts_with(SIGNATURE) || sum(first) != 0 {
        return None;
    }
    let mut rsdp = [0; RSDP];
    let whole = bytes.get(..RSDP).filter(|whole| whole[15] >= 2 && sum(whole) == 0);
    for (to, from) in rsdp.iter_mut().zip(whole.unwrap_or(first)) {
        *to = *from;
    }
    Some(rsdp)
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// The FADT: by the XSDT where that leads to one, else by the RSDT.
fn fadt(memory: &mut impl Physical, rsdp: &[u8; RSDP]) -> Option<Table> {
    let [.., a, b, c, d, e, f, g, h, _, _, _, _] = *rsdp;
    listed(memory, u64::from_le_bytes([a, b, c, d, e, f, g, h]), b"XSDT", 8).or_else(|| {
        let address = u32::from_le_bytes([rsdp[16], rsdp[17], rsdp[18], rsdp[19]]);
        listed(memory, address.into(), b"RSDT", 4)
    })
}

/// The FADT that a table of addresses of `width` bytes names.
#[inline(never)]
fn listed(memory: &mut impl Physical, root: u64, signature: &[u8; 4], width: u64) -> Option<Table> {
    let root = Table::new(memory, root, signature)?;
    let mut offset = HEADER;
    while offset < root.length.min(LONGEST_ROOT) {
        let address = root.field(memory, offset, width);
        if signed(memory, address, b"FACP") {
            return Table::new(memory, address, b"FACP");
        }
        offset += width;
    }
    None
}

/// The DSDT that the FADT names: by its address of 8 bytes where there is one.
fn dsdt(memory: &mut impl Physical, fadt: Table) -> Option<Table> {
    let address = match fadt.field(memory, 140, 8) {
        0 => fadt.field(memory, 40, 4),
        address => address,
    };
    Table::new(memory, address, b"DSDT")
}

/// The types of sleep that mean "off", for PM1a and PM1b control: `Name (_S5, Package () {a, b, …})`, or
/// `\_S5`, in the AML of the DSDT.
fn sleep_types(memory: &mut impl Physical, dsdt: Table) -> Option<[u16; 2]> {
    let mut offset = HEADER;
    while offset < dsdt.length {
        if holds(memory, dsdt.address + offset, b"_S5_\x12") {
            let before = match dsdt.field(memory, offset - 1, 1) as u8 {
                b'\\' => dsdt.field(memory, offset - 2, 1) as u8,
                byte => byte,
            };
            let types = package(memory, dsdt, offset + 5);
            if before == 0x08 && types.is_some() {
                return types;
            }
        }
        offset += 1;
    }
    None
}

/// The first two numbers of a package whose length begins at `offset`.
fn package(memory: &mut impl Physical, dsdt: Table, offset: u64) -> Option<[u16; 2]> {
    // The length's first byte says by how many it is followed. Then comes the number of elements.
    let mut at = offset + 1 + (dsdt.field(memory, offset, 1) >> 6);
    let count = dsdt.field(memory, at, 1);
    at += 1;
    let mut number = || {
        let prefix = dsdt.field(memory, at, 1);
        let width = match prefix {
            0x0a => 1,
            0x0b => 2,
            0x0c => 4,
            _ => 0,
        };
        let number = dsdt.field(memory, at + 1, width);
        at += 1 + width;
        // 0 and 1 have no prefix. Any other byte is no number.
        match prefix {
            0 | 1 => prefix,
            _ if width == 0 => u64::MAX,
            _ => number,
        }
    };
    let first = number();
    // A single element has both values in it.
    let (first, second) = if count == 1 { (first & 0xff, first >> 8) } else { (first, number()) };
    let right = at <= dsdt.length && count > 0 && first.max(second) <= MAX_SLEEP_TYPE.into();
    right.then_some([first as u16, second as u16])
}

/// A table with the right signature, length and sum.
#[derive(Clone, Copy)]
struct Table {
    address: u64,
    length: u64,
}

impl Table {
    #[inline(never)]
    fn new(memory: &mut impl Physical, address: u64, signature: &[u8; 4]) -> Option<Self> {
        if !signed(memory, address, signature) {
            return None;
        }
        let mut table = Self { address, length: HEADER };
        table.length = table.field(memory, 4, 4);
        if !(HEADER..LONGEST).contains(&table.length) {
            return None;
        }
        let sum = (0..table.length).fold(0, |sum, at| sum + table.field(memory, at, 1));
        (sum as u8 == 0).then_some(table)
    }

    /// The number of `width` bytes at `offset`; 0 when the table has none there.
    #[inline(never)]
    fn field(&self, memory: &mut impl Physical, offset: u64, width: u64) -> u64 {
        if offset + width > self.length {
            return 0;
        }
        (0..width)
            .rev()
            .fold(0, |number, at| number << 8 | u64::from(memory.byte(self.address + offset + at)))
    }

    /// A register's port: from its generic address at `generic` where that has one, which must be in the IO space,
    /// else from the field of four bytes at `plain`, unless that is 0. 0 when there is none.
    #[inline(never)]
    fn register(&self, memory: &mut impl Physical, generic: u64, plain: u64) -> u16 {
        match self.field(memory, generic + 4, 8) {
            0 if plain == 0 => 0,
            0 => port(self.field(memory, plain, 4)),
            address if self.field(memory, generic, 1) == 1 => port(address),
            _ => 0,
        }
    }
}

/// Whether a table with this signature begins at `address`.
fn signed(memory: &mut impl Physical, address: u64, signature: &[u8; 4]) -> bool {
    address != 0 && address >> ADDRESS_BITS == 0 && holds(memory, address, signature)
}

/// Whether `text` lies at `address`.
#[inline(never)]
fn holds(memory: &mut impl Physical, address: u64, text: &[u8]) -> bool {
    text.iter().zip(address..).all(|(byte, address)| memory.byte(address) == *byte)
}

/// The number of a port, or another of 16 bits; what is larger is none.
fn port(number: u64) -> u16 {
    u16::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests;

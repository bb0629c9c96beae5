//! PCI: the configuration space by its two ports, and the memory of devices.
//!
//! Source: PCI Local Bus Specification 3.0, 3.2.2.3.2 (configuration mechanism 1), 6.2 and 6.8.2 (MSI-X).

use selkie::{
    Error, Result, System,
    cap::{Attributes, IoPort, Pml4, Rights},
    sync::Mutex,
    vspace::{self, PAGE},
};
use virtio_drivers::transport::pci::bus::{
    BarInfo, Command, ConfigurationAccess, DeviceFunction, DeviceFunctionInfo, HeaderType, PciRoot,
};

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;
/// Where a bridge has the numbers of its buses; the second byte is that of the bus behind it.
const BUS_NUMBERS: u8 = 0x18;
/// A device has no more memory than this: one that says so is not what its driver knows.
const MAX_BAR: u64 = 1 << 20;

/// Access to the configuration space. Drivers are started one after the other, so nobody comes in between.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports;

impl Ports {
    fn select(self, function: DeviceFunction, offset: u8) -> Result<()> {
        let place = u32::from(function.bus) << 16
            | u32::from(function.device) << 11
            | u32::from(function.function) << 8
            | u32::from(offset & !3);
        IoPort::OWN.out32(ADDRESS, 1 << 31 | place)
    }
}

impl ConfigurationAccess for Ports {
    fn read_word(&self, function: DeviceFunction, offset: u8) -> u32 {
        // All ones are what is read where nobody answers.
        self.select(function, offset).and_then(|()| IoPort::OWN.in32(DATA)).unwrap_or(u32::MAX)
    }

    fn write_word(&mut self, function: DeviceFunction, offset: u8, data: u32) {
        // Whether it worked is seen by what the device does.
        let _ = self.select(function, offset).and_then(|()| IoPort::OWN.out32(DATA, data));
    }

    unsafe fn unsafe_clone(&self) -> Self {
        *self
    }
}

/// The first device that `wanted` says yes to, on the first bus and on those behind bridges.
pub(crate) fn find(mut wanted: impl FnMut(&DeviceFunctionInfo) -> bool) -> Option<DeviceFunction> {
    let root = PciRoot::new(Ports);
    // A bus is looked at once, whatever the bridges say.
    let mut buses = [0u64; 4];
    let mut seen = [0u64; 4];
    buses[0] = 1;
    while let Some(bus) = (0..=u8::MAX).find(|bus| bit(&buses, *bus) && !bit(&seen, *bus)) {
        seen[usize::from(bus) / 64] |= 1 << (bus % 64);
        for (function, info) in root.enumerate_bus(bus) {
            if wanted(&info) {
                return Some(function);
            }
            if info.header_type == HeaderType::PciPciBridge {
                let behind = Ports.read_word(function, BUS_NUMBERS).to_le_bytes()[1];
                buses[usize::from(behind) / 64] |= 1 << (behind % 64);
            }
        }
    }
    None
}

fn bit(set: &[u64; 4], number: u8) -> bool {
    set[usize::from(number) / 64] & 1 << (number % 64) != 0
}

/// Memory of a device that is mapped.
#[derive(Debug, Clone, Copy)]
struct Mapped {
    paddr: u64,
    size: usize,
    address: usize,
}

static MAPPED: Mutex<[Option<Mapped>; 12]> = Mutex::new([None; 12]);

/// Where `size` bytes of device memory at the physical address `paddr` are mapped.
pub(crate) fn mapped(paddr: u64, size: usize) -> Option<usize> {
    MAPPED.lock().iter().flatten().find_map(|piece| {
        let offset = usize::try_from(paddr.checked_sub(piece.paddr)?).ok()?;
        (size <= piece.size.checked_sub(offset)?).then(|| piece.address + offset)
    })
}

/// Maps all memory that a device has, and lets it answer there and use memory itself.
pub(crate) fn open(sys: &mut System, function: DeviceFunction) -> Result<()> {
    let mut root = PciRoot::new(Ports);
    let bars = root.bars(function).map_err(|_| Error::NoDevice)?;
    for bar in bars.into_iter().flatten() {
        let BarInfo::Memory { address: paddr, size, .. } = bar else { continue };
        if paddr == 0 || size > MAX_BAR {
            return Err(Error::NoDevice);
        }
        map(sys, paddr, size as usize)?;
    }
    let (_, command) = root.get_status_command(function);
    root.set_command(function, command | Command::MEMORY_SPACE | Command::BUS_MASTER);
    Ok(())
}

fn map(sys: &mut System, paddr: u64, size: usize) -> Result<()> {
    // What is smaller than a page may lie in one with what another device has: each gets a mapping of its own where
    // the page is not mapped yet.
    let (first, last) = (paddr & !(PAGE as u64 - 1), paddr + size as u64);
    let pages = (last - first).div_ceil(PAGE as u64) as usize;
    if mapped(first, pages * PAGE).is_some() {
        return Ok(());
    }
    let address = vspace::reserve(pages * PAGE, PAGE)?;
    for index in 0..pages {
        let page = sys.memory.device_page(first + (index * PAGE) as u64)?.cap();
        let (at, memory) = (address + index * PAGE, &mut sys.memory);
        vspace::map_page(memory, Pml4::OWN, page, at, Rights::READ_WRITE, Attributes::Uncacheable)?;
    }
    let mut places = MAPPED.lock();
    let place = places.iter_mut().find(|place| place.is_none()).ok_or(Error::NoMemory)?;
    *place = Some(Mapped { paddr: first, size: pages * PAGE, address });
    Ok(())
}

//! Intel's gigabit cards, as many machines have one: the 82540 and its like, and the 82574.
//!
//! Both are used in the way that they share: descriptors of 16 bytes, one ring for frames to send and one for those to
//! come. Sources: PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual (8254x), 82574 GbE
//! Controller Family Datasheet; the registers by their names there.

use super::{Card, VECTOR};
use crate::{
    dma::{self, Dma},
    pci::{self, Ports},
};
use core::{
    ops::Range,
    ptr,
    sync::atomic::{Ordering, compiler_fence},
    time::Duration,
};
use selkie::{
    Error, Result, System,
    cap::{Polarity, Trigger},
    clock,
    interrupt::{Interrupt, MSI_ADDRESS, msi_data},
    vspace::PAGE,
};
use selkie_base::devices::net::Nic;
use virtio_drivers::transport::pci::bus::{BarInfo, ConfigurationAccess, DeviceFunction, PciRoot};

const INTEL: u16 = 0x8086;
/// 82540EM, 82545EM (copper), 82574L.
const MODELS: [u16; 3] = [0x100e, 0x100f, 0x10d3];

const PCI_CAP_ID_MSI: u8 = 0x05;
/// MSI, in the word with the capability's id: it sends messages; its address has 64 bits.
const MSI_ENABLE: u32 = 1 << 16;
const MSI_LONG: u32 = 1 << 23;
/// How many messages it may send, as a power of two.
const MSI_COUNT: u32 = 0b111 << 20;
/// Where the firmware has noted which pin of the interrupt controller the card's line leads to.
const INTERRUPT_LINE: u8 = 0x3c;
/// Pins of the first interrupt controller.
const PINS: u8 = 24;

/// Registers, by their distance from the begin of the first BAR.
mod register {
    pub(super) const CTRL: usize = 0x0000;
    pub(super) const ICR: usize = 0x00c0;
    pub(super) const ICS: usize = 0x00c8;
    pub(super) const IMS: usize = 0x00d0;
    pub(super) const IMC: usize = 0x00d8;
    pub(super) const RCTL: usize = 0x0100;
    pub(super) const TCTL: usize = 0x0400;
    pub(super) const TIPG: usize = 0x0410;
    pub(super) const RECEIVE: usize = 0x2800;
    pub(super) const TRANSMIT: usize = 0x3800;
    pub(super) const MTA: usize = 0x5200;
    pub(super) const RAL0: usize = 0x5400;
    pub(super) const RAH0: usize = 0x5404;
    /// From the first register of a ring: its place, its bytes, what the card has done, what the driver has given.
    pub(super) const LOW: usize = 0x00;
    pub(super) const HIGH: usize = 0x04;
    pub(super) const BYTES: usize = 0x08;
    pub(super) const HEAD: usize = 0x10;
    pub(super) const TAIL: usize = 0x18;
}

/// CTRL: find the speed, link up, reset.
const CTRL_UP: u32 = 1 << 5 | 1 << 6;
const CTRL_RESET: u32 = 1 << 26;
/// How long a reset takes at most, in steps of a millisecond, and for how long nothing may be read after it began.
const RESET_STEPS: u32 = 100;
/// ICR, IMS: a frame was sent; descriptors for frames to come are few, or none is left; a frame has come.
const CAUSES: u32 = 1 | 1 << 4 | 1 << 6 | 1 << 7;
/// RCTL: receive; what is sent to groups, and to all; leave out the check sequence. Buffers of 2 KiB.
const RCTL: u32 = 1 << 1 | 1 << 4 | 1 << 15 | 1 << 26;
/// TCTL: send; fill short frames up; give up after 15 collisions; their distance on full duplex.
const TCTL: u32 = 1 << 1 | 1 << 3 | 15 << 4 | 0x40 << 12;
/// TIPG: the gaps between frames that the manual has for copper.
const TIPG: u32 = 10 | 8 << 10 | 6 << 20;
/// RAH0: the address counts.
const ADDRESS_VALID: u32 = 1 << 31;

/// Descriptors of a ring. One of them stays free: a ring whose ends meet is empty.
const DESCRIPTORS: u16 = 128;
const DESCRIPTOR: usize = 16;
const RING: usize = DESCRIPTORS as usize * DESCRIPTOR;
const _: () = assert!(2 * RING <= PAGE);

/// In the second word of a descriptor to send: the frame ends here, with a check sequence, and the card says when it was
/// sent. Its length is the lowest 16 bits.
const SEND: u64 = 0b1011 << 24;
/// What the card sets when it is done with a descriptor; of one that was received: the frame ends here.
const DONE: u64 = 1 << 32;
const WHOLE: u64 = 1 << 33;
/// What was wrong with a frame that was received. One with a wrong check sequence does not come at all.
const ERRORS: u64 = 0xff << 40;

/// How long the card's interrupt may take when the driver asks for one, in steps.
const INTERRUPT_STEPS: u32 = 100;
const STEP: Duration = Duration::from_millis(1);

/// A card.
pub(super) struct E1000 {
    registers: usize,
    /// Where the buffers are mapped.
    region: usize,
    sending: Ring,
    receiving: Ring,
    mac: [u8; 6],
}

/// A ring of descriptors.
struct Ring {
    /// Where it is mapped.
    address: usize,
    /// The first descriptor that the card may not be done with, and the first that it does not have.
    first: u16,
    end: u16,
}

impl Card for E1000 {
    fn find(sys: &mut System) -> Result<(Self, Interrupt)> {
        let function = pci::find(|info| info.vendor_id == INTEL && MODELS.contains(&info.device_id));
        let function = function.ok_or(Error::NoDevice)?;
        pci::open(sys, function)?;
        let bar = PciRoot::new(Ports).bar_info(function, 0);
        let Ok(Some(BarInfo::Memory { address, size, .. })) = bar else { return Err(Error::NoDevice) };
        // The last of the registers that are used.
        if size <= register::RAH0 as u64 {
            return Err(Error::NoDevice);
        }
        let registers = pci::mapped(address, size as usize).ok_or(Error::NoDevice)?;
        let rings = Dma::new(sys, PAGE)?;
        let ring = |offset| Ring { address: rings.address + offset, first: 0, end: 0 };
        let mut card = Self { registers, region: 0, sending: ring(0), receiving: ring(RING), mac: [0; 6] };
        card.reset()?;
        card.set_up()?;
        let interrupt = interrupt(sys, function)?;
        Ok((card, interrupt))
    }

    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn set_region(&mut self, region: Dma) {
        self.region = region.address;
    }

    fn begin(&mut self, interrupt: &Interrupt) -> Result<()> {
        self.try_interrupt(interrupt)?;
        self.write(register::RCTL, RCTL);
        self.write(register::TCTL, TCTL);
        Ok(())
    }

    fn interrupted(&mut self) {
        // To read the causes takes them back.
        self.read(register::ICR);
    }
}

/// Takes the card's interrupt: a message where it can send one, else its line.
fn interrupt(sys: &mut System, function: DeviceFunction) -> Result<Interrupt> {
    let (root, mut ports) = (PciRoot::new(Ports), Ports);
    let Some(msi) = root.capabilities(function).find(|capability| capability.id == PCI_CAP_ID_MSI) else {
        // To know where the line of a card leads to, one would have to run the firmware's programs (ACPI's AML). Where
        // the line comes in at the pin that the firmware has noted for the old controller, as with QEMU's machine `pc`,
        // it is found without; elsewhere the trial that follows finds out.
        let line = ports.read_word(function, INTERRUPT_LINE).to_le_bytes()[0];
        if line >= PINS {
            return Err(Error::NoDevice);
        }
        return Interrupt::ioapic(sys, 0, line, Trigger::Level, Polarity::Low, VECTOR);
    };
    let DeviceFunction { bus, device, function: number } = function;
    let interrupt = Interrupt::msi(sys, (bus, device, number), VECTOR)?;
    let control = ports.read_word(function, msi.offset);
    let mut words = [MSI_ADDRESS as u32, msi_data(VECTOR), 0];
    if control & MSI_LONG != 0 {
        words = [MSI_ADDRESS as u32, (MSI_ADDRESS >> 32) as u32, msi_data(VECTOR)];
    }
    let count = if control & MSI_LONG != 0 { 3 } else { 2 };
    for (offset, word) in (msi.offset + 4..).step_by(4).zip(words).take(count) {
        ports.write_word(function, offset, word);
    }
    ports.write_word(function, msi.offset, control & !MSI_COUNT | MSI_ENABLE);
    Ok(interrupt)
}

impl E1000 {
    fn read(&self, register: usize) -> u32 {
        let at = ptr::with_exposed_provenance::<u32>(self.registers + register);
        // SAFETY: the registers are mapped there; reading one has no effect on memory.
        unsafe { at.read_volatile() }
    }

    fn write(&self, register: usize, value: u32) {
        let at = ptr::with_exposed_provenance_mut::<u32>(self.registers + register);
        // What the card is to see in memory comes first. The processor keeps the order by itself.
        compiler_fence(Ordering::Release);
        // SAFETY: the registers are mapped there. The card uses no memory but the rings and what their descriptors name.
        unsafe { at.write_volatile(value) }
    }

    /// Has the card forget everything but its address.
    fn reset(&self) -> Result<()> {
        self.write(register::IMC, u32::MAX);
        self.write(register::RCTL, 0);
        self.write(register::TCTL, 0);
        self.write(register::CTRL, CTRL_RESET);
        for _ in 0..RESET_STEPS {
            clock::spin(STEP)?;
            if self.read(register::CTRL) & CTRL_RESET == 0 {
                self.write(register::IMC, u32::MAX);
                self.read(register::ICR);
                return Ok(());
            }
        }
        Err(Error::NoDevice)
    }

    fn set_up(&mut self) -> Result<()> {
        // The card has read its address from its own memory.
        let (low, high) = (self.read(register::RAL0), self.read(register::RAH0));
        let ([a, b, c, d], [e, f, ..]) = (low.to_le_bytes(), high.to_le_bytes());
        self.mac = [a, b, c, d, e, f];
        if self.mac == [0; 6] || a & 1 != 0 {
            return Err(Error::NoDevice);
        }
        self.write(register::RAH0, high | ADDRESS_VALID);
        for index in 0..128 {
            self.write(register::MTA + 4 * index, 0);
        }
        for (base, ring) in [(register::TRANSMIT, &self.sending), (register::RECEIVE, &self.receiving)] {
            let place = dma::physical(ring.address, RING).ok_or(Error::NoDevice)?;
            self.write(base + register::LOW, place as u32);
            self.write(base + register::HIGH, (place >> 32) as u32);
            self.write(base + register::BYTES, RING as u32);
            self.write(base + register::HEAD, 0);
            self.write(base + register::TAIL, 0);
        }
        self.write(register::TIPG, TIPG);
        self.write(register::CTRL, self.read(register::CTRL) | CTRL_UP);
        Ok(())
    }

    /// Asks for an interrupt and waits until it comes: a card whose interrupt leads elsewhere would never be heard.
    fn try_interrupt(&self, interrupt: &Interrupt) -> Result<()> {
        self.write(register::IMS, CAUSES);
        self.write(register::ICS, CAUSES);
        for _ in 0..INTERRUPT_STEPS {
            if interrupt.notification().poll().is_some() {
                self.read(register::ICR);
                return interrupt.ack();
            }
            clock::spin(STEP)?;
        }
        self.write(register::IMC, u32::MAX);
        log::error!("the network card's interrupt does not come: it is not used");
        Err(Error::NoDevice)
    }

    /// The physical address of bytes of the region.
    fn physical(&self, range: &Range<u32>) -> Option<u64> {
        dma::physical(self.region + range.start as usize, range.len())
    }
}

impl Nic for E1000 {
    fn transmit(&mut self, frame: Range<u32>, _: u32) -> Option<u16> {
        let place = self.physical(&frame)?;
        let token = self.sending.give(place, SEND | frame.len() as u64)?;
        self.write(register::TRANSMIT + register::TAIL, self.sending.end.into());
        Some(token)
    }

    fn transmitted(&mut self, _: impl FnOnce(u16) -> Option<Range<u32>>) -> Option<(u16, bool)> {
        self.sending.take().map(|(token, _)| (token, true))
    }

    fn lend(&mut self, buffer: Range<u32>) -> Option<u16> {
        let place = self.physical(&buffer)?;
        let token = self.receiving.give(place, 0)?;
        self.write(register::RECEIVE + register::TAIL, self.receiving.end.into());
        Some(token)
    }

    fn received(
        &mut self,
        buffer: impl FnOnce(u16) -> Option<Range<u32>>,
    ) -> Option<(u16, Option<Range<u32>>)> {
        let (token, state) = self.receiving.take()?;
        let start = buffer(token)?.start;
        // A frame that is longer than a buffer fills several.
        let good = state & WHOLE != 0 && state & ERRORS == 0;
        Some((token, good.then(|| start..start + (state & 0xffff) as u32)))
    }
}

impl Ring {
    fn word(&self, index: u16, word: usize) -> *mut u64 {
        ptr::with_exposed_provenance_mut(self.address + usize::from(index) * DESCRIPTOR + 8 * word)
    }

    /// Writes the next descriptor; the card knows of it when it is told the ring's end. None when the ring is full.
    fn give(&mut self, place: u64, state: u64) -> Option<u16> {
        let (index, next) = (self.end, (self.end + 1) % DESCRIPTORS);
        if next == self.first {
            return None;
        }
        // SAFETY: the ring is mapped for ever, and the card does not have this descriptor.
        unsafe {
            self.word(index, 0).write_volatile(place);
            self.word(index, 1).write_volatile(state);
        }
        self.end = next;
        Some(index)
    }

    /// The next descriptor that the card is done with, and its second word.
    fn take(&mut self) -> Option<(u16, u64)> {
        if self.first == self.end {
            return None;
        }
        let index = self.first;
        // SAFETY: the ring is mapped for ever; the card writes a word of it at once.
        let state = unsafe { self.word(index, 1).read_volatile() };
        if state & DONE == 0 {
            return None;
        }
        // What the card has written before it comes after this.
        compiler_fence(Ordering::Acquire);
        self.first = (index + 1) % DESCRIPTORS;
        Some((index, state))
    }
}

//! The driver of a virtio network card: a thread behind the queues of the device model. Frames are not copied: the card
//! reads and writes the buffers of the region.

use crate::{
    dma::Dma,
    driver::{self, Served},
    hal::Selkie,
    virtio::{self, Msix},
};
use core::{ops::Range, ptr, slice};
use selkie::{
    Error, Result, System,
    cap::{Capability, Notification, Slot},
    device::{Device, DeviceKind},
};
use selkie_base::devices::{
    buffers::Layout,
    net::{HEADROOM, Net, NetHost, Nic},
};
use virtio_drivers::{device::net::VirtIONetRaw, transport::DeviceType};

/// Entries of a queue, here and at the card, in bits.
const BITS: u32 = 6;
/// Half of them are lent to the card, the other half are for frames to send.
const BUFFERS: u16 = 2 << BITS;
/// The largest packet: that of every Ethernet.
const MTU: u16 = 1500;
/// The kernel's number for the card's interrupt.
const VECTOR: u8 = 32;
/// What the card writes before a frame, and reads before one.
const CARD_HEADER: u32 = 12;

type Card = VirtIONetRaw<Selkie, Msix, { 1 << BITS }>;

/// The thread's stack, which holds the account of what the card has.
const STACK: usize = 64 << 10;

const _: () = assert!(size_of::<Frames>() < STACK / 2);
const _: () = assert!(CARD_HEADER <= HEADROOM);

/// Finds the first card and starts its driver.
pub(crate) fn start(sys: &mut System, wake: Notification) -> Result<Device> {
    let mut found = virtio::find(sys, DeviceType::Network)?;
    let interrupt = found.interrupt(sys, VECTOR)?;
    let card = Card::new(found.transport).map_err(|_| Error::NoDevice)?;
    let layout = Layout::new(BITS, BUFFERS);
    let net = Net { mac: card.mac_address(), mtu: MTU, layout };
    let dma = Dma::new(sys, layout.size() as usize)?;

    let host = NetHost::new(driver::region(&dma), net).ok_or(Error::NoDevice)?;
    let served = Frames { host, nic: VirtioNic { card, region: dma } };
    let endpoint = driver::start(sys, &interrupt, wake, STACK, served)?;
    Ok(Device {
        number: DeviceKind::Net as u32,
        flags: 0,
        endpoint: endpoint.slot().0,
        notification: wake.slot().0,
        frames: Slot::NULL.0,
        address: dma.address as u64,
        size: dma.size as u64,
        params: net.params(),
    })
}

/// The card and the host's side of its queues.
struct Frames {
    host: NetHost<'static>,
    nic: VirtioNic,
}

impl Served for Frames {
    fn work(&mut self) -> bool {
        self.host.work(&mut self.nic)
    }

    fn set_waits(&self, waits: bool) {
        self.host.set_waits(waits);
    }

    fn is_broken(&self) -> bool {
        self.host.is_broken()
    }
}

/// The card, with the region that its buffers lie in.
struct VirtioNic {
    card: Card,
    region: Dma,
}

impl VirtioNic {
    /// Bytes of the region, to hand over to the card.
    ///
    /// # Safety
    /// The range is that of one buffer or a part of one, which the card has got from the function and nobody else uses.
    unsafe fn bytes(&self, range: Range<u32>) -> &'static mut [u8] {
        let at = ptr::with_exposed_provenance_mut(self.region.address + range.start as usize);
        // SAFETY: the caller's; the region stays mapped.
        unsafe { slice::from_raw_parts_mut(at, (range.end - range.start) as usize) }
    }
}

/// A frame with what the card reads before it.
fn with_header(frame: Range<u32>) -> Range<u32> {
    frame.start - CARD_HEADER..frame.end
}

impl Nic for VirtioNic {
    fn transmit(&mut self, frame: Range<u32>, _: u32) -> Option<u16> {
        // SAFETY: `NetHost` has checked the range, and that there is room before the frame.
        let bytes = unsafe { self.bytes(with_header(frame)) };
        self.card.fill_buffer_header(bytes).ok()?;
        // SAFETY: nobody uses the bytes until the card has given them back.
        unsafe { self.card.transmit_begin(bytes) }.ok()
    }

    fn transmitted(&mut self, frame: impl FnOnce(u16) -> Option<Range<u32>>) -> Option<(u16, bool)> {
        let token = self.card.poll_transmit()?;
        // SAFETY: this is what was handed over under this token.
        let bytes = unsafe { self.bytes(with_header(frame(token)?)) };
        // SAFETY: as above.
        let sent = unsafe { self.card.transmit_complete(token, bytes) };
        Some((token, sent.is_ok()))
    }

    fn lend(&mut self, buffer: Range<u32>) -> Option<u16> {
        // SAFETY: `NetHost` has checked the range.
        let bytes = unsafe { self.bytes(buffer) };
        // SAFETY: nobody uses the bytes until the card has given them back.
        unsafe { self.card.receive_begin(bytes) }.ok()
    }

    fn received(
        &mut self,
        buffer: impl FnOnce(u16) -> Option<Range<u32>>,
    ) -> Option<(u16, Option<Range<u32>>)> {
        let token = self.card.poll_receive()?;
        let buffer = buffer(token)?;
        // SAFETY: this is what was handed over under this token.
        let bytes = unsafe { self.bytes(buffer.clone()) };
        // SAFETY: as above.
        let received = unsafe { self.card.receive_complete(token, bytes) };
        let frame = received.ok().and_then(|(header, length)| {
            let start = buffer.start.checked_add(u32::try_from(header).ok()?)?;
            Some(start..start.checked_add(u32::try_from(length).ok()?)?)
        });
        Some((token, frame))
    }
}

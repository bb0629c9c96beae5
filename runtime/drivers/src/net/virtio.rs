//! virtio network cards.

use super::{BITS, Card, VECTOR};
use crate::{
    dma::Dma,
    hal::Selkie,
    virtio::{self, Msix},
};
use core::{ops::Range, ptr, slice};
use selkie::{Error, Result, System, interrupt::Interrupt};
use selkie_base::devices::net::{HEADROOM, Nic};
use virtio_drivers::{device::net::VirtIONetRaw, transport::DeviceType};

/// What the card writes before a frame, and reads before one.
const CARD_HEADER: u32 = 12;

const _: () = assert!(CARD_HEADER <= HEADROOM);

/// A card, and where the region is mapped that its buffers lie in.
pub(super) struct VirtioNic {
    card: VirtIONetRaw<Selkie, Msix, { 1 << BITS }>,
    region: usize,
}

impl Card for VirtioNic {
    fn find(sys: &mut System) -> Result<(Self, Interrupt)> {
        let mut found = virtio::find(sys, DeviceType::Network)?;
        let interrupt = found.interrupt(sys, VECTOR)?;
        let card = VirtIONetRaw::new(found.transport).map_err(|_| Error::NoDevice)?;
        Ok((Self { card, region: 0 }, interrupt))
    }

    fn mac(&self) -> [u8; 6] {
        self.card.mac_address()
    }

    fn set_region(&mut self, region: Dma) {
        self.region = region.address;
    }

    fn begin(&mut self, _: &Interrupt) -> Result<()> {
        Ok(())
    }

    /// What the message is about is seen in the rings.
    fn interrupted(&mut self) {}
}

impl VirtioNic {
    /// Bytes of the region, to hand over to the card.
    ///
    /// # Safety
    /// The range is that of one buffer or a part of one, which the card has got from the function and nobody else uses.
    unsafe fn bytes(&self, range: Range<u32>) -> &'static mut [u8] {
        let at = ptr::with_exposed_provenance_mut(self.region + range.start as usize);
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

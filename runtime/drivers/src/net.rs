//! The driver of a virtio network card: a thread behind the queues of the device model. Frames are not copied: the card
//! reads and writes the buffers of the region.

use crate::{
    dma::Dma,
    hal::Selkie,
    virtio::{self, Msix},
};
use core::{ops::Range, ptr, slice, sync::atomic::AtomicU64};
use selkie::{
    Error, Message, Result, System,
    cap::{Capability, Endpoint, IrqHandler, Notification, Reply, Rights, Slot},
    device::{Device, DeviceKind},
    thread,
};
use selkie_base::devices::{
    answer,
    buffers::Layout,
    net::{HEADROOM, Net, NetHost, Nic},
    request,
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
/// The badge of the card's interrupt. Requests come without one.
const INTERRUPT: u64 = 1;
/// What the card writes before a frame, and reads before one.
const CARD_HEADER: u32 = 12;

type Card = VirtIONetRaw<Selkie, Msix, { 1 << BITS }>;

/// The thread's stack, which holds the account of what the card has.
const STACK: usize = 64 << 10;

const _: () = assert!(size_of::<Driver>() < STACK / 2);
const _: () = assert!(CARD_HEADER <= HEADROOM);

/// Finds the first card and starts its driver.
pub(crate) fn start(sys: &mut System, wake: Notification) -> Result<Device> {
    let mut found = virtio::find(sys, DeviceType::Network)?;
    let interrupt = found.interrupt(sys, VECTOR)?;
    let card = Card::new(found.transport).map_err(|_| Error::NoDevice)?;
    let layout = Layout::new(BITS, BUFFERS);
    let net = Net { mac: card.mac_address(), mtu: MTU, layout };
    let dma = Dma::new(sys, layout.size() as usize)?;

    let endpoint = sys.memory.create::<Endpoint>()?.cap();
    // The driver sleeps at its endpoint and is woken there by interrupts, too: the notification is bound to it.
    let (bound, badged) = (interrupt.notification(), sys.memory.slot()?);
    badged.place().mint(bound.place(), Rights::ALL, INTERRUPT)?;
    interrupt.handler().set_notification(Notification::at(badged))?;

    let words = dma.size / size_of::<AtomicU64>();
    // SAFETY: the memory is mapped for ever and filled with zeros; who uses the words uses them as atomics, and the
    // buffers behind them are used by whoever has them at the time.
    let region: &'static [AtomicU64] =
        unsafe { slice::from_raw_parts(ptr::with_exposed_provenance(dma.address), words) };
    let host = NetHost::new(region, net).ok_or(Error::NoDevice)?;
    let driver =
        Driver { host, nic: VirtioNic { card, region: dma }, endpoint, wake, handler: interrupt.handler() };
    let thread = thread::Builder::new().stack(STACK).spawn(sys, move || driver.run())?;
    thread.tcb().bind_notification(bound)?;
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

/// The thread.
struct Driver {
    host: NetHost<'static>,
    nic: VirtioNic,
    endpoint: Endpoint,
    /// What wakes the function.
    wake: Notification,
    handler: IrqHandler,
}

// SAFETY: the parts of it that are pointers lead to memory of the card and its driver, which only this thread uses.
unsafe impl Send for Driver {}

impl Driver {
    fn run(mut self) {
        loop {
            self.work();
            self.host.set_waits(true);
            // What came before the other side knew that it has to tell.
            self.work();
            let received = self.endpoint.recv();
            self.host.set_waits(false);
            if received.badge & INTERRUPT != 0 {
                // It fails only when the interrupt is gone; nothing comes any more then, and nobody waits for it.
                let _ = self.handler.ack();
            } else {
                self.work();
                let label = match received.message.label() {
                    request::QUEUE_LOOK if self.host.is_broken() => answer::BROKEN,
                    request::QUEUE_LOOK => answer::DONE,
                    _ => answer::UNKNOWN,
                };
                Reply::to_caller(&Message::new(label));
            }
        }
    }

    fn work(&mut self) {
        if self.host.work(&mut self.nic) {
            self.wake.signal();
        }
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

//! The driver of a network card: a thread behind the queues of the device model. Frames are not copied: the card reads and
//! writes the buffers of the region.

mod e1000;
mod virtio;

use crate::dma::Dma;
use core::{ptr, slice, sync::atomic::AtomicU64};
use selkie::{
    Error, Message, Result, System,
    cap::{Capability, Endpoint, IrqHandler, Notification, Reply, Rights, Slot},
    device::{Device, DeviceKind},
    interrupt::Interrupt,
    thread,
};
use selkie_base::devices::{
    answer,
    buffers::Layout,
    net::{Net, NetHost, Nic},
    request,
};

/// Entries of a queue, in bits.
const BITS: u32 = 6;
/// Half of them are lent to the card, the other half are for frames to send.
const BUFFERS: u16 = 2 << BITS;
/// The largest packet: that of every Ethernet.
const MTU: u16 = 1500;
/// The kernel's number for the card's interrupt.
const VECTOR: u8 = 32;
/// The badge of the card's interrupt. Requests come without one.
const INTERRUPT: u64 = 1;
/// The thread's stack, which holds the account of what the card has.
const STACK: usize = 64 << 10;

/// What the driver of a kind of card does.
trait Card: Nic + Sized + 'static {
    /// Finds the first card of the kind and makes it ready.
    fn find(sys: &mut System) -> Result<(Self, Interrupt)>;
    /// Its address on the network.
    fn mac(&self) -> [u8; 6];
    /// Has the card begin, with the buffers in `region`. It signals `interrupt`, which has a badge now.
    fn open(&mut self, region: Dma, interrupt: &Interrupt) -> Result<()>;
    /// It has sent its interrupt.
    fn interrupted(&mut self);
}

/// Finds the first card and starts its driver.
pub(crate) fn start(sys: &mut System) -> Result<Device> {
    match start_with::<virtio::VirtioNic>(sys) {
        Err(Error::NoDevice) => start_with::<e1000::E1000>(sys),
        result => result,
    }
}

fn start_with<C: Card>(sys: &mut System) -> Result<Device> {
    const { assert!(size_of::<Driver<C>>() < STACK / 2) };
    let (mut card, interrupt) = C::find(sys)?;
    let layout = Layout::new(BITS, BUFFERS);
    let net = Net { mac: card.mac(), mtu: MTU, layout };
    let dma = Dma::new(sys, layout.size() as usize)?;
    let endpoint = sys.memory.create::<Endpoint>()?.cap();
    let wake = sys.memory.create::<Notification>()?.cap();
    // The driver sleeps at its endpoint and is woken there by interrupts, too: the notification is bound to it.
    let (bound, badged) = (interrupt.notification(), sys.memory.slot()?);
    badged.place().mint(bound.place(), Rights::ALL, INTERRUPT)?;
    interrupt.handler().set_notification(Notification::at(badged))?;
    card.open(dma, &interrupt)?;

    let words = dma.size / size_of::<AtomicU64>();
    // SAFETY: the memory is mapped for ever and filled with zeros; who uses the words uses them as atomics, and the
    // buffers behind them are used by whoever has them at the time.
    let region: &'static [AtomicU64] =
        unsafe { slice::from_raw_parts(ptr::with_exposed_provenance(dma.address), words) };
    let host = NetHost::new(region, net).ok_or(Error::NoDevice)?;
    let driver = Driver { host, card, endpoint, wake, handler: interrupt.handler() };
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
struct Driver<C> {
    host: NetHost<'static>,
    card: C,
    endpoint: Endpoint,
    /// What wakes the function.
    wake: Notification,
    handler: IrqHandler,
}

// SAFETY: the parts of it that are pointers lead to memory of the card and its driver, which only this thread uses.
unsafe impl<C> Send for Driver<C> {}

impl<C: Card> Driver<C> {
    fn run(mut self) {
        loop {
            self.work();
            self.host.set_waits(true);
            // What came before the other side knew that it has to tell.
            self.work();
            let received = self.endpoint.recv();
            self.host.set_waits(false);
            if received.badge & INTERRUPT != 0 {
                self.card.interrupted();
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
        if self.host.work(&mut self.card) {
            self.wake.signal();
        }
    }
}

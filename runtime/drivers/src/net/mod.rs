//! The driver of a network card: a thread behind the queues of the device model. Frames are not copied: the card reads and
//! writes the buffers of the region.

mod e1000;
mod virtio;

use crate::{
    dma::Dma,
    driver::{self, Served},
};
use selkie::{
    Error, Result, System,
    cap::{Capability, Notification, Slot},
    device::{Device, DeviceKind},
    interrupt::Interrupt,
};
use selkie_base::devices::{
    buffers::Layout,
    net::{Net, NetHost, Nic},
};

/// Entries of a queue, in bits.
const BITS: u32 = 6;
/// Half of them are lent to the card, the other half are for frames to send.
const BUFFERS: u16 = 2 << BITS;
/// The largest packet: that of every Ethernet.
const MTU: u16 = 1500;
/// The kernel's number for the card's interrupt.
const VECTOR: u8 = 32;
/// The thread's stack, which holds the account of what the card has.
const STACK: usize = 64 << 10;

/// What the driver of a kind of card does.
trait Card: Nic + Sized + 'static {
    /// Finds the first card of the kind and makes it ready.
    fn find(sys: &mut System) -> Result<(Self, Interrupt)>;
    /// Its address on the network.
    fn mac(&self) -> [u8; 6];
    /// What it is handed will lie in `region`.
    fn set_region(&mut self, region: Dma);
    /// Has it begin. It signals `interrupt`, which has a badge now.
    fn begin(&mut self, interrupt: &Interrupt) -> Result<()>;
    /// It has sent its interrupt.
    fn interrupted(&mut self);
}

/// Finds the first card and starts its driver.
pub(crate) fn start(sys: &mut System, wake: Notification) -> Result<Device> {
    match start_with::<virtio::VirtioNic>(sys, wake) {
        Err(Error::NoDevice) => start_with::<e1000::E1000>(sys, wake),
        result => result,
    }
}

fn start_with<C: Card>(sys: &mut System, wake: Notification) -> Result<Device> {
    const { assert!(size_of::<Frames<C>>() < STACK / 2) };
    let (mut card, interrupt) = C::find(sys)?;
    let layout = Layout::new(BITS, BUFFERS);
    let net = Net { mac: card.mac(), mtu: MTU, layout };
    let dma = Dma::new(sys, layout.size() as usize)?;
    card.set_region(dma);

    let host = NetHost::new(driver::region(&dma), net).ok_or(Error::NoDevice)?;
    let endpoint = driver::start(sys, &interrupt, wake, STACK, Frames { host, card })?;
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
struct Frames<C> {
    host: NetHost<'static>,
    card: C,
}

impl<C: Card> Served for Frames<C> {
    fn work(&mut self) -> bool {
        self.host.work(&mut self.card)
    }

    fn set_waits(&self, waits: bool) {
        self.host.set_waits(waits);
    }

    fn is_broken(&self) -> bool {
        self.host.is_broken()
    }

    fn begin(&mut self, interrupt: &Interrupt) -> Result<()> {
        self.card.begin(interrupt)
    }

    fn interrupted(&mut self) {
        self.card.interrupted();
    }
}

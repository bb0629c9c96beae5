//! What the crate `virtio-drivers` asks of its surroundings. It asks without saying for whom, so there is one of all.

use crate::{
    dma::{self, Dma},
    pci,
};
use core::ptr::{self, NonNull};
use selkie::{Result, System, sync::Mutex, vspace::PAGE};
use virtio_drivers::{BufferDirection, Hal, PhysAddr};

/// Pages for the rings that drivers share with their devices: two for each queue of network, disk, entropy and console.
const RING_PAGES: usize = if cfg!(feature = "console") { 10 } else { 8 };

/// What is left of the memory for rings.
static RINGS: Mutex<Option<(Dma, usize)>> = Mutex::new(None);

/// Gets memory for rings, unless it was done before.
pub(crate) fn prepare(sys: &mut System) -> Result<()> {
    let mut rings = RINGS.lock();
    if rings.is_none() {
        *rings = Some((Dma::new(sys, RING_PAGES * PAGE)?, 0));
    }
    Ok(())
}

/// The function itself.
#[derive(Debug)]
pub(crate) struct Selkie;

// SAFETY: each page is handed out once and never used again; memory of a device is what `pci` has mapped; nothing is
// copied, so `unshare` has nothing to do.
unsafe impl Hal for Selkie {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let none = (0, NonNull::dangling());
        let mut rings = RINGS.lock();
        let Some((dma, used)) = rings.as_mut() else { return none };
        let address = dma.address + *used;
        let physical = dma::physical(address, pages * PAGE);
        let (Some(physical), Some(pointer)) =
            (physical, NonNull::new(ptr::with_exposed_provenance_mut(address)))
        else {
            return none;
        };
        *used += pages * PAGE;
        (physical, pointer)
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        // A driver whose device fails is not started again, so the pages are not missed.
        0
    }

    unsafe fn mmio_phys_to_virt(paddr: PhysAddr, size: usize) -> NonNull<u8> {
        // `PciTransport` has checked that the structure lies in its BAR, and all BARs are mapped before it is made.
        let address = pci::mapped(paddr, size).expect("the device's memory is mapped");
        NonNull::new(ptr::with_exposed_provenance_mut(address)).expect("no memory is mapped at 0")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        let address = buffer.cast::<u8>().as_ptr().expose_provenance();
        dma::physical(address, buffer.len()).expect("drivers use memory for devices only")
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

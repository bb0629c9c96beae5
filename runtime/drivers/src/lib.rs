//! Drivers for hardware that a function owns.
//!
//! A driver is a thread of the function's own that stands behind the device model (`docs/devices.md`), as a host
//! process does elsewhere: what uses a device cannot tell which of them it is. The drivers alone hold capabilities for
//! ports, device memory and interrupts.
//!
//! They are part of what is trusted: without an IOMMU a device reads and writes all memory that its driver names to
//! it, and a device that does not do as its driver says reaches all memory there is.
#![no_std]

mod block;
#[cfg(feature = "console")]
mod console;
mod dma;
mod driver;
mod entropy;
mod hal;
mod net;
mod pci;
mod rtc;
mod virtio;

pub use entropy::{Seed, Source, further, seed};
pub use rtc::real_time;

use selkie::{
    Result, System,
    cap::Notification,
    device::{self, Device, DeviceKind},
};

/// The network that the function's surroundings offer; else the first virtio network card, with a driver that this
/// starts. Fails with [`NoDevice`](selkie::Error::NoDevice) where there is neither.
///
/// A driver signals `wake`; what the surroundings offer has a notification of its own, in the list.
pub fn network(sys: &mut System, wake: Notification) -> Result<Device> {
    device::find(DeviceKind::Net).or_else(|_| net::start(sys, wake))
}

/// The disk that the function's surroundings offer; else the first virtio disk, likewise.
pub fn disk(sys: &mut System, wake: Notification) -> Result<Device> {
    device::find(DeviceKind::Block).or_else(|_| block::start(sys, wake))
}

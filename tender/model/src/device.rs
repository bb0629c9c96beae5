//! Host devices: what the tender answers at their control endpoint.
#![allow(unused_variables, dead_code)] // Removed when this file is written.

use crate::{
    Host, Kernel,
    request::{Answer, Request},
};

/// A device of the host, as the list in BootInfo has it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Device {
    /// What it is.
    pub(crate) kind: u32,
    /// What it has.
    pub(crate) flags: u32,
    /// The physical address of its region; 0 without one.
    pub(crate) region: u64,
    /// Bytes of its region.
    pub(crate) size: u64,
    /// What else its kind needs.
    pub(crate) params: [u64; 2],
    /// Its notification; 0 without one.
    pub(crate) notification: u64,
}

/// The devices of the host. The badge of a device's endpoint is its number here plus 1.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    list: [Device; Self::MOST],
    count: usize,
}

impl Devices {
    /// The id of the BootInfo chunk that lists them.
    pub(crate) const CHUNK: u64 = 0x5345_4c4b_4945_0001;
    /// The most devices that are served.
    pub(crate) const MOST: usize = 8;

    /// Appends a device; there are at most [`MOST`](Self::MOST).
    pub(crate) fn add(&mut self, device: Device) {
        self.list[self.count] = device;
        self.count += 1;
    }

    /// The device that an endpoint with this badge stands for.
    pub(crate) fn get(&self, badge: u64) -> Option<&Device> {
        self.list[..self.count].get(usize::try_from(badge).ok()?.checked_sub(1)?)
    }
}

impl<H: Host> Kernel<'_, H> {
    /// Answers a call to the devices' endpoint through a capability with this badge (the device's number).
    pub(crate) fn serve_device(&mut self, badge: u64, request: &Request) -> Answer {
        unimplemented!()
    }
}

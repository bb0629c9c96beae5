//! Host devices: what the tender answers at their control endpoint.
#![allow(unused_variables, dead_code)] // Removed when this file is written.

use crate::{
    Host, Kernel,
    request::{Answer, Request},
};

impl<H: Host> Kernel<'_, H> {
    /// Answers a call to the devices' endpoint through a capability with this badge (the device's number).
    pub(crate) fn serve_device(&mut self, badge: u64, request: &Request) -> Answer {
        unimplemented!()
    }
}

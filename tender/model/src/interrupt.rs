//! Interrupts: their handlers and how they are delivered.
#![allow(unused_variables, dead_code)] // Removed when this file is written.

use crate::{
    Error, Host, Kernel,
    request::{Answer, Request},
};

impl<H: Host> Kernel<'_, H> {
    /// Serves an invocation of IRQ control.
    pub(crate) fn invoke_irq_control(&mut self, request: &Request) -> Result<Answer, Error> {
        unimplemented!()
    }
    /// Serves an invocation of an interrupt's handler.
    pub(crate) fn invoke_irq_handler(&mut self, request: &Request) -> Result<Answer, Error> {
        unimplemented!()
    }
    /// The last capability to the interrupt is gone.
    pub(crate) fn release_irq(&mut self, irq: u8) {
        unimplemented!()
    }
    /// Looks at all devices and delivers the interrupts that are due.
    pub(crate) fn poll_devices(&mut self) {
        unimplemented!()
    }
    /// Where the slots of the interrupts' notifications lie: physical memory, zeroed.
    pub(crate) fn init_interrupts(&mut self, address: u64) {
        unimplemented!()
    }
}

//! Who runs next.
#![allow(unused_variables, dead_code)] // Removed when this file is written.

use crate::{Host, Kernel, Tcb};

impl<H: Host> Kernel<'_, H> {
    /// Ends whatever the thread waits for, takes it from the ready queues and makes it inactive.
    pub(crate) fn suspend(&mut self, thread: Tcb) {
        unimplemented!()
    }
    /// Lets the thread run, with what it waits for given up.
    pub(crate) fn resume(&mut self, thread: Tcb) {
        unimplemented!()
    }
    /// Where the ready queues lie: `bytes` of physical memory, zeroed, are the kernel's own from boot on.
    pub(crate) fn init_schedule(&mut self, address: u64) {
        unimplemented!()
    }
}

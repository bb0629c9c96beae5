//! Finding capabilities by their address.
#![allow(unused_variables, dead_code)] // Removed when this file is written.

use crate::{Cap, Error, Host, Kernel, LookupFailure, Slot, Tcb};

impl<H: Host> Kernel<'_, H> {
    /// The slot that `address` leads to in the CSpace of `thread`, all of its bits resolved.
    pub(crate) fn lookup_cap(&self, thread: Tcb, address: u64) -> Result<Slot, LookupFailure> {
        unimplemented!()
    }
    /// The slot that `depth` bits of `index` lead to, from the CNode `root` on; exactly, for invocations of CNodes.
    pub(crate) fn lookup_slot(&self, root: Cap, index: u64, depth: u64, source: bool) -> Result<Slot, Error> {
        unimplemented!()
    }
}

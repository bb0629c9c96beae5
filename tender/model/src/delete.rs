//! Deleting and revoking capabilities, and what becomes of their objects.
#![allow(unused_variables, dead_code)] // Removed when this file is written.

use crate::{Error, Host, Kernel, Slot};

impl<H: Host> Kernel<'_, H> {
    /// Deletes what is in the slot; the object too, when it was the last capability to it.
    pub(crate) fn delete(&mut self, slot: Slot) -> Result<(), Error> {
        unimplemented!()
    }
    /// Deletes what is in the slot where that cannot lead further (reply capabilities).
    pub(crate) fn delete_one(&mut self, slot: Slot) {
        unimplemented!()
    }
    /// Deletes everything that was derived from what is in the slot.
    pub(crate) fn revoke(&mut self, slot: Slot) -> Result<(), Error> {
        unimplemented!()
    }
}

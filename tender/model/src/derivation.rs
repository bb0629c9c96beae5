//! The derivation list: what was made from what.
#![allow(unused_variables, dead_code)] // Removed when this file is written.

use crate::{Cap, Error, Host, Kernel, Rights, Slot};

impl<H: Host> Kernel<'_, H> {
    /// Puts `cap`, made from what is in `source`, into the empty slot `dest`.
    pub(crate) fn insert(&self, cap: Cap, source: Slot, dest: Slot) {
        unimplemented!()
    }
    /// Moves what is in `source` to the empty slot `dest`, as `cap`.
    pub(crate) fn move_cap(&self, cap: Cap, source: Slot, dest: Slot) {
        unimplemented!()
    }
    /// What a copy of `cap`, which is in `slot`, is; fails when it cannot be copied. `Null` when there is nothing to copy.
    pub(crate) fn derive(&self, slot: Slot, cap: Cap) -> Result<Cap, Error> {
        unimplemented!()
    }
    /// Fails unless the slot is empty.
    pub(crate) fn ensure_empty(&self, slot: Slot) -> Result<(), Error> {
        unimplemented!()
    }
    /// Fails when something was derived from what is in the slot.
    pub(crate) fn ensure_no_children(&self, slot: Slot) -> Result<(), Error> {
        unimplemented!()
    }
    /// Whether both are capabilities to one object.
    pub(crate) fn same_object(&self, a: Cap, b: Cap) -> bool {
        unimplemented!()
    }
    /// `cap` with no more rights than `rights`.
    pub(crate) fn mask_rights(&self, cap: Cap, rights: Rights) -> Cap {
        unimplemented!()
    }
    /// `cap` with the badge or guard `data`; `preserve` for Mutate and Rotate. `Null` when that is not possible.
    pub(crate) fn with_data(&self, cap: Cap, data: u64, preserve: bool) -> Cap {
        unimplemented!()
    }
}

//! Endpoints: sending, receiving, waiting for either.
#![allow(unused_variables, dead_code)] // Removed when this file is written.

use crate::{Host, Kernel};

impl<H: Host> Kernel<'_, H> {
    /// Ends the waiting of everybody at an endpoint that goes away.
    pub(crate) fn cancel_all_messages(&mut self, endpoint: u64) {
        unimplemented!()
    }
    /// Ends the waiting of those who send with this badge.
    pub(crate) fn cancel_badged_sends(&mut self, endpoint: u64, badge: u64) {
        unimplemented!()
    }
}

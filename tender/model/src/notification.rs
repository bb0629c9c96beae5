//! Notifications.
#![allow(unused_variables, dead_code)] // Removed when this file is written.

use crate::{Host, Kernel, Tcb};

impl<H: Host> Kernel<'_, H> {
    /// Adds a signal with this badge.
    pub(crate) fn signal(&mut self, notification: u64, badge: u64) {
        unimplemented!()
    }
    /// Ends the waiting of everybody at a notification that goes away.
    pub(crate) fn cancel_all_signals(&mut self, notification: u64) {
        unimplemented!()
    }
    /// Takes the notification and the thread that is bound to it apart, if there is one.
    pub(crate) fn unbind_notification(&mut self, notification: u64) {
        unimplemented!()
    }
    /// Takes the thread and the notification that is bound to it apart, if there is one.
    pub(crate) fn unbind_thread(&mut self, thread: Tcb) {
        unimplemented!()
    }
}

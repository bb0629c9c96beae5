//! Messages: words in registers and in the IPC buffer.
#![allow(unused_variables, dead_code)] // Removed when this file is written.

use crate::{Host, Kernel, Tcb};

impl<H: Host> Kernel<'_, H> {
    /// The physical address of the thread's IPC buffer, when it has one.
    pub(crate) fn message_buffer(&self, thread: Tcb) -> Option<u64> {
        unimplemented!()
    }
    /// A word of the thread's message: from its registers or its IPC buffer; 0 where it has none.
    pub(crate) fn message_word(&self, thread: Tcb, buffer: Option<u64>, index: u64) -> u64 {
        unimplemented!()
    }
    /// Sets a word of the thread's message, where it has one.
    pub(crate) fn set_message_word(&self, thread: Tcb, buffer: Option<u64>, index: u64, word: u64) {
        unimplemented!()
    }
}

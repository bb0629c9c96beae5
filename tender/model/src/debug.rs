//! The system calls of debug kernels.
#![allow(unused_variables, dead_code)] // Removed when this file is written.

use crate::{Host, Kernel, Next};
use selkie_tender_table::Syscall;

impl<H: Host> Kernel<'_, H> {
    /// Serves a debug system call; returns what ends the root task, if it does.
    pub(crate) fn debug_syscall(&mut self, call: Syscall) -> Option<Next> {
        unimplemented!()
    }
}

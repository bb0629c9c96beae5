//! Lines of the trace: every system call, decoded.

use crate::{Fault, Host, Kernel};
use selkie_tender_table::Syscall;

impl<H: Host> Kernel<'_, H> {
    /// Serves the current thread's system call with this number, and prints it.
    pub(crate) fn serve_traced(&mut self, call: Option<Syscall>, number: u64) {
        match call {
            Some(call) => self.serve(call),
            None => self.raise(self.current, Fault::UnknownSyscall { number }),
        }
    }
}

//! Invocations of threads and domains.
#![allow(unused_variables, dead_code)] // Removed when this file is written.

use crate::{
    Error, Host, Kernel, Tcb,
    request::{Answer, Request},
};

impl<H: Host> Kernel<'_, H> {
    /// Serves an invocation of a thread.
    pub(crate) fn invoke_thread(&mut self, request: &Request) -> Result<Answer, Error> {
        unimplemented!()
    }
    /// Serves an invocation of the capability to set domains.
    pub(crate) fn invoke_domain(&mut self, request: &Request) -> Result<Answer, Error> {
        unimplemented!()
    }
    /// Makes a fresh TCB, all zeros, one that can be configured.
    pub(crate) fn init_thread(&self, thread: Tcb) {
        unimplemented!()
    }
}

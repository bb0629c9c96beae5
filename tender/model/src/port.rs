//! IO ports: who answers at which.
#![allow(unused_variables, dead_code)] // Removed when this file is written.

use crate::{
    Error, Host, Kernel,
    request::{Answer, Request},
};

impl<H: Host> Kernel<'_, H> {
    /// Serves an invocation of an IO-port capability.
    pub(crate) fn invoke_io_port(&mut self, request: &Request) -> Result<Answer, Error> {
        unimplemented!()
    }
}

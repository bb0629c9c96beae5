//! Invocations of CNodes.
#![allow(unused_variables, dead_code)] // Removed when this file is written.

use crate::{
    Error, Host, Kernel,
    request::{Answer, Request},
};

impl<H: Host> Kernel<'_, H> {
    /// Serves an invocation of a CNode.
    pub(crate) fn invoke_cnode(&mut self, request: &Request) -> Result<Answer, Error> {
        unimplemented!()
    }
}

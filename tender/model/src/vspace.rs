//! The address space: invocations of pages and paging structures.
#![allow(unused_variables, dead_code)] // Removed when this file is written.

use crate::{
    Cap, Error, Host, Kernel,
    request::{Answer, Request},
};

impl<H: Host> Kernel<'_, H> {
    /// Serves an invocation of a page.
    pub(crate) fn invoke_page(&mut self, request: &Request) -> Result<Answer, Error> {
        unimplemented!()
    }
    /// Serves an invocation of a page table, page directory or page-directory pointer table.
    pub(crate) fn invoke_structure(&mut self, request: &Request) -> Result<Answer, Error> {
        unimplemented!()
    }
    /// Serves an invocation of ASID control or of an ASID pool.
    pub(crate) fn invoke_asid(&mut self, request: &Request) -> Result<Answer, Error> {
        unimplemented!()
    }
    /// Unmaps what the capability of a page or paging structure is mapped as; for one that is deleted.
    pub(crate) fn unmap_cap(&mut self, cap: Cap) {
        unimplemented!()
    }
    /// Whether the capability is to an address space that threads can run in.
    pub(crate) fn is_vspace(&self, cap: Cap) -> bool {
        unimplemented!()
    }
    /// Fails unless `address` can be the IPC buffer in the page `frame`.
    pub(crate) fn check_ipc_buffer(&self, address: u64, frame: Cap) -> Result<(), Error> {
        unimplemented!()
    }
}

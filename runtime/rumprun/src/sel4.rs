//! seL4's raw interface, for the one invocation that the runtime has no word for: it sets the base of FS.
//!
//! These are the sources of the crate `selkie-sys`, compiled once more. What is not called is not linked.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::all)]

#[macro_use]
mod bindings {
    use super::{invoke, ipc_buffer, stub};

    include!(env!("SELKIE_BINDINGS", "the builder sets SELKIE_BINDINGS to the bindings of a kernel config"));
}

#[path = "../../sys/src/ipc_buffer.rs"]
pub(crate) mod ipc_buffer;
#[path = "../../sys/src/stub.rs"]
mod stub;

pub(crate) use bindings::*;

/// Invokes a capability and returns the answer's label; its first words are in `mrs`.
///
/// # Safety
/// The invocation's own conditions.
pub(crate) unsafe fn invoke(service: CPtr, info: MessageInfo, mrs: &mut [Word; 4]) -> Word {
    // SAFETY: the caller's.
    unsafe { call(service, info, mrs).label() }
}

//! Raw bindings for seL4's user interface.
//!
//! Numbers, layouts and one function per invocation are generated for one kernel configuration; the
//! builder hands this crate their path in `SELKIE_BINDINGS`. Written by hand are only the
//! system-call instructions ([`stub`]) and the access to the IPC buffer ([`ipc_buffer`]).
//!
//! Every invocation returns an error number, 0 when it succeeded (see [`error`]). After a failure the
//! answer's first four words are in the IPC buffer ([`ipc_buffer::mr`]).
//!
//! # Safety
//! A system call is as unsafe as what it asks for: unmapping, revoking or retyping can pull memory
//! from under any Rust reference, and registers and mappings of this very thread can be changed. The
//! caller of a function of this crate makes sure that
//! - what the call changes is not in use by safe code,
//! - the thread has an IPC buffer of its own, and
//! - references passed to it stay valid for as long as the kernel may write through them.
#![no_std]

/// What is generated for one kernel configuration.
#[allow(clippy::identity_op, clippy::too_many_arguments)]
#[macro_use]
mod bindings {
    use crate::{invoke, ipc_buffer, stub};

    include!(env!("SELKIE_BINDINGS", "the builder sets SELKIE_BINDINGS to the bindings of a kernel config"));
}

pub mod ipc_buffer;
pub mod portable;
pub mod stub;

pub use bindings::*;

/// Invokes a capability and returns the answer's label; its first words are in `mrs`.
///
/// When it fails they are in the IPC buffer too, so that callers find the details there.
///
/// # Safety
/// See the crate's documentation.
#[inline(never)]
pub unsafe fn invoke(service: CPtr, info: MessageInfo, mrs: &mut [Word; 4]) -> Word {
    // SAFETY: the caller promises that the invocation is sound and that there is an IPC buffer.
    unsafe {
        let error = call(service, info, mrs).label();
        if error != error::NO_ERROR {
            for (index, word) in mrs.iter().enumerate() {
                ipc_buffer::set_mr(index, *word);
            }
        }
        error
    }
}

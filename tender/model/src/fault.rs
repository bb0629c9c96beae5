//! Faults of threads, and how they become messages.

/// What stopped the current thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An access to memory.
    Vm {
        /// The address.
        address: u64,
        /// An instruction was fetched.
        fetch: bool,
        /// The processor's error code.
        code: u64,
    },
    /// A system call that the kernel does not have.
    UnknownSyscall {
        /// Its number.
        number: u64,
    },
    /// An exception of the processor.
    Exception {
        /// Its number.
        number: u64,
        /// Its error code.
        code: u64,
    },
    /// A capability address that leads nowhere.
    Cap {
        /// The address.
        address: u64,
        /// While receiving.
        receiving: bool,
        /// Why.
        failure: crate::LookupFailure,
    },
}

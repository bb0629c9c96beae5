//! The ways into the kernel.
#![allow(unused_variables, dead_code)] // Removed when this file is written.

use crate::{Host, Kernel, Next, fault::Fault};

impl<H: Host> Kernel<'_, H> {
    /// Serves the system call of the current thread, whose registers are in its TCB: rdx is the number,
    /// rip is the instruction after it, `FaultIp` the system call's own.
    pub fn syscall(&mut self) -> Next {
        unimplemented!()
    }
    /// The current thread has faulted; its registers are in its TCB, rip and `FaultIp` are the instruction.
    pub fn fault(&mut self, fault: Fault) -> Next {
        unimplemented!()
    }
    /// A tick of the processor's time has passed for the current thread.
    pub fn tick(&mut self) -> Next {
        unimplemented!()
    }
    /// The alarm has passed, or input has come: interrupts are raised and delivered.
    pub fn interrupt(&mut self) -> Next {
        unimplemented!()
    }
}

//! The kernel's state.

use crate::{
    Cap, Host, Memory, Tcb, budget::Budget, device::Devices, domain::DomainSchedule, machine::Machine,
    paging::VSpace, schedule::Schedule,
};
use selkie_tender_table::Table;

/// The kernel: the state of the machine that the root task sees, but for what lies in its [`Memory`].
#[derive(Debug)]
pub struct Kernel<'m, H> {
    pub(crate) memory: Memory<'m>,
    pub(crate) table: &'m Table,
    pub(crate) host: H,
    /// The thread that runs; 0 while none can.
    pub(crate) current: Tcb,
    /// Who else can run.
    pub(crate) schedule: Schedule,
    /// Where time is given by scheduling contexts: who pays for what.
    pub(crate) budget: Budget,
    /// The schedule of domains.
    pub(crate) domains: DomainSchedule,
    /// What has ended the root task; it happens when the kernel is left.
    pub(crate) ended: Option<Next>,
    /// Every system call is printed.
    pub(crate) tracing: bool,
    /// The endpoint that host devices are called at; 0 when there are none.
    pub(crate) device_endpoint: u64,
    /// The host devices.
    pub(crate) devices: Devices,
    /// The initial CNode.
    pub(crate) root_cnode: Cap,
    /// The address space.
    pub(crate) vspace: VSpace,
    /// The devices of the PC.
    pub(crate) machine: Machine,
}

/// What is to be done when the kernel is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// This thread runs on, with the registers in its TCB.
    Run(Tcb),
    /// No thread can run: wait for the alarm or for input.
    Idle,
    /// The root task has ended with this status.
    Exit(u8),
    /// This thread has faulted and nobody handles faults of it: it stops. What becomes of the others is for
    /// [`Kernel::go_on`] to say.
    Unhandled(Tcb),
}

impl<'m, H: Host> Kernel<'m, H> {
    /// The memory.
    pub fn memory(&self) -> Memory<'m> {
        self.memory
    }

    /// The interface that is served.
    pub fn table(&self) -> &'m Table {
        self.table
    }

    /// The host.
    pub fn host(&mut self) -> &mut H {
        &mut self.host
    }

    /// Whether every system call is printed, decoded.
    pub fn set_tracing(&mut self, on: bool) {
        self.tracing = on;
    }

    /// The initial CNode, whatever the root task has done with it.
    pub fn root_cnode(&self) -> Cap {
        self.root_cnode
    }

    /// The thread that runs.
    pub fn current(&self) -> Tcb {
        self.current
    }
}

#[cfg(test)]
mod tests {
    /// It lies on pages that every instance has for itself.
    #[test]
    fn the_kernel_is_small() {
        let size = size_of::<super::Kernel<'static, ()>>();
        assert!(size <= 1024, "{size} bytes");
    }
}

use super::{CNode, Capability, Notification, ObjectType, Page, Pml4, Slot, capability, check};
use crate::{error::Result, thread::current_tcb};
use selkie_sys::{self as sys, Word, ipc_buffer, portable};

pub use sys::UserContext as Registers;

capability! {
    /// A thread.
    Tcb = ObjectType::Tcb
}

/// Where a thread finds its capabilities and its memory, and who hears of its faults.
#[derive(Debug, Clone, Copy)]
pub struct Space {
    /// The address of the endpoint that its faults are sent to: in the thread's own capability space, where it is
    /// looked up at each fault; on a kernel with MCS in the caller's, where it is copied at once. In a function's own
    /// CNode that is the same.
    pub fault_endpoint: Slot,
    /// The root of its capability space.
    pub cnode: CNode,
    /// A new guard for that root ([`CNode::guard`]), or 0.
    pub guard: Word,
    /// The root of its address space.
    pub vspace: Pml4,
}

/// What [`Tcb::copy_registers`] does.
#[derive(Debug, Clone, Copy, Default)]
pub struct CopyRegisters {
    /// Suspend the source first.
    pub suspend_source: bool,
    /// Resume the destination afterwards.
    pub resume_target: bool,
    /// Copy what a system call keeps or changes: instruction and stack pointer, flags and so on.
    pub frame: bool,
    /// Copy the other registers.
    pub integer: bool,
}

impl Tcb {
    /// Sets all that a new thread needs but for time ([`Share`](crate::thread::Share)). Its priority and the highest one that it may give to others are
    /// at most the caller's highest. The IPC buffer lies at the multiple of 512 `buffer` in `frame`; none
    /// is 0 and no frame.
    ///
    /// # Safety
    /// The thread does not run; or what it then finds in its spaces is what it needs, and `frame` is mapped
    /// at `buffer`, for nobody else: the kernel only checks that the frame exists.
    pub unsafe fn configure(
        self,
        space: Space,
        priority: u8,
        max: u8,
        buffer: usize,
        frame: Option<Page>,
    ) -> Result<()> {
        let setup = portable::ThreadSetup {
            fault_endpoint: space.fault_endpoint.0,
            cspace: space.cnode.slot().0,
            guard: space.guard,
            vspace: space.vspace.slot().0,
            buffer: buffer as Word,
            frame: frame.map_or(0, |page| page.slot().0),
            authority: current_tcb().slot().0,
            priority,
            max_priority: max,
        };
        // SAFETY: the caller's.
        check(unsafe { portable::configure_thread(self.0.0, &setup) })
    }

    /// Sets the thread's spaces and fault endpoint.
    ///
    /// # Safety
    /// As for [`configure`](Self::configure).
    pub unsafe fn set_space(self, space: Space) -> Result<()> {
        let Space { fault_endpoint, cnode, guard, vspace } = space;
        // SAFETY: the caller's.
        check(unsafe {
            sys::tcb_set_space(self.0.0, fault_endpoint.0, cnode.slot().0, guard, vspace.slot().0, 0)
        })
    }

    /// Sets the thread's IPC buffer.
    ///
    /// # Safety
    /// As for [`configure`](Self::configure): a thread writes its messages to `buffer`, whatever lies there.
    pub unsafe fn set_ipc_buffer(self, buffer: usize, frame: Option<Page>) -> Result<()> {
        // SAFETY: the caller's.
        check(unsafe {
            sys::tcb_set_ipc_buffer(self.0.0, buffer as Word, frame.map_or(0, |page| page.slot().0))
        })
    }

    /// Sets the thread's priority, at most the caller's highest.
    pub fn set_priority(self, priority: u8) -> Result<()> {
        // SAFETY: scheduling is no matter of memory safety.
        check(unsafe { portable::set_priority(self.0.0, current_tcb().slot().0, priority) })
    }

    /// Sets the highest priority that the thread may give, at most the caller's own.
    pub fn set_max_priority(self, priority: u8) -> Result<()> {
        // SAFETY: as for `set_priority`.
        check(unsafe { portable::set_max_priority(self.0.0, current_tcb().slot().0, priority) })
    }

    /// Reads the first `count` of the thread's registers, in the order of [`Registers`].
    pub fn read_registers(self, suspend: bool, count: usize) -> Result<Registers> {
        let mut registers = Registers::default();
        // SAFETY: reading changes nothing.
        let error = unsafe { sys::tcb_read_registers(self.0.0, suspend, 0, count as Word, &mut registers) };
        check(error).map(|()| registers)
    }

    /// Writes the first `count` of the thread's registers, in the order of [`Registers`], and resumes it
    /// when `resume` is true.
    ///
    /// # Safety
    /// Where the thread goes on, it finds the code, stack and data that it needs, and uses no memory in
    /// a way that the rest of the program excludes.
    pub unsafe fn write_registers(self, resume: bool, count: usize, registers: &Registers) -> Result<()> {
        // SAFETY: the caller's.
        check(unsafe { sys::tcb_write_registers(self.0.0, resume, 0, count as Word, registers) })
    }

    /// Copies registers of `source` to this thread.
    ///
    /// # Safety
    /// As for [`write_registers`](Self::write_registers).
    pub unsafe fn copy_registers(self, source: Tcb, what: CopyRegisters) -> Result<()> {
        let CopyRegisters { suspend_source, resume_target, frame, integer } = what;
        // SAFETY: the caller's.
        check(unsafe {
            sys::tcb_copy_registers(self.0.0, source.0.0, suspend_source, resume_target, frame, integer, 0)
        })
    }

    /// Stops the thread.
    pub fn suspend(self) -> Result<()> {
        // SAFETY: as for `set_priority`.
        check(unsafe { sys::tcb_suspend(self.0.0) })
    }

    /// Lets the thread run. One that waits in a system call repeats it.
    pub fn resume(self) -> Result<()> {
        // SAFETY: the thread goes on where it was stopped.
        check(unsafe { sys::tcb_resume(self.0.0) })
    }

    /// Lets the thread receive signals of `notification` whenever it receives from an endpoint.
    pub fn bind_notification(self, notification: Notification) -> Result<()> {
        // SAFETY: as for `set_priority`.
        check(unsafe { sys::tcb_bind_notification(self.0.0, notification.slot().0) })
    }

    /// Undoes [`bind_notification`](Self::bind_notification).
    pub fn unbind_notification(self) -> Result<()> {
        // SAFETY: as for `set_priority`.
        check(unsafe { sys::tcb_unbind_notification(self.0.0) })
    }
}

/// `registers` for a thread whose IPC buffer is mapped at `buffer`, so that it finds it there: on kernels that leave
/// this to the user, a register leads to it.
pub fn with_ipc_buffer(mut registers: Registers, buffer: usize) -> Registers {
    ipc_buffer::set_in(&mut registers, buffer as Word);
    registers
}

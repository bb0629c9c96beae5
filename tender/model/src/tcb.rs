//! Threads: where each part of a TCB lies.
//!
//! The first half of the object is slots and the FPU's state, the second half registers and all else, each
//! a word of its own. A TCB of all zeros is an inactive thread.

use crate::{Memory, Slot, words::words};

/// A thread, by the physical address of its TCB; 0 where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Tcb(pub u64);

/// What a thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum ThreadState {
    /// It does not run.
    Inactive = 0,
    /// It can run.
    Running = 1,
    /// It can run, beginning with the instruction at [`Tcb::fault_ip`].
    Restart = 2,
    /// It waits for a message.
    BlockedOnReceive = 3,
    /// It waits for a receiver.
    BlockedOnSend = 4,
    /// It waits for an answer.
    BlockedOnReply = 5,
    /// It waits for a signal.
    BlockedOnNotification = 6,
}

/// A register, in the order of seL4's user context; then what it lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
#[allow(missing_docs)]
pub enum Register {
    Rip = 0,
    Rsp = 1,
    Rflags = 2,
    Rax = 3,
    Rbx = 4,
    Rcx = 5,
    Rdx = 6,
    Rsi = 7,
    Rdi = 8,
    Rbp = 9,
    R8 = 10,
    R9 = 11,
    R10 = 12,
    R11 = 13,
    R12 = 14,
    R13 = 15,
    R14 = 16,
    R15 = 17,
    FsBase = 18,
    /// On some kernels the address of the IPC buffer.
    GsBase = 19,
    /// The instruction that a restarted thread begins with: for a system call its own, not the next one.
    FaultIp = 20,
}

impl Register {
    /// Words of all registers.
    pub const COUNT: u64 = 21;
    /// The registers of seL4's user context, in its order; the last one is not part of it on all kernels.
    pub const USER_CONTEXT: [Self; 20] = [
        Self::Rip,
        Self::Rsp,
        Self::Rflags,
        Self::Rax,
        Self::Rbx,
        Self::Rcx,
        Self::Rdx,
        Self::Rsi,
        Self::Rdi,
        Self::Rbp,
        Self::R8,
        Self::R9,
        Self::R10,
        Self::R11,
        Self::R12,
        Self::R13,
        Self::R14,
        Self::R15,
        Self::FsBase,
        Self::GsBase,
    ];
}

words! { pub Tcb:
    /// The address of the fault endpoint's capability in the thread's own CSpace.
    0x4b0 fault_endpoint set_fault_endpoint;
    /// The virtual address of the IPC buffer.
    0x4b8 ipc_buffer set_ipc_buffer;
    /// The notification that is bound to the thread; 0 without one.
    0x4c0 bound_notification set_bound_notification;
    /// The priority.
    0x4c8 priority set_priority;
    /// The highest priority that the thread may give.
    0x4d0 max_priority set_max_priority;
    /// Ticks that are left of the time slice.
    0x4d8 time_slice set_time_slice;
    /// The domain.
    0x4e0 domain set_domain;
    /// The next thread of the same ready queue.
    0x4e8 ready_next set_ready_next;
    /// The thread before in the same ready queue.
    0x4f0 ready_prev set_ready_prev;
    /// 1 while the thread is in a ready queue.
    0x4f8 queued set_queued;
    /// The next thread that waits for the same object.
    0x500 wait_next set_wait_next;
    /// The thread before that waits for the same object.
    0x508 wait_prev set_wait_prev;
    /// The endpoint or notification that the thread waits for.
    0x510 blocked_on set_blocked_on;
    /// Of a thread that sends: the badge of the capability that it sends through.
    0x518 send_badge set_send_badge;
    /// Of a thread that sends: bit 0 it may send capabilities, bit 1 it calls, bit 2 it may be answered. Of one
    /// that receives: bit 0 it may be sent capabilities in an answer.
    0x520 send_flags set_send_flags;
    /// What [`ThreadState`] the thread is in, as a number.
    0x528 state_word set_state_word;
    /// The fault that the thread waits with: its label; 0 (no fault) otherwise.
    0x530 fault_label set_fault_label;
    /// The fault's first own word: for a capability fault the address, for a page fault the address, for an
    /// exception its number, for an unknown system call its number.
    0x538 fault_word_0 set_fault_word_0;
    /// The second: 1 in the receive phase; 1 for an instruction fetch; the exception's error code.
    0x540 fault_word_1 set_fault_word_1;
    /// The third: the page fault's error code.
    0x548 fault_word_2 set_fault_word_2;
    /// The look-up failure of a capability fault: the words of its message.
    0x550 lookup_word_0 set_lookup_word_0;
    /// As above.
    0x558 lookup_word_1 set_lookup_word_1;
    /// As above.
    0x560 lookup_word_2 set_lookup_word_2;
    /// As above.
    0x568 lookup_word_3 set_lookup_word_3;
    /// The scheduling context that the thread runs on; 0 without one, and where time is given otherwise.
    0x570 sched_context set_sched_context;
    /// The scheduling context that the thread has yielded to, while it waits to run again; 0 without one.
    0x578 yield_to set_yield_to;
    /// Of a thread that receives or waits for an answer: the reply object for it; 0 without one.
    0x580 reply_object set_reply_object;
    /// The next thread of those that wait for their budget.
    0x588 release_next set_release_next;
    /// The thread before of those.
    0x590 release_prev set_release_prev;
    /// 1 while the thread waits for its budget.
    0x598 in_release set_in_release;
    /// The thread's flags.
    0x5a0 flags set_flags;
}

impl Tcb {
    /// Where the FPU's state lies, as FXSAVE writes it (512 bytes), in bytes after the TCB's begin.
    pub const FPU: u64 = 0x200;
    /// Where the registers lie, a word each in the order of [`Register`].
    pub const REGISTERS: u64 = 0x400;

    /// The slot of the CSpace's root.
    pub fn cspace(self) -> Slot {
        self.slot(0)
    }

    /// The slot of the VSpace's root.
    pub fn vspace(self) -> Slot {
        self.slot(1)
    }

    /// The slot of the master reply capability, where there are reply capabilities.
    pub fn reply(self) -> Slot {
        self.slot(2)
    }

    /// The slot of the capability to answer the thread that called this one.
    pub fn caller(self) -> Slot {
        self.slot(3)
    }

    /// The slot of the capability to the fault handler, where there are scheduling contexts.
    pub fn fault_handler(self) -> Slot {
        self.slot(2)
    }

    /// The slot of the capability to the handler of timeouts, where there are scheduling contexts.
    pub fn timeout_handler(self) -> Slot {
        self.slot(3)
    }

    /// The slot of the IPC buffer's frame.
    pub fn ipc_frame(self) -> Slot {
        self.slot(4)
    }

    /// How many slots a TCB has.
    pub const SLOTS: u64 = 5;

    /// A slot by number.
    pub fn slot(self, number: u64) -> Slot {
        Slot(self.0 + number * Slot::SIZE)
    }

    /// A register.
    #[inline]
    pub fn register(self, memory: &Memory<'_>, register: Register) -> u64 {
        memory.get(self.0 + Self::REGISTERS + register as u64 * 8)
    }

    /// Sets a register.
    #[inline]
    pub fn set_register(self, memory: &Memory<'_>, register: Register, value: u64) {
        memory.set(self.0 + Self::REGISTERS + register as u64 * 8, value);
    }

    /// What the thread does.
    #[inline]
    pub fn state(self, memory: &Memory<'_>) -> ThreadState {
        match self.state_word(memory) {
            1 => ThreadState::Running,
            2 => ThreadState::Restart,
            3 => ThreadState::BlockedOnReceive,
            4 => ThreadState::BlockedOnSend,
            5 => ThreadState::BlockedOnReply,
            6 => ThreadState::BlockedOnNotification,
            _ => ThreadState::Inactive,
        }
    }
}

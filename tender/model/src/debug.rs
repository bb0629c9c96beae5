//! The system calls of debug kernels.

use crate::{Cap, Host, Kernel, Next, Register, Tcb};
use selkie_tender_table::{Number, Syscall};

/// The root task's status after `DebugHalt`, where the kernel would stop for ever.
pub(crate) const HALTED: u8 = 104;

impl<H: Host> Kernel<'_, H> {
    /// Serves a debug system call of the current thread; returns what ends the root task, if it does.
    pub(crate) fn debug_syscall(&mut self, call: Syscall) -> Option<Next> {
        let thread = self.current;
        let argument = thread.register(&self.memory, Register::Rdi);
        match call {
            // The kernel adds a carriage return to a line feed, for the terminal at its serial port.
            Syscall::DebugPutChar => self.host.console_write(argument as u8),
            Syscall::DebugHalt => {
                self.print_debug("halt", thread);
                return Some(Next::Exit(HALTED));
            }
            Syscall::DebugSnapshot => self.print_debug("snapshot", thread),
            Syscall::DebugCapIdentify => {
                let number = self.debug_cap(thread, argument).kernel_number();
                thread.set_register(&self.memory, Register::Rdi, number);
            }
            Syscall::DebugNameThread => {
                let Cap::Thread { .. } = self.debug_cap(thread, argument) else {
                    return Some(Next::Exit(HALTED));
                };
                if !self.has_name(thread) {
                    return Some(Next::Exit(HALTED));
                }
            }
            _ => {}
        }
        None
    }

    /// The capability at an address, none when there is none.
    fn debug_cap(&self, thread: Tcb, address: u64) -> Cap {
        self.lookup_cap(thread, address).map_or(Cap::Null, |slot| slot.cap(&self.memory))
    }

    /// Whether a text that ends with a zero byte lies in the thread's message.
    fn has_name(&self, thread: Tcb) -> bool {
        let Some(buffer) = self.message_buffer(thread) else { return false };
        let words = self.table.number(Number::MsgMaxLength);
        let text = buffer + self.table.number(Number::IpcBufferMsg);
        let has_zero = |word: u64| word.to_le_bytes().contains(&0);
        (0..words).any(|index| has_zero(self.memory.get(text + index * 8)))
    }

    fn print_debug(&mut self, call: &str, thread: Tcb) {
        let mut console = Console(&mut self.host);
        // Writing to the console does not fail.
        let _ = core::fmt::Write::write_fmt(
            &mut console,
            format_args!("Debug {call} syscall from user thread {:#x}\n", thread.0),
        );
    }
}

impl Cap {
    /// The number of the capability's type in the kernel, which `DebugCapIdentify` gives. It is no part of the
    /// interface otherwise; seL4 has even numbers for its own types and odd ones for the processor's.
    pub(crate) fn kernel_number(self) -> u64 {
        match self {
            Self::Null => 0,
            Self::Untyped { .. } => 2,
            Self::Endpoint { .. } => 4,
            Self::Notification { .. } => 6,
            Self::Reply { .. } | Self::ReplyObject { .. } => 8,
            Self::CNode { .. } => 10,
            Self::Thread { .. } => 12,
            Self::IrqControl => 14,
            Self::IrqHandler { .. } => 16,
            Self::Zombie { .. } => 18,
            Self::Domain => 20,
            Self::SchedContext { .. } => 22,
            Self::SchedControl => 24,
            Self::Frame { .. } => 1,
            Self::PageTable { .. } => 3,
            Self::PageDirectory { .. } => 5,
            Self::Pdpt { .. } => 7,
            Self::Pml4 { .. } => 9,
            Self::AsidControl => 11,
            Self::AsidPool { .. } => 13,
            Self::IoPort { .. } => 19,
            Self::IoPortControl => 31,
        }
    }
}

/// The console as something that can be formatted to.
struct Console<'h, H>(&'h mut H);

impl<H: Host> core::fmt::Write for Console<'_, H> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        text.bytes().for_each(|byte| self.0.console_write(byte));
        Ok(())
    }
}

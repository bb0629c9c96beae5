//! The ways into the kernel.

use crate::{
    Cap, Host, Kernel, LookupFailure, Next, Register, Tcb, endpoint::Send, fault::Fault,
    message::CAP_REGISTER,
};
use selkie_tender_table::Syscall;

impl<H: Host> Kernel<'_, H> {
    /// Serves the system call of the current thread, whose registers are in its TCB: rdx is the number,
    /// rip is the instruction after it, `FaultIp` the system call's own.
    pub fn syscall(&mut self) -> Next {
        let number = self.current.register(&self.memory, Register::Rdx);
        match self.table.syscall(number as i64) {
            Some(call) if !self.tracing => self.serve(call),
            call => self.serve_traced(call, number),
        }
        self.leave()
    }

    /// The current thread has faulted; its registers are in its TCB, rip and `FaultIp` are the instruction.
    pub fn fault(&mut self, mut fault: Fault) -> Next {
        if let Fault::Vm { address, code, .. } = &mut fault {
            *code = self.page_fault_code(*address, *code);
        }
        if self.tracing {
            self.trace_fault(&fault);
        }
        self.raise(self.current, fault);
        self.leave()
    }

    /// A tick of the processor's time has passed for the current thread.
    pub fn tick(&mut self) -> Next {
        self.tick_current();
        self.leave()
    }

    /// The alarm has passed, or input has come: interrupts are raised and delivered.
    pub fn interrupt(&mut self) -> Next {
        self.poll_devices();
        self.leave()
    }

    /// Serves a system call that the kernel has.
    #[inline]
    pub(crate) fn serve(&mut self, call: Syscall) {
        match call {
            Syscall::Call => self.invoke(Send { blocking: true, call: true }),
            Syscall::Send => self.invoke(Send { blocking: true, call: false }),
            Syscall::NBSend => self.invoke(Send { blocking: false, call: false }),
            Syscall::Recv => self.receive_any(true),
            Syscall::NBRecv => self.receive_any(false),
            Syscall::Reply => self.reply(),
            Syscall::ReplyRecv => {
                self.reply();
                self.receive_any(true);
            }
            Syscall::Yield => self.yield_current(),
            Syscall::DebugPutChar
            | Syscall::DebugHalt
            | Syscall::DebugSnapshot
            | Syscall::DebugCapIdentify
            | Syscall::DebugNameThread => {
                if let Some(next) = self.debug_syscall(call) {
                    self.ended = Some(next);
                }
            }
        }
    }

    /// Answers whom the current thread got a call from, if it has not done so.
    fn reply(&mut self) {
        let slot = self.current.caller();
        if let Cap::Reply { tcb, master: false } = slot.cap(&self.memory) {
            self.reply_to(self.current, Tcb(tcb), slot);
        }
    }

    /// Waits for a message or a signal, or looks whether there is one.
    fn receive_any(&mut self, blocking: bool) {
        let thread = self.current;
        let address = thread.register(&self.memory, CAP_REGISTER);
        let failure = match self.lookup_cap(thread, address) {
            Err(failure) => failure,
            Ok(slot) => match slot.cap(&self.memory) {
                Cap::Endpoint { address, rights, .. } if rights.read => {
                    self.delete_reply(thread.caller());
                    return self.receive(thread, address, blocking);
                }
                Cap::Notification { address, rights, .. }
                    if rights.read && self.may_wait(thread, address) =>
                {
                    return self.wait(thread, address, blocking);
                }
                _ => LookupFailure::MissingCapability { bits_left: 0 },
            },
        };
        self.raise(thread, Fault::Cap { address, receiving: true, failure });
    }

    /// Only the thread that a notification is bound to may wait for it.
    fn may_wait(&self, thread: Tcb, notification: u64) -> bool {
        let bound = self.bound_thread(notification);
        bound.0 == 0 || bound == thread
    }
}

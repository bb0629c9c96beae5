//! The ways into the kernel.

use crate::{
    Cap, Host, Kernel, LookupFailure, Next, Register, Tcb, endpoint::Send, fault::Fault,
    message::CAP_REGISTER, reply::Reply, transfer::Receiving,
};
use selkie_tender_table::{Number, Syscall};

/// The register that names a reply object, where there are such; and that of what is sent to before a wait.
const REPLY_REGISTER: Register = Register::R12;
/// The register of what is sent to before a message is received.
const DEST_REGISTER: Register = Register::R13;

impl<H: Host> Kernel<'_, H> {
    /// Serves the system call of the current thread, whose registers are in its TCB: rdx is the number,
    /// rip is the instruction after it, `FaultIp` the system call's own.
    pub fn syscall(&mut self) -> Next {
        if self.is_mcs() && !self.begin_entry() {
            return self.leave();
        }
        let number = self.current.register(&self.memory, Register::Rdx);
        match self.table.syscall(number as i64) {
            Some(call) if !self.tracing => self.serve(call),
            call => self.serve_traced(call, number),
        }
        self.leave()
    }

    /// The current thread has faulted; its registers are in its TCB, rip and `FaultIp` are the instruction.
    pub fn fault(&mut self, mut fault: Fault) -> Next {
        if self.is_mcs() && !self.begin_entry() {
            return self.leave();
        }
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
        if self.is_mcs() {
            self.pass_time();
            self.check_budget();
        } else {
            self.tick_current();
        }
        self.leave()
    }

    /// The alarm has passed, or input has come: interrupts are raised and delivered.
    pub fn interrupt(&mut self) -> Next {
        if self.is_mcs() {
            self.pass_time();
            self.check_budget();
        }
        self.poll_devices();
        self.leave()
    }

    /// Serves a system call that the kernel has.
    #[inline]
    pub(crate) fn serve(&mut self, call: Syscall) {
        match call {
            Syscall::Call => {
                let how = Send { blocking: true, call: true, donate: true };
                self.invoke(how, CAP_REGISTER, false);
            }
            Syscall::Send => self.invoke(Send::plain(true), CAP_REGISTER, false),
            Syscall::NBSend => self.invoke(Send::plain(false), CAP_REGISTER, false),
            Syscall::Recv => self.receive_any(true, true),
            Syscall::NBRecv => self.receive_any(false, true),
            Syscall::Reply => self.reply(),
            Syscall::ReplyRecv if self.is_mcs() => self.send_first(REPLY_REGISTER, true),
            Syscall::ReplyRecv => {
                self.reply();
                self.receive_any(true, true);
            }
            Syscall::Wait => self.receive_any(true, false),
            Syscall::NBWait => self.receive_any(false, false),
            Syscall::NBSendRecv => self.send_first(DEST_REGISTER, true),
            Syscall::NBSendWait => self.send_first(REPLY_REGISTER, false),
            Syscall::Yield if self.is_mcs() => self.yield_budget(),
            Syscall::Yield => self.yield_current(),
            Syscall::DebugPutChar
            | Syscall::DebugHalt
            | Syscall::DebugSnapshot
            | Syscall::DebugCapIdentify
            | Syscall::DebugDumpScheduler
            | Syscall::DebugNameThread => {
                if let Some(next) = self.debug_syscall(call) {
                    self.ended = Some(next);
                }
            }
        }
    }

    /// Sends the message through the capability in a register, without waiting, and then receives, with a reply
    /// object or without one.
    #[cold]
    fn send_first(&mut self, register: Register, replies: bool) {
        self.invoke(Send { donate: true, ..Send::plain(false) }, register, true);
        self.receive_any(true, replies);
    }

    /// Answers whom the current thread got a call from, if it has not done so.
    fn reply(&mut self) {
        let slot = self.current.caller();
        if let Cap::Reply { tcb, master: false, grant } = slot.cap(&self.memory) {
            self.reply_to(self.current, Tcb(tcb), slot, grant);
        }
    }

    /// Waits for a message or a signal, or looks whether there is one. `replies` when a call can be answered
    /// through a reply object, where there are such.
    fn receive_any(&mut self, blocking: bool, replies: bool) {
        let thread = self.current;
        let address = thread.register(&self.memory, CAP_REGISTER);
        let failure = match self.lookup_cap(thread, address) {
            Err(failure) => failure,
            Ok(slot) => match slot.cap(&self.memory) {
                Cap::Endpoint { address, rights, .. } if rights.read => {
                    let grant = rights.grant || !self.rule(Number::RuleGrantReply);
                    return self.receive_message(Receiving { address, grant }, blocking, replies);
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

    /// Receives a message at an endpoint.
    fn receive_message(&mut self, endpoint: Receiving, blocking: bool, replies: bool) {
        let thread = self.current;
        if !self.is_mcs() {
            self.delete_reply(thread.caller());
            return self.receive(thread, endpoint, blocking, Reply(0));
        }
        match self.reply_of(thread, replies) {
            Ok(reply) => self.receive(thread, endpoint, blocking, reply),
            Err(fault) => self.raise(thread, fault),
        }
    }

    /// The reply object that the thread names; none unless it `replies`.
    fn reply_of(&self, thread: Tcb, replies: bool) -> Result<Reply, Fault> {
        if !replies {
            return Ok(Reply(0));
        }
        let address = thread.register(&self.memory, REPLY_REGISTER);
        let failure = match self.lookup_cap(thread, address) {
            Err(failure) => failure,
            Ok(slot) => match slot.cap(&self.memory) {
                Cap::ReplyObject { address, .. } => return Ok(Reply(address)),
                _ => LookupFailure::MissingCapability { bits_left: 0 },
            },
        };
        Err(Fault::Cap { address, receiving: true, failure })
    }

    /// Only the thread that a notification is bound to may wait for it.
    fn may_wait(&self, thread: Tcb, notification: u64) -> bool {
        let bound = self.bound_thread(notification);
        bound.0 == 0 || bound == thread
    }
}

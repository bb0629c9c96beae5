//! Faults of threads, how they become messages, and what an answer to one changes.

use crate::{
    Cap, Host, Kernel, LookupFailure, Next, Register, SchedContext, Tcb, ThreadState,
    endpoint::Send,
    message::{MESSAGE_REGISTERS, Tag},
};
use core::fmt;
use selkie_tender_table::Number;

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
        failure: LookupFailure,
    },
    /// The budget of a scheduling context is used up.
    Timeout {
        /// What the scheduling context was configured with.
        badge: u64,
    },
}

/// In the words of the trace and of the report about a fault that nobody handles.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vm { address, fetch: true, .. } => {
                write!(f, "no instruction can be fetched from {address:#x}")
            }
            Self::Vm { address, code, .. } => {
                let access = if code & 2 != 0 { "written" } else { "read" };
                write!(f, "{address:#x} cannot be {access} (error code {code:#x})")
            }
            Self::UnknownSyscall { number } => {
                write!(f, "system call {} does not exist", *number as i64)
            }
            Self::Exception { number, code } => {
                write!(f, "exception {number} of the processor (error code {code:#x})")
            }
            Self::Cap { address, receiving, failure } => {
                let phase = if *receiving { "receiving" } else { "sending" };
                write!(f, "no capability for {phase} at {address:#x}: {failure}")
            }
            Self::Timeout { badge } => write!(f, "the budget is used up (badge {badge:#x})"),
        }
    }
}

/// The registers that the message of an unknown system call begins with.
const SYSCALL_REGISTERS: [Register; 18] = [
    Register::Rax,
    Register::Rbx,
    Register::Rcx,
    Register::Rdx,
    Register::Rsi,
    Register::Rdi,
    Register::Rbp,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
    Register::R12,
    Register::R13,
    Register::R14,
    Register::R15,
    Register::FaultIp,
    Register::Rsp,
    Register::Rflags,
];
/// The registers that the message of an exception begins with.
const EXCEPTION_REGISTERS: [Register; 3] = [Register::FaultIp, Register::Rsp, Register::Rflags];

/// The registers that an answer to a timeout sets.
const TIMEOUT_REGISTERS: [Register; 19] = {
    let mut registers = [Register::FaultIp; 19];
    let mut index = 1;
    while index < registers.len() {
        registers[index] = Register::USER_CONTEXT[index];
        index += 1;
    }
    registers
};

/// Bits of a page fault's address that its message has on seL4 5.0.0.
const VM_ADDRESS: u64 = 0xffff_ffff;
/// Bits of a page fault's error code that its message has. That of a fetch is not among them: seL4 does not use
/// what forbids execution to the user, so only a processor that forbids it to the kernel (SMEP) tells fetches
/// from reads, and no kernel config asks for one.
const VM_CODE: u64 = 0xf;
/// Bits of an exception's number and error code that its message has.
const EXCEPTION_WORD: u64 = 0xffff_ffff;

/// The highest user address on seL4 5.0.0, where what lies above is the kernel's.
const USER_TOP: u64 = 0xffff_ff80_0000_0000;
/// The addresses that are none: bits 47 to 63 are not equal.
const NOT_CANONICAL: core::ops::Range<u64> = 0x8000_0000_0000..0xffff_8000_0000_0000;

/// The value that a register gets when a thread is to have `value` in it; `limits_base` where the base of FS is
/// no more than the highest user address.
pub(crate) fn sanitised(register: Register, value: u64, limits_base: bool) -> u64 {
    const FLAGS_ONE: u64 = 1 << 1;
    const FLAGS_ZERO: u64 = 1 << 3 | 1 << 5;
    const FLAGS_INTERRUPTS: u64 = 1 << 9;
    const FLAGS_TRAP: u64 = 1 << 8;
    const FLAGS: u64 = 0xfff;
    match register {
        Register::Rip | Register::FaultIp if NOT_CANONICAL.contains(&value) => 0,
        Register::Rflags => (value | FLAGS_ONE | FLAGS_INTERRUPTS) & !(FLAGS_ZERO | FLAGS_TRAP) & FLAGS,
        // Kernels that do not look stop on a base that is no address.
        Register::FsBase | Register::GsBase if NOT_CANONICAL.contains(&value) => 0,
        Register::FsBase if limits_base => value.min(USER_TOP),
        _ => value,
    }
}

impl<H: Host> Kernel<'_, H> {
    /// The value that a thread's register gets when it is to be `value`.
    pub(crate) fn sanitised(&self, register: Register, value: u64) -> u64 {
        sanitised(register, value, !self.since(10, 0))
    }

    /// The fault that the thread waits with, or has stopped with.
    pub fn fault_of(&self, thread: Tcb) -> Option<Fault> {
        if let Some((_, fault)) = self.schedule.unheard.filter(|(stopped, _)| *stopped == thread) {
            return Some(fault);
        }
        let memory = &self.memory;
        let label = thread.fault_label(memory);
        let (first, second) = (thread.fault_word_0(memory), thread.fault_word_1(memory));
        let is = |number| label == self.table.number(number);
        if label == 0 {
            None
        } else if is(Number::FaultVm) {
            let code = thread.fault_word_2(memory);
            Some(Fault::Vm { address: first, fetch: second != 0, code })
        } else if is(Number::FaultUnknownSyscall) {
            Some(Fault::UnknownSyscall { number: first })
        } else if is(Number::FaultUserException) {
            Some(Fault::Exception { number: first, code: second })
        } else if is(Number::FaultTimeout) {
            Some(Fault::Timeout { badge: first })
        } else {
            let words = [
                thread.lookup_word_0(memory),
                thread.lookup_word_1(memory),
                thread.lookup_word_2(memory),
                thread.lookup_word_3(memory),
            ];
            let failure = LookupFailure::from_message(words);
            Some(Fault::Cap { address: first, receiving: second != 0, failure })
        }
    }

    /// The thread waits with a fault from here on.
    fn set_fault(&self, thread: Tcb, fault: Fault) {
        let memory = &self.memory;
        let (label, words) = match fault {
            Fault::Vm { address, code, .. } => {
                let bits = if self.since(10, 0) { u64::MAX } else { VM_ADDRESS };
                (Number::FaultVm, [address & bits, 0, code & VM_CODE])
            }
            Fault::UnknownSyscall { number } => (Number::FaultUnknownSyscall, [number, 0, 0]),
            Fault::Exception { number, code } => {
                (Number::FaultUserException, [number & EXCEPTION_WORD, code & EXCEPTION_WORD, 0])
            }
            Fault::Cap { address, receiving, failure } => {
                let (words, _) = failure.message();
                thread.set_lookup_word_0(memory, words[0]);
                thread.set_lookup_word_1(memory, words[1]);
                thread.set_lookup_word_2(memory, words[2]);
                thread.set_lookup_word_3(memory, words[3]);
                (Number::FaultCap, [address, receiving.into(), 0])
            }
            Fault::Timeout { badge } => (Number::FaultTimeout, [badge, 0, 0]),
        };
        thread.set_fault_label(memory, self.table.number(label));
        thread.set_fault_word_0(memory, words[0]);
        thread.set_fault_word_1(memory, words[1]);
        thread.set_fault_word_2(memory, words[2]);
    }

    /// The thread has faulted: its fault endpoint gets a message. Without one the thread stops.
    pub(crate) fn raise(&mut self, thread: Tcb, fault: Fault) {
        let handler = self.fault_handler(thread).unwrap_or(Cap::Null);
        let donate = self.is_mcs() && thread.sched_context(&self.memory) != 0;
        if !self.send_fault(thread, handler, fault, donate) {
            self.set_state(thread, ThreadState::Inactive);
            self.schedule.unheard = Some((thread, fault));
            self.ended = Some(Next::Unhandled(thread));
        }
    }

    /// What the thread's faults are for.
    pub(crate) fn fault_handler(&self, thread: Tcb) -> Option<Cap> {
        let slot = if self.is_mcs() {
            thread.fault_handler()
        } else {
            self.lookup_cap(thread, thread.fault_endpoint(&self.memory)).ok()?
        };
        Some(slot.cap(&self.memory))
    }

    /// The thread waits with a fault, which is sent through a capability; whether that is one for it.
    pub(crate) fn send_fault(&mut self, thread: Tcb, handler: Cap, fault: Fault, donate: bool) -> bool {
        let Some(through) = Self::through(handler).filter(|through| through.can_call()) else { return false };
        let fault = match fault {
            // With scheduling contexts, the reason is not kept before seL4 16.
            Fault::Cap { address, receiving, .. } if self.is_mcs() && !self.since(16, 0) => {
                Fault::Cap { address, receiving, failure: LookupFailure::InvalidRoot }
            }
            fault => fault,
        };
        self.set_fault(thread, fault);
        self.send(thread, through, Send { donate, ..Send::plain(true) });
        true
    }

    /// Writes the message of the fault that `sender` waits with to `receiver`; returns its tag.
    pub(crate) fn write_fault(&self, sender: Tcb, receiver: Tcb) -> Tag {
        let memory = &self.memory;
        let buffer = self.writable_buffer(receiver);
        let mut length = 0;
        let mut put = |word| {
            self.set_message_word(receiver, buffer, length, word);
            length += 1;
        };
        let ip = sender.register(memory, Register::FaultIp);
        match self.fault_of(sender) {
            Some(Fault::Vm { address, fetch, code }) => {
                [ip, address, fetch.into(), code].into_iter().for_each(put);
            }
            Some(Fault::UnknownSyscall { number }) => {
                SYSCALL_REGISTERS.iter().for_each(|at| put(sender.register(memory, *at)));
                put(number);
            }
            Some(Fault::Exception { number, code }) => {
                EXCEPTION_REGISTERS.iter().for_each(|at| put(sender.register(memory, *at)));
                put(number);
                put(code);
            }
            Some(Fault::Cap { address, receiving, failure }) => {
                let (words, count) = failure.message();
                [ip, address, receiving.into()].into_iter().for_each(&mut put);
                words.into_iter().take(count).for_each(put);
            }
            Some(Fault::Timeout { badge }) => {
                put(badge);
                let sc = SchedContext(sender.sched_context(memory));
                if sc.is_some() {
                    put(self.take_consumed(sc));
                }
            }
            None => {}
        }
        Tag::new(sender.fault_label(memory), self.room(buffer, length))
    }

    /// Takes the registers that the answer of `sender` has for `receiver`, which has faulted; whether it is
    /// to run on.
    pub(crate) fn read_fault_answer(&self, sender: Tcb, receiver: Tcb) -> bool {
        let registers: &[Register] = match self.fault_of(receiver) {
            Some(Fault::UnknownSyscall { .. }) => &SYSCALL_REGISTERS,
            Some(Fault::Exception { .. }) => &EXCEPTION_REGISTERS,
            Some(Fault::Timeout { .. }) => &TIMEOUT_REGISTERS,
            Some(Fault::Vm { .. } | Fault::Cap { .. }) | None => return true,
        };
        let tag = self.tag(sender);
        let buffer = match tag.length() > MESSAGE_REGISTERS.len() as u64 {
            true => self.message_buffer(sender),
            false => None,
        };
        let length = self.room(buffer, tag.length());
        for (index, register) in (0..length).zip(registers) {
            let value = self.sanitised(*register, self.message_word(sender, buffer, index));
            receiver.set_register(&self.memory, *register, value);
        }
        tag.label() == 0
    }
}

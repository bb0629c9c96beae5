//! Faults of threads: what they were, and the thread that reports those nobody else handles.

use crate::{
    cap::{CNode, Endpoint, Pml4, Received, Space, Tcb},
    console,
    error::{LookupFailure, Result},
    exit,
    message::Message,
    system::System,
    thread::Builder,
};
use core::fmt::{self, Write};
use selkie_sys::{Word, cap_fault, fault, unknown_syscall, user_exception, vm_fault, when};

/// Why a thread was stopped. The kernel sends it to the thread's fault endpoint; a reply lets the thread go
/// on (after a page fault: with the same instruction).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// An access to memory that is not mapped, or not in this way.
    Vm {
        /// The instruction.
        ip: Word,
        /// The address; seL4 5.0.0 reports only its lower 32 bits.
        address: Word,
        /// An instruction was fetched.
        fetch: bool,
        /// The processor's error code (Intel SDM volume 3, 4.7): bit 0 page present, bit 1 write.
        status: Word,
    },
    /// A system call that the kernel does not have.
    UnknownSyscall {
        /// The instruction after it.
        ip: Word,
        /// The number.
        number: Word,
    },
    /// An exception of the processor.
    UserException {
        /// The instruction.
        ip: Word,
        /// The exception's number: 0 division, 6 invalid instruction, 13 general protection.
        number: Word,
        /// The processor's error code.
        code: Word,
    },
    /// A capability address that leads nowhere.
    Cap {
        /// The instruction after the system call.
        ip: Word,
        /// The address.
        address: Word,
        /// It happened while receiving.
        receiving: bool,
        /// Where the look-up ended.
        failure: LookupFailure,
    },
    /// The thread has used up its budget (a kernel with MCS, and a timeout endpoint).
    Timeout {
        /// The badge of its scheduling context.
        badge: Word,
        /// The microseconds that it has used since somebody asked for them.
        consumed: Word,
    },
    /// A fault that seL4 5.0.0 to 16.0.0 do not have.
    Unknown {
        /// The message's label.
        label: Word,
    },
}

impl Fault {
    /// Reads a fault from the message that came to a fault endpoint.
    pub fn decode(message: &Message) -> Self {
        let word = |index: Word| message.get(index as usize);
        match message.label() {
            fault::VM_FAULT => Self::Vm {
                ip: word(vm_fault::IP),
                address: word(vm_fault::ADDR),
                fetch: word(vm_fault::PREFETCH_FAULT) != 0,
                status: word(vm_fault::FSR),
            },
            fault::UNKNOWN_SYSCALL => Self::UnknownSyscall {
                ip: word(unknown_syscall::FAULT_IP),
                number: word(unknown_syscall::SYSCALL),
            },
            fault::USER_EXCEPTION => Self::UserException {
                ip: word(user_exception::FAULT_IP),
                number: word(user_exception::NUMBER),
                code: word(user_exception::CODE),
            },
            fault::CAP_FAULT => Self::Cap {
                ip: word(cap_fault::IP),
                address: word(cap_fault::ADDR),
                receiving: word(cap_fault::IN_RECV_PHASE) != 0,
                failure: LookupFailure::decode(|index| {
                    message.get(cap_fault::LOOKUP_FAILURE_TYPE as usize + index)
                }),
            },
            label if Some(label) == TIMEOUT => Self::Timeout { badge: word(0), consumed: word(1) },
            label => Self::Unknown { label },
        }
    }
}

/// The label of a timeout fault, whose words are the badge and the time.
const TIMEOUT: Option<Word> = when!(mcs { Some(fault::TIMEOUT) } else { None });

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Vm { ip, address, fetch, status } => {
                let access = match (fetch, status & 2 != 0) {
                    (true, _) => "execution",
                    (false, true) => "write",
                    (false, false) => "read",
                };
                write!(f, "page fault: {access} at address {address:#x}, instruction {ip:#x}")
            }
            Self::UnknownSyscall { ip, number } => {
                write!(f, "unknown system call {number:#x}, instruction {ip:#x}")
            }
            Self::UserException { ip, number, code } => {
                write!(f, "exception {number}, code {code:#x}, instruction {ip:#x}")
            }
            Self::Cap { ip, address, .. } => write!(f, "no capability at {address:#x}, instruction {ip:#x}"),
            Self::Timeout { badge, .. } => write!(f, "the budget {badge:#x} is used up"),
            Self::Unknown { label } => write!(f, "unknown fault {label}"),
        }
    }
}

/// Starts the thread that ends the function when a thread of it faults, and makes it the first thread's
/// handler. Without it, a fault on a release kernel stops the thread silently.
pub(crate) fn start_handler(sys: &mut System) -> Result<()> {
    let endpoint = sys.memory.create::<Endpoint>()?.cap();
    let _runs_for_ever = Builder::new().stack(HANDLER_STACK).spawn(sys, move || report(endpoint))?;
    sys.set_fault_handler(endpoint);
    let fault_endpoint = sys.new_fault_endpoint(0)?;
    let space = Space { fault_endpoint, cnode: CNode::OWN, guard: 0, vspace: Pml4::OWN };
    // SAFETY: the spaces are those that the thread has.
    unsafe { Tcb::first().set_space(space) }
}

/// The handler only receives once and prints. With its IPC buffer these are two pages, of which it uses one
/// before there is a fault.
const HANDLER_STACK: usize = 7 << 10;

fn report(endpoint: Endpoint) {
    let Received { badge, message } = endpoint.recv();
    let (mut console, guard) = console::force();
    // Writing to the console does not fail.
    let _ = writeln!(console, "\nfault in thread {badge}: {}", Fault::decode(&message));
    drop(guard);
    exit::exit(exit::FAULTED)
}

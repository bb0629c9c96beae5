//! Lines of the trace: every system call, decoded.

use crate::{
    Cap, Error, Fault, FrameSize, Host, Kernel, Next, Register, Tcb, ThreadState,
    message::{CAP_REGISTER, Tag},
};
use core::fmt;
use selkie_tender_table::{Invocation, Message, Number, Place, Syscall, Table};

/// The most words of a message that a line shows.
const WORDS: usize = 24;

/// A system call, as it was made.
struct Call<'m> {
    table: &'m Table,
    name: Option<Syscall>,
    number: u64,
    /// The capability's address, and what it leads to.
    address: u64,
    cap: Option<Cap>,
    tag: Tag,
    words: [u64; WORDS],
    /// The addresses of the extra capabilities, and what they lead to.
    extra: [Option<(u64, Option<Cap>)>; 3],
}

/// What has become of a system call.
struct Outcome {
    state: ThreadState,
    fault: Option<Fault>,
    ended: Option<Next>,
    badge: u64,
    tag: Tag,
    words: [u64; 5],
}

impl<'m, H: Host> Kernel<'m, H> {
    /// Serves the current thread's system call with this number, and prints it when that is wanted.
    #[cold]
    pub(crate) fn serve_traced(&mut self, call: Option<Syscall>, number: u64) {
        let thread = self.current;
        let before = self.tracing.then(|| self.snapshot(thread, call, number));
        match call {
            Some(call) => self.serve(call),
            None => self.raise(thread, Fault::UnknownSyscall { number }),
        }
        if let Some(before) = before {
            let after = self.outcome(thread);
            self.host.trace(format_args!("thread {:#x}: {before}{}", thread.0, After(&before, &after)));
        }
    }

    /// Prints the current thread's fault, and who hears of it.
    #[cold]
    pub(crate) fn trace_fault(&mut self, fault: &Fault) {
        let thread = self.current;
        let address = thread.fault_endpoint(&self.memory);
        let cap = self.fault_handler(thread);
        let ip = thread.register(&self.memory, Register::FaultIp);
        let handler = Named(address, cap);
        self.host.trace(format_args!("thread {:#x}: fault at {ip:#x}, for {handler}: {fault}", thread.0));
    }

    fn snapshot(&self, thread: Tcb, name: Option<Syscall>, number: u64) -> Call<'m> {
        let (tag, buffer) = (self.tag(thread), self.message_buffer(thread));
        let find = |address| self.lookup_cap(thread, address).ok().map(|slot| slot.cap(&self.memory));
        let address = thread.register(&self.memory, CAP_REGISTER);
        let mut extra = [None; 3];
        if let Some(buffer) = buffer {
            let addresses = buffer + self.table.number(Number::IpcBufferCapsOrBadges);
            for (index, extra) in (0..tag.caps()).zip(&mut extra) {
                let address = self.memory.get(addresses + index * 8);
                *extra = Some((address, find(address)));
            }
        }
        let mut words = [0; WORDS];
        for (index, word) in (0..tag.length()).zip(&mut words) {
            *word = self.message_word(thread, buffer, index);
        }
        Call { table: self.table, name, number, address, cap: find(address), tag, words, extra }
    }

    fn outcome(&self, thread: Tcb) -> Outcome {
        let buffer = self.message_buffer(thread);
        let mut words = [0; 5];
        for (index, word) in (0..).zip(&mut words) {
            *word = self.message_word(thread, buffer, index);
        }
        let state = thread.state(&self.memory);
        Outcome {
            state,
            fault: self.fault_of(thread).filter(|_| state != ThreadState::Running),
            ended: self.ended,
            badge: thread.register(&self.memory, CAP_REGISTER),
            tag: self.tag(thread),
            words,
        }
    }
}

impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(name) = self.name else { return write!(f, "system call {}", self.number as i64) };
        f.write_str(name.name())?;
        match name {
            Syscall::Yield | Syscall::DebugHalt | Syscall::DebugSnapshot | Syscall::DebugDumpScheduler => {
                Ok(())
            }
            Syscall::DebugPutChar => {
                write!(f, " '{}'", (self.address as u8).escape_ascii())
            }
            Syscall::Reply => self.message(f),
            Syscall::ReplyRecv | Syscall::NBSendRecv | Syscall::NBSendWait => {
                self.message(f)?;
                write!(f, ", then at {}", Named(self.address, self.cap))
            }
            Syscall::Recv
            | Syscall::NBRecv
            | Syscall::Wait
            | Syscall::NBWait
            | Syscall::DebugCapIdentify
            | Syscall::DebugNameThread => {
                write!(f, " {}", Named(self.address, self.cap))
            }
            Syscall::Call | Syscall::Send | Syscall::NBSend => {
                write!(f, " {}", Named(self.address, self.cap))?;
                match self.cap {
                    Some(Cap::Notification { .. }) | None => Ok(()),
                    Some(Cap::Endpoint { .. } | Cap::Reply { .. } | Cap::ReplyObject { .. }) => {
                        self.message(f)
                    }
                    Some(_) => self.invocation(f),
                }
            }
        }
    }
}

impl Call<'_> {
    /// A message for another thread.
    fn message(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " label {:#x} ", self.tag.label())?;
        let shown = (self.tag.length() as usize).min(WORDS);
        write!(f, "{}", Words(&self.words[..shown], self.tag.length()))?;
        for (address, cap) in self.extra.iter().flatten() {
            write!(f, " with {}", Named(*address, *cap))?;
        }
        Ok(())
    }

    /// A message for the kernel.
    fn invocation(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(invocation) = self.table.invocation(self.tag.label()) else { return self.message(f) };
        let message: &Message = self.table.message(invocation);
        write!(f, " {}(", invocation.name())?;
        let mut separator = "";
        for (param, place) in invocation.params().iter().zip(message.params) {
            let name = param.names.first().copied().unwrap_or_default();
            match place.kind {
                Place::BITS
                    if invocation == Invocation::TcbWriteRegisters
                        && place.bits == 64
                        && place.index >= 2 =>
                {
                    let given = (self.tag.length() as usize).min(WORDS);
                    let words = self.words.get(place.index.into()..given).unwrap_or_default();
                    write!(f, "{separator}{name}={}", Words(words, words.len() as u64))?;
                }
                Place::BITS => {
                    let word = self.words.get(usize::from(place.index)).copied().unwrap_or_default();
                    write!(f, "{separator}{name}={:#x}", place.extract(word))?;
                }
                Place::CAP => match self.extra.get(usize::from(place.index)).copied().flatten() {
                    Some((address, cap)) => write!(f, "{separator}{name}={}", Named(address, cap))?,
                    None => write!(f, "{separator}{name}=missing")?,
                },
                _ => continue,
            }
            separator = ", ";
        }
        f.write_str(")")
    }

    /// Whether the answer comes from the kernel.
    fn of_kernel(&self) -> bool {
        self.name == Some(Syscall::Call) && !matches!(self.cap, Some(Cap::Endpoint { .. }))
    }

    fn receives(&self) -> bool {
        use Syscall::{NBRecv, NBSendRecv, NBSendWait, NBWait, Recv, ReplyRecv, Wait};
        matches!(self.name, Some(Recv | NBRecv | ReplyRecv | Wait | NBWait | NBSendRecv | NBSendWait))
    }

    /// Whether the answer has a word that is worth a look.
    fn gives_word(&self) -> bool {
        use Invocation as I;
        matches!(
            self.table.invocation(self.tag.label()),
            Some(
                I::IoPortIn8
                    | I::IoPortIn16
                    | I::IoPortIn32
                    | I::PageDirectoryGetStatusBits
                    | I::PageGetAddress
                    | I::SchedContextConsumed
                    | I::SchedContextYieldTo
                    | I::TcbSetFlags
            )
        )
    }
}

/// The outcome of a call.
struct After<'c>(&'c Call<'c>, &'c Outcome);

impl fmt::Display for After<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(call, outcome) = self;
        if let Some(Next::Exit(status)) = outcome.ended {
            return write!(f, " = ends with status {status}");
        }
        if let Some(fault) = outcome.fault {
            let handled = if outcome.ended.is_some() { ", which nobody handles" } else { "" };
            return write!(f, " = fault{handled}: {fault}");
        }
        match outcome.state {
            ThreadState::BlockedOnReceive => f.write_str(" = waits for a message"),
            ThreadState::BlockedOnNotification => f.write_str(" = waits for a signal"),
            ThreadState::BlockedOnSend => f.write_str(" = waits for a receiver"),
            ThreadState::BlockedOnReply => f.write_str(" = waits for the answer"),
            ThreadState::Inactive => f.write_str(" = stops"),
            ThreadState::Running | ThreadState::Restart if call.receives() => self.received(f),
            ThreadState::Running | ThreadState::Restart if call.of_kernel() => self.answered(f),
            ThreadState::Running | ThreadState::Restart => Ok(()),
        }
    }
}

impl After<'_> {
    fn received(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(call, outcome) = self;
        write!(f, " = badge {:#x}", outcome.badge)?;
        if let Some(Cap::Endpoint { .. }) = call.cap {
            let tag = outcome.tag;
            let shown = &outcome.words[..(tag.length() as usize).min(outcome.words.len())];
            write!(f, ", label {:#x} {}", tag.label(), Words(shown, tag.length()))?;
            if tag.caps() != 0 {
                write!(f, ", {} capabilities", tag.caps())?;
            }
        }
        Ok(())
    }

    fn answered(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(call, outcome) = self;
        match Error::from_message(outcome.tag.label(), outcome.words) {
            Some(error) => write!(f, " = {error}"),
            None if call.gives_word() => write!(f, " = ok, {:#x}", outcome.words[0]),
            None => f.write_str(" = ok"),
        }
    }
}

/// Words of a message; the second number is how many there are.
struct Words<'w>(&'w [u64], u64);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, word) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{word:#x}")?;
        }
        f.write_str(if self.0.len() as u64 == self.1 { "]" } else { ", …]" })
    }
}

/// A capability's address, and what it leads to.
struct Named(u64, Option<Cap>);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {:#x} ", self.0)?;
        let Some(cap) = self.1 else { return f.write_str("(nothing)") };
        write!(f, "({}", kind(cap))?;
        match cap {
            Cap::Endpoint { badge, .. } | Cap::Notification { badge, .. } if badge != 0 => {
                write!(f, ", badge {badge:#x})")
            }
            Cap::Thread { tcb } => write!(f, " {tcb:#x})"),
            _ => f.write_str(")"),
        }
    }
}

/// What the field calls a capability to this.
fn kind(cap: Cap) -> &'static str {
    match cap {
        Cap::Null => "empty",
        Cap::Untyped { device: true, .. } => "device untyped",
        Cap::Untyped { .. } => "untyped",
        Cap::Endpoint { .. } => "endpoint",
        Cap::Notification { .. } => "notification",
        Cap::Reply { .. } | Cap::ReplyObject { .. } => "reply",
        Cap::SchedContext { .. } => "scheduling context",
        Cap::SchedControl => "scheduling control",
        Cap::CNode { .. } => "CNode",
        Cap::Thread { .. } => "thread",
        Cap::Domain => "domain control",
        Cap::IrqControl => "IRQ control",
        Cap::IrqHandler { .. } => "IRQ handler",
        Cap::IoPort { .. } => "IO ports",
        Cap::IoPortControl => "IO port control",
        Cap::AsidControl => "ASID control",
        Cap::AsidPool { .. } => "ASID pool",
        Cap::Frame { size: FrameSize::Small, .. } => "4 KiB frame",
        Cap::Frame { size: FrameSize::Large, .. } => "2 MiB frame",
        Cap::Frame { size: FrameSize::Huge, .. } => "1 GiB frame",
        Cap::PageTable { .. } => "page table",
        Cap::PageDirectory { .. } => "page directory",
        Cap::Pdpt { .. } => "PDPT",
        Cap::Pml4 { .. } => "PML4",
        Cap::Zombie { .. } => "being deleted",
    }
}

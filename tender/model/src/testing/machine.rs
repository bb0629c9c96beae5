//! A machine whose root task is the test.

use super::{Edition, FakeHost, boot_with, table_of};
use crate::{Cap, Error, Kernel, Memory, Next, Register, Slot, Tcb};
use selkie_tender_table::{Invocation, Kind, Number, Syscall};
use std::{boxed::Box, vec::Vec};

/// The registers with the first words of a message.
const MESSAGE_REGISTERS: [Register; 4] = [Register::R10, Register::R8, Register::R9, Register::R15];

/// A machine whose root task is the test: it makes the system calls of whichever thread is current.
#[derive(Debug)]
pub struct Machine<'m> {
    /// The kernel.
    pub kernel: Kernel<'m, FakeHost>,
}

/// What an invocation answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// 0, or the error's number.
    pub label: u64,
    /// Words of the answer.
    pub words: Vec<u64>,
}

impl From<Error> for Reply {
    fn from(error: Error) -> Self {
        let (label, words, count) = error.message();
        Self { label, words: words[..count].to_vec() }
    }
}

impl Reply {
    /// The answer of most invocations that succeed.
    pub fn done() -> Self {
        Self { label: 0, words: Vec::new() }
    }
}

impl Default for Machine<'static> {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine<'static> {
    /// A machine with 4 MiB of memory and 4,096 initial slots.
    pub fn new() -> Self {
        Self { kernel: super::boot() }
    }

    /// A machine with 4 MiB of memory and 4,096 initial slots that is served as by this kernel.
    pub fn of(edition: Edition) -> Self {
        let table = Box::leak(Box::new(table_of(edition, 12)));
        Self { kernel: super::boot_in(super::memory(4 << 20), table, |_, _| 0) }
    }

    /// A machine with `size` bytes of memory and `2^cnode_bits` initial slots.
    pub fn with(size: u64, cnode_bits: u64) -> Self {
        Self { kernel: boot_with(size, cnode_bits, |_, _| 0) }
    }
}

impl<'m> Machine<'m> {
    /// Its memory.
    pub fn memory(&self) -> Memory<'m> {
        self.kernel.memory()
    }

    /// The number of a kind of object.
    pub fn kind(&self, kind: Kind) -> u64 {
        let known = |number: &u64| self.kernel.table().kind(*number) == Some(kind);
        (0..64).find(known).unwrap_or(u64::MAX)
    }

    /// The capability in a slot of the current thread's CSpace, or `Null`.
    pub fn cap(&self, address: u64) -> Cap {
        self.slot(address).cap(&self.memory())
    }

    /// A slot of the initial CNode.
    pub fn slot(&self, number: u64) -> Slot {
        let Cap::CNode { address, .. } = self.kernel.root_cnode() else {
            panic!("the root of the initial CSpace is gone");
        };
        Slot(address + number * Slot::SIZE)
    }

    /// The address of the first message word in the thread's IPC buffer.
    pub fn buffer(&self, thread: Tcb) -> Option<u64> {
        let memory = self.memory();
        let Cap::Frame { address, size, .. } = thread.ipc_frame().cap(&memory) else { return None };
        let offset = thread.ipc_buffer(&memory) & (size.bytes() - 1);
        memory.contains(address, size.bytes()).then_some(address + offset + 8)
    }

    /// A system call of the current thread, with a message of these words and capabilities.
    pub fn syscall(&mut self, call: i64, cap: u64, label: u64, words: &[u64], caps: &[u64]) -> Next {
        let (memory, thread) = (self.memory(), self.kernel.current());
        let buffer = self.buffer(thread);
        for (number, word) in words.iter().enumerate() {
            match (MESSAGE_REGISTERS.get(number), buffer) {
                (Some(register), _) => thread.set_register(&memory, *register, *word),
                (None, Some(buffer)) => memory.set(buffer + 8 * number as u64, *word),
                (None, None) => {}
            }
        }
        if let Some(buffer) = buffer {
            let caps_at = self.kernel.table().number(Number::IpcBufferCapsOrBadges) - 8;
            for (number, cap) in caps.iter().enumerate() {
                memory.set(buffer + caps_at + 8 * number as u64, *cap);
            }
        }
        let tag = label << 12 | (caps.len() as u64) << 7 | words.len() as u64;
        let ip = thread.register(&memory, Register::Rip);
        thread.set_register(&memory, Register::FaultIp, ip);
        thread.set_register(&memory, Register::Rdx, call as u64);
        thread.set_register(&memory, Register::Rdi, cap);
        thread.set_register(&memory, Register::Rsi, tag);
        self.kernel.syscall()
    }

    /// The message that the thread has got.
    pub fn message(&self, thread: Tcb) -> Reply {
        let memory = self.memory();
        let tag = thread.register(&memory, Register::Rsi);
        let words = (0..tag & 0x7f).map(|number| match MESSAGE_REGISTERS.get(number as usize) {
            Some(register) => thread.register(&memory, *register),
            None => self.buffer(thread).map_or(0, |buffer| memory.get(buffer + 8 * number)),
        });
        Reply { label: tag >> 12, words: words.collect() }
    }

    /// The number of a system call.
    pub fn number(&self, call: Syscall) -> i64 {
        (-64..0).find(|number| self.kernel.table().syscall(*number) == Some(call)).unwrap_or_default()
    }

    /// Calls an object and gives its answer.
    pub fn call(&mut self, cap: u64, label: u64, words: &[u64], caps: &[u64]) -> Reply {
        let thread = self.kernel.current();
        let number = self.number(Syscall::Call);
        self.syscall(number, cap, label, words, caps);
        self.message(thread)
    }

    /// Invokes an object.
    pub fn invoke(&mut self, cap: u64, invocation: Invocation, words: &[u64], caps: &[u64]) -> Reply {
        let label = self.kernel.table().message(invocation).label;
        self.call(cap, label.into(), words, caps)
    }

    /// Makes `count` objects in the untyped `untyped`, with capabilities from slot `first` of the initial
    /// CNode on.
    pub fn retype(&mut self, untyped: u64, kind: Kind, bits: u64, first: u64, count: u64) -> Reply {
        let (kind, root) = (self.kind(kind), self.kernel.table().number(Number::SlotCNode));
        self.invoke(untyped, Invocation::UntypedRetype, &[kind, bits, 0, 0, first, count], &[root])
    }

    /// The slot of the largest initial untyped.
    pub fn largest_untyped(&self) -> u64 {
        let size = |number: &u64| match self.cap(*number) {
            Cap::Untyped { bits, device: false, .. } => bits,
            _ => 0,
        };
        (1..self.slots()).max_by_key(size).unwrap_or_default()
    }

    /// Slots of the initial CNode.
    pub fn slots(&self) -> u64 {
        1 << self.kernel.table().number(Number::ConfigCNodeBits)
    }

    /// The first slot of the initial CNode that is empty in BootInfo.
    pub fn first_empty(&self) -> u64 {
        let empty = |number: &u64| self.slot(*number).is_empty(&self.memory());
        (self.kernel.table().number(Number::SlotCount)..self.slots()).find(empty).unwrap_or_default()
    }
}

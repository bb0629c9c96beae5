//! Messages: words in registers and in the IPC buffer.

use crate::{Cap, Host, Kernel, Register, Tcb};
use selkie_tender_table::Number;

/// The registers of a message's first words.
pub(crate) const MESSAGE_REGISTERS: [Register; 4] =
    [Register::R10, Register::R8, Register::R9, Register::R15];
/// The register of a system call's capability; a receiver finds the badge in it.
pub(crate) const CAP_REGISTER: Register = Register::Rdi;
/// The register of the tag.
pub(crate) const TAG_REGISTER: Register = Register::Rsi;

/// The tag of a message: bits 0..7 the number of words, 7..9 of capabilities, 9..12 which of them arrived as
/// badges, from 12 on the label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag(u64);

impl Tag {
    const LENGTH: u64 = 0x7f;
    const LABEL_SHIFT: u32 = 12;

    /// A tag without capabilities.
    #[inline]
    pub(crate) fn new(label: u64, length: u64) -> Self {
        Self(label << Self::LABEL_SHIFT | length)
    }

    /// The tag as it is kept in a register.
    #[inline]
    pub(crate) fn word(self) -> u64 {
        self.0
    }

    /// The label.
    #[inline]
    pub(crate) fn label(self) -> u64 {
        self.0 >> Self::LABEL_SHIFT
    }

    /// How many words.
    #[inline]
    pub(crate) fn length(self) -> u64 {
        self.0 & Self::LENGTH
    }

    /// How many capabilities.
    #[inline]
    pub(crate) fn caps(self) -> u64 {
        self.0 >> 7 & 3
    }

    /// The tag of what has arrived: `length` words, `caps` capabilities, those of `badges` as badges.
    #[inline]
    pub(crate) fn arrived(self, length: u64, caps: u64, badges: u64) -> Self {
        Self(self.0 >> Self::LABEL_SHIFT << Self::LABEL_SHIFT | badges << 9 | caps << 7 | length)
    }
}

impl<H: Host> Kernel<'_, H> {
    /// The tag in the thread's register, its length no longer than messages can be.
    #[inline]
    pub(crate) fn tag(&self, thread: Tcb) -> Tag {
        let tag = Tag(thread.register(&self.memory, TAG_REGISTER));
        let longest = self.table.number(Number::MsgMaxLength);
        if tag.length() > longest { Tag(tag.0 & !Tag::LENGTH | longest) } else { tag }
    }

    /// The physical address of the thread's IPC buffer, when it has one.
    #[inline]
    pub(crate) fn message_buffer(&self, thread: Tcb) -> Option<u64> {
        self.buffer(thread, false)
    }

    /// The physical address of the thread's IPC buffer, when it has one that can be written to.
    #[inline]
    pub(crate) fn writable_buffer(&self, thread: Tcb) -> Option<u64> {
        self.buffer(thread, true)
    }

    fn buffer(&self, thread: Tcb, write: bool) -> Option<u64> {
        let Cap::Frame { address, size, write: writable, read, .. } = thread.ipc_frame().cap(&self.memory)
        else {
            return None;
        };
        if !writable && (write || !read) {
            return None;
        }
        let at = address + (thread.ipc_buffer(&self.memory) & (size.bytes() - 1));
        self.memory.contains(at, self.table.number(Number::IpcBufferSize)).then_some(at)
    }

    /// A word of the thread's message: from its registers or its IPC buffer; 0 where it has none.
    #[inline]
    pub(crate) fn message_word(&self, thread: Tcb, buffer: Option<u64>, index: u64) -> u64 {
        match MESSAGE_REGISTERS.get(index as usize) {
            Some(register) => thread.register(&self.memory, *register),
            None => self.word_place(buffer, index).map_or(0, |at| self.memory.get(at)),
        }
    }

    /// Sets a word of the thread's message, where it has one.
    #[inline]
    pub(crate) fn set_message_word(&self, thread: Tcb, buffer: Option<u64>, index: u64, word: u64) {
        match MESSAGE_REGISTERS.get(index as usize) {
            Some(register) => thread.set_register(&self.memory, *register, word),
            None => {
                if let Some(at) = self.word_place(buffer, index) {
                    self.memory.set(at, word);
                }
            }
        }
    }

    /// How many of the first `length` words of a message the thread can have.
    #[inline]
    pub(crate) fn room(&self, buffer: Option<u64>, length: u64) -> u64 {
        if buffer.is_some() { length } else { length.min(MESSAGE_REGISTERS.len() as u64) }
    }

    /// Copies a message's words, as many as both threads can have; returns how many.
    #[inline]
    pub(crate) fn copy_words(
        &self,
        (from, source): (Tcb, Option<u64>),
        (to, dest): (Tcb, Option<u64>),
        length: u64,
    ) -> u64 {
        for register in MESSAGE_REGISTERS.iter().take(length as usize) {
            to.set_register(&self.memory, *register, from.register(&self.memory, *register));
        }
        let registers = MESSAGE_REGISTERS.len() as u64;
        if length <= registers {
            return length;
        }
        let (Some(source), Some(dest)) = (source, dest) else { return registers };
        let offset = self.table.number(Number::IpcBufferMsg) + registers * 8;
        self.memory.copy(dest + offset, source + offset, (length - registers) * 8);
        length
    }

    /// The physical address of a word that is in the IPC buffer.
    fn word_place(&self, buffer: Option<u64>, index: u64) -> Option<u64> {
        if index >= self.table.number(Number::MsgMaxLength) {
            return None;
        }
        Some(buffer? + self.table.number(Number::IpcBufferMsg) + index * 8)
    }
}

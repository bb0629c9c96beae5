//! What the builder and the tender agree on.
//!
//! The builder fills a [`Table`] from the same resolved interface that the guest's bindings are rendered
//! from, so that a root task and its tender cannot drift apart: the tender works on its own operation
//! numbers ([`Syscall`], [`Invocation`], [`Kind`]) and decodes what the root task sends through the table.
//! [`payload`] is how tables, settings and root task lie in a single executable.
#![no_std]

mod names;
pub mod payload;

use bytemuck::{Pod, Zeroable};

pub use names::{Invocation, Kind, Number, ParamName, Syscall, param};

/// System calls are numbered -1, -2, …; numbers down to minus this, exclusively, have a place.
pub const SYSCALLS: usize = 64;
/// Labels below this have a place.
pub const LABELS: usize = 192;
/// Object types below this have a place.
pub const KINDS: usize = 32;
/// The most parameters that an invocation has.
pub const PARAMS: usize = 12;

/// One kernel configuration's interface, as the tender needs it, read in place.
///
/// Where a byte stands for an operation, 0 is "this kernel does not have it" and others are the operation's
/// number plus 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Table {
    /// The interface digest (SHA-256), which a root task names in its note.
    pub digest: [u8; 32],
    /// The kernel config's name, padded with zeros.
    pub config: [u8; 48],
    /// The [`Syscall`] with the number `-index`.
    pub syscalls: [u8; SYSCALLS],
    /// The [`Invocation`] of each label.
    pub labels: [u8; LABELS],
    /// The [`Kind`] of object of each type number.
    pub kinds: [u8; KINDS],
    /// Sizes, slots, labels of faults, options, in the order of [`Number::ALL`].
    pub numbers: [u64; Number::COUNT],
    /// How each operation's message looks, in the order of [`Invocation::ALL`].
    pub messages: [Message; Invocation::COUNT],
    /// Fills the last word up.
    pub padding: [u8; PADDING],
}

const PADDING: usize = (8 - (Invocation::COUNT * size_of::<Message>()) % 8) % 8;

/// How the message of an invocation looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Message {
    /// The invocation's label; 0 when this kernel does not have it.
    pub label: u16,
    /// Words that it has.
    pub words: u8,
    /// Extra capabilities that it has.
    pub caps: u8,
    /// Where each parameter is, in the order of the constants in [`param`].
    pub params: [Place; PARAMS],
}

/// Where a parameter travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Place {
    /// [`Place::NOWHERE`], [`Place::CAP`] or [`Place::BITS`].
    pub kind: u8,
    /// The number of the message word, or of the extra capability.
    pub index: u8,
    /// Number of the lowest bit.
    pub shift: u8,
    /// How many bits. Parameters of several words have 64 here and go on in the following words.
    pub bits: u8,
}

impl Place {
    /// This kernel does not have the parameter.
    pub const NOWHERE: u8 = 0;
    /// It is an extra capability.
    pub const CAP: u8 = 1;
    /// It is bits of a message word.
    pub const BITS: u8 = 2;

    /// The parameter's value in the word that it travels in.
    pub fn extract(self, word: u64) -> u64 {
        let value = word >> (self.shift & 63);
        if self.bits >= 64 { value } else { value & ((1 << self.bits) - 1) }
    }
}

impl Table {
    /// The system call with this number.
    pub fn syscall(&self, number: i64) -> Option<Syscall> {
        let index = usize::try_from(number.checked_neg()?).ok()?;
        Syscall::from_number(u64::from(*self.syscalls.get(index)?).checked_sub(1)?)
    }

    /// The operation with this label.
    pub fn invocation(&self, label: u64) -> Option<Invocation> {
        let member = *self.labels.get(usize::try_from(label).ok()?)?;
        Invocation::from_number(u64::from(member).checked_sub(1)?)
    }

    /// The kind of object with this type number.
    pub fn kind(&self, number: u64) -> Option<Kind> {
        Kind::from_number(u64::from(*self.kinds.get(usize::try_from(number).ok()?)?).checked_sub(1)?)
    }

    /// How an operation's message looks.
    pub fn message(&self, invocation: Invocation) -> &Message {
        &self.messages[invocation as usize]
    }

    /// A number of the interface.
    pub fn number(&self, number: Number) -> u64 {
        self.numbers[number as usize]
    }

    /// The release as [`Number::RuleRelease`] has it.
    pub const fn release(first: u64, second: u64) -> u64 {
        first << 8 | second
    }

    /// The kernel config's name.
    pub fn config(&self) -> &str {
        let end = self.config.iter().position(|byte| *byte == 0).unwrap_or(self.config.len());
        core::str::from_utf8(&self.config[..end]).unwrap_or_default()
    }
}

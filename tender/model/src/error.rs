//! Why an invocation or a look-up fails. Numbers and message registers: seL4 Reference Manual, "Error codes".

use core::fmt;

/// Why an invocation fails: an seL4 error with its message registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// Argument number `.0` is wrong.
    InvalidArgument(u64),
    /// Capability number `.0` is wrong; 0 is the invoked one.
    InvalidCapability(u64),
    /// The object or its state does not allow it.
    IllegalOperation,
    /// An argument is not between `min` and `max`.
    Range {
        /// The least value.
        min: u64,
        /// The greatest value.
        max: u64,
    },
    /// An address is not aligned.
    Alignment,
    /// A capability was not found.
    FailedLookup {
        /// It is the source, not the destination.
        source: bool,
        /// Why.
        failure: LookupFailure,
    },
    /// The message is too short, or lacks a capability.
    TruncatedMessage,
    /// Something is there already.
    DeleteFirst,
    /// Something has been derived.
    RevokeFirst,
    /// An untyped has only `.0` bytes left.
    NotEnoughMemory(u64),
}

/// Why a capability was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookupFailure {
    /// What the path begins with is no CNode.
    InvalidRoot,
    /// A slot on the way is empty.
    MissingCapability {
        /// Bits of the address that are left.
        bits_left: u64,
    },
    /// A CNode on the way takes more bits than are left.
    DepthMismatch {
        /// Bits of the address that are left.
        bits_left: u64,
        /// Bits that the CNode takes.
        bits_found: u64,
    },
    /// A guard on the way differs.
    GuardMismatch {
        /// Bits of the address that are left.
        bits_left: u64,
        /// The guard.
        guard_found: u64,
        /// Its bits.
        bits_found: u64,
    },
}

impl Error {
    /// The label of the answer and its message registers.
    pub fn message(self) -> (u64, [u64; 5], usize) {
        match self {
            Self::InvalidArgument(number) => (1, [number, 0, 0, 0, 0], 1),
            Self::InvalidCapability(number) => (2, [number, 0, 0, 0, 0], 1),
            Self::IllegalOperation => (3, [0; 5], 0),
            Self::Range { min, max } => (4, [min, max, 0, 0, 0], 2),
            Self::Alignment => (5, [0; 5], 0),
            Self::FailedLookup { source, failure } => {
                let (words, count) = failure.message();
                (6, [source.into(), words[0], words[1], words[2], words[3]], 1 + count)
            }
            Self::TruncatedMessage => (7, [0; 5], 0),
            Self::DeleteFirst => (8, [0; 5], 0),
            Self::RevokeFirst => (9, [0; 5], 0),
            Self::NotEnoughMemory(left) => (10, [left, 0, 0, 0, 0], 1),
        }
    }
}

impl Error {
    /// The error of an answer with this label and these message registers.
    pub(crate) fn from_message(label: u64, words: [u64; 5]) -> Option<Self> {
        let [first, second, third, fourth, fifth] = words;
        Some(match label {
            1 => Self::InvalidArgument(first),
            2 => Self::InvalidCapability(first),
            3 => Self::IllegalOperation,
            4 => Self::Range { min: first, max: second },
            5 => Self::Alignment,
            6 => Self::FailedLookup {
                source: first != 0,
                failure: LookupFailure::from_message([second, third, fourth, fifth]),
            },
            7 => Self::TruncatedMessage,
            8 => Self::DeleteFirst,
            9 => Self::RevokeFirst,
            10 => Self::NotEnoughMemory(first),
            _ => return None,
        })
    }
}

/// In the words of the trace.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidArgument(number) => write!(f, "InvalidArgument: number {number}"),
            Self::InvalidCapability(number) => write!(f, "InvalidCapability: number {number}"),
            Self::IllegalOperation => write!(f, "IllegalOperation"),
            Self::Range { min, max } => write!(f, "RangeError: not between {min} and {max}"),
            Self::Alignment => write!(f, "AlignmentError"),
            Self::FailedLookup { source, failure } => {
                let which = if *source { "source" } else { "destination" };
                write!(f, "FailedLookup of the {which}: {failure}")
            }
            Self::TruncatedMessage => write!(f, "TruncatedMessage"),
            Self::DeleteFirst => write!(f, "DeleteFirst"),
            Self::RevokeFirst => write!(f, "RevokeFirst"),
            Self::NotEnoughMemory(left) => write!(f, "NotEnoughMemory: {left} bytes are left"),
        }
    }
}

/// In the words of the trace.
impl fmt::Display for LookupFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidRoot => write!(f, "the root is no CNode"),
            Self::MissingCapability { bits_left } => {
                write!(f, "the slot is empty or of another kind, {bits_left} bits are left")
            }
            Self::DepthMismatch { bits_left, bits_found } => {
                write!(f, "a CNode takes {bits_found} bits where {bits_left} are left")
            }
            Self::GuardMismatch { bits_left, guard_found, bits_found } => {
                write!(f, "a guard is {guard_found:#x} in {bits_found} bits, {bits_left} bits are left")
            }
        }
    }
}

impl LookupFailure {
    /// Its message registers: its kind, then what belongs to it.
    pub fn message(self) -> ([u64; 4], usize) {
        match self {
            Self::InvalidRoot => ([1, 0, 0, 0], 1),
            Self::MissingCapability { bits_left } => ([2, bits_left, 0, 0], 2),
            Self::DepthMismatch { bits_left, bits_found } => ([3, bits_left, bits_found, 0], 3),
            Self::GuardMismatch { bits_left, guard_found, bits_found } => {
                ([4, bits_left, guard_found, bits_found], 4)
            }
        }
    }

    /// What [`message`](Self::message) has made these words of; their number follows from the first.
    pub fn from_message(words: [u64; 4]) -> Self {
        match words {
            [1, ..] => Self::InvalidRoot,
            [3, bits_left, bits_found, _] => Self::DepthMismatch { bits_left, bits_found },
            [4, bits_left, guard_found, bits_found] => {
                Self::GuardMismatch { bits_left, guard_found, bits_found }
            }
            [_, bits_left, ..] => Self::MissingCapability { bits_left },
        }
    }
}

//! What can go wrong, with the details that the kernel reports.

use core::fmt;
use selkie_sys::{Word, error as number};

/// What a call of the runtime returns.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Why a call failed: the kernel's errors with their details, and the runtime's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// An argument has a value that is not allowed.
    InvalidArgument {
        /// Which argument, counted from 0 in the order of the message.
        number: Word,
    },
    /// A capability is of the wrong kind, or lacks a right.
    InvalidCapability {
        /// Which capability, 0 being the invoked one.
        number: Word,
    },
    /// The capability does not know this operation, or the object's state does not allow it.
    IllegalOperation,
    /// An argument is outside its range.
    Range {
        /// The least allowed value.
        min: Word,
        /// The greatest allowed value.
        max: Word,
    },
    /// An address is not aligned as it must be.
    Alignment,
    /// A capability address, or an address of a page, leads nowhere.
    FailedLookup {
        /// The source was looked up, not the destination.
        source: bool,
        /// Where the look-up ended.
        failure: LookupFailure,
    },
    /// The message is shorter than the operation needs.
    TruncatedMessage,
    /// The slot, or the place in the address space, is occupied.
    DeleteFirst,
    /// The object still has children.
    RevokeFirst,
    /// The untyped has not enough room.
    NotEnoughMemory {
        /// Bytes that are left.
        available: Word,
    },
    /// An error number that seL4 5.0.0 to 16.0.0 do not have.
    Unknown(Word),
    /// No free slot is left in the function's CNode.
    NoSlots,
    /// No untyped is large enough.
    NoMemory,
    /// No range of addresses is large enough.
    NoAddresses,
    /// Nobody gives time to a thread: the function has no right to, or the kernel has no budgets.
    NoTime,
    /// The function has no such device, or nobody answers for it.
    NoDevice,
}

/// Where a look-up ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LookupFailure {
    /// There is no capability or no paging structure to start from.
    InvalidRoot,
    /// The place is empty.
    MissingCapability {
        /// Bits of the address that were not translated yet.
        bits_left: Word,
    },
    /// The address has too many or too few bits.
    DepthMismatch {
        /// Bits of the address that were not translated yet.
        bits_left: Word,
        /// Bits that the CNode translates.
        bits_found: Word,
    },
    /// The address does not match a CNode's guard.
    GuardMismatch {
        /// Bits of the address that were not translated yet.
        bits_left: Word,
        /// The guard.
        guard: Word,
        /// The guard's size in bits.
        guard_bits: Word,
    },
    /// A kind of failure that seL4 5.0.0 to 16.0.0 do not have.
    Unknown(Word),
}

impl LookupFailure {
    /// Reads a failure from the words that the kernel writes: its kind, then the details.
    pub(crate) fn decode(word: impl Fn(usize) -> Word) -> Self {
        match word(0) {
            1 => Self::InvalidRoot,
            2 => Self::MissingCapability { bits_left: word(1) },
            3 => Self::DepthMismatch { bits_left: word(1), bits_found: word(2) },
            4 => Self::GuardMismatch { bits_left: word(1), guard: word(2), guard_bits: word(3) },
            other => Self::Unknown(other),
        }
    }
}

impl Error {
    /// Reads the error `number` with its details from the message that the kernel answered with.
    pub(crate) fn decode(number: Word, word: impl Fn(usize) -> Word) -> Self {
        match number {
            number::INVALID_ARGUMENT => Self::InvalidArgument { number: word(0) },
            number::INVALID_CAPABILITY => Self::InvalidCapability { number: word(0) },
            number::ILLEGAL_OPERATION => Self::IllegalOperation,
            number::RANGE_ERROR => Self::Range { min: word(0), max: word(1) },
            number::ALIGNMENT_ERROR => Self::Alignment,
            number::FAILED_LOOKUP => Self::FailedLookup {
                source: word(0) != 0,
                failure: LookupFailure::decode(|index| word(index + 1)),
            },
            number::TRUNCATED_MESSAGE => Self::TruncatedMessage,
            number::DELETE_FIRST => Self::DeleteFirst,
            number::REVOKE_FIRST => Self::RevokeFirst,
            number::NOT_ENOUGH_MEMORY => Self::NotEnoughMemory { available: word(0) },
            other => Self::Unknown(other),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidArgument { number } => return write!(f, "argument {number} is not allowed"),
            Self::InvalidCapability { number } => return write!(f, "capability {number} is not suitable"),
            Self::IllegalOperation => "the object does not allow this",
            Self::Range { min, max } => return write!(f, "the value must lie between {min} and {max}"),
            Self::Alignment => "the address is not aligned",
            Self::FailedLookup { .. } => "the address leads nowhere",
            Self::TruncatedMessage => "the message is too short",
            Self::DeleteFirst => "the place is occupied",
            Self::RevokeFirst => "the object still has children",
            Self::NotEnoughMemory { available } => {
                return write!(f, "the untyped has only {available} bytes left");
            }
            Self::Unknown(number) => return write!(f, "the kernel reports error {number}"),
            Self::NoSlots => "no free slot is left",
            Self::NoMemory => "no untyped memory of that size is left",
            Self::NoAddresses => "no range of addresses of that size is left",
            Self::NoTime => "nobody gives time to the thread",
            Self::NoDevice => "there is no such device",
        })
    }
}

impl core::error::Error for Error {}

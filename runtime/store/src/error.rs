//! What can go wrong, as a user of the function reads it.

use core::fmt;

/// A request was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The disk failed. Whether a write was done is not known; reads say what it was before.
    Disk,
    /// There is no room for the value, on the disk or for its key in memory.
    Full,
    /// The key is empty or longer than [`MAX_KEY`](crate::MAX_KEY).
    BadKey,
    /// The value is longer than [`MAX_VALUE`](crate::MAX_VALUE).
    TooLarge,
    /// The condition does not hold.
    Changed,
    /// What the disk holds in the value's place is something else.
    Damaged,
    /// Too many writes wait for the disk.
    Busy,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disk => "the disk failed",
            Self::Full => "there is no room left",
            Self::BadKey => "a key has 1 to 255 bytes",
            Self::TooLarge => "the value is too large",
            Self::Changed => "the value is not the one that the condition names",
            Self::Damaged => "the disk does not hold what was written to it",
            Self::Busy => "too many writes wait for the disk",
        })
    }
}

impl core::error::Error for Error {}

/// A disk cannot be used. Nothing was written to it, unless the disk failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenError {
    /// It failed.
    Disk,
    /// It is too small, or its file system is too full.
    Small,
    /// It is neither empty nor has it a FAT file system.
    Foreign,
    /// Its file system is damaged.
    BadFileSystem,
    /// The free room of its file system is in pieces.
    Fragmented,
    /// It has one of the two files and not the other.
    Half,
    /// Something that was acknowledged cannot be read any more.
    Damaged,
    /// There are more keys than the function has memory for.
    Memory,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disk => "the disk failed",
            Self::Small => "the disk has too little room: it needs 2 MiB at least",
            Self::Foreign => {
                "the disk holds something else than a FAT file system, which is left as it is: take another disk, or \
                 write zeros to its first MiB"
            }
            Self::BadFileSystem => "the disk's file system is damaged: check it with fsck.fat",
            Self::Fragmented => "the free room of the disk's file system is in pieces: take an empty disk",
            Self::Half => {
                "the disk has one of the files KV0.LOG and KV1.LOG and not the other: take both from a copy, or delete \
                 the other one, too, to begin anew"
            }
            Self::Damaged => {
                "the data on the disk is damaged, which is left as it is: take the disk's files KV0.LOG and KV1.LOG \
                 from a copy"
            }
            Self::Memory => "there are more keys than the function has memory for",
        })
    }
}

impl core::error::Error for OpenError {}

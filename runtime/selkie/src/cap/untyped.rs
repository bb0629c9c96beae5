use super::{Place, capability, check};
use crate::error::Result;
use selkie_sys::{self as sys, Word, bits, object, portable};

/// The type of a kernel object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObjectType {
    /// Untyped memory of `2^bits` bytes.
    Untyped {
        /// Its size in bits.
        bits: u8,
    },
    /// A thread.
    Tcb,
    /// An endpoint.
    Endpoint,
    /// A notification.
    Notification,
    /// A table of `2^bits` slots.
    CNode {
        /// The number of slots in bits.
        bits: u8,
    },
    /// A page of 4 KiB.
    Page,
    /// A page of 2 MiB.
    LargePage,
    /// The paging structure that holds pages of 4 KiB.
    PageTable,
    /// The paging structure above page tables.
    PageDirectory,
    /// The paging structure above page directories.
    Pdpt,
    /// The root of an address space.
    Pml4,
    /// Time for a thread, on a kernel with MCS: of `2^bits` bytes, 7 at least.
    SchedContext {
        /// Its size in bits: a larger one remembers more of what was used.
        bits: u8,
    },
    /// The way back to a caller, on a kernel with MCS.
    Reply,
}

impl ObjectType {
    /// The kernel's number for the type.
    pub const fn number(self) -> Word {
        match self {
            Self::Untyped { .. } => object::UNTYPED,
            Self::Tcb => object::TCB,
            Self::Endpoint => object::ENDPOINT,
            Self::Notification => object::NOTIFICATION,
            Self::CNode { .. } => object::CNODE,
            Self::Page => object::PAGE_4K,
            Self::LargePage => object::LARGE_PAGE,
            Self::PageTable => object::PAGE_TABLE,
            Self::PageDirectory => object::PAGE_DIRECTORY,
            Self::Pdpt => object::PDPT,
            Self::Pml4 => object::PML4,
            Self::SchedContext { .. } => portable::object::SCHED_CONTEXT,
            Self::Reply => portable::object::REPLY,
        }
    }

    /// The size of an object of this type: `2^bits` bytes, at an address that is a multiple of that.
    pub const fn bits(self) -> u8 {
        match self {
            Self::Untyped { bits } | Self::SchedContext { bits } => bits,
            Self::Tcb => bits::TCB as u8,
            Self::Endpoint => bits::ENDPOINT as u8,
            Self::Notification => bits::NOTIFICATION as u8,
            Self::CNode { bits } => bits.saturating_add(bits::SLOT as u8),
            Self::Page => bits::PAGE as u8,
            Self::LargePage => bits::LARGE_PAGE as u8,
            Self::PageTable => bits::PAGE_TABLE as u8,
            Self::PageDirectory => bits::PAGE_DIRECTORY as u8,
            Self::Pdpt => bits::PDPT as u8,
            Self::Pml4 => bits::PML4 as u8,
            Self::Reply => portable::object::REPLY_BITS as u8,
        }
    }

    /// What the kernel wants to know of the size: nothing unless the type has several.
    pub const fn size_argument(self) -> Word {
        match self {
            Self::Untyped { bits } | Self::CNode { bits } | Self::SchedContext { bits } => bits as Word,
            _ => 0,
        }
    }
}

capability! {
    /// Memory that objects are made of.
    Untyped
}

impl Untyped {
    /// Makes `count` objects and puts their capabilities into the CNode at `node`, from slot `offset` on.
    /// Those slots must be empty.
    pub fn retype(self, object: ObjectType, node: Place, offset: Word, count: usize) -> Result<()> {
        self.retype_raw(object.number(), object.size_argument(), node, offset, count as Word)
    }

    /// Like [`retype`](Self::retype), with the kernel's own numbers for type and size.
    pub fn retype_raw(self, number: Word, size: Word, node: Place, offset: Word, count: Word) -> Result<()> {
        let (root, index, depth) = (super::Capability::slot(node.root).0, node.index, Word::from(node.depth));
        // SAFETY: the kernel makes objects only of memory that nobody uses.
        check(unsafe { sys::untyped_retype(self.0.0, number, size, root, index, depth, offset, count) })
    }
}

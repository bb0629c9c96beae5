use super::{Capability, capability, check};
use crate::error::Result;
use selkie_sys::{self as sys, Word};

/// A slot of the function's own CNode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Slot(pub Word);

impl Slot {
    /// The slot that never holds a capability. Where a capability is optional, it means none.
    pub const NULL: Self = Self(0);

    /// The slot `index` places further on.
    pub const fn offset(self, index: usize) -> Self {
        Self(self.0 + index as Word)
    }

    /// The slot as a place that CNode operations work on.
    pub const fn place(self) -> Place {
        Place { root: CNode::OWN, index: self.0, depth: 64 }
    }
}

capability! {
    /// A table of slots that hold capabilities.
    CNode
}

impl CNode {
    /// The function's own CNode.
    pub const OWN: Self = Self(Slot(sys::slot::CNODE));

    /// The place that is found by translating the low `depth` bits of `index`, from this CNode on.
    pub const fn place(self, index: Word, depth: u8) -> Place {
        Place { root: self, index, depth }
    }

    /// The data word that gives a CNode capability a guard: of `bits` bits, with the value `guard`. It
    /// is passed where a badge would be ([`Place::mint`], [`Place::mutate`], [`Space`](super::Space)).
    pub fn guard(guard: Word, bits: u8) -> Word {
        sys::CNodeGuard::new(guard, Word::from(bits)).0
    }
}

/// What may be done with a capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Rights(u8);

impl Rights {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Sending to, signalling, writing.
    pub const WRITE: Self = Self(1);
    /// Receiving, waiting, reading.
    pub const READ: Self = Self(2);
    /// Sending capabilities along, and calling.
    pub const GRANT: Self = Self(4);
    /// Reading and writing.
    pub const READ_WRITE: Self = Self(3);
    /// Calling, and no sending of capabilities along. From seL4 11 on; before that a call needs
    /// [`GRANT`](Self::GRANT) there.
    pub const GRANT_REPLY: Self = Self(8);
    /// Everything.
    pub const ALL: Self = Self(15);

    /// Both sets together.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The set as the kernel writes it.
    pub(crate) const fn raw(self) -> sys::CapRights {
        sys::CapRights(self.0 as sys::Word)
    }
}

/// A slot of any CNode: how to find it, starting from a CNode that the function has a capability to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Where to start.
    pub root: CNode,
    /// The address.
    pub index: Word,
    /// How many bits of the address to translate.
    pub depth: u8,
}

impl Place {
    fn parts(self) -> (Word, Word, u8) {
        (self.root.slot().0, self.index, self.depth)
    }

    /// Copies the capability at `source` to this empty place, with at most `rights`.
    pub fn copy(self, source: Place, rights: Rights) -> Result<()> {
        let ((root, index, depth), (from, source, bits)) = (self.parts(), source.parts());
        // SAFETY: no capability operation but unmapping changes memory that Rust code knows of.
        check(unsafe { sys::cnode_copy(root, index, depth, from, source, bits, rights.raw()) })
    }

    /// Copies the capability at `source` to this empty place, with at most `rights` and with `badge` (an
    /// endpoint or notification without one) or guard ([`CNode::guard`], a CNode).
    pub fn mint(self, source: Place, rights: Rights, badge: Word) -> Result<()> {
        let ((root, index, depth), (from, source, bits)) = (self.parts(), source.parts());
        // SAFETY: as for `copy`.
        check(unsafe { sys::cnode_mint(root, index, depth, from, source, bits, rights.raw(), badge) })
    }

    /// Moves the capability at `source` to this empty place.
    #[doc(alias = "move")]
    pub fn take(self, source: Place) -> Result<()> {
        let ((root, index, depth), (from, source, bits)) = (self.parts(), source.parts());
        // SAFETY: as for `copy`.
        check(unsafe { sys::cnode_move(root, index, depth, from, source, bits) })
    }

    /// Moves the capability at `source` to this empty place and gives it a guard (a CNode). seL4 5.0.0
    /// refuses to move endpoints and notifications this way, and no release changes a badge.
    pub fn mutate(self, source: Place, badge: Word) -> Result<()> {
        let ((root, index, depth), (from, source, bits)) = (self.parts(), source.parts());
        // SAFETY: as for `copy`.
        check(unsafe { sys::cnode_mutate(root, index, depth, from, source, bits, badge) })
    }

    /// Moves the capability at `pivot` to this place and the one at `source` to `pivot`, each with a new
    /// guard (0 for what has none). What [`mutate`](Self::mutate) refuses is refused here. This place is empty, or is `source` itself.
    pub fn rotate(self, badge: Word, pivot: Place, pivot_badge: Word, source: Place) -> Result<()> {
        let (root, index, depth) = self.parts();
        let ((pivot, pivot_index, pivot_depth), (from, source, bits)) = (pivot.parts(), source.parts());
        // SAFETY: as for `copy`.
        check(unsafe {
            sys::cnode_rotate(
                root,
                index,
                depth,
                badge,
                pivot,
                pivot_index,
                pivot_depth,
                pivot_badge,
                from,
                source,
                bits,
            )
        })
    }

    /// Deletes the capability here. The object goes with its last capability.
    pub fn delete(self) -> Result<()> {
        let (root, index, depth) = self.parts();
        // SAFETY: what is unmapped by it is no memory of Rust's unless the caller says so; a wrong
        // deletion ends in a fault.
        check(unsafe { sys::cnode_delete(root, index, depth) })
    }

    /// Deletes all capabilities that were derived from the one here.
    pub fn revoke(self) -> Result<()> {
        let (root, index, depth) = self.parts();
        // SAFETY: as for `delete`.
        check(unsafe { sys::cnode_revoke(root, index, depth) })
    }

    /// Cancels all sends that wait at the endpoint here with the badge of the capability here.
    pub fn cancel_badged_sends(self) -> Result<()> {
        let (root, index, depth) = self.parts();
        // SAFETY: as for `copy`.
        check(unsafe { sys::cnode_cancel_badged_sends(root, index, depth) })
    }

    /// Moves the reply capability of the last call that was received to this empty place. A kernel with MCS does not
    /// do this: there and elsewhere, a [`Caller`](super::Caller) keeps the way back.
    pub fn save_caller(self) -> Result<()> {
        let (root, index, depth) = self.parts();
        // SAFETY: as for `copy`.
        check(unsafe { sys::portable::save_caller(root, index, depth) })
    }
}

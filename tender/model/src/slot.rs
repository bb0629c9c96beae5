//! Slots, and the derivation list that they form.

use crate::{Cap, Memory};

/// A slot of a CNode or TCB: 32 bytes of physical memory, a capability and its place in the derivation list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(pub u64);

/// The place of a capability in the derivation list: all capabilities lie in one list per origin, each
/// directly before what was derived from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mdb {
    /// The slot before; 0 when there is none.
    pub prev: u64,
    /// The slot after; 0 when there is none.
    pub next: u64,
    /// Others may have been derived from it.
    pub revocable: bool,
    /// It is the first one with its badge.
    pub first_badged: bool,
}

impl Slot {
    /// Bytes of a slot.
    pub const SIZE: u64 = 32;

    /// The capability in the slot.
    #[inline]
    pub fn cap(self, memory: &Memory<'_>) -> Cap {
        Cap::decode([memory.get(self.0), memory.get(self.0 + 8)])
    }

    /// Replaces the capability, not its place in the derivation list.
    #[inline]
    pub fn set_cap(self, memory: &Memory<'_>, cap: Cap) {
        let [low, high] = cap.encode();
        memory.set(self.0, low);
        memory.set(self.0 + 8, high);
    }

    /// The place in the derivation list.
    pub fn mdb(self, memory: &Memory<'_>) -> Mdb {
        let (prev, next) = (memory.get(self.0 + 16), memory.get(self.0 + 24));
        Mdb { prev, next: next & !3, revocable: next & 2 != 0, first_badged: next & 1 != 0 }
    }

    /// Sets the place in the derivation list.
    pub fn set_mdb(self, memory: &Memory<'_>, mdb: Mdb) {
        memory.set(self.0 + 16, mdb.prev);
        memory.set(self.0 + 24, mdb.next | u64::from(mdb.revocable) << 1 | u64::from(mdb.first_badged));
    }

    /// Whether no capability is in it.
    pub fn is_empty(self, memory: &Memory<'_>) -> bool {
        self.cap(memory) == Cap::Null
    }
}

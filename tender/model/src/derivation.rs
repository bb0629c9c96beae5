//! The derivation list: what was made from what.

use crate::{Cap, Error, Host, Kernel, Mdb, Rights, Slot, cspace::low_bits, rules::is_since};
use selkie_tender_table::{Number, Table};

/// Bits of the size of each paging structure, the root of an address space among them.
pub(crate) const PAGING_BITS: u8 = 12;

impl Cap {
    /// Physical memory that the capability stands for: its first address and its size as a power of two.
    /// `None` for capabilities that revoking an untyped does not reach by themselves.
    pub(crate) fn object(self, table: &Table) -> Option<(u64, u64)> {
        let bits = |number| table.number(number);
        Some(match self {
            Self::Untyped { address, bits, .. } => (address, bits.into()),
            Self::Endpoint { address, .. } => (address, bits(Number::EndpointBits)),
            Self::Notification { address, .. } => (address, bits(Number::NotificationBits)),
            Self::CNode { address, radix, .. } | Self::Zombie { address, radix: Some(radix), .. } => {
                (address, bits(Number::SlotBits) + u64::from(radix))
            }
            Self::Thread { tcb: address } | Self::Zombie { address, radix: None, .. } => {
                (address, bits(Number::TcbBits))
            }
            Self::AsidPool { address, .. } => (address, bits(Number::AsidPoolBits)),
            Self::ReplyObject { address, .. } => (address, bits(Number::ReplyBits)),
            Self::SchedContext { address, bits } => (address, bits.into()),
            Self::Frame { address, size, .. } => (address, size.bits().into()),
            Self::PageTable { address, .. }
            | Self::PageDirectory { address, .. }
            | Self::Pdpt { address, .. }
            | Self::Pml4 { address, .. } => (address, PAGING_BITS.into()),
            Self::Null
            | Self::Reply { .. }
            | Self::Domain
            | Self::IrqControl
            | Self::IrqHandler { .. }
            | Self::IoPort { .. }
            | Self::IoPortControl
            | Self::SchedControl
            | Self::AsidControl => return None,
        })
    }

    /// Whether what `other` stands for is part of what this capability stands for.
    fn covers(self, other: Self, table: &Table) -> bool {
        match (self, other) {
            (Self::Untyped { .. } | Self::Frame { .. }, _) => {
                let comparable = matches!((self, other), (Self::Untyped { .. }, _) | (_, Self::Frame { .. }));
                let (Some((start, bits)), Some((inner, inner_bits))) =
                    (self.object(table), other.object(table))
                else {
                    return false;
                };
                comparable && start <= inner && inner + (1 << inner_bits) <= start + (1 << bits)
            }
            (Self::Endpoint { address: a, .. }, Self::Endpoint { address: b, .. })
            | (Self::Notification { address: a, .. }, Self::Notification { address: b, .. })
            | (Self::Thread { tcb: a }, Self::Thread { tcb: b })
            | (Self::Reply { tcb: a, .. }, Self::Reply { tcb: b, .. })
            | (Self::ReplyObject { address: a, .. }, Self::ReplyObject { address: b, .. })
            | (Self::AsidPool { address: a, .. }, Self::AsidPool { address: b, .. })
            | (Self::PageTable { address: a, .. }, Self::PageTable { address: b, .. })
            | (Self::PageDirectory { address: a, .. }, Self::PageDirectory { address: b, .. })
            | (Self::Pdpt { address: a, .. }, Self::Pdpt { address: b, .. })
            | (Self::Pml4 { address: a, .. }, Self::Pml4 { address: b, .. }) => a == b,
            (Self::CNode { address: a, radix: x, .. }, Self::CNode { address: b, radix: y, .. }) => {
                a == b && x == y
            }
            (Self::IrqHandler { irq: a }, Self::IrqHandler { irq: b }) => a == b,
            (Self::SchedContext { address: a, bits: x }, Self::SchedContext { address: b, bits: y }) => {
                a == b && x == y
            }
            (Self::IoPort { first: a, last: x }, Self::IoPort { first: b, last: y }) => {
                if is_since(table, 10, 0) { a == b && x == y } else { a <= b && x >= y }
            }
            (Self::Domain, Self::Domain)
            | (Self::SchedControl, Self::SchedControl)
            | (Self::IoPortControl, Self::IoPortControl | Self::IoPort { .. })
            | (Self::AsidControl, Self::AsidControl)
            | (Self::IrqControl, Self::IrqControl | Self::IrqHandler { .. }) => true,
            _ => false,
        }
    }

    /// The badge, for those capabilities that have one.
    fn badge(self) -> Option<u64> {
        match self {
            Self::Endpoint { badge, .. } | Self::Notification { badge, .. } => Some(badge),
            _ => None,
        }
    }
}

impl<H: Host> Kernel<'_, H> {
    /// Puts `cap`, made from what is in `source`, into the empty slot `dest`.
    pub(crate) fn insert(&self, cap: Cap, source: Slot, dest: Slot) {
        let memory = &self.memory;
        let (origin, origin_mdb) = (source.cap(memory), source.mdb(memory));
        let revocable = match cap {
            Cap::Untyped { .. } => true,
            Cap::IrqHandler { .. } => origin == Cap::IrqControl,
            Cap::IoPort { .. } => origin == Cap::IoPortControl,
            _ => cap.badge() != origin.badge(),
        };
        // Two untypeds for the same memory: only the new one may be used, or objects would overlap.
        if let (
            Cap::Untyped { address, bits, dirty, device, .. },
            Cap::Untyped { address: new, bits: new_bits, .. },
        ) = (origin, cap)
            && (address, bits) == (new, new_bits)
        {
            source.set_cap(memory, Cap::Untyped { address, bits, used: 1 << bits, dirty, device });
        }
        dest.set_cap(memory, cap);
        self.link_after(source, dest, Mdb { revocable, first_badged: revocable, ..origin_mdb });
    }

    /// Puts `cap`, a capability to an object that has been made in the untyped `parent`, into the empty
    /// slot `dest`.
    pub(crate) fn insert_new(&self, cap: Cap, parent: Slot, dest: Slot) {
        dest.set_cap(&self.memory, cap);
        let mdb = Mdb { revocable: true, first_badged: true, ..parent.mdb(&self.memory) };
        self.link_after(parent, dest, mdb);
    }

    /// Puts `slot`, with the flags of `mdb`, directly after `before`, whose next slot is that of `mdb`.
    fn link_after(&self, before: Slot, slot: Slot, mdb: Mdb) {
        slot.set_mdb(&self.memory, Mdb { prev: before.0, ..mdb });
        self.set_next(before.0, slot.0);
        self.set_prev(mdb.next, slot.0);
    }

    /// Moves what is in `source` to the empty slot `dest`, as `cap`.
    pub(crate) fn move_cap(&self, cap: Cap, source: Slot, dest: Slot) {
        let mdb = source.mdb(&self.memory);
        dest.set_cap(&self.memory, cap);
        dest.set_mdb(&self.memory, mdb);
        source.set_cap(&self.memory, Cap::Null);
        source.set_mdb(&self.memory, Mdb::default());
        self.set_next(mdb.prev, dest.0);
        self.set_prev(mdb.next, dest.0);
    }

    /// Puts `a_cap`, made of what is in `a`, into `b`, and `b_cap`, made of what is in `b`, into `a`.
    pub(crate) fn swap_caps(&self, a_cap: Cap, a: Slot, b_cap: Cap, b: Slot) {
        a.set_cap(&self.memory, b_cap);
        b.set_cap(&self.memory, a_cap);
        // The second place is read after the neighbours of the first have been changed: the two slots may
        // be neighbours themselves.
        let a_mdb = a.mdb(&self.memory);
        self.set_next(a_mdb.prev, b.0);
        self.set_prev(a_mdb.next, b.0);
        let b_mdb = b.mdb(&self.memory);
        a.set_mdb(&self.memory, b_mdb);
        b.set_mdb(&self.memory, a_mdb);
        self.set_next(b_mdb.prev, a.0);
        self.set_prev(b_mdb.next, a.0);
    }

    /// Takes what is in the slot out of the derivation list, and out of the slot.
    pub(crate) fn empty_slot(&self, slot: Slot) {
        if slot.is_empty(&self.memory) {
            return;
        }
        let mdb = slot.mdb(&self.memory);
        self.hand_back(slot.cap(&self.memory), mdb.prev);
        self.set_next(mdb.prev, mdb.next);
        if mdb.next != 0 {
            let next = Slot(mdb.next);
            let next_mdb = next.mdb(&self.memory);
            let first_badged = next_mdb.first_badged || mdb.first_badged;
            next.set_mdb(&self.memory, Mdb { prev: mdb.prev, first_badged, ..next_mdb });
        }
        slot.set_cap(&self.memory, Cap::Null);
        slot.set_mdb(&self.memory, Mdb::default());
    }

    /// Tells the untyped that the untyped `cap` was made of how much of it may be other than zero. The way
    /// to it goes back in the derivation list from the slot `before` on.
    fn hand_back(&self, cap: Cap, mut before: u64) {
        let Cap::Untyped { address, dirty: dirty @ 1.., device: false, .. } = cap else { return };
        while before != 0 {
            let slot = Slot(before);
            let origin = slot.cap(&self.memory);
            if let Cap::Untyped { address: start, bits, used, dirty: own, device } = origin
                && origin.covers(cap, self.table)
            {
                let dirty = own.max(address - start + dirty);
                return slot
                    .set_cap(&self.memory, Cap::Untyped { address: start, bits, used, dirty, device });
            }
            before = slot.mdb(&self.memory).prev;
        }
    }

    /// Whether the capability in `child` was derived from the one in `parent`, given that it comes after it
    /// in the derivation list and all between them were.
    pub(crate) fn is_parent(&self, parent: Slot, child: Slot) -> bool {
        let (cap, child_cap) = (parent.cap(&self.memory), child.cap(&self.memory));
        if !parent.mdb(&self.memory).revocable || !cap.covers(child_cap, self.table) {
            return false;
        }
        match cap.badge() {
            None | Some(0) => true,
            badge => badge == child_cap.badge() && !child.mdb(&self.memory).first_badged,
        }
    }

    /// The slot after this one in the derivation list, when what is in it was derived from this one.
    pub(crate) fn first_child(&self, slot: Slot) -> Option<Slot> {
        let next = Slot(slot.mdb(&self.memory).next);
        (next.0 != 0 && self.is_parent(slot, next)).then_some(next)
    }

    /// Whether no other capability is to the same object.
    pub(crate) fn is_last(&self, slot: Slot) -> bool {
        let (cap, mdb) = (slot.cap(&self.memory), slot.mdb(&self.memory));
        let same_before = mdb.prev != 0 && self.same_object(Slot(mdb.prev).cap(&self.memory), cap);
        let same_after = mdb.next != 0 && self.same_object(cap, Slot(mdb.next).cap(&self.memory));
        !same_before && !same_after
    }

    /// What a copy of `cap`, which is in `slot` or has been made from what is there, is; fails when it
    /// cannot be copied. `Null` when there is nothing to copy.
    pub(crate) fn derive(&self, slot: Slot, cap: Cap) -> Result<Cap, Error> {
        match cap {
            Cap::Zombie { .. } | Cap::IrqControl | Cap::IoPortControl | Cap::Reply { .. } => Ok(Cap::Null),
            Cap::Untyped { .. } => self.ensure_no_children(slot).map(|()| cap),
            Cap::PageTable { mapped: None, .. }
            | Cap::PageDirectory { mapped: None, .. }
            | Cap::Pdpt { mapped: None, .. }
            | Cap::Pml4 { asid: 0, .. } => Err(Error::IllegalOperation),
            Cap::Frame { address, size, write, read, device, .. } => {
                Ok(Cap::Frame { address, size, write, read, device, mapped: None })
            }
            _ => Ok(cap),
        }
    }

    /// Fails unless the slot is empty.
    pub(crate) fn ensure_empty(&self, slot: Slot) -> Result<(), Error> {
        if slot.is_empty(&self.memory) { Ok(()) } else { Err(Error::DeleteFirst) }
    }

    /// Fails when something was derived from what is in the slot.
    pub(crate) fn ensure_no_children(&self, slot: Slot) -> Result<(), Error> {
        if self.first_child(slot).is_none() { Ok(()) } else { Err(Error::RevokeFirst) }
    }

    /// Whether both are capabilities to one object. It makes a difference which comes first in the
    /// derivation list.
    pub(crate) fn same_object(&self, a: Cap, b: Cap) -> bool {
        match (a, b) {
            (Cap::Untyped { .. }, _)
            | (Cap::IrqControl, Cap::IrqHandler { .. })
            | (Cap::IoPortControl, Cap::IoPort { .. }) => false,
            (Cap::IoPort { .. }, Cap::IoPort { .. }) if !self.since(10, 0) => true,
            // A frame of a device has no address of one that is not.
            (Cap::Frame { address: a, size: x, .. }, Cap::Frame { address: b, size: y, .. }) => {
                a == b && x == y
            }
            _ => a.covers(b, self.table),
        }
    }

    /// `cap` with no more rights than `rights`.
    pub(crate) fn mask_rights(&self, cap: Cap, rights: Rights) -> Cap {
        match cap {
            Cap::Endpoint { address, badge, rights: own } => {
                Cap::Endpoint { address, badge, rights: own.and(rights) }
            }
            Cap::Notification { address, badge, rights: own } => {
                Cap::Notification { address, badge, rights: own.and(rights) }
            }
            Cap::ReplyObject { address, grant } => Cap::ReplyObject { address, grant: grant && rights.grant },
            Cap::Frame { address, size, write, read, device, mapped } => {
                let read = read && rights.read;
                Cap::Frame { address, size, write: write && read && rights.write, read, device, mapped }
            }
            _ => cap,
        }
    }

    /// `cap` with the badge, guard or port range `data`; `preserve` for Mutate and Rotate, which change no
    /// badge. `Null` when that is not possible.
    pub(crate) fn with_data(&self, cap: Cap, data: u64, preserve: bool) -> Cap {
        match cap {
            Cap::Endpoint { address, badge: 0, rights } if !preserve => {
                let badge = low_bits(data, self.table.number(Number::RuleBadgeBits));
                Cap::Endpoint { address, badge, rights }
            }
            Cap::Notification { address, badge: 0, rights } if !preserve => {
                Cap::Notification { address, badge: data, rights }
            }
            Cap::Endpoint { .. } | Cap::Notification { .. } => Cap::Null,
            Cap::CNode { address, radix, .. } => {
                let (guard, guard_bits) = self.guard(data);
                if u64::from(guard_bits) + u64::from(radix) > 64 {
                    return Cap::Null;
                }
                Cap::CNode { address, radix, guard, guard_bits }
            }
            Cap::IoPort { first, last } if !self.since(10, 0) => {
                let (new_first, new_last) = ((data >> 16) as u16, data as u16);
                if new_first > new_last || new_first < first || new_last > last {
                    return Cap::Null;
                }
                Cap::IoPort { first: new_first, last: new_last }
            }
            _ => cap,
        }
    }

    /// A guard and its bits, as Mint, Mutate and TCB_Configure take them.
    fn guard(&self, data: u64) -> (u64, u8) {
        let rule = |number| self.table.number(number);
        let bits = low_bits(data >> (rule(Number::RuleGuardSizeShift) & 63), 6);
        let guard = low_bits(data >> (rule(Number::RuleGuardShift) & 63), rule(Number::RuleGuardBits));
        (low_bits(guard, bits), bits as u8)
    }

    fn set_next(&self, slot: u64, next: u64) {
        if slot != 0 {
            let mdb = Slot(slot).mdb(&self.memory);
            Slot(slot).set_mdb(&self.memory, Mdb { next, ..mdb });
        }
    }

    fn set_prev(&self, slot: u64, prev: u64) {
        if slot != 0 {
            let mdb = Slot(slot).mdb(&self.memory);
            Slot(slot).set_mdb(&self.memory, Mdb { prev, ..mdb });
        }
    }
}

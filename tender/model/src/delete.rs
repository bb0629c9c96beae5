//! Deleting and revoking capabilities, and what becomes of their objects.
//!
//! A CNode or TCB whose last capability goes away takes the capabilities in its slots along. Meanwhile that
//! last capability is a [`Cap::Zombie`], which counts the slots that are left. Such a slot may hold the last
//! capability to another CNode, or to this very one: such a zombie is not followed, but swapped into the
//! first slot of its own CNode, so that no chain of CNodes makes this recurse deeper than once. There it is
//! out of everybody's reach, and keeps its memory until an untyped that it came from is revoked.

use crate::{Cap, Host, Kernel, SchedContext, Slot, Tcb, reply::Reply};

impl<H: Host> Kernel<'_, H> {
    /// Deletes what is in the slot; the object too, when it was the last capability to it.
    pub(crate) fn delete(&mut self, slot: Slot) {
        self.finalise_slot(slot, true);
        self.empty_slot(slot);
    }

    /// Deletes everything that was derived from what is in the slot.
    pub(crate) fn revoke(&mut self, slot: Slot) {
        while let Some(child) = self.first_child(slot) {
            self.delete(child);
        }
    }

    /// Works on what is in the slot until the slot can be emptied. A slot that is not `exposed` belongs to a
    /// zombie that another call works on; then a zombie that ends up in a slot of its own is left there, and
    /// the answer is `false`.
    fn finalise_slot(&mut self, slot: Slot, exposed: bool) -> bool {
        loop {
            let cap = slot.cap(&self.memory);
            let last = self.is_last(slot);
            let rest = self.finalise(cap, last);
            let Cap::Zombie { address, radix, left } = rest else { return true };
            let own = address == slot.0;
            if left == 0 || left == 1 && own {
                return true;
            }
            slot.set_cap(&self.memory, rest);
            if exposed {
                self.empty_last_slot(slot, address, radix, left);
            } else if own {
                return false;
            } else {
                self.swap_out(slot, Slot(address));
            }
        }
    }

    /// Deletes what is in the last slot that is left of the zombie in `slot`.
    fn empty_last_slot(&mut self, slot: Slot, address: u64, radix: Option<u8>, left: u64) {
        let end = Slot(address + (left - 1) * Slot::SIZE);
        if self.finalise_slot(end, false) {
            self.empty_slot(end);
        }
        // Otherwise another zombie has been swapped into this slot, or what was here is gone altogether.
        if slot.cap(&self.memory) == (Cap::Zombie { address, radix, left }) {
            slot.set_cap(&self.memory, Cap::Zombie { address, radix, left: left - 1 });
        }
    }

    /// Swaps the zombie in `slot` with what is in its own first slot: afterwards it is there, and `slot` has
    /// something else to delete.
    fn swap_out(&self, slot: Slot, first: Slot) {
        let (zombie, other) = (slot.cap(&self.memory), first.cap(&self.memory));
        self.swap_caps(other, first, zombie, slot);
    }

    /// Ends what the capability's object does, when this is the `last` capability to it. Answers with what
    /// the capability has become: nothing, or a zombie.
    ///
    /// On seL4 5 only the last capability to a page unmaps it, on later ones each unmaps what it has mapped.
    fn finalise(&mut self, cap: Cap, last: bool) -> Cap {
        if let Cap::Zombie { .. } = cap {
            return cap;
        }
        if !last {
            if self.since(10, 0) && matches!(cap, Cap::Frame { .. }) {
                self.unmap_cap(cap);
            }
            return Cap::Null;
        }
        match cap {
            Cap::Endpoint { address, .. } => self.cancel_all_messages(address),
            Cap::Notification { address, .. } => {
                if self.is_mcs() {
                    self.unbind_notification_budget(address);
                }
                self.unbind_notification(address);
                self.cancel_all_signals(address);
            }
            Cap::CNode { address, radix, .. } => {
                return Cap::Zombie { address, radix: Some(radix), left: 1 << radix };
            }
            Cap::Thread { tcb } => {
                self.unbind_thread(Tcb(tcb));
                if self.is_mcs() {
                    self.leave_budget(Tcb(tcb));
                }
                self.suspend(Tcb(tcb));
                return Cap::Zombie { address: tcb, radix: None, left: Tcb::SLOTS };
            }
            Cap::SchedContext { address, .. } => self.finalise_budget(SchedContext(address)),
            Cap::ReplyObject { address, .. } => self.finalise_reply(Reply(address)),
            Cap::IrqHandler { irq } => self.release_irq(irq),
            Cap::AsidPool { .. }
            | Cap::Frame { .. }
            | Cap::PageTable { .. }
            | Cap::PageDirectory { .. }
            | Cap::Pdpt { .. }
            | Cap::Pml4 { .. } => self.unmap_cap(cap),
            Cap::Null
            | Cap::Untyped { .. }
            | Cap::Reply { .. }
            | Cap::Domain
            | Cap::IrqControl
            | Cap::SchedControl
            | Cap::IoPortControl
            | Cap::IoPort { .. }
            | Cap::AsidControl
            | Cap::Zombie { .. } => {}
        }
        Cap::Null
    }
}

//! Invocations of CNodes.

use crate::{
    Cap, Error, Host, Kernel, LookupFailure, Rights, Slot,
    request::{Answer, Request},
};
use selkie_tender_table::{Invocation, param};

impl<H: Host> Kernel<'_, H> {
    /// Serves an invocation of a CNode.
    pub(crate) fn invoke_cnode(&mut self, request: &Request) -> Result<Answer, Error> {
        use Invocation as I;
        let Some(invocation) = request.invocation else { return Err(Error::IllegalOperation) };
        // All of them name their first slot the same way.
        let dest = match invocation {
            I::CNodeRevoke
            | I::CNodeDelete
            | I::CNodeCancelBadgedSends
            | I::CNodeCopy
            | I::CNodeMint
            | I::CNodeMove
            | I::CNodeMutate
            | I::CNodeRotate
            | I::CNodeSaveCaller => self.first_slot(request)?,
            _ => return Err(Error::IllegalOperation),
        };
        match invocation {
            I::CNodeRevoke => self.revoke(dest),
            I::CNodeDelete => self.delete(dest),
            I::CNodeCancelBadgedSends => self.cancel_sends_of(dest)?,
            I::CNodeRotate => self.rotate(request, dest)?,
            I::CNodeSaveCaller => self.save_caller(request, dest)?,
            _ => self.fill(request, invocation, dest)?,
        }
        Ok(Answer::Empty)
    }

    /// The slot that an invocation of a CNode names in this CNode.
    fn first_slot(&self, request: &Request) -> Result<Slot, Error> {
        if request.length < 2 {
            return Err(Error::TruncatedMessage);
        }
        let index = request.whole_word(self, param::cnode_delete::INDEX);
        let depth = request.whole_word(self, param::cnode_delete::DEPTH);
        self.lookup_slot(request.cap, index, depth, false)
    }

    /// Serves Copy, Mint, Move and Mutate, which fill the empty slot `dest`. They name their source alike.
    fn fill(&mut self, request: &Request, invocation: Invocation, dest: Slot) -> Result<(), Error> {
        use param::cnode_mint as mint;
        let root = request.extra[0].filter(|_| request.length >= 4).ok_or(Error::TruncatedMessage)?;
        let index = request.whole_word(self, mint::SRC_INDEX);
        let depth = request.whole_word(self, mint::SRC_DEPTH);
        self.ensure_empty(dest)?;
        let source = self.lookup_slot(root.cap(&self.memory), index, depth, true)?;
        let cap = self.present(source, depth, true)?;
        if request.length < self.table.message(invocation).words.into() {
            return Err(Error::TruncatedMessage);
        }
        let (new, moves) = match invocation {
            Invocation::CNodeMove => (cap, true),
            Invocation::CNodeMutate => {
                (self.with_data(cap, request.whole_word(self, param::cnode_mutate::BADGE), true), true)
            }
            _ => {
                let rights = self.rights(request.whole_word(self, mint::RIGHTS));
                let mut new = self.mask_rights(cap, rights);
                if invocation == Invocation::CNodeMint {
                    new = self.with_data(new, request.whole_word(self, mint::BADGE), false);
                }
                (self.derive(source, new)?, false)
            }
        };
        if new == Cap::Null {
            return Err(Error::IllegalOperation);
        }
        if moves {
            self.move_cap(new, source, dest);
        } else {
            self.insert(new, source, dest);
        }
        Ok(())
    }

    /// Serves Rotate: what is in the pivot moves to `dest`, what is in the source to the pivot.
    fn rotate(&mut self, request: &Request, dest: Slot) -> Result<(), Error> {
        use param::cnode_rotate as rotate;
        let words = self.table.message(Invocation::CNodeRotate).words;
        let [Some(pivot_root), Some(source_root), _] = request.extra else {
            return Err(Error::TruncatedMessage);
        };
        if request.length < words.into() {
            return Err(Error::TruncatedMessage);
        }
        let argument = |number| request.whole_word(self, number);
        let (pivot_depth, source_depth) = (argument(rotate::PIVOT_DEPTH), argument(rotate::SRC_DEPTH));
        let source =
            self.lookup_slot(source_root.cap(&self.memory), argument(rotate::SRC_INDEX), source_depth, true)?;
        let pivot =
            self.lookup_slot(pivot_root.cap(&self.memory), argument(rotate::PIVOT_INDEX), pivot_depth, true)?;
        if pivot == source || pivot == dest {
            return Err(Error::IllegalOperation);
        }
        if source != dest {
            self.ensure_empty(dest)?;
        }
        let source_cap = self.present(source, source_depth, true)?;
        let pivot_cap = self.present(pivot, pivot_depth, false)?;
        // Each datum belongs to the slot that its capability ends up in.
        let new_source = self.with_data(source_cap, argument(rotate::PIVOT_BADGE), true);
        let new_pivot = self.with_data(pivot_cap, argument(rotate::DEST_BADGE), true);
        if new_source == Cap::Null || new_pivot == Cap::Null {
            return Err(Error::IllegalOperation);
        }
        if source == dest {
            self.swap_caps(new_source, source, new_pivot, pivot);
        } else {
            self.move_cap(new_pivot, pivot, dest);
            self.move_cap(new_source, source, pivot);
        }
        Ok(())
    }

    /// Serves SaveCaller: the capability to answer the caller moves to `dest`. Without a caller nothing
    /// happens, which is no error.
    fn save_caller(&mut self, request: &Request, dest: Slot) -> Result<(), Error> {
        self.ensure_empty(dest)?;
        let caller = request.thread.caller();
        let cap = caller.cap(&self.memory);
        if let Cap::Reply { master: false, .. } = cap {
            self.move_cap(cap, caller, dest);
        }
        Ok(())
    }

    /// Serves CancelBadgedSends, which takes an endpoint capability with all rights.
    fn cancel_sends_of(&mut self, slot: Slot) -> Result<(), Error> {
        let Cap::Endpoint { address, badge, rights: Rights::ALL } = slot.cap(&self.memory) else {
            return Err(Error::IllegalOperation);
        };
        if badge != 0 {
            self.cancel_badged_sends(address, badge);
        }
        Ok(())
    }

    /// What is in the slot that `depth` bits led to; fails when nothing is.
    fn present(&self, slot: Slot, depth: u64, source: bool) -> Result<Cap, Error> {
        match slot.cap(&self.memory) {
            Cap::Null => {
                let failure = LookupFailure::MissingCapability { bits_left: depth };
                Err(Error::FailedLookup { source, failure })
            }
            cap => Ok(cap),
        }
    }
}

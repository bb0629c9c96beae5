//! Finding capabilities by their address.

use crate::{Cap, Error, Host, Kernel, LookupFailure, Slot, Tcb};

/// Bits of a capability's address.
const WORD_BITS: u64 = 64;

impl<H: Host> Kernel<'_, H> {
    /// The slot that `address` leads to in the CSpace of `thread`.
    ///
    /// A slot on the way that holds no CNode ends the way, whatever bits are left: seL4 asks for all bits
    /// to be resolved only where a slot is named by index and depth.
    pub(crate) fn lookup_cap(&self, thread: Tcb, address: u64) -> Result<Slot, LookupFailure> {
        let root = thread.cspace().cap(&self.memory);
        self.resolve(root, address, WORD_BITS).map(|(slot, _)| slot)
    }

    /// The slot that `depth` bits of `index` lead to, exactly, from the CNode `root` on. `source` is what
    /// the error says of the slot's part in the invocation.
    pub(crate) fn lookup_slot(&self, root: Cap, index: u64, depth: u64, source: bool) -> Result<Slot, Error> {
        let lookup = |failure| Error::FailedLookup { source, failure };
        if !matches!(root, Cap::CNode { .. }) {
            return Err(lookup(LookupFailure::InvalidRoot));
        }
        if !(1..=WORD_BITS).contains(&depth) {
            return Err(Error::Range { min: 1, max: WORD_BITS });
        }
        match self.resolve(root, index, depth).map_err(lookup)? {
            (slot, 0) => Ok(slot),
            (_, bits_left) => Err(lookup(LookupFailure::DepthMismatch { bits_left, bits_found: 0 })),
        }
    }

    /// The slot that the lower `bits_left` bits of `address` lead to, and how many of them are left when
    /// what was found on the way is no CNode.
    fn resolve(&self, mut root: Cap, address: u64, mut bits_left: u64) -> Result<(Slot, u64), LookupFailure> {
        let mut found = None;
        while let Cap::CNode { address: slots, radix, guard: guard_found, guard_bits } = root {
            let (radix, bits_found) = (u64::from(radix), u64::from(guard_bits));
            let level_bits = radix + bits_found;
            let guard = address.wrapping_shr((bits_left as u32).wrapping_sub(guard_bits.into()));
            if bits_found > bits_left || low_bits(guard, bits_found) != guard_found {
                return Err(LookupFailure::GuardMismatch { bits_left, guard_found, bits_found });
            }
            if level_bits > bits_left {
                return Err(LookupFailure::DepthMismatch { bits_left, bits_found: level_bits });
            }
            bits_left -= level_bits;
            let number = low_bits(address.checked_shr(bits_left as u32).unwrap_or(0), radix);
            let slot = Slot(slots + number * Slot::SIZE);
            if bits_left == 0 {
                return Ok((slot, 0));
            }
            found = Some((slot, bits_left));
            root = slot.cap(&self.memory);
        }
        found.ok_or(LookupFailure::InvalidRoot)
    }
}

/// The lower `bits` bits of `word`; all of them from 64 on.
pub(crate) fn low_bits(word: u64, bits: u64) -> u64 {
    if bits >= WORD_BITS { word } else { word & ((1 << bits) - 1) }
}

//! The rewritten system-call sites, by their stubs.
//!
//! A site at A (`mov rax, rsp` at A, `syscall` at A+3, `mov rsp, rax` at A+5) has become `mov rax, rsp`
//! and, at A+3, a jump to its stub: `mov ecx, A+8`, then a jump to `selkie_entry`. Stubs lie in the order of
//! their sites.

use crate::state::State;
use core::ptr::with_exposed_provenance;

/// Bytes of a stub.
const STUB: u64 = 16;

/// The number of the stub that `ip` is in.
pub(crate) fn number_of_stub(state: &State, ip: u64) -> Option<u64> {
    let [start, end] = state.stubs;
    (start..end).contains(&ip).then(|| (ip - start) / STUB)
}

/// The address after the site that has this number.
pub(crate) fn end(state: &State, number: u64) -> u64 {
    let stub = state.stubs[0] + number * STUB;
    // SAFETY: the stubs lie there, and their pages stay; the operand begins with the second byte.
    u64::from(unsafe { with_exposed_provenance::<u32>(stub as usize + 1).read_unaligned() })
}

/// Whether `ip` is the instruction after the system call of a site: there is no instruction any more.
pub(crate) fn is_after_syscall(state: &State, ip: u64) -> bool {
    let (mut first, mut last) = (0, (state.stubs[1] - state.stubs[0]) / STUB);
    while first < last {
        let middle = first.midpoint(last);
        match (end(state, middle) - 3).cmp(&ip) {
            core::cmp::Ordering::Equal => return true,
            core::cmp::Ordering::Less => first = middle + 1,
            core::cmp::Ordering::Greater => last = middle,
        }
    }
    false
}

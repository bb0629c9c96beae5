//! Regions of devices with queues, in the root task's memory.

use core::{cell::Cell, ops::Range, slice, sync::atomic::AtomicU64};

/// The words of a region of the memory.
///
/// # Safety
/// Nobody else has a reference to them but as cells, and they stay.
pub(crate) unsafe fn words(words: &'static [Cell<u64>]) -> &'static [AtomicU64] {
    // SAFETY: both types are a `u64` that may change behind a shared reference; the rest is the caller's.
    unsafe { slice::from_raw_parts(words.as_ptr().cast::<AtomicU64>(), words.len()) }
}

/// Where bytes of a region are; none where it does not have them.
pub(crate) fn bytes(region: &'static [AtomicU64], range: Range<u32>) -> Option<*mut u8> {
    let inside = range.start <= range.end && range.end as usize <= size_of_val(region);
    inside.then(|| region.as_ptr().cast_mut().cast::<u8>().wrapping_add(range.start as usize))
}

//! Counts the memory that a thread has, so that a test can say how much a file may cost.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// An allocation that would bring a thread above this many bytes fails, which ends the test program: before the
/// host runs out of memory.
const MOST: usize = 1 << 30;

thread_local! {
    static NOW: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn grow(size: usize) -> bool {
    let now = NOW.get().saturating_add(size);
    if now > MOST {
        return false;
    }
    NOW.set(now);
    PEAK.set(PEAK.get().max(now));
    true
}

/// What another thread allocated may be freed here.
fn shrink(size: usize) {
    NOW.set(NOW.get().saturating_sub(size));
}

// SAFETY: every call is handed on to the system's allocator as it is; counting touches cells of the thread alone,
// which need no memory of their own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's own promises.
        if grow(layout.size()) { unsafe { System.alloc(layout) } } else { std::ptr::null_mut() }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        shrink(layout.size());
        // SAFETY: the caller's own promises.
        unsafe { System.dealloc(place, layout) }
    }
}

/// What `work` returns, and the most memory in bytes that it had at once.
pub(crate) fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.get();
    PEAK.set(before);
    let result = work();
    (result, PEAK.get() - before)
}

#[test]
fn memory_is_counted() {
    let ((), small) = peak(|| ());
    let (kept, large) = peak(|| vec![1_u8; 5 << 20]);
    assert!(small < 1000 && (5 << 20..6 << 20).contains(&large), "{small} {large}");
    drop(kept);
}

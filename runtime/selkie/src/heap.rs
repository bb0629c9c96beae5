//! The heap: `Box`, `Vec` and `String` work in a function.
//!
//! It is there only in functions that allocate: the linker script gives room to one when [`global::claimed`]
//! is linked in. A heap below the size of a large page lies in the image, after all else; nothing has to be
//! mapped for it, and no page of it is used before something is allocated. A larger one is mapped at
//! start-up, with large pages.

use crate::{
    error::Result,
    memory::Memory,
    vspace::{LARGE, Mapping},
};
use core::sync::atomic::{AtomicUsize, Ordering};

unsafe extern "C" {
    /// An absolute symbol: its address is the heap's size in bytes, 0 where nothing allocates.
    static __selkie_heap_size: u8;
    /// The heap's first byte, when it lies in the image.
    static __selkie_heap_start: u8;
}

/// The heap's first byte; 0 before there is one, and again once the allocator has it.
static START: AtomicUsize = AtomicUsize::new(0);

/// The heap's size in bytes.
fn size() -> usize {
    (&raw const __selkie_heap_size).addr()
}

/// Provides the heap's memory: once, at start-up.
pub(crate) fn init(memory: &mut Memory) -> Result<()> {
    let start = match size() {
        0 => 0,
        size if size < LARGE => (&raw const __selkie_heap_start).expose_provenance(),
        size => map(memory, size)?,
    };
    START.store(start, Ordering::Relaxed);
    Ok(())
}

#[inline(never)]
fn map(memory: &mut Memory, size: usize) -> Result<usize> {
    Ok(Mapping::new(memory, size)?.address())
}

/// How much of the heap is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of the heap, the allocator's own included.
    pub size: usize,
    /// Bytes that are allocated now.
    pub used: usize,
    /// The most bytes that were allocated at a time.
    pub peak: usize,
}

/// How much of the heap is used.
#[cfg(feature = "alloc")]
pub fn usage() -> Usage {
    let (used, peak) = global::usage();
    Usage { size: size(), used, peak }
}

#[cfg(feature = "alloc")]
mod global {
    use super::{AtomicUsize, Ordering, START, size};
    use crate::sync::RawMutex;
    use core::{
        alloc::{GlobalAlloc, Layout},
        arch::asm,
        ptr,
    };
    use talc::{
        TalcLock,
        base::{Talc, binning::Binning},
        source::Source,
    };

    #[global_allocator]
    static HEAP: Counted = Counted(TalcLock::new(WhenNeeded));

    static USED: AtomicUsize = AtomicUsize::new(0);
    static PEAK: AtomicUsize = AtomicUsize::new(0);

    /// Bytes that are allocated, and the most that were.
    pub(super) fn usage() -> (usize, usize) {
        (USED.load(Ordering::Relaxed), PEAK.load(Ordering::Relaxed))
    }

    /// An allocator, and what it has given away.
    struct Counted(TalcLock<RawMutex, WhenNeeded>);

    /// A place had `before` bytes and has `after` now.
    fn count(before: usize, after: usize) {
        let change = after.wrapping_sub(before);
        let used = USED.fetch_add(change, Ordering::Relaxed).wrapping_add(change);
        if after > before {
            PEAK.fetch_max(used, Ordering::Relaxed);
        }
    }

    // SAFETY: all is done by the allocator inside.
    unsafe impl GlobalAlloc for Counted {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's.
            let place = unsafe { self.0.alloc(layout) };
            if !place.is_null() {
                count(0, layout.size());
            }
            place
        }

        unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
            // SAFETY: the caller's.
            unsafe { self.0.dealloc(place, layout) };
            count(layout.size(), 0);
        }

        unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            // SAFETY: the caller's.
            let place = unsafe { self.0.realloc(place, layout, size) };
            if !place.is_null() {
                count(layout.size(), size);
            }
            place
        }
    }

    /// Gives the allocator the heap when something is allocated for the first time.
    #[derive(Debug)]
    struct WhenNeeded;

    // SAFETY: it does not use the allocator but through `talc`.
    unsafe impl Source for WhenNeeded {
        fn acquire<B: Binning>(talc: &mut Talc<Self, B>, _layout: Layout) -> Result<(), ()> {
            match START.swap(0, Ordering::Relaxed) {
                0 => Err(()),
                start => {
                    // SAFETY: the memory is there for ever and known to nobody else: `START` says so once.
                    let claimed = unsafe { talc.claim(ptr::with_exposed_provenance_mut(start), claimed()) };
                    claimed.map(drop).ok_or(())
                }
            }
        }
    }

    /// The heap's size. That this function is linked in is what makes the linker script give room to a heap.
    #[inline(never)]
    #[unsafe(link_section = ".text.selkie.heap")]
    fn claimed() -> usize {
        // SAFETY: these are no instructions, only a byte of another section.
        unsafe {
            asm!(
                ".pushsection .selkie.heap, \"o\", @progbits, .text.selkie.heap",
                ".byte 0",
                ".popsection",
                options(nomem, nostack, preserves_flags)
            );
        }
        size()
    }
}

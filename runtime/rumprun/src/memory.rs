//! Memory that has come to its end: the user hears of it, in the recipe's words.

#![allow(unreachable_pub, reason = "the rump kernel's libraries reach them")]

use crate::bmk::{bmk_pgalloc, bmk_pgalloc_align, pgalloc_totalkb, pgalloc_usedkb};
use core::{
    ffi::{c_int, c_ulong, c_void},
    sync::atomic::{AtomicBool, Ordering},
};
use selkie::vspace::PAGE;

/// The least memory that NetBSD starts in.
pub(crate) const LEAST: usize = 4 << 20;

static SHORT: AtomicBool = AtomicBool::new(false);

/// Whether somebody did not get the memory that was asked for.
pub(crate) fn was_short() -> bool {
    SHORT.load(Ordering::Relaxed)
}

/// Pages for the rump kernel and the program.
#[unsafe(export_name = "__wrap_bmk_pgalloc")]
pub extern "C" fn pages(order: c_int) -> *mut c_void {
    // SAFETY: it is what the caller would have called.
    told(unsafe { bmk_pgalloc(order) }, order)
}

/// The same, at a multiple of `align`.
#[unsafe(export_name = "__wrap_bmk_pgalloc_align")]
pub extern "C" fn aligned_pages(order: c_int, align: c_ulong) -> *mut c_void {
    // SAFETY: as above.
    told(unsafe { bmk_pgalloc_align(order, align) }, order)
}

/// Says the first time that there was nothing left. Whoever has asked may go on without it.
fn told(pages: *mut c_void, order: c_int) -> *mut c_void {
    if pages.is_null() && !SHORT.swap(true, Ordering::Relaxed) {
        crate::console::flush();
        // SAFETY: the allocator's own numbers.
        let (total, used) = unsafe { (pgalloc_totalkb, pgalloc_usedkb) };
        let asked = PAGE.checked_shl(order as u32).unwrap_or(usize::MAX) >> 10;
        selkie::println!(
            "out of memory: {asked} KiB in one piece were asked for; of {total} KiB for NetBSD and the program, {used} \
             KiB are in use, and NetBSD alone starts in no less than {} KiB\n  help: give the root task more with `heap` in \
             [root-task] of its recipe",
            LEAST >> 10
        );
    }
    pages
}

//! Memory that has come to its end: the user hears of it, in the recipe's words.

#![allow(unreachable_pub, reason = "the rump kernel's libraries reach them")]

use crate::{
    bmk::{bmk_pgalloc, bmk_pgalloc_align, pgalloc_totalkb, pgalloc_usedkb},
    clock, console,
    own::Own,
    tls,
};
use core::{
    ffi::{c_int, c_ulong, c_void},
    sync::atomic::{AtomicBool, Ordering},
};
use selkie::vspace::PAGE;

/// The least memory that NetBSD starts in.
pub(crate) const LEAST: usize = 4 << 20;

/// What NetBSD's kernel says, once a second, as long as somebody waits for memory and there is nothing to free.
pub(crate) const IN_VAIN: &[u8] = b"pagedaemoness: failed to reclaim memory";
/// How often in a row it says so before it has waited in vain, and the nanoseconds between two that belong together.
const ATTEMPTS: u32 = 5;
const TOGETHER: u64 = 4_000_000_000;

static SHORT: AtomicBool = AtomicBool::new(false);
/// How often it was said in a row, and when it was last.
static WAITS: Own<(u32, u64)> = Own::new((0, 0));

/// Whether somebody did not get the memory that was asked for.
pub(crate) fn was_short() -> bool {
    SHORT.load(Ordering::Relaxed)
}

/// Pages for the rump kernel and the program.
#[unsafe(export_name = "__wrap_bmk_pgalloc")]
pub extern "C" fn pages(order: c_int) -> *mut c_void {
    // SAFETY: it is what the caller would have called.
    told(console::without(|| unsafe { bmk_pgalloc(order) }), order)
}

/// The same, at a multiple of `align`.
#[unsafe(export_name = "__wrap_bmk_pgalloc_align")]
pub extern "C" fn aligned_pages(order: c_int, align: c_ulong) -> *mut c_void {
    // SAFETY: as above.
    told(console::without(|| unsafe { bmk_pgalloc_align(order, align) }), order)
}

/// The kernel waits for memory. Where nothing comes free it would wait for ever: the function ends.
pub(crate) fn in_vain() {
    let now = clock::monotonic();
    let attempts = {
        let mut waits = WAITS.get();
        let (attempts, last) = *waits;
        *waits = (if now - last < TOGETHER { attempts + 1 } else { 1 }, now);
        waits.0
    };
    if attempts >= ATTEMPTS {
        SHORT.store(true, Ordering::Relaxed);
        crate::fail(format_args!(
            "NetBSD waits for memory, and none comes free: its kernel may have half of `heap`\n  help: give the root task \
             more with `heap` in [root-task] of its recipe"
        ));
    }
}

/// Says the first time that there was nothing left. Whoever has asked may go on without it.
fn told(pages: *mut c_void, order: c_int) -> *mut c_void {
    if pages.is_null() && !SHORT.swap(true, Ordering::Relaxed) {
        console::flush();
        // SAFETY: the allocator's own numbers.
        let (total, used) = unsafe { (pgalloc_totalkb, pgalloc_usedkb) };
        let asked = PAGE.checked_shl(order as u32).unwrap_or(usize::MAX) >> 10;
        let say = || {
            selkie::println!(
                "out of memory: {asked} KiB in one piece were asked for; of {total} KiB for NetBSD and the program, {used} \
             KiB are in use, and NetBSD alone starts in no less than {} KiB\n  help: give the root task more with `heap` in \
             [root-task] of its recipe",
                LEAST >> 10
            )
        };
        tls::runtime(say);
    }
    pages
}

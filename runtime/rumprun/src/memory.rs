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

/// How long, in nanoseconds, and how often NetBSD's kernel is left to wait for memory before it has waited in vain.
const PATIENCE: u64 = 5_000_000_000;
const ATTEMPTS: u32 = 5;

static SHORT: AtomicBool = AtomicBool::new(false);
static WAIT: Own<Option<Wait>> = Own::new(None);

/// The kernel has asked for memory in vain.
#[derive(Clone, Copy)]
struct Wait {
    since: u64,
    order: c_int,
    attempts: u32,
}

/// Whether somebody did not get the memory that was asked for.
pub(crate) fn was_short() -> bool {
    SHORT.load(Ordering::Relaxed)
}

/// Pages for the program, and for threads.
#[unsafe(export_name = "__wrap_bmk_pgalloc")]
pub extern "C" fn pages(order: c_int) -> *mut c_void {
    // SAFETY: it is what the caller would have called.
    told(console::without(|| unsafe { bmk_pgalloc(order) }), order)
}

/// Pages for NetBSD's kernel, at a multiple of `align`. It waits for what it does not get, and frees what it can; but where
/// nothing is left to free it would wait for ever.
#[unsafe(export_name = "__wrap_bmk_pgalloc_align")]
pub extern "C" fn kernel_pages(order: c_int, align: c_ulong) -> *mut c_void {
    // SAFETY: as above.
    let pages = told(console::without(|| unsafe { bmk_pgalloc_align(order, align) }), order);
    let (now, mut place) = (clock::monotonic(), WAIT.get());
    let wait = match *place {
        Some(wait) if order < wait.order => return pages,
        _ if !pages.is_null() => {
            *place = None;
            return pages;
        }
        Some(wait) => Wait { attempts: wait.attempts + 1, ..wait },
        None => Wait { since: now, order, attempts: 1 },
    };
    *place = Some(wait);
    if wait.attempts >= ATTEMPTS && now - wait.since >= PATIENCE {
        drop(place);
        crate::fail(format_args!("NetBSD waits for memory, and none comes free"));
    }
    pages
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

//! Critical sections for the crates that ask for them: a lock of the function's own threads. Interrupts need none, they
//! come as signals.

use core::sync::atomic::{AtomicU64, Ordering};
use lock_api::RawMutex as _;
use selkie::{sync::RawMutex, thread};

struct Section;

critical_section::set_impl!(Section);

static LOCK: RawMutex = RawMutex::INIT;
/// The number of the thread that holds the lock, plus 1.
static OWNER: AtomicU64 = AtomicU64::new(0);

// SAFETY: one thread at a time is in the section, which it may enter again before it leaves.
unsafe impl critical_section::Impl for Section {
    unsafe fn acquire() -> bool {
        let own = thread::current().number() + 1;
        // No other thread writes this one's number.
        if OWNER.load(Ordering::Relaxed) == own {
            return true;
        }
        LOCK.lock();
        OWNER.store(own, Ordering::Relaxed);
        false
    }

    unsafe fn release(nested: bool) {
        if !nested {
            OWNER.store(0, Ordering::Relaxed);
            // SAFETY: `acquire` has locked it.
            unsafe { LOCK.unlock() }
        }
    }
}

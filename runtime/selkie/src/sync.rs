//! Locks for threads of the same function.

use crate::{cap::Notification, thread::current};
use core::{
    ptr,
    sync::atomic::{AtomicBool, AtomicPtr, Ordering},
};

/// A value that one thread at a time works on.
///
/// Waiting threads sleep, so that a thread of high priority can wait for one of low priority. A thread
/// that locks it again while holding it waits for ever.
pub type Mutex<T> = lock_api::Mutex<RawMutex, T>;
/// The right to work on a [`Mutex`]'s value; unlocks when dropped.
pub type MutexGuard<'a, T> = lock_api::MutexGuard<'a, RawMutex, T>;

/// The state of a [`Mutex`]: free (null), taken, or taken and waited for (the thread that
/// began to wait last, which knows the one before).
#[derive(Debug)]
pub struct RawMutex {
    state: AtomicPtr<Waiter>,
}

/// A thread that waits. It lies on that thread's stack, which stays as it is until `granted`.
#[derive(Debug)]
struct Waiter {
    before: *mut Waiter,
    wake: Notification,
    granted: AtomicBool,
}

/// No address of a waiter is odd.
const TAKEN: *mut Waiter = ptr::without_provenance_mut(1);

// SAFETY: the state is null only when no thread has the lock; it is handed from one thread to the next.
unsafe impl lock_api::RawMutex for RawMutex {
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Self = Self { state: AtomicPtr::new(ptr::null_mut()) };
    type GuardMarker = lock_api::GuardSend;

    #[inline]
    fn lock(&self) {
        if !self.try_lock() {
            self.wait();
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        self.state.compare_exchange(ptr::null_mut(), TAKEN, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[inline]
    unsafe fn unlock(&self) {
        if self.state.compare_exchange(TAKEN, ptr::null_mut(), Ordering::Release, Ordering::Relaxed).is_err()
        {
            self.hand_over();
        }
    }
}

impl RawMutex {
    #[cold]
    fn wait(&self) {
        let mut waiter =
            Waiter { before: ptr::null_mut(), wake: current().wake(), granted: AtomicBool::new(false) };
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let (from, to) = if state.is_null() { (state, TAKEN) } else { (state, &raw mut waiter) };
            waiter.before = state;
            match self.state.compare_exchange_weak(from, to, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if to == TAKEN => return,
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        // One signal comes for each lock that is handed over, and is the last that the thread that hands it
        // over does with this one: after it, this thread may end and its notification be gone. So the signal
        // is waited for even when the lock has visibly been granted.
        loop {
            waiter.wake.wait();
            if waiter.granted.load(Ordering::Acquire) {
                return;
            }
        }
    }

    /// Gives the lock to the thread that began to wait last.
    #[cold]
    fn hand_over(&self) {
        let mut head = self.state.load(Ordering::Acquire);
        loop {
            // SAFETY: only the thread that has the lock takes waiters off, and that is this one; `head` is
            // none of null and `TAKEN`, since the lock is taken and `unlock` found a waiter.
            let before = unsafe { (*head).before };
            match self.state.compare_exchange_weak(head, before, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        // SAFETY: the waiter is still there: nobody has granted it the lock. Afterwards it may be gone, so
        // its notification is read first; that one is there until the waiter has received the signal.
        unsafe {
            let wake = (*head).wake;
            (*head).granted.store(true, Ordering::Release);
            wake.signal();
        }
    }
}

//! State of the one thread that runs the rump kernel and the program.

use core::cell::{RefCell, RefMut};

/// A value of that thread's: all of a rump kernel's threads run in it, one at a time, and change only where they say so.
pub(crate) struct Own<T>(RefCell<T>);

// SAFETY: the platform is called by nobody but the rump kernel's threads, which are one thread of seL4.
unsafe impl<T> Sync for Own<T> {}

impl<T> Own<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    /// The value, for a piece of code that calls nothing of the rump kernel's meanwhile.
    pub(crate) fn get(&self) -> RefMut<'_, T> {
        self.0.borrow_mut()
    }
}

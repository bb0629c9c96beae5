//! Memory that a socket of the network stack has for as long as it is there.

use alloc::{boxed::Box, vec};
use core::ptr::NonNull;

/// A buffer on the heap. It is given back when it is dropped, which has to be after its socket.
pub(super) struct Buffer<T>(NonNull<[T]>);

impl<T: Clone> Buffer<T> {
    pub(super) fn new(value: T, count: usize) -> Self {
        let memory: &mut [T] = Box::leak(vec![value; count].into_boxed_slice());
        Self(memory.into())
    }

    /// # Safety
    /// It is called once, and what gets the memory is dropped before the buffer.
    pub(super) unsafe fn lend(&self) -> &'static mut [T] {
        // SAFETY: nobody else uses the memory, by the caller's word.
        unsafe { &mut *self.0.as_ptr() }
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        // SAFETY: it came from a box, and whatever it was lent to is gone, by the word of who called `lend`.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

//! Memory that a socket of the network stack has for as long as it is there.

use alloc::{boxed::Box, vec};
use core::{arch::asm, ptr::NonNull};

/// Bytes of the heap as they are. None is written, so memory that nobody has used takes no page before they are.
pub(crate) fn bytes(size: usize) -> Box<[u8]> {
    let mut memory = Box::new_uninit_slice(size);
    // SAFETY: there is no instruction. To the compiler it may write all bytes, and leaves them as the memory has them.
    unsafe { asm!("/* {} */", in(reg) memory.as_mut_ptr(), options(nostack, preserves_flags)) };
    // SAFETY: every value of a byte is one, and the bytes count as written, see above.
    unsafe { memory.assume_init() }
}

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

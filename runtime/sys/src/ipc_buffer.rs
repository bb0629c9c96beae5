//! The running thread's IPC buffer.
//!
//! On this kernel the GS base is the buffer's address whenever the thread runs in user mode, so there
//! is no pointer to keep: a thread has an IPC buffer once its TCB has one.

use crate::{CPtr, Word, ipc_buffer_offset as offset, rule};
use core::arch::asm;

const _: () =
    assert!(rule::IPC_BUFFER_IN_GS_BASE, "this crate finds the IPC buffer only through the GS base");

/// Word `index` of the message; those that travel in registers are not there.
///
/// # Safety
/// `index` must be less than [`limit::MSG_MAX_LENGTH`](crate::limit::MSG_MAX_LENGTH), and the thread
/// must have an IPC buffer.
#[inline]
pub unsafe fn mr(index: usize) -> Word {
    // SAFETY: the caller promises that the word is in the buffer.
    unsafe { read(offset::MSG + index * size_of::<Word>()) }
}

/// Sets word `index` of the message.
///
/// # Safety
/// As for [`mr`].
#[inline]
pub unsafe fn set_mr(index: usize, word: Word) {
    // SAFETY: the caller promises that the word is in the buffer.
    unsafe { write(offset::MSG + index * size_of::<Word>(), word) }
}

/// Reads words `first` and following of the message.
///
/// # Safety
/// As for [`mr`], for each of the words.
#[inline]
pub unsafe fn get_mrs(first: usize, words: &mut [Word]) {
    for (index, word) in words.iter_mut().enumerate() {
        // SAFETY: the caller promises that the word is in the buffer.
        *word = unsafe { mr(first + index) };
    }
}

/// Sets words `first` and following of the message.
///
/// # Safety
/// As for [`mr`], for each of the words.
#[inline]
pub unsafe fn set_mrs(first: usize, words: &[Word]) {
    for (index, word) in words.iter().enumerate() {
        // SAFETY: the caller promises that the word is in the buffer.
        unsafe { set_mr(first + index, *word) };
    }
}

/// The badge of the received capability `index`, when it was unwrapped.
///
/// # Safety
/// `index` must be less than [`limit::MSG_MAX_EXTRA_CAPS`](crate::limit::MSG_MAX_EXTRA_CAPS), and the
/// thread must have an IPC buffer.
#[inline]
pub unsafe fn badge(index: usize) -> Word {
    // SAFETY: the caller promises that the word is in the buffer.
    unsafe { read(offset::CAPS_OR_BADGES + index * size_of::<Word>()) }
}

/// Sets the capability `index` that travels with the next message.
///
/// # Safety
/// As for [`badge`].
#[inline]
pub unsafe fn set_cap(index: usize, cap: CPtr) {
    // SAFETY: the caller promises that the word is in the buffer.
    unsafe { write(offset::CAPS_OR_BADGES + index * size_of::<Word>(), cap) }
}

/// Sets the slot that receives a capability: `index`, resolved for `depth` bits from `root`.
///
/// # Safety
/// The thread must have an IPC buffer.
#[inline]
pub unsafe fn set_receive_path(root: CPtr, index: CPtr, depth: Word) {
    // SAFETY: these words are in the buffer.
    unsafe {
        write(offset::RECEIVE_CNODE, root);
        write(offset::RECEIVE_INDEX, index);
        write(offset::RECEIVE_DEPTH, depth);
    }
}

/// The word that the kernel leaves to the user.
///
/// # Safety
/// The thread must have an IPC buffer.
#[inline]
pub unsafe fn user_data() -> Word {
    // SAFETY: the word is in the buffer.
    unsafe { read(offset::USER_DATA) }
}

/// Sets the word that the kernel leaves to the user.
///
/// # Safety
/// The thread must have an IPC buffer.
#[inline]
pub unsafe fn set_user_data(word: Word) {
    // SAFETY: the word is in the buffer.
    unsafe { write(offset::USER_DATA, word) }
}

/// Reads the word at `offset`.
#[inline]
unsafe fn read(offset: usize) -> Word {
    let word;
    // SAFETY: the caller promises that the word is in the buffer, which the GS base points to.
    unsafe {
        asm!("mov {}, gs:[{}]", out(reg) word, in(reg) offset, options(nostack, preserves_flags, readonly))
    };
    word
}

/// Writes the word at `offset`.
#[inline]
unsafe fn write(offset: usize, word: Word) {
    // SAFETY: the caller promises that the word is in the buffer, which the GS base points to.
    unsafe { asm!("mov gs:[{}], {}", in(reg) offset, in(reg) word, options(nostack, preserves_flags)) };
}

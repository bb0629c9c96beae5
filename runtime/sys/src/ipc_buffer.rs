//! The running thread's IPC buffer.
//!
//! A segment base leads to it. On seL4 5.0.0 the kernel points the GS base at the buffer, so a thread has one once
//! its TCB has one. Later kernels leave that to the user: there the FS base, which is a thread's TLS base, is the
//! buffer's address. Whoever starts a thread sets it with the thread's other registers
//! ([`set_in`]); the first thread sets its own ([`init`]). Nothing else uses the FS base but the libOS `rumprun`, whose
//! threads have variables of their own: it gives the base back while the runtime is at work.

use crate::{CPtr, UserContext, Word, ipc_buffer_offset as offset, rule};
use core::arch::asm;

/// Lets the calling thread, whose TCB is in `tcb`, find its buffer at `address`: before its first use.
/// It has no effect where the kernel does this.
///
/// # Safety
/// The buffer lies there, as the kernel knows.
#[inline]
pub unsafe fn init(tcb: CPtr, address: Word) {
    when!(set_tls_base {{
        let info = crate::MessageInfo::new(crate::label::TCB_SET_TLS_BASE, 0, 0, 1);
        // SAFETY: it changes nothing but the FS base, which is the caller's to set. This is no call of `invoke`, which
        // would write an error's details to a buffer that it cannot find.
        unsafe { crate::call(tcb, info, &mut [address, 0, 0, 0]) };
    }} else {{
        let _ = (tcb, address);
    }})
}

/// Lets a thread that starts with `registers` find its buffer at `address`. It has no effect where the kernel does
/// this.
#[inline]
pub fn set_in(registers: &mut UserContext, address: Word) {
    when!(set_tls_base { registers.fs_base = address } else {{
        let _ = (registers, address);
    }})
}

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
    // SAFETY: the caller promises that the word is in the buffer, which the segment's base points to.
    unsafe {
        if rule::IPC_BUFFER_IN_GS_BASE {
            asm!("mov {}, gs:[{}]", out(reg) word, in(reg) offset, options(nostack, preserves_flags, readonly));
        } else {
            asm!("mov {}, fs:[{}]", out(reg) word, in(reg) offset, options(nostack, preserves_flags, readonly));
        }
    }
    word
}

/// Writes the word at `offset`.
#[inline]
unsafe fn write(offset: usize, word: Word) {
    // SAFETY: the caller promises that the word is in the buffer, which the segment's base points to.
    unsafe {
        if rule::IPC_BUFFER_IN_GS_BASE {
            asm!("mov gs:[{}], {}", in(reg) offset, in(reg) word, options(nostack, preserves_flags));
        } else {
            asm!("mov fs:[{}], {}", in(reg) offset, in(reg) word, options(nostack, preserves_flags));
        }
    }
}

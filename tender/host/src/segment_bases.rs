//! The bases of FS and GS: a thread's own storage, and on some kernels its IPC buffer.

use crate::{state::State, syscall::syscall};
use core::arch::asm;
use linux_raw_sys::general;

/// Linux's `ARCH_SET_GS`.
const ARCH_SET_GS: u32 = 0x1001;

/// Sets both, where they are not set already. What is no address is left out.
#[inline]
pub(crate) fn set(state: &mut State, fs: u64, gs: u64) {
    if state.fs != fs && is_address(fs) {
        state.fs = fs;
        if state.has_fsgsbase {
            // SAFETY: the processor has the instruction, and the tender uses no thread-local storage.
            unsafe { asm!("wrfsbase {}", in(reg) fs, options(nostack, preserves_flags, nomem)) };
        } else {
            set_slowly(general::ARCH_SET_FS, fs);
        }
    }
    if state.gs != gs && is_address(gs) {
        state.gs = gs;
        if state.has_fsgsbase {
            // SAFETY: as above.
            unsafe { asm!("wrgsbase {}", in(reg) gs, options(nostack, preserves_flags, nomem)) };
        } else {
            set_slowly(ARCH_SET_GS, gs);
        }
    }
}

/// Whether all bits above the addresses of today's processors are alike: others are an exception.
fn is_address(base: u64) -> bool {
    (base as i64) << 16 >> 16 == base as i64
}

fn set_slowly(which: u32, base: u64) {
    // SAFETY: the tender uses neither register.
    let _ = unsafe { syscall(general::__NR_arch_prctl, [which.into(), base]) };
}

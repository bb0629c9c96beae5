//! The FPU's state of threads, but for xmm0 to xmm15, which are saved and loaded with the other registers.
//!
//! It is 512 bytes in a TCB, as FXSAVE has them, and to save and load them all costs more than the rest of a
//! switch. Hardly any thread uses the x87 part. Where the processor tells that this is as a reset leaves it
//! (XGETBV of XINUSE; Intel SDM, volume 1, section 13.6), only MXCSR has to change hands.

use crate::entry::selkie_switch_fpu;
use core::arch::{
    asm,
    x86_64::{__cpuid, __cpuid_count},
};

/// Words of an area: the x87 control words; after a reset, all exceptions masked and all registers empty.
const CONTROL: usize = 0;
const RESET: u64 = 0x37f;
/// The last x87 instruction and its operand; none after a reset.
const LAST: [usize; 2] = [1, 2];
/// MXCSR, in the lower half.
const MXCSR: usize = 3;
/// MXCSR after a reset.
const MXCSR_RESET: u32 = 0x1f80;
/// Bits of MXCSR that there are.
const MXCSR_BITS: u32 = 0xffff;

/// Whether the processor tells if the x87 part is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tells {
    /// Nobody has asked yet: to ask takes microseconds in a virtual machine.
    Unknown,
    Yes,
    No,
}

impl Tells {
    fn ask() -> Self {
        const OSXSAVE: u32 = 1 << 27;
        const XGETBV_OF_XINUSE: u32 = 1 << 2;
        const XSAVE_LEAF: u32 = 0xd;
        let has_leaf = __cpuid(0).eax >= XSAVE_LEAF && __cpuid(1).ecx & OSXSAVE != 0;
        match has_leaf && __cpuid_count(XSAVE_LEAF, 1).eax & XGETBV_OF_XINUSE != 0 {
            true => Self::Yes,
            false => Self::No,
        }
    }
}

/// Gives the FPU to another thread.
///
/// # Safety
/// `from` and `to` are different areas of FXSAVE, at multiples of 16, and xmm0 to xmm15 have been saved.
pub(crate) unsafe fn switch(tells: &mut Tells, from: *mut u64, to: *mut u64) {
    if *tells == Tells::Unknown {
        *tells = Tells::ask();
    }
    // SAFETY: the areas are as the caller says; bits of MXCSR that there are not would be an exception.
    unsafe {
        let mxcsr = to.wrapping_add(MXCSR).cast::<u32>();
        if *to.wrapping_add(CONTROL) == 0 && *mxcsr == 0 {
            *to.wrapping_add(CONTROL) = RESET;
            *mxcsr = MXCSR_RESET;
        }
        *mxcsr &= MXCSR_BITS;
        if *tells == Tells::Yes && *to.wrapping_add(CONTROL) == RESET && !x87_is_used() {
            *from.wrapping_add(CONTROL) = RESET;
            LAST.iter().for_each(|word| *from.wrapping_add(*word) = 0);
            switch_mxcsr(from.wrapping_add(MXCSR).cast(), mxcsr);
        } else {
            selkie_switch_fpu(from.cast(), to.cast());
        }
    }
}

/// Whether the x87 part has been used since it was last reset, or may have been.
///
/// # Safety
/// The processor tells.
unsafe fn x87_is_used() -> bool {
    const XINUSE: u32 = 1;
    let used: u32;
    // SAFETY: reads a register of the processor, which has it, as the caller says.
    unsafe {
        asm!("xgetbv", in("ecx") XINUSE, out("eax") used, out("edx") _, options(nomem, nostack, preserves_flags));
    }
    used & 1 != 0
}

/// Saves MXCSR to `from` and loads it from `to`, which is slow and mostly changes nothing.
///
/// # Safety
/// Both can be written to; what is at `to` has only bits that there are.
unsafe fn switch_mxcsr(from: *mut u32, to: *const u32) {
    // SAFETY: as the caller says.
    unsafe {
        asm!("stmxcsr [{}]", in(reg) from, options(nostack, preserves_flags));
        if *from != *to {
            asm!("ldmxcsr [{}]", in(reg) to, options(nostack, preserves_flags, readonly));
        }
    }
}

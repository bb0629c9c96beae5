//! The functions that compiled code expects of a C library, and nothing more.

use core::arch::asm;

/// Copies `count` bytes; the ranges do not overlap.
///
/// # Safety
/// Both ranges are valid.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller's. Words first, then what is left; the direction flag is clear by the ABI.
    unsafe {
        asm!(
            "rep movsq",
            "mov ecx, {rest:e}",
            "rep movsb",
            rest = in(reg) count & 7,
            inout("rcx") count >> 3 => _,
            inout("rdi") to => _,
            inout("rsi") from => _,
            options(nostack, preserves_flags)
        );
    }
    to
}

/// Copies `count` bytes; the ranges may overlap.
///
/// # Safety
/// Both ranges are valid.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    if to.addr().wrapping_sub(from.addr()) >= count {
        // SAFETY: going up overwrites nothing that is still to be read.
        return unsafe { memcpy(to, from, count) };
    }
    // The direction flag stays clear: seL4 5.0.0 runs with it as an interrupt finds it, and its compiled C
    // code relies on it. SAFETY: the caller's; going down overwrites nothing that is still to be read. The
    // loop is in assembly, so that it is not compiled to a call of this function.
    unsafe {
        asm!(
            "2: sub {left}, 8",
            "jb 3f",
            "mov {word}, [{from} + {left}]",
            "mov [{to} + {left}], {word}",
            "jmp 2b",
            "3: add {left}, 8",
            "jz 5f",
            "4: mov {word:l}, [{from} + {left} - 1]",
            "mov [{to} + {left} - 1], {word:l}",
            "dec {left}",
            "jnz 4b",
            "5:",
            left = inout(reg) count => _,
            word = out(reg) _,
            from = in(reg) from,
            to = in(reg) to,
            options(nostack)
        );
    }
    to
}

/// Fills `count` bytes with the lowest byte of `value`.
///
/// # Safety
/// The range is valid.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn memset(to: *mut u8, value: i32, count: usize) -> *mut u8 {
    let word = u64::from(value as u8) * 0x0101_0101_0101_0101;
    // SAFETY: as for `memcpy`.
    unsafe {
        asm!(
            "rep stosq",
            "mov ecx, {rest:e}",
            "rep stosb",
            rest = in(reg) count & 7,
            inout("rcx") count >> 3 => _,
            inout("rdi") to => _,
            in("rax") word,
            options(nostack, preserves_flags)
        );
    }
    to
}

/// Compares `count` bytes: less than, equal to or greater than 0 as the first difference is.
///
/// # Safety
/// Both ranges are valid.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
    let mut index = 0;
    // SAFETY: the caller's; every index is below `count`.
    unsafe {
        while index + 8 <= count {
            let (x, y) =
                (a.add(index).cast::<u64>().read_unaligned(), b.add(index).cast::<u64>().read_unaligned());
            if x != y {
                return if x.swap_bytes() < y.swap_bytes() { -1 } else { 1 };
            }
            index += 8;
        }
        while index < count {
            let difference = i32::from(*a.add(index)) - i32::from(*b.add(index));
            if difference != 0 {
                return difference;
            }
            index += 1;
        }
    }
    0
}

/// Compares `count` bytes: 0 when they are equal.
///
/// # Safety
/// Both ranges are valid.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
    // SAFETY: the caller's.
    unsafe { memcmp(a, b, count) }
}

/// The length of a text that a NUL ends.
///
/// # Safety
/// There is one.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: the caller's.
    while unsafe { *text.add(length) } != 0 {
        length += 1;
    }
    length
}

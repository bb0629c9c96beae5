//! What `selkie.h` declares. A test of the builder makes the header of this file.

#![allow(unreachable_pub, reason = "C reaches them, and the header is made of what is `pub`")]

use crate::{KERNEL_VERSION, MEMORY_SIZE};
use alloc::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use core::{
    ffi::{CStr, c_char, c_void},
    ptr, slice,
    sync::atomic::Ordering,
    time::Duration,
};
use selkie::{
    clock::{self, Instant},
    console,
};

/// Memory from the heap is aligned to this, as `malloc`'s is.
const ALIGNMENT: usize = 16;
/// Room before each piece of memory for its size, which C does not hand back.
const HEADER: usize = ALIGNMENT;

/// Writes `size` bytes to the console. A line feed becomes carriage return and line feed.
///
/// # Safety
/// `bytes` points to that many.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn selkie_write(bytes: *const c_void, size: usize) {
    if size > 0 {
        // SAFETY: the caller's.
        console::lock().write(unsafe { slice::from_raw_parts(bytes.cast(), size) });
    }
}

/// Writes a text to the console.
///
/// # Safety
/// `text` is one, ended by a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn selkie_print(text: *const c_char) {
    // SAFETY: the caller's.
    console::lock().write(unsafe { CStr::from_ptr(text) }.to_bytes());
}

/// Writes a number to the console, in decimal digits.
#[unsafe(no_mangle)]
pub extern "C" fn selkie_print_unsigned(number: u64) {
    selkie::print!("{number}");
}

/// Writes a number to the console, in decimal digits, with a minus sign when it is negative.
#[unsafe(no_mangle)]
pub extern "C" fn selkie_print_signed(number: i64) {
    selkie::print!("{number}");
}

/// Writes a number to the console, in hexadecimal digits after `0x`.
#[unsafe(no_mangle)]
pub extern "C" fn selkie_print_hex(number: u64) {
    selkie::print!("{number:#x}");
}

/// A byte that has arrived at the console, or -1 when there is none. It does not wait.
#[unsafe(no_mangle)]
pub extern "C" fn selkie_read() -> i32 {
    console::lock().receive().map_or(-1, i32::from)
}

/// Ends the function with a status from 0 to 111; a greater one counts as 111.
#[unsafe(no_mangle)]
pub extern "C" fn selkie_exit(status: u8) -> ! {
    selkie::exit(status)
}

/// Memory from the heap, aligned to 16 bytes and not filled, or NULL when the heap has no room.
#[unsafe(no_mangle)]
pub extern "C" fn selkie_alloc(size: usize) -> *mut c_void {
    // SAFETY: the layout's size is not 0.
    layout(size).map_or(ptr::null_mut(), |layout| with_header(unsafe { alloc(layout) }, layout))
}

/// As selkie_alloc, for `count` pieces of `size` bytes each, filled with zeros.
#[unsafe(no_mangle)]
pub extern "C" fn selkie_alloc_zeroed(count: usize, size: usize) -> *mut c_void {
    let layout = count.checked_mul(size).and_then(layout);
    // SAFETY: the layout's size is not 0.
    layout.map_or(ptr::null_mut(), |layout| with_header(unsafe { alloc_zeroed(layout) }, layout))
}

/// Makes memory from the heap smaller or larger, and moves it where that is needed. NULL when the heap has
/// no room; the memory is as it was then. With NULL for `memory` it is selkie_alloc.
///
/// # Safety
/// `memory` comes from this interface and was not given back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn selkie_realloc(memory: *mut c_void, size: usize) -> *mut c_void {
    if memory.is_null() {
        return selkie_alloc(size);
    }
    let Some(new) = layout(size) else { return ptr::null_mut() };
    // SAFETY: the caller's; the header says how large the memory is.
    unsafe {
        let (start, old) = header(memory);
        with_header(realloc(start, old, new.size()), new)
    }
}

/// Gives memory from the heap back. NULL is nothing to give back.
///
/// # Safety
/// `memory` comes from this interface and was not given back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn selkie_free(memory: *mut c_void) {
    if !memory.is_null() {
        // SAFETY: the caller's; the header says how large the memory is.
        unsafe {
            let (start, layout) = header(memory);
            dealloc(start, layout);
        }
    }
}

/// Nanoseconds since the function's start; 0 where no clock is known.
#[unsafe(no_mangle)]
pub extern "C" fn selkie_time() -> u64 {
    // Without its frequency a counter is no clock; the first question may have to measure it.
    match clock::frequency() {
        Ok(_) => u64::try_from(Instant::now().since_start().as_nanos()).unwrap_or(u64::MAX),
        Err(_) => 0,
    }
}

/// Waits for at least this many nanoseconds. False, at once, where no clock is known.
#[unsafe(no_mangle)]
pub extern "C" fn selkie_sleep(nanoseconds: u64) -> bool {
    clock::spin(Duration::from_nanos(nanoseconds)).is_ok()
}

/// The value of a variable of the environment, or NULL. It lives for ever.
///
/// # Safety
/// `name` is a text, ended by a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn selkie_env(name: *const c_char) -> *const c_char {
    // SAFETY: the caller's.
    crate::variable(unsafe { CStr::from_ptr(name) }).unwrap_or(ptr::null())
}

/// The release of seL4 that the function was built for, for instance "5.0.0".
#[unsafe(no_mangle)]
pub extern "C" fn selkie_kernel_version() -> *const c_char {
    KERNEL_VERSION.load(Ordering::Relaxed)
}

/// Ordinary memory that the function was started with, in bytes, its own image not counted.
#[unsafe(no_mangle)]
pub extern "C" fn selkie_memory_size() -> u64 {
    MEMORY_SIZE.load(Ordering::Relaxed)
}

/// What to ask the heap for: the header and `size` bytes.
fn layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(size.checked_add(HEADER)?, ALIGNMENT).ok()
}

/// Notes the size in the header and returns what comes after it; NULL for NULL.
fn with_header(start: *mut u8, layout: Layout) -> *mut c_void {
    if start.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: the memory is fresh, aligned for the size, and begins with room for it.
    unsafe {
        start.cast::<usize>().write(layout.size());
        start.add(HEADER).cast()
    }
}

/// The start of a piece of memory and what the heap was asked for.
///
/// # Safety
/// `memory` comes from `with_header` and was not given back.
unsafe fn header(memory: *mut c_void) -> (*mut u8, Layout) {
    // SAFETY: the header is before it, and holds a size that was good for a layout once.
    unsafe {
        let start = memory.cast::<u8>().sub(HEADER);
        (start, Layout::from_size_align_unchecked(start.cast::<usize>().read(), ALIGNMENT))
    }
}

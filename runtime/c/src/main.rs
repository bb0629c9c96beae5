//! The program that the C sources of a recipe are linked with: it starts their `main` and offers the
//! runtime to them. What `selkie.h` declares is in [`interface`].

#![no_std]
#![no_main]

extern crate alloc;

mod interface;

use alloc::{boxed::Box, string::String, vec::Vec};
use core::{
    ffi::{CStr, c_char, c_int},
    ptr,
    sync::atomic::{AtomicPtr, AtomicU64, Ordering},
};
use selkie::{MAX_STATUS, System, config};

selkie::entry!(run);

/// What a function's `argv[0]` is: nobody tells a root task the name of its file.
const OWN_NAME: &str = "root-task";

static MEMORY_SIZE: AtomicU64 = AtomicU64::new(0);
static KERNEL_VERSION: AtomicPtr<c_char> = AtomicPtr::new(ptr::null_mut());
/// The environment: pointers to `NAME=VALUE` texts, ended by a null pointer.
static ENVIRONMENT: AtomicPtr<*mut c_char> = AtomicPtr::new(ptr::null_mut());

unsafe extern "C" {
    /// What the C sources define. A status above the greatest one counts as the greatest.
    safe fn main(argc: c_int, argv: *mut *mut c_char) -> c_int;
}

/// Hands arguments and environment over in C's form, and runs `main`.
fn run(sys: &mut System) -> u8 {
    MEMORY_SIZE.store(sys.memory_size(), Ordering::Relaxed);
    KERNEL_VERSION.store(c_text(sys.kernel_version().into()), Ordering::Relaxed);
    let variables = config::vars().map(|(name, value)| [name, "=", value].concat());
    let (_, environment) = table(variables);
    ENVIRONMENT.store(environment, Ordering::Relaxed);
    let (argc, argv) = table([OWN_NAME].into_iter().chain(config::args()).map(String::from));
    status(main(argc, argv))
}

/// The exit status that `main`'s result means: what does not fit is a failure all the same.
fn status(result: c_int) -> u8 {
    u8::try_from(result).unwrap_or(MAX_STATUS).min(MAX_STATUS)
}

/// The number of `texts`, and an array of pointers to them with a null pointer at its end. It lives for
/// ever, and C may write to it.
fn table(texts: impl Iterator<Item = String>) -> (c_int, *mut *mut c_char) {
    let mut pointers: Vec<*mut c_char> = texts.map(c_text).collect();
    let count = c_int::try_from(pointers.len()).unwrap_or(c_int::MAX);
    pointers.push(ptr::null_mut());
    (count, Box::leak(pointers.into_boxed_slice()).as_mut_ptr())
}

/// A text as C has it, which lives for ever. No text of the run configuration contains a NUL.
fn c_text(text: String) -> *mut c_char {
    let mut bytes = text.into_bytes();
    bytes.push(0);
    Box::leak(bytes.into_boxed_slice()).as_mut_ptr().cast()
}

/// The value of a variable of the environment, as C has it.
fn variable(name: &CStr) -> Option<*const c_char> {
    let mut entry = ENVIRONMENT.load(Ordering::Relaxed);
    // With a `=` the name could be the beginning of another variable's text.
    if entry.is_null() || name.to_bytes().contains(&b'=') {
        return None;
    }
    loop {
        // SAFETY: `run` stored the address of a table that lives for ever and ends with a null pointer.
        let text = unsafe { *entry };
        if text.is_null() {
            return None;
        }
        // SAFETY: every other pointer of the table is to a text that a NUL ends.
        let bytes = unsafe { CStr::from_ptr(text) }.to_bytes();
        if bytes.strip_prefix(name.to_bytes()).is_some_and(|rest| rest.starts_with(b"=")) {
            // SAFETY: the text is at least that long.
            return Some(unsafe { text.add(name.count_bytes() + 1) });
        }
        // SAFETY: this was not the last pointer.
        entry = unsafe { entry.add(1) };
    }
}

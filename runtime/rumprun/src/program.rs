//! The program: what it finds when it begins, and what its end is.

#![allow(unreachable_pub, reason = "the rump kernel's libraries reach them")]

use crate::{
    bmk::{libc, memory},
    console, disk, files, fixed, mounts,
    own::Own,
    stop, tls,
};
use core::{
    ffi::{CStr, c_char, c_int},
    ptr, slice,
};
use selkie::{MAX_STATUS, cap::Notification, config};

/// What the program is called where nobody says so.
pub(crate) const NAME: &str = "program";

unsafe extern "C" {
    /// The program's `main`, under the name that the link gives it.
    fn selkie_program_main(argc: c_int, argv: *mut *mut c_char, environment: *mut *mut c_char) -> c_int;
}

#[derive(Clone, Copy)]
struct State {
    /// It has begun.
    begun: bool,
    /// Its status; none before it has one.
    status: Option<u8>,
    wake: Option<Notification>,
}

static STATE: Own<State> = Own::new(State { begun: false, status: None, wake: None });

/// What the function sleeps at, for its end.
pub(crate) fn init(wake: Notification) {
    STATE.get().wake = Some(wake);
}

/// Where rumprun takes the program to begin: what rumprun itself has no words for is done here, with NetBSD's libc.
#[unsafe(no_mangle)]
pub extern "C" fn rumprun_main1(_: c_int, _: *mut *mut c_char) -> c_int {
    mounts::all();
    files::all();
    for (name, value) in config::vars() {
        // When a name occurs more than once, the first one counts.
        // SAFETY: both are texts that stay.
        if unsafe { libc::setenv(text(name), text(value), 0) } != 0 {
            crate::fail(format_args!("the variable `{name}` cannot be set"));
        }
    }
    let (argc, argv) = arguments();
    stop::begin();
    STATE.get().begun = true;
    console::show(console::is_wanted());
    // SAFETY: as for any C program.
    libc::exit(unsafe { selkie_program_main(argc, argv, libc::environ) })
}

/// The arguments as C has them, after the program's name.
fn arguments() -> (c_int, *mut *mut c_char) {
    let texts = || [fixed().program().unwrap_or(NAME)].into_iter().chain(config::args());
    let count = texts().count();
    let places = memory::some((count + 1) * size_of::<*mut c_char>()).cast::<*mut c_char>();
    // SAFETY: the memory is fresh, and there is room for one more than there are texts.
    let table = unsafe {
        ptr::write_bytes(places, 0, count + 1);
        slice::from_raw_parts_mut(places, count)
    };
    for (place, argument) in table.iter_mut().zip(texts()) {
        *place = text(argument);
    }
    (count as c_int, places)
}

/// A text as C has it, which lives for ever and may be written to.
pub(crate) fn text(text: &str) -> *mut c_char {
    let place = memory::some(text.len() + 1).cast::<u8>();
    // SAFETY: the memory is fresh and large enough.
    unsafe {
        ptr::copy_nonoverlapping(text.as_ptr(), place, text.len());
        place.add(text.len()).write(0);
    }
    place.cast()
}

/// What the last error of libc's means.
pub(crate) fn error() -> &'static str {
    // SAFETY: libc's own variable and its own texts.
    let text = unsafe { CStr::from_ptr(libc::strerror(*libc::__errno())) };
    text.to_str().unwrap_or("unknown error")
}

/// The end of the program, from any of its threads. What it has registered for its end was called.
#[unsafe(export_name = "__wrap__exit")]
pub extern "C" fn exit(status: c_int) -> ! {
    let begun = {
        let mut state = STATE.get();
        state.status.get_or_insert((status & 0xff).min(MAX_STATUS.into()) as u8);
        state.begun
    };
    if begun {
        console::keep();
    }
    libc::rumprun_reboot()
}

/// The function's end, once the rump kernel has come to its own.
pub(crate) fn end() -> ! {
    let State { begun, status, .. } = *STATE.get();
    // NetBSD says why it did not come to the program.
    console::show(!begun);
    console::flush();
    tls::runtime(|| {
        finish();
        selkie::exit(status.unwrap_or(crate::FAILED))
    })
}

/// What is on its way to the disk arrives there.
pub(crate) fn finish() {
    let wake = STATE.get().wake;
    wake.into_iter().for_each(disk::finish);
}

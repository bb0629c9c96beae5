//! Signals, as far as there are any in one process without others: a program's handlers are kept, and called when it is
//! told to stop or signals itself. Rumprun itself forgets them.

#![allow(unreachable_pub, reason = "the rump kernel's libraries reach them")]

use crate::{
    bmk::{errno, libc},
    own::Own,
    program,
};
use core::{
    ffi::{c_int, c_ulong, c_void},
    ptr,
    sync::atomic::{AtomicU32, Ordering},
};

const SIGKILL: c_int = 9;
const SIGSTOP: c_int = 17;
/// What means nothing to who has no handler for it: SIGURG, SIGCONT, SIGCHLD, SIGIO, SIGWINCH, SIGINFO, SIGPWR.
const MEANINGLESS: [c_int; 7] = [16, 19, 20, 23, 28, 29, 32];
const MAX_SIGNAL: usize = 64;

/// The signals that are held back, a bit each from 1 on.
static MASK: [AtomicU32; 4] = [const { AtomicU32::new(0) }; 4];
/// The program's handlers.
static ACTIONS: Own<[Action; MAX_SIGNAL]> = Own::new([Action::DEFAULT; MAX_SIGNAL]);

/// What a program wants of a signal (`struct sigaction`).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Action {
    handler: c_ulong,
    mask: [u32; 4],
    flags: c_int,
}

impl Action {
    const DEFAULT: Self = Self { handler: 0, mask: [0; 4], flags: 0 };
    /// It is not to be heard of (`SIG_IGN`).
    const IGNORE: c_ulong = 1;
    /// The handler takes more than a number (`SA_SIGINFO`).
    const WITH_INFO: c_int = 0x40;
}

/// Whether the program holds a signal back.
pub(crate) fn is_held_back(signal: c_int) -> bool {
    let bit = signal as u32 - 1;
    MASK[bit as usize / 32].load(Ordering::Relaxed) & 1 << (bit % 32) != 0
}

/// Whether the program wants something of a signal.
pub(crate) fn has_action(signal: c_int) -> bool {
    ACTIONS.get()[signal as usize].handler != 0
}

/// Calls the program's handler of a signal; without one the program ends, as it would elsewhere.
pub(crate) fn deliver(signal: c_int) {
    let action = ACTIONS.get()[signal as usize];
    match action.handler {
        0 if MEANINGLESS.contains(&signal) => {}
        0 => program::exit(128 + signal),
        Action::IGNORE => {}
        handler if action.flags & Action::WITH_INFO != 0 => {
            // SAFETY: the program says that it takes these.
            let call: extern "C" fn(c_int, *mut c_void, *mut c_void) =
                unsafe { core::mem::transmute(handler as usize) };
            let mut info = [0u32; 32];
            info[0] = signal as u32;
            call(signal, info.as_mut_ptr().cast(), ptr::null_mut());
        }
        handler => {
            // SAFETY: as above.
            let call: extern "C" fn(c_int) = unsafe { core::mem::transmute(handler as usize) };
            call(signal);
        }
    }
}

/// Says why something failed.
fn refused(number: c_int) -> c_int {
    // SAFETY: libc's own variable.
    unsafe { *libc::__errno() = number };
    -1
}

fn is_signal(signal: c_int) -> bool {
    (1..MAX_SIGNAL as c_int).contains(&signal)
}

/// A program signals: itself, as there is nobody else.
#[unsafe(export_name = "__wrap_kill")]
pub extern "C" fn send(process: c_int, signal: c_int) -> c_int {
    // SAFETY: it only answers.
    let own = unsafe { libc::getpid() };
    match signal {
        _ if process > 0 && process != own => refused(errno::ESRCH),
        0 => 0,
        signal if is_signal(signal) => {
            deliver(signal);
            0
        }
        _ => refused(errno::EINVAL),
    }
}

/// A thread signals a thread: `raise` and `abort` end up here. The handler is called in the thread that signals.
#[unsafe(export_name = "__wrap__lwp_kill")]
pub extern "C" fn send_to_thread(_: c_int, signal: c_int) -> c_int {
    send(0, signal)
}

/// There is one process. Rumprun returns a number above 0, which would be that of a child.
#[unsafe(export_name = "__wrap___fork")]
pub extern "C" fn fork() -> c_int {
    refused(errno::ENOSYS)
}

/// The same.
#[unsafe(export_name = "__wrap___vfork14")]
pub extern "C" fn vfork() -> c_int {
    refused(errno::ENOSYS)
}

/// There are no children.
#[unsafe(export_name = "__wrap__sys___wait450")]
pub extern "C" fn wait() -> c_int {
    refused(errno::ECHILD)
}

/// Keeps a program's handler: rumprun would forget it.
///
/// # Safety
/// `new` and `old` are null, or of that kind.
#[unsafe(export_name = "__wrap___sigaction14")]
pub unsafe extern "C" fn keep_action(signal: c_int, new: *const Action, old: *mut Action) -> c_int {
    // SAFETY: the caller's.
    let new = unsafe { new.as_ref() };
    if !is_signal(signal) || new.is_some() && matches!(signal, SIGKILL | SIGSTOP) {
        return refused(errno::EINVAL);
    }
    let mut actions = ACTIONS.get();
    let place = &mut actions[signal as usize];
    // SAFETY: the caller's.
    if let Some(old) = unsafe { old.as_mut() } {
        *old = *place;
    }
    if let Some(new) = new {
        *place = *new;
    }
    0
}

/// The same under its other name.
///
/// # Safety
/// As above.
#[unsafe(export_name = "__wrap_sigaction")]
pub unsafe extern "C" fn keep_action_too(signal: c_int, new: *const Action, old: *mut Action) -> c_int {
    // SAFETY: the caller's.
    unsafe { keep_action(signal, new, old) }
}

/// Changes which signals are held back: all of the program's threads hold back the same ones.
///
/// NetBSD's `setjmp` calls it with a stack that is not aligned as C's is. Words one by one need no such stack; what rumprun
/// has in its place prints something, and faults.
///
/// # Safety
/// `new` and `old` are null, or of that kind.
#[unsafe(export_name = "__wrap___sigprocmask14")]
pub unsafe extern "C" fn hold_back(how: c_int, new: *const [u32; 4], old: *mut [u32; 4]) -> c_int {
    const BLOCK: c_int = 1;
    const UNBLOCK: c_int = 2;
    for (index, word) in MASK.iter().enumerate() {
        let before = word.load(Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe {
            if !new.is_null() {
                let change = (*new)[index];
                let after = match how {
                    BLOCK => before | change,
                    UNBLOCK => before & !change,
                    _ => change,
                };
                word.store(after, Ordering::Relaxed);
            }
            if !old.is_null() {
                (*old)[index] = before;
            }
        }
    }
    0
}

/// The same under its other name.
///
/// # Safety
/// As above.
#[unsafe(export_name = "__wrap_sigprocmask")]
pub unsafe extern "C" fn hold_back_too(how: c_int, new: *const [u32; 4], old: *mut [u32; 4]) -> c_int {
    // SAFETY: the caller's.
    unsafe { hold_back(how, new, old) }
}

/// The same, as NetBSD's threads ask for it.
///
/// # Safety
/// As above.
#[unsafe(export_name = "__wrap__sys___sigprocmask14")]
pub unsafe extern "C" fn hold_back_thread(how: c_int, new: *const [u32; 4], old: *mut [u32; 4]) -> c_int {
    // SAFETY: the caller's.
    unsafe { hold_back(how, new, old) }
}

//! What comes from the console: bytes for the program's standard input, and the word to stop.
//!
//! A thread of seL4's waits for them. Here they are passed on by a thread of the program's own, which also calls the
//! program's handlers of signals.

#![allow(unreachable_pub, reason = "the rump kernel's libraries reach them")]

use crate::{
    bmk::{self, Thread, libc},
    clock,
    own::Own,
    program,
    wake::{NOBODY, Port},
};
use core::{
    ffi::{c_int, c_ulong, c_void},
    ptr,
    sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering},
};
use selkie::{System, cap::Notification, input::Input};

/// What is typed to stop: Ctrl-C; and at the end of all input: Ctrl-D.
const ETX: u8 = 3;
const EOT: u8 = 4;
/// Bytes that wait for the program; what comes while there is no room is lost.
const WAITING: usize = 4096;
/// How long a full pipe is left alone.
const PATIENCE: u64 = 20_000_000;

/// The signals that mean that the program is to stop, in the order in which a handler is looked for.
const SIGNALS: [c_int; 2] = [15, 2];
const SIGKILL: c_int = 9;
const SIGSTOP: c_int = 17;
const MAX_SIGNAL: usize = 64;

struct Queue {
    bytes: [AtomicU8; WAITING],
    put: AtomicU32,
    taken: AtomicU32,
}

static QUEUE: Queue = Queue {
    bytes: [const { AtomicU8::new(0) }; WAITING],
    put: AtomicU32::new(0),
    taken: AtomicU32::new(0),
};
/// Somebody has said that the program is to stop.
static ASKED: AtomicBool = AtomicBool::new(false);
/// Somebody listens at the console.
static LISTENS: AtomicBool = AtomicBool::new(false);
/// The thread that waits for what comes; null while it does not.
static WAITER: Own<*mut Thread> = Own::new(ptr::null_mut());
/// The signals that are held back, a bit each from 1 on.
static MASK: [AtomicU32; 4] = [const { AtomicU32::new(0) }; 4];
/// The program's handlers.
static ACTIONS: Own<[Action; MAX_SIGNAL]> = Own::new([Action::DEFAULT; MAX_SIGNAL]);

/// What the console has for the program, as a device that is waited for.
pub(crate) static PORT: Typed = Typed;
pub(crate) struct Typed;

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

/// Listens at the console, in a thread of its own, which signals `wake`. Where the console takes no input, nothing comes.
pub(crate) fn init(sys: &mut System, wake: Notification) -> selkie::Result<()> {
    let Ok(input) = Input::new(sys) else { return Ok(()) };
    let thread = sys.spawn(move || {
        while let Ok(byte) = input.read() {
            match byte {
                ETX => ASKED.store(true, Ordering::Release),
                byte => QUEUE.put(byte),
            }
            wake.signal();
        }
    })?;
    // It lasts as long as the function does.
    drop(thread);
    LISTENS.store(true, Ordering::Relaxed);
    Ok(())
}

impl Queue {
    fn put(&self, byte: u8) {
        let (put, taken) = (self.put.load(Ordering::Relaxed), self.taken.load(Ordering::Acquire));
        if put.wrapping_sub(taken) < WAITING as u32 {
            self.bytes[put as usize % WAITING].store(byte, Ordering::Relaxed);
            self.put.store(put.wrapping_add(1), Ordering::Release);
        }
    }

    fn is_empty(&self) -> bool {
        self.put.load(Ordering::Acquire) == self.taken.load(Ordering::Relaxed)
    }

    fn first(&self) -> Option<u8> {
        let taken = self.taken.load(Ordering::Relaxed);
        (!self.is_empty()).then(|| self.bytes[taken as usize % WAITING].load(Ordering::Relaxed))
    }

    fn take(&self) {
        self.taken.fetch_add(1, Ordering::Release);
    }
}

/// The program begins: what is typed becomes its standard input.
pub(crate) fn begin() {
    if !LISTENS.load(Ordering::Relaxed) {
        return;
    }
    let mut ends = [0; 2];
    let mut thread = 0;
    // SAFETY: libc fills in two numbers and one; the thread gets what it expects.
    let begun = unsafe {
        libc::pipe(ends.as_mut_ptr()) == 0
            && libc::fcntl(ends[1], libc::F_SETFL, libc::O_NONBLOCK) == 0
            && libc::dup2(ends[0], 0) == 0
            && libc::close(ends[0]) == 0
            && libc::pthread_create(&raw mut thread, ptr::null(), serve, ends[1] as usize as *mut c_void) == 0
    };
    if !begun {
        crate::fail(format_args!("the program gets no standard input: {}", program::error()));
    }
}

/// Whether the program holds a signal back.
fn is_held_back(signal: c_int) -> bool {
    let bit = signal as u32 - 1;
    MASK[bit as usize / 32].load(Ordering::Relaxed) & 1 << (bit % 32) != 0
}

/// Passes on what comes.
extern "C" fn serve(end: *mut c_void) -> *mut c_void {
    let mut end = Some(end.addr() as c_int);
    loop {
        // What is held back is looked at again whenever something comes.
        if !is_held_back(SIGNALS[0]) && ASKED.swap(false, Ordering::AcqRel) {
            stop();
        }
        let full = pass(&mut end);
        // Nothing happens between the look and the wait, but what the scheduler sees before it sleeps.
        if full {
            bmk::bmk_sched_blockprepare_timeout((clock::monotonic() + PATIENCE) as i64);
        } else {
            *WAITER.get() = bmk::current();
            bmk::bmk_sched_blockprepare();
        }
        bmk::bmk_sched_block();
        *WAITER.get() = ptr::null_mut();
    }
}

/// Writes what has come to the pipe. Returns whether that is full.
fn pass(end: &mut Option<c_int>) -> bool {
    while let Some(byte) = QUEUE.first() {
        match (byte, *end) {
            (_, None) => {}
            (EOT, Some(file)) => {
                libc::close(file);
                *end = None;
            }
            (byte, Some(file)) => {
                // A terminal's key for the end of a line.
                let byte = if byte == b'\r' { b'\n' } else { byte };
                // SAFETY: the byte is there.
                if unsafe { libc::write(file, (&raw const byte).cast(), 1) } != 1 {
                    return true;
                }
            }
        }
        QUEUE.take();
    }
    false
}

/// The program is to stop: its handler is called. Without one it ends, as other systems would have it.
fn stop() {
    for signal in SIGNALS {
        let action = ACTIONS.get()[signal as usize];
        match action.handler {
            0 => {}
            Action::IGNORE => return,
            handler if action.flags & Action::WITH_INFO != 0 => {
                // SAFETY: the program says that it takes these.
                let call: extern "C" fn(c_int, *mut c_void, *mut c_void) =
                    unsafe { core::mem::transmute(handler as usize) };
                let mut info = [0u32; 32];
                info[0] = signal as u32;
                return call(signal, info.as_mut_ptr().cast(), ptr::null_mut());
            }
            handler => {
                // SAFETY: as above.
                let call: extern "C" fn(c_int) = unsafe { core::mem::transmute(handler as usize) };
                return call(signal);
            }
        }
    }
    program::exit(128 + SIGNALS[0])
}

impl Port for Typed {
    fn tell(&self) {}

    fn set_waits(&self, _: bool) {}

    fn woken(&self) -> [*mut Thread; 2] {
        let waiter = *WAITER.get();
        let asked = || ASKED.load(Ordering::Acquire) && !is_held_back(SIGNALS[0]);
        if waiter.is_null() || QUEUE.is_empty() && !asked() {
            return NOBODY;
        }
        [waiter, ptr::null_mut()]
    }
}

/// Keeps a program's handler: rumprun would forget it.
///
/// # Safety
/// `new` and `old` are null, or of that kind.
#[unsafe(export_name = "__wrap___sigaction14")]
pub unsafe extern "C" fn keep_action(signal: c_int, new: *const Action, old: *mut Action) -> c_int {
    let known = (1..MAX_SIGNAL as c_int).contains(&signal);
    // SAFETY: the caller's.
    let new = unsafe { new.as_ref() };
    if !known || new.is_some() && matches!(signal, SIGKILL | SIGSTOP) {
        // SAFETY: libc's own variable.
        unsafe { *libc::__errno() = bmk::errno::EINVAL };
        return -1;
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

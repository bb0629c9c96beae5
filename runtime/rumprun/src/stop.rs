//! What comes from the console: bytes for the program's standard input, and the word to stop.
//!
//! A thread of seL4's waits for them. Here they are passed on by a thread of the program's own, which also calls the
//! program's handlers of signals.

use crate::{
    bmk::{self, Thread, libc},
    clock,
    own::Own,
    program, signal,
    wake::{NOBODY, Port},
};
use core::{
    ffi::{c_int, c_void},
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

/// The signals that mean that the program is to stop (SIGTERM, SIGINT), in the order in which a handler is looked for.
const SIGNALS: [c_int; 2] = [15, 2];

struct Queue {
    bytes: [AtomicU8; WAITING],
    put: AtomicU32,
    taken: AtomicU32,
}

static QUEUE: Queue =
    Queue { bytes: [const { AtomicU8::new(0) }; WAITING], put: AtomicU32::new(0), taken: AtomicU32::new(0) };
/// Somebody has said that the program is to stop.
static ASKED: AtomicBool = AtomicBool::new(false);
/// Somebody listens at the console.
static LISTENS: AtomicBool = AtomicBool::new(false);
/// The thread that waits for what comes; null while it does not.
static WAITER: Own<*mut Thread> = Own::new(ptr::null_mut());

/// What the console has for the program, as a device that is waited for.
pub(crate) static PORT: Typed = Typed;
pub(crate) struct Typed;

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

/// Passes on what comes.
extern "C" fn serve(end: *mut c_void) -> *mut c_void {
    let mut end = Some(end.addr() as c_int);
    loop {
        // What is held back is looked at again whenever something comes.
        if !signal::is_held_back(SIGNALS[0]) && ASKED.swap(false, Ordering::AcqRel) {
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

/// The program is to stop: its handler is called, that of the first signal for which there is one. Without one it ends.
fn stop() {
    let chosen = SIGNALS.into_iter().find(|signal| signal::has_action(*signal));
    signal::deliver(chosen.unwrap_or(SIGNALS[0]));
}

impl Port for Typed {
    fn tell(&self) {}

    fn set_waits(&self, _: bool) {}

    fn woken(&self) -> [*mut Thread; 2] {
        let waiter = *WAITER.get();
        let asked = || ASKED.load(Ordering::Acquire) && !signal::is_held_back(SIGNALS[0]);
        if waiter.is_null() || QUEUE.is_empty() && !asked() {
            return NOBODY;
        }
        [waiter, ptr::null_mut()]
    }
}

//! The executor: runs the tasks that have something to do in the calling thread, and sleeps at a notification when none
//! has.

use crate::{error::Result, stop::Stop, time, wake};
use alloc::boxed::Box;
use core::{
    future::Future,
    pin::pin,
    ptr,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, RawWaker, RawWakerVTable, Waker},
};
use embassy_executor::raw::{Executor, TaskStorage};
use selkie::{System, alarm::Alarm, cap::Notification};

/// A task was woken since the tasks were run last.
static PENDING: AtomicBool = AtomicBool::new(false);

/// What the crate `embassy-executor` calls when a task was woken.
#[unsafe(export_name = "__pender")]
fn pend(_: *mut ()) {
    PENDING.store(true, Ordering::Release);
    if !wake::is_own_thread() {
        wake::signal();
    }
}

/// The tasks, and what wakes them.
pub(crate) struct Tasks {
    executor: &'static Executor,
    wake: Notification,
    alarm: Alarm,
}

impl Tasks {
    /// No task yet. They run in the calling thread, which is the one that uses devices and sleeps at `wake`.
    pub(crate) fn new(wake: Notification, alarm: Alarm) -> Self {
        let executor = Box::leak(Box::new(Executor::new(ptr::null_mut())));
        Self { executor, wake, alarm }
    }

    /// Adds a task.
    pub(crate) fn spawn<F: Future<Output = ()> + 'static>(&self, task: F) {
        let storage = Box::leak(Box::new(TaskStorage::new()));
        // A storage that was just made is not in use.
        if let Ok(token) = storage.spawn(|| task) {
            self.executor.spawner().spawn(token);
        }
    }

    /// Runs the tasks until `done` says so.
    pub(crate) fn run(mut self, stop: &Stop, done: impl Fn() -> bool) -> Result<()> {
        while !done() {
            PENDING.store(false, Ordering::Relaxed);
            // SAFETY: only this thread calls it, and no task does.
            unsafe { self.executor.poll() };
            look();
            let next = time::expire();
            if !PENDING.load(Ordering::Acquire) && !done() {
                let (wake, alarm) = (self.wake, &mut self.alarm);
                sleep(|| {
                    next.map_or(Ok(()), |next| alarm.set(next))?;
                    alarm.woken(wake.wait())
                })?;
            }
            stop.tell();
        }
        Ok(())
    }
}

/// Tells the devices' hosts what there is for them, and wakes the tasks that there is something for: a host may answer
/// while it is told.
fn look() {
    for port in wake::ports() {
        port.tell();
        port.wake();
    }
}

/// Has `wait` sleep until there is something to do.
fn sleep(wait: impl FnOnce() -> selkie::Result<()>) -> selkie::Result<()> {
    wake::ports().for_each(|port| port.set_waits(true));
    // What came before the host knew that it has to signal.
    let something = wake::ports().fold(false, |any, port| port.wake() | any);
    let result = if something { Ok(()) } else { wait() };
    for port in wake::ports() {
        port.set_waits(false);
        port.wake();
    }
    result
}

/// Runs a future to its end: what is to be done with a disk before a server starts, for instance. Nothing else runs
/// meanwhile, and nothing that waits for a moment in time ends.
pub fn block_on<F: Future>(sys: &mut System, future: F) -> Result<F::Output> {
    let wake = wake::notification(sys)?;
    let mut future = pin!(future);
    // SAFETY: the functions of the table do nothing with the pointer.
    let waker = unsafe { Waker::from_raw(WAKER) };
    loop {
        PENDING.store(false, Ordering::Relaxed);
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Ok(output);
        }
        look();
        if !PENDING.load(Ordering::Acquire) {
            sleep(|| {
                wake.wait();
                Ok(())
            })?;
        }
    }
}

/// Wakes [`block_on`].
const WAKER: RawWaker =
    RawWaker::new(ptr::null(), &RawWakerVTable::new(|_| WAKER, pend_raw, pend_raw, |_| {}));

fn pend_raw(_: *const ()) {
    pend(ptr::null_mut());
}

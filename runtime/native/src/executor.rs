//! The executor: runs the tasks that have something to do in the calling thread, and sleeps at a notification when none
//! has.

use crate::{card::Card, error::Result, stop::Stop, time, time::Alarm};
use alloc::boxed::Box;
use core::{
    future::Future,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};
use embassy_executor::raw::{Executor, TaskStorage};
use selkie::{
    cap::{Capability, Notification, Slot},
    thread,
};

/// A task was woken since the tasks were run last.
static PENDING: AtomicBool = AtomicBool::new(false);
/// The thread that runs the tasks, and the notification that it sleeps at.
static THREAD: AtomicU64 = AtomicU64::new(0);
static WAKE: AtomicU64 = AtomicU64::new(0);

/// What the crate `embassy-executor` calls when a task was woken.
#[unsafe(export_name = "__pender")]
fn pend(_: *mut ()) {
    PENDING.store(true, Ordering::Release);
    if thread::current().number() != THREAD.load(Ordering::Relaxed) {
        Notification::at(Slot(WAKE.load(Ordering::Relaxed))).signal();
    }
}

/// The tasks, and what wakes them.
pub(crate) struct Tasks {
    executor: &'static Executor,
    card: &'static Card,
    alarm: Alarm,
}

impl Tasks {
    /// No task yet. They run in the calling thread.
    pub(crate) fn new(card: &'static Card, alarm: Alarm) -> Self {
        THREAD.store(thread::current().number(), Ordering::Relaxed);
        WAKE.store(card.notification().slot().0, Ordering::Relaxed);
        let executor = Box::leak(Box::new(Executor::new(core::ptr::null_mut())));
        Self { executor, card, alarm }
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
            self.card.tell();
            let next = time::expire();
            if !PENDING.load(Ordering::Acquire) && !done() {
                self.sleep(next)?;
            }
            stop.tell();
        }
        Ok(())
    }

    /// Sleeps until there is something to do.
    fn sleep(&mut self, next: Option<u64>) -> Result<()> {
        self.card.set_waits(true);
        // What came before the host knew that it has to signal.
        if !self.card.wake() {
            self.alarm.set(next)?;
            let badge = self.card.notification().wait();
            self.alarm.woken(badge)?;
        }
        self.card.set_waits(false);
        self.card.wake();
        Ok(())
    }
}

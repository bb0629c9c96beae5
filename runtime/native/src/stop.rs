//! The function's end: a word from outside that it is to stop, and those who wait for it.

use alloc::vec::Vec;
use core::{
    cell::RefCell,
    future::poll_fn,
    sync::atomic::{AtomicBool, Ordering},
    task::{Poll, Waker},
};
use selkie::{System, cap::Notification, input::Input};

/// What is typed to stop: Ctrl-C.
const ETX: u8 = 3;

/// Somebody has said that the function is to stop.
static ASKED: AtomicBool = AtomicBool::new(false);

/// Waits at the console for the word to stop, in a thread of its own, and signals `wake` then. Where the console takes no
/// input, nobody says the word.
pub(crate) fn listen(sys: &mut System, wake: Notification) -> selkie::Result<()> {
    let Ok(input) = Input::new(sys) else { return Ok(()) };
    let thread = sys.spawn(move || {
        while !matches!(input.read(), Ok(ETX) | Err(_)) {}
        ASKED.store(true, Ordering::Release);
        wake.signal();
    })?;
    // It lasts as long as the function does.
    drop(thread);
    Ok(())
}

/// The tasks that are to be told.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    waiting: RefCell<Vec<Waker>>,
}

impl Stop {
    /// Whether the function is to stop.
    pub(crate) fn is_asked(&self) -> bool {
        ASKED.load(Ordering::Acquire)
    }

    /// Waits until the function is to stop.
    pub(crate) async fn asked(&self) {
        poll_fn(|cx| {
            if self.is_asked() {
                return Poll::Ready(());
            }
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Tells those who wait, once the word has come.
    pub(crate) fn tell(&self) {
        if self.is_asked() {
            self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
        }
    }
}

//! The console: what the program and NetBSD write, by the byte.
//!
//! What NetBSD says while it starts and when it ends is kept back: it is shown where something goes wrong then, or where
//! the variable `LOG` asks for it.

use crate::{memory, own::Own, tls};
use selkie::config;

/// Bytes of a line that are put together; a longer line comes in pieces.
const LINE: usize = 256;
/// Bytes of what is kept back; what does not fit is left out.
const KEPT: usize = 12 << 10;

struct Console {
    line: [u8; LINE],
    length: usize,
    keeps: bool,
    /// What is written is lost.
    mute: bool,
}

struct Kept {
    text: [u8; KEPT],
    length: usize,
}

static CONSOLE: Own<Console> = Own::new(Console { line: [0; LINE], length: 0, keeps: true, mute: false });
static KEPT_BACK: Own<Kept> = Own::new(Kept { text: [0; KEPT], length: 0 });

/// Writes a byte, as soon as its line is complete or nobody has anything else to do.
pub(crate) fn put(byte: u8) {
    let mut console = CONSOLE.get();
    if console.mute {
        return;
    }
    if console.keeps {
        let mut kept = KEPT_BACK.get();
        let length = kept.length;
        if let Some(place) = kept.text.get_mut(length) {
            *place = byte;
            kept.length += 1;
        }
        return;
    }
    let length = console.length;
    console.line[length] = byte;
    console.length += 1;
    if byte == b'\n' && console.line[..console.length].starts_with(memory::IN_VAIN) {
        console.length = 0;
        drop(console);
        memory::in_vain();
    } else if byte == b'\n' || console.length == LINE {
        console.flush();
    }
}

/// Does something whose words nobody needs.
pub(crate) fn without<T>(something: impl FnOnce() -> T) -> T {
    CONSOLE.get().mute = true;
    let result = something();
    CONSOLE.get().mute = false;
    result
}

/// Writes what there is of a line.
pub(crate) fn flush() {
    CONSOLE.get().flush();
}

/// From now on what is written is shown. What was kept back is too, where `all` says so.
pub(crate) fn show(all: bool) {
    let mut console = CONSOLE.get();
    if core::mem::replace(&mut console.keeps, false) && all {
        let kept = KEPT_BACK.get();
        tls::runtime(|| selkie::console::lock().write(&kept.text[..kept.length]));
    }
}

/// From now on what is written is kept back.
pub(crate) fn keep() {
    flush();
    KEPT_BACK.get().length = 0;
    CONSOLE.get().keeps = !is_wanted();
}

/// Whether somebody wants to see what NetBSD has to say.
pub(crate) fn is_wanted() -> bool {
    config::env("LOG").is_some_and(|level| matches!(level, "info" | "debug" | "trace"))
}

impl Console {
    fn flush(&mut self) {
        if self.length > 0 {
            tls::runtime(|| selkie::console::lock().write(&self.line[..self.length]));
            self.length = 0;
        }
    }
}

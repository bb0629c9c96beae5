//! The console: what [`print!`](crate::print) and [`println!`](crate::println) write to.
//!
//! It is the host's console where there is one, else a serial port where one answers. Elsewhere a debug kernel
//! prints, and on a release kernel what is written is lost: a function does not fail because nobody listens.

use crate::{
    cap::IoPort,
    config, host_console,
    serial::Serial,
    sync::{Mutex, MutexGuard},
};
use core::{
    fmt::{self, Write},
    sync::atomic::{AtomicU32, Ordering},
};

static CONSOLE: Mutex<Console> = Mutex::new(Console(()));

/// The serial port, as [`Serial::to_bits`] has it; 0 as long as none is open. It is no part of the value that
/// the lock guards, so that the last words need no lock.
static SERIAL: AtomicU32 = AtomicU32::new(0);

/// The console, locked for one thread.
#[derive(Debug)]
pub struct Console(());

/// Locks the console: what is written until the guard is dropped comes out in one piece.
pub fn lock() -> MutexGuard<'static, Console> {
    CONSOLE.lock()
}

/// The console for the last words before the end: locked, unless a thread holds it that does not come to
/// its end. Then what that one writes may be mixed with the last words.
pub(crate) fn force() -> (Console, Option<MutexGuard<'static, Console>>) {
    let mut guard = None;
    for _ in 0..1000 {
        guard = CONSOLE.try_lock();
        if guard.is_some() {
            break;
        }
        crate::thread::yield_now();
    }
    #[cfg(feature = "console")]
    host_console::driver::leave();
    (Console(()), guard)
}

/// Has a driver of the function's own take what is written from now on, instead of the serial port: `device` is what it
/// stands behind, and `wake` wakes it. The last words go to the serial port all the same: they need no driver.
#[cfg(feature = "console")]
pub fn attach(device: crate::device::Device, wake: crate::cap::Notification) {
    // What the port has not sent yet comes first.
    let mut console = lock();
    console.flush();
    host_console::driver::attach(device, wake);
}

impl Console {
    /// Writes bytes; each line feed gets a carriage return before it, unless the host cares for that.
    pub fn write(&mut self, bytes: &[u8]) {
        if let Some(host) = host_console::get() {
            return host.send(bytes, true);
        }
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match line.strip_suffix(b"\n") {
                Some(text) => {
                    self.write_raw(text);
                    self.write_raw(b"\r\n");
                }
                None => self.write_raw(line),
            }
        }
    }

    /// Writes bytes as they are.
    pub fn write_raw(&mut self, bytes: &[u8]) {
        if let Some(host) = host_console::get() {
            return host.send(bytes, true);
        }
        if let Some(serial) = self.serial() {
            if serial.send(bytes).is_ok() {
                return;
            }
            SERIAL.store(0, Ordering::Relaxed);
        }
        for byte in bytes {
            // SAFETY: it prints one character on a debug kernel and does nothing on others.
            unsafe { selkie_sys::debug_put_char((*byte).into()) };
        }
    }

    /// Waits until everything has left the port.
    pub fn flush(&mut self) {
        if let Some(host) = host_console::get() {
            return host.send(b"", true);
        }
        if let Some(serial) = self.serial() {
            // There is no one to tell.
            let _ = serial.flush();
        }
    }

    /// A byte that has arrived, if there is one.
    pub fn receive(&mut self) -> Option<u8> {
        if let Some(host) = host_console::get().filter(|host| host.notification().is_some()) {
            return host.receive();
        }
        self.serial()?.receive().ok().flatten()
    }

    /// The serial port, opened when it is first used. Where nobody answers for one, somebody may later.
    pub(crate) fn serial(&mut self) -> Option<Serial> {
        if let Some(serial) = Serial::from_bits(SERIAL.load(Ordering::Relaxed)) {
            return Some(serial);
        }
        let config = config::get();
        let serial = Serial::open_slow(IoPort::OWN, config.serial(), config.serial_divisor()).ok()?;
        SERIAL.store(serial.to_bits(), Ordering::Relaxed);
        Some(serial)
    }
}

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        match host_console::get() {
            // One request for each line, not for each piece of one.
            Some(host) => host.send(text.as_bytes(), text.ends_with('\n')),
            None => self.write(text.as_bytes()),
        }
        Ok(())
    }
}

/// Writes formatted text to the console. What `print!` expands to.
#[doc(hidden)]
pub fn print(arguments: fmt::Arguments<'_>) {
    // Only a `Display` that fails by itself makes an error; there is no one to tell.
    let mut console = lock();
    let _ = console.write_fmt(arguments);
    if host_console::get().is_some() {
        console.flush();
    }
}

/// Writes a formatted line to the console. What `println!` expands to.
#[doc(hidden)]
pub fn print_line(arguments: fmt::Arguments<'_>) {
    let mut console = lock();
    // As for `print`.
    let _ = console.write_fmt(arguments);
    console.write(b"\n");
}

/// Writes formatted text to the console, as `std::print!` does.
#[macro_export]
macro_rules! print {
    ($($arguments:tt)*) => { $crate::console::print(::core::format_args!($($arguments)*)) };
}

/// Writes a formatted line to the console, as `std::println!` does.
#[macro_export]
macro_rules! println {
    () => { $crate::console::print_line(::core::format_args!("")) };
    ($($arguments:tt)*) => { $crate::console::print_line(::core::format_args!($($arguments)*)) };
}

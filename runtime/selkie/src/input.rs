//! What is typed at the console.

use crate::{
    cap::Notification,
    config::{self, SerialPort},
    console,
    error::{Error, Result},
    host_console,
    interrupt::Interrupt,
    system::System,
    thread,
};

/// The console's input. It waits for the host's console, or for the serial port's interrupt where somebody
/// answers for interrupts, and asks the port again and again elsewhere.
#[derive(Debug)]
pub struct Input {
    source: Source,
}

/// What tells that a byte has arrived.
#[derive(Debug)]
enum Source {
    Host(Notification),
    Interrupt(Interrupt),
    Nobody,
}

impl Input {
    /// Opens the console's input. Fails where there is none.
    pub fn new(sys: &mut System) -> Result<Self> {
        if let Some(notification) = host_console::get().and_then(|host| host.notification()) {
            return Ok(Self { source: Source::Host(notification) });
        }
        let serial = console::lock().serial().ok_or(Error::NoDevice)?;
        let pin = match config::get().serial() {
            SerialPort::Com1 => 4,
            SerialPort::Com2 => 3,
        };
        let interrupt = Interrupt::isa(sys, pin).ok();
        serial.interrupts(interrupt.is_some())?;
        Ok(Self { source: interrupt.map_or(Source::Nobody, Source::Interrupt) })
    }

    /// A byte that has arrived, if there is one.
    pub fn try_read(&self) -> Option<u8> {
        console::lock().receive()
    }

    /// Waits for a byte.
    pub fn read(&self) -> Result<u8> {
        loop {
            if let Some(byte) = self.try_read() {
                return Ok(byte);
            }
            match &self.source {
                Source::Host(notification) => {
                    notification.wait();
                }
                // Acknowledged before the next look: a byte that comes in between interrupts again.
                Source::Interrupt(interrupt) => {
                    interrupt.wait();
                    interrupt.ack()?;
                }
                Source::Nobody => thread::yield_now(),
            }
        }
    }

    /// Waits for a line and fills `buffer` with as much of it as there is room for, without the line's end
    /// (carriage return, line feed, or both). Empty lines are
    /// left out, and what is typed is not echoed.
    pub fn read_line<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8]> {
        let mut length = 0;
        loop {
            match self.read()? {
                b'\r' | b'\n' if length > 0 => return Ok(&buffer[..length]),
                b'\r' | b'\n' => {}
                byte => {
                    if let Some(place) = buffer.get_mut(length) {
                        *place = byte;
                        length += 1;
                    }
                }
            }
        }
    }
}

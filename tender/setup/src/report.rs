//! Messages to the user.

use crate::linux::{Calls, Linux};
use core::fmt::{Arguments, Write};

/// The status of a process in which no root task could be started.
pub const CANNOT_START: i32 = 125;

/// Gathers a text, so that a line goes out by one system call.
struct Buffer<'l> {
    calls: Calls<'l>,
    descriptor: i32,
    bytes: [u8; 512],
    length: usize,
}

impl Buffer<'_> {
    fn flush(&mut self) {
        let mut bytes = &self.bytes[..self.length];
        while !bytes.is_empty() {
            let Ok(written @ 1..) = self.calls.write(self.descriptor, bytes) else { break };
            bytes = bytes.get(written..).unwrap_or_default();
        }
        self.length = 0;
    }
}

impl Write for Buffer<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for byte in text.bytes() {
            if self.length == self.bytes.len() {
                self.flush();
            }
            self.bytes[self.length] = byte;
            self.length += 1;
        }
        Ok(())
    }
}

/// Prints a text and a line end on a descriptor. What cannot be written is lost.
pub fn print(linux: &dyn Linux, descriptor: i32, text: Arguments<'_>) {
    let mut buffer = Buffer { calls: Calls(linux), descriptor, bytes: [0; 512], length: 0 };
    // Nothing above gives an error.
    let _ = buffer.write_fmt(text);
    let _ = buffer.write_str("\n");
    buffer.flush();
}

/// Prints a message on descriptor 2, after the tender's name.
pub fn report(linux: &dyn Linux, text: Arguments<'_>) {
    print(linux, 2, format_args!("selkie-tender: {text}"));
}

//! Output: the console on descriptor 1, reports on descriptor 2.

use crate::{
    alarm,
    syscall::{Errno, syscall, syscall_wait},
};
use core::fmt::{Arguments, Write};
use linux_raw_sys::{errno, general};

/// Bytes that are kept until they are put out together.
const BUFFER: usize = 512;
/// How long to wait for a descriptor that takes no more, in nanoseconds.
const NAP: u64 = 1_000_000;

/// A descriptor that text is written to, line by line.
#[derive(Debug)]
pub(crate) struct Output {
    descriptor: u32,
    /// Nobody takes any more; what comes is dropped.
    closed: bool,
    length: usize,
    buffer: [u8; BUFFER],
}

impl Output {
    /// The console.
    pub(crate) const CONSOLE: u32 = 1;
    /// Reports.
    pub(crate) const REPORTS: u32 = 2;

    /// Nothing written yet.
    pub(crate) const fn new(descriptor: u32) -> Self {
        Self { descriptor, closed: false, length: 0, buffer: [0; BUFFER] }
    }

    /// Adds a byte; it is put out with its line at the latest.
    #[inline]
    pub(crate) fn push(&mut self, byte: u8) {
        self.buffer[self.length] = byte;
        self.length += 1;
        if byte == b'\n' || self.length == BUFFER {
            self.flush();
        }
    }

    /// Puts out what has been kept.
    pub(crate) fn flush(&mut self) {
        let mut done = 0;
        while !self.closed && done < self.length {
            match write(self.descriptor, &self.buffer[done..self.length]) {
                Ok(count) => done += count,
                Err(Errno(errno::EINTR)) => {}
                Err(Errno(errno::EAGAIN)) => nap(),
                Err(error) => self.close(error),
            }
        }
        self.length = 0;
    }

    /// Gives up on the descriptor. A reader that has gone away, or a descriptor that never was, is nothing to
    /// report; what else is lost is.
    fn close(&mut self, error: Errno) {
        self.closed = true;
        if self.descriptor == Self::CONSOLE && !matches!(error.0, errno::EPIPE | errno::EBADF) {
            report(format_args!("selkie-tender: the console's output is lost: error {} of write\n", error.0));
        }
    }
}

impl Write for Output {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        text.bytes().for_each(|byte| self.push(byte));
        Ok(())
    }
}

/// Prints on descriptor 2.
pub(crate) fn report(text: Arguments<'_>) {
    let mut output = Output::new(Output::REPORTS);
    // Only formatting can fail, and nothing that is printed here does.
    let _ = output.write_fmt(text);
    output.flush();
}

fn write(descriptor: u32, bytes: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the bytes are only read.
    let count = unsafe {
        syscall(general::__NR_write, [descriptor.into(), bytes.as_ptr().addr() as u64, bytes.len() as u64])
    };
    count.map(|count| count as usize)
}

/// Sleeps a little, by the timer of the alarm: whoever has set that is woken too early, and sets it anew.
fn nap() {
    alarm::set(NAP);
    // SAFETY: without arguments.
    let _ = unsafe { syscall_wait(general::__NR_pause, [0; 0]) };
}

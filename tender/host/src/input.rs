//! What is typed at the console: descriptor 0.

use crate::{
    events,
    syscall::{Errno, syscall, syscall_wait},
};
use linux_raw_sys::{errno, general};

/// Bytes that are read ahead.
const BUFFER: usize = 64;

/// The console's input.
#[derive(Debug)]
pub(crate) struct Input {
    source: Source,
    /// The root task has asked for a byte in vain since the last wait.
    wanted: bool,
    start: usize,
    end: usize,
    buffer: [u8; BUFFER],
}

/// How descriptor 0 is asked whether it has something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// There is none, or it has ended.
    None,
    /// This descriptor of epoll tells.
    Events(i32),
    /// It is a file, which always has.
    File,
}

impl Input {
    /// Nothing read yet.
    pub(crate) const fn new(source: Source) -> Self {
        Self { source, wanted: false, start: 0, end: 0, buffer: [0; BUFFER] }
    }

    /// The next byte, if there is one.
    pub(crate) fn next(&mut self) -> Option<u8> {
        if self.start == self.end && self.is_ready() {
            self.read();
        }
        let byte = (self.start < self.end).then(|| self.buffer[self.start]);
        self.start += usize::from(byte.is_some());
        self.wanted = byte.is_none();
        byte
    }

    /// Waits for input or a signal. Input that the root task does not take is not waited for: it is there
    /// again and again, and nothing would come of it.
    pub(crate) fn wait(&mut self) {
        match self.source {
            Source::Events(events) if self.wanted => {
                self.wanted = false;
                events::wait(events, None);
            }
            // What a file has, the root task has been offered.
            _ => {
                // SAFETY: without arguments.
                let _ = unsafe { syscall_wait(general::__NR_pause, [0; 0]) };
            }
        }
    }

    fn is_ready(&self) -> bool {
        match self.source {
            Source::None => false,
            Source::Events(events) => events::wait(events, Some(0)).is_some(),
            Source::File => true,
        }
    }

    fn read(&mut self) {
        let buffer = self.buffer.as_mut_ptr().expose_provenance() as u64;
        // SAFETY: as many bytes as the buffer has are written to it.
        match unsafe { syscall(general::__NR_read, [0, buffer, BUFFER as u64]) } {
            Ok(count @ 1..) => (self.start, self.end) = (0, count as usize),
            Err(Errno(errno::EINTR | errno::EAGAIN)) => {}
            Ok(0) | Err(_) => self.source = Source::None,
        }
    }
}

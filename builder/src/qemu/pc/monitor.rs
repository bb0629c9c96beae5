//! QEMU's monitor protocol (QMP), as far as a smoke test needs it: why the machine stopped, and what is on its
//! screen.
//!
//! The connection is a pair of sockets without a name. The command that opens it is written before QEMU
//! starts, and what QEMU tells is read after its end: nobody has to listen meanwhile.

use super::{anonymous, screen};
use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

/// Why a machine stopped (`ShutdownCause` in QEMU's `qapi/run-state.json`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// The guest switched it off.
    PowerOff,
    /// The guest reset it; a triple fault does, too.
    Reset,
}

/// Our end of the connection, and the file that QEMU copies the screen to.
#[derive(Debug)]
pub(crate) struct Monitor {
    stream: UnixStream,
    screen: File,
    /// Its number in QEMU.
    screen_number: RawFd,
    /// What QEMU has told so far: lines of JSON.
    heard: Vec<u8>,
}

/// How much is listened to: a guest that makes QEMU tell something again and again must not fill our memory.
const MOST: usize = 1 << 20;
/// How long QEMU may take to copy the screen.
const PATIENCE: Duration = Duration::from_secs(2);

impl Monitor {
    /// The connection, QEMU's end of it, and the other file that QEMU must inherit.
    pub(super) fn new() -> io::Result<(Self, OwnedFd, OwnedFd)> {
        let (mut stream, end) = UnixStream::pair()?;
        stream.write_all(b"{\"execute\": \"qmp_capabilities\"}\n")?;
        let screen = anonymous(&[])?;
        let theirs = OwnedFd::from(screen.try_clone()?);
        let screen_number = theirs.as_raw_fd();
        Ok((Self { stream, screen, screen_number, heard: Vec::new() }, end.into(), theirs))
    }

    /// The lines of text on the screen of a running machine; none when there are none, or QEMU does not answer.
    pub(crate) fn screen(&mut self) -> Vec<String> {
        self.copy_screen().map(|cells| screen::lines(&cells)).unwrap_or_default()
    }

    fn copy_screen(&mut self) -> io::Result<Vec<u8>> {
        let file = format!("/proc/self/fd/{}", self.screen_number);
        let (address, size) = (screen::ADDRESS, screen::SIZE);
        let command = format!(
            "{{\"execute\": \"pmemsave\", \"arguments\": {{\"val\": {address}, \"size\": {size}, \"filename\": \"{file}\"}}, \"id\": \"screen\"}}\n"
        );
        self.stream.write_all(command.as_bytes())?;
        let deadline = Instant::now() + PATIENCE;
        while !self.messages().any(|message| message["id"] == "screen") {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            if self.read()? == 0 {
                break;
            }
        }
        let mut cells = Vec::new();
        self.screen.rewind()?;
        (&self.screen).take(size as u64).read_to_end(&mut cells)?;
        Ok(cells)
    }

    /// Why the machine stopped, after QEMU's end; none when it did not say.
    pub(crate) fn shutdown(&mut self) -> Option<Shutdown> {
        // Without QEMU there is nobody to wait for.
        self.stream.set_nonblocking(true).ok()?;
        while self.read().is_ok_and(|count| count > 0) {}
        let event = self.messages().filter(|message| message["event"] == "SHUTDOWN").last()?;
        match event["data"]["reason"].as_str()? {
            "guest-shutdown" => Some(Shutdown::PowerOff),
            "guest-reset" => Some(Shutdown::Reset),
            _ => None,
        }
    }

    fn read(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 16 << 10];
        let count = self.stream.read(&mut buffer)?;
        let room = MOST.saturating_sub(self.heard.len());
        self.heard.extend_from_slice(&buffer[..count.min(room)]);
        Ok(if room == 0 { 0 } else { count })
    }

    fn messages(&self) -> impl Iterator<Item = serde_json::Value> {
        self.heard.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A monitor whose QEMU has said `words` and ended.
    fn said(words: &str) -> Monitor {
        let (monitor, end, _) = Monitor::new().unwrap();
        UnixStream::from(end).write_all(words.as_bytes()).unwrap();
        monitor
    }

    #[test]
    fn a_machines_end_is_told_from_a_reset() {
        let event = |reason: &str| {
            let mut monitor = said(&format!(
                "{{\"QMP\": {{}}}}\r\n{{\"return\": {{}}}}\r\n{{\"event\": \"RTC_CHANGE\"}}\r\n{{\"event\": \"SHUTDOWN\", \
                 \"data\": {{\"guest\": true, \"reason\": \"{reason}\"}}}}\r\n"
            ));
            monitor.shutdown()
        };
        assert_eq!(event("guest-shutdown"), Some(Shutdown::PowerOff));
        assert_eq!(event("guest-reset"), Some(Shutdown::Reset));
        assert_eq!(event("host-signal"), None);
        assert_eq!(said("{\"QMP\"").shutdown(), None);
        assert_eq!(said("").shutdown(), None);
    }

    #[test]
    fn a_qemu_that_says_too_much_or_nothing_is_given_up() {
        let (mut monitor, _end, _) = Monitor::new().unwrap();
        assert_eq!(monitor.shutdown(), None, "nobody waits for a QEMU that lives");
        let (mut monitor, end, _) = Monitor::new().unwrap();
        drop(end);
        assert!(monitor.screen().is_empty());
    }
}

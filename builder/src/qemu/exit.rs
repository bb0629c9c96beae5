//! What the exit code of QEMU, or of a root task's own process, says about the guest.

use serde::Serialize;
use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

/// How a guest, or what runs it, ended.
///
/// A process has the function's status as its own exit code. Under QEMU the device `isa-debug-exit` makes QEMU exit with `(value << 1) | 1`. The runtime writes 0x10 + the
/// function's status, so that no status looks like QEMU's own 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuestEnd {
    /// The function ended with this status, 0 to 111.
    Status(u8),
    /// Exit code 0: the guest reset (a triple fault does) or switched off the machine.
    Reset,
    /// The guest switched off the machine, for sure: QEMU's monitor has said so.
    PoweredOff,
    /// Exit code 1: QEMU failed by itself, or the guest wrote 0 to the exit port.
    One,
    /// The guest wrote a value to the exit port that the runtime never writes.
    ForeignValue(u8),
    /// An exit code that no guest can cause.
    Failed(i32),
    /// QEMU was killed by a signal.
    Signal(i32),
    /// An exit code of the tender's own: no function has it.
    Tender(i32),
    /// The process was killed by a signal.
    Killed(i32),
}

/// What the runtime adds to a status before it writes it to the exit port.
const STATUS_BASE: u8 = 0x10;

/// The highest status that a function can end with.
const MAX_STATUS: u8 = 111;

impl GuestEnd {
    /// What QEMU's end says.
    pub(crate) fn of_qemu(status: ExitStatus) -> Self {
        let Some(code) = status.code() else { return Self::Signal(status.signal().unwrap_or_default()) };
        match u8::try_from(code) {
            Ok(0) => Self::Reset,
            Ok(1) => Self::One,
            Ok(code) if code % 2 == 1 => match (code >> 1).checked_sub(STATUS_BASE) {
                Some(status) => Self::Status(status),
                None => Self::ForeignValue(code >> 1),
            },
            _ => Self::Failed(code),
        }
    }

    /// What QEMU's end says when the machine has no exit port.
    pub(crate) fn of_pc(status: ExitStatus) -> Self {
        match status.code() {
            None => Self::Signal(status.signal().unwrap_or_default()),
            Some(0) => Self::Reset,
            Some(code) => Self::Failed(code),
        }
    }

    /// What the end of a root task's process says.
    pub(crate) fn of_process(status: ExitStatus) -> Self {
        let Some(code) = status.code() else { return Self::Killed(status.signal().unwrap_or_default()) };
        match u8::try_from(code) {
            Ok(status @ 0..=MAX_STATUS) => Self::Status(status),
            _ => Self::Tender(code),
        }
    }
}

/// A signal's name, for messages.
pub(crate) fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        26 => "SIGVTALRM",
        31 => "SIGSYS",
        _ => return format!("signal {signal}"),
    };
    format!("{name} (signal {signal})")
}

/// What QEMU said that is not a warning, at most a few lines.
pub(crate) fn own_words(stderr: &str) -> String {
    let lines = stderr.lines().filter(|line| !line.contains(": warning: ") && !line.trim().is_empty());
    lines.take(4).collect::<Vec<_>>().join("\n  | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_has_one_meaning() {
        let code = |code: i32| GuestEnd::of_qemu(ExitStatus::from_raw(code << 8));
        assert_eq!(code(0), GuestEnd::Reset);
        assert_eq!(code(1), GuestEnd::One);
        assert_eq!(code(3), GuestEnd::ForeignValue(1));
        assert_eq!(code(31), GuestEnd::ForeignValue(15));
        assert_eq!(code(33), GuestEnd::Status(0));
        assert_eq!(code(255), GuestEnd::Status(111));
        assert_eq!(code(2), GuestEnd::Failed(2));
        assert_eq!(code(254), GuestEnd::Failed(254));
        assert_eq!(GuestEnd::of_qemu(ExitStatus::from_raw(9)), GuestEnd::Signal(9));
    }

    #[test]
    fn a_process_ends_with_the_functions_own_status() {
        let code = |code: i32| GuestEnd::of_process(ExitStatus::from_raw(code << 8));
        assert_eq!(
            (code(0), code(1), code(111)),
            (GuestEnd::Status(0), GuestEnd::Status(1), GuestEnd::Status(111))
        );
        assert_eq!((code(112), code(125)), (GuestEnd::Tender(112), GuestEnd::Tender(125)));
        assert_eq!(GuestEnd::of_process(ExitStatus::from_raw(31)), GuestEnd::Killed(31));
        assert!(signal_name(31).starts_with("SIGSYS"));
    }
}

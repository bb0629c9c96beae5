//! The time of day of a PC.

use selkie::{Error, Result, cap::IoPort};
use selkie_base::rtc::{CHANGING, FORMAT, STATUS, TIME, seconds};

const INDEX: u16 = 0x70;
const VALUE: u16 = 0x71;
/// How often it is asked: a change takes 2 ms, an access to a port more than 100 ns.
const ATTEMPTS: u32 = 50_000;

/// What the real-time clock shows, in seconds since 1970-01-01 00:00 in its own zone. Fails with
/// [`NoDevice`](Error::NoDevice) where there is none, or one that shows no time.
pub fn real_time() -> Result<u64> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        // The clock may go on between two registers: what was read twice alike was read whole.
        match read()? {
            Some(time) if last == Some(time) => {
                return seconds(time, register(FORMAT)?).ok_or(Error::NoDevice);
            }
            time => last = time,
        }
    }
    Err(Error::NoDevice)
}

/// The registers of the time; none while it is being changed.
fn read() -> Result<Option<[u8; 7]>> {
    if register(STATUS)? & CHANGING != 0 {
        return Ok(None);
    }
    let mut time = [0; TIME.len()];
    for (value, number) in time.iter_mut().zip(TIME) {
        *value = register(number)?;
    }
    Ok(Some(time))
}

/// The uppermost bit of the index is left 0, as it is after a start: it would hold off interrupts that cannot be held off
/// otherwise.
fn register(number: u8) -> Result<u8> {
    IoPort::OWN.out8(INDEX, number)?;
    IoPort::OWN.in8(VALUE)
}

//! The interval timer (8254): status and counts of channels 0 and 2, in several modes, and the gate.

use crate::tap::Tap;
use core::time::Duration;
use selkie::{cap::IoPort, clock, prelude::*};

const CHANNEL_0: u16 = 0x40;
const CHANNEL_2: u16 = 0x42;
const COMMAND: u16 = 0x43;
/// Bit 0: channel 2 counts; bit 5: it has come to its end.
const GATE: u16 = 0x61;

/// A channel: its name, its port, and its bits in commands.
const CHANNELS: [(&str, u16, u8, u8); 2] =
    [("channel 0", CHANNEL_0, 0x00, 0x02), ("channel 2", CHANNEL_2, 0x80, 0x08)];

pub fn run(tap: &mut Tap) -> Result<()> {
    let gate = read(GATE)?;
    tap.is("the gate can be opened", gate_after(gate | 1)?, 1);
    for (name, port, select, back) in CHANNELS {
        modes(tap, name, port, select, back)?;
        counts(tap, name, port, select, back)?;
        ends(tap, name, port, select, back)?;
    }
    tap.is("the end of channel 2 is seen at the gate's port too", outputs()?, [0, 0x20]);
    tap.is("the gate can be closed", gate_after(gate & !1)?, 0);
    write(GATE, gate)?;
    // As the runtime leaves it: a one-shot that is never given its count.
    write(COMMAND, 0x30)
}

fn read(port: u16) -> Result<u8> {
    IoPort::OWN.in8(port)
}

fn write(port: u16, value: u8) -> Result<()> {
    IoPort::OWN.out8(port, value)
}

fn gate_after(value: u8) -> Result<u8> {
    write(GATE, value & !2)?;
    Ok(read(GATE)? & 1)
}

/// Sets a mode, with both bytes of the count.
fn program(port: u16, select: u8, mode: u8, count: u16) -> Result<()> {
    let [low, high] = count.to_le_bytes();
    write(COMMAND, select | 0x30 | mode << 1)?;
    write(port, low)?;
    write(port, high)
}

/// The status without the output and whether the count was loaded: how it is accessed, and its mode.
fn status(port: u16, back: u8) -> Result<u8> {
    write(COMMAND, 0xe0 | back)?;
    read(port)
}

fn modes(tap: &mut Tap, name: &str, port: u16, select: u8, back: u8) -> Result<()> {
    for mode in [0, 2, 3] {
        program(port, select, mode, 0xffff)?;
        let got = status(port, back)? & 0x3f;
        tap.is(&format!("{name}: the status in mode {mode}"), got, 0x30 | mode << 1);
    }
    for (what, access) in [("low bytes", 0x10), ("high bytes", 0x20)] {
        write(COMMAND, select | access)?;
        write(port, 0x80)?;
        tap.is(&format!("{name}: the status with {what} alone"), status(port, back)? & 0x3f, access);
    }
    program(port, select, 2, 0)?;
    // Count and status together: the status is read first.
    write(COMMAND, 0xc0 | back)?;
    let (first, low, high) = (read(port)?, read(port)?, read(port)?);
    tap.is(&format!("{name}: the status comes before the count"), first & 0x3f, 0x34);
    let next = status(port, back)? & 0x3f;
    tap.is(&format!("{name}: both bytes of the count come after it"), next, 0x34);
    // Any count is right.
    let _ = (low, high);
    Ok(())
}

/// A count that was latched.
fn latched(port: u16, select: u8) -> Result<u16> {
    write(COMMAND, select)?;
    Ok(u16::from_le_bytes([read(port)?, read(port)?]))
}

/// What holds three times in at most thirty: the host may stop the machine for longer than the timer counts, and
/// a busy one does so often.
fn mostly(mut attempt: impl FnMut() -> Result<bool>) -> Result<bool> {
    let mut good = 0;
    for _ in 0..30 {
        good += u8::from(attempt()?);
        if good == 3 {
            return Ok(true);
        }
    }
    Ok(false)
}

fn counts(tap: &mut Tap, name: &str, port: u16, select: u8, back: u8) -> Result<()> {
    let millisecond = Duration::from_millis(1);
    let falls = mostly(|| {
        program(port, select, 2, 0xffff)?;
        clock::spin(millisecond)?;
        let first = latched(port, select)?;
        clock::spin(millisecond)?;
        Ok(first > 40_000 && latched(port, select)? < first)
    })?;
    tap.yes(&format!("{name}: the count falls"), falls);
    let holds = mostly(|| {
        program(port, select, 2, 0xffff)?;
        write(COMMAND, select)?;
        clock::spin(millisecond * 4)?;
        write(COMMAND, select)?;
        let first = u16::from_le_bytes([read(port)?, read(port)?]);
        Ok(first > 0xffff - 2_000 && latched(port, select)? < 0xffff - 4_000)
    })?;
    tap.yes(&format!("{name}: a latched count stays until it is read"), holds);
    let both = mostly(|| {
        program(port, select, 2, 0xffff)?;
        clock::spin(millisecond)?;
        write(COMMAND, 0xd0 | back)?;
        let first = u16::from_le_bytes([read(port)?, read(port)?]);
        Ok(latched(port, select)? <= first)
    })?;
    tap.yes(&format!("{name}: the count by a read-back"), both);
    let wraps = mostly(|| {
        program(port, select, 2, 1000)?;
        clock::spin(millisecond * 5)?;
        Ok((1..=1000).contains(&latched(port, select)?))
    })?;
    tap.yes(&format!("{name}: a periodic count begins again"), wraps);
    Ok(())
}

/// The output of a one-shot: low until the count has come to its end.
fn ends(tap: &mut Tap, name: &str, port: u16, select: u8, back: u8) -> Result<()> {
    let low = mostly(|| {
        program(port, select, 0, 0xffff)?;
        Ok(status(port, back)? & 0x80 == 0)
    })?;
    tap.yes(&format!("{name}: a one-shot is low while it counts"), low);
    program(port, select, 0, 1000)?;
    clock::spin(Duration::from_millis(5))?;
    tap.is(&format!("{name}: a one-shot is high when it has ended"), status(port, back)? & 0x80, 0x80);
    Ok(())
}

/// The end of channel 2 at the gate's port, before and after.
fn outputs() -> Result<[u8; 2]> {
    program(CHANNEL_2, 0x80, 0, 6_000)?;
    let before = read(GATE)? & 0x20;
    clock::spin(Duration::from_millis(10))?;
    Ok([before, read(GATE)? & 0x20])
}

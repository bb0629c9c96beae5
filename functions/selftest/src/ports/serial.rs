//! The registers of the first serial port (16550), which is the console's: nothing is printed while they are
//! changed, and all is as before in the end.

use crate::{
    notification::{badged, drop_cap},
    tap::Tap,
};
use core::time::Duration;
use selkie::{
    cap::{IoPort, Rights},
    clock,
    interrupt::Interrupt,
    prelude::*,
};

/// Registers, as ports.
const DATA: u16 = 0x3f8;
const INTERRUPT_ENABLE: u16 = 0x3f9;
const INTERRUPT_ID: u16 = 0x3fa;
const LINE_CONTROL: u16 = 0x3fb;
const MODEM_CONTROL: u16 = 0x3fc;
const LINE_STATUS: u16 = 0x3fd;
const MODEM_STATUS: u16 = 0x3fe;
const SCRATCH: u16 = 0x3ff;

/// The port's interrupt.
const IRQ: u8 = 4;
/// What the runtime has set: 8 bits, no parity, 1 stop bit; ready, and interrupts reach the line.
const LINE: u8 = 0x03;
const MODEM: u8 = 0x0b;

/// A register after it was written, or what is read without that.
type Found = Result<Vec<(&'static str, u8, u8)>>;

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    report(tap, plain());
    report(tap, divisor());
    report(tap, loopback());
    interrupt(tap, sys)
}

/// Prints what was found: name, value, and value wanted.
fn report(tap: &mut Tap, found: Found) {
    match found {
        Ok(found) => found.into_iter().for_each(|(what, got, want)| tap.is(what, got, want)),
        Err(error) => tap.yes(&format!("the serial port answers: {error:?}"), false),
    }
}

fn read(port: u16) -> Result<u8> {
    IoPort::OWN.in8(port)
}

fn write(port: u16, value: u8) -> Result<()> {
    IoPort::OWN.out8(port, value)
}

/// Waits until everything has been sent.
fn sent() -> Result<()> {
    while read(LINE_STATUS)? & 0x60 != 0x60 {}
    Ok(())
}

fn plain() -> Found {
    sent()?;
    let mut found = vec![
        ("line status: all is sent, nothing has come, no error", read(LINE_STATUS)? & 0x7f, 0x60),
        ("interrupts are off", read(INTERRUPT_ENABLE)?, 0),
        ("no interrupt waits, and the FIFOs are on", read(INTERRUPT_ID)?, 0xc1),
        ("line control", read(LINE_CONTROL)?, LINE),
        ("modem control", read(MODEM_CONTROL)?, MODEM),
    ];
    for (what, value) in [("scratch: all bits", 0xff), ("scratch: none", 0), ("scratch: some", 0x96)] {
        write(SCRATCH, value)?;
        found.push((what, read(SCRATCH)?, value));
    }
    write(LINE_CONTROL, 0x1a)?;
    found.push(("line control: 7 bits, even parity", read(LINE_CONTROL)?, 0x1a));
    write(LINE_CONTROL, LINE)?;
    write(INTERRUPT_ENABLE, !0x0f)?;
    found.push(("interrupts: the upper four bits are none", read(INTERRUPT_ENABLE)?, 0));
    Ok(found)
}

/// The divisor hides behind the first two registers.
fn divisor() -> Found {
    sent()?;
    write(LINE_CONTROL, LINE | 0x80)?;
    let mut found = vec![
        ("divisor: its lower half", read(DATA)?, 1),
        ("divisor: its upper half", read(INTERRUPT_ENABLE)?, 0),
    ];
    write(DATA, 0x0c)?;
    write(INTERRUPT_ENABLE, 0x02)?;
    found.push(("divisor: a lower half that was written", read(DATA)?, 0x0c));
    found.push(("divisor: an upper half that was written", read(INTERRUPT_ENABLE)?, 0x02));
    write(LINE_CONTROL, LINE)?;
    found.push(("without the divisor, interrupts are off as before", read(INTERRUPT_ENABLE)?, 0));
    write(LINE_CONTROL, LINE | 0x80)?;
    found.push(("the divisor has stayed", read(DATA)?, 0x0c));
    write(DATA, 1)?;
    write(INTERRUPT_ENABLE, 0)?;
    write(LINE_CONTROL, LINE)?;
    Ok(found)
}

/// What is sent comes back; the outputs become the inputs.
fn loopback() -> Found {
    sent()?;
    let mut found = Vec::new();
    for (what, outputs, inputs) in [
        ("loopback: no output", 0x00, 0x00),
        ("loopback: data terminal ready becomes data set ready", 0x01, 0x20),
        ("loopback: request to send becomes clear to send", 0x02, 0x10),
        ("loopback: output 1 becomes the ring indicator", 0x04, 0x40),
        ("loopback: output 2 becomes carrier detect", 0x08, 0x80),
    ] {
        write(MODEM_CONTROL, 0x10 | outputs)?;
        found.push((what, read(MODEM_STATUS)? & 0xf0, inputs));
    }
    write(DATA, 0xa5)?;
    found.push(("loopback: a byte arrives", u8::from(arrived()?), 1));
    found.push(("loopback: it is what was sent", read(DATA)?, 0xa5));
    found.push(("loopback: then nothing is there", read(LINE_STATUS)? & 1, 0));
    write(DATA, 0x5a)?;
    found.push(("loopback: a second byte arrives", u8::from(arrived()?), 1));
    found.push(("loopback: it is the second one", read(DATA)?, 0x5a));
    write(MODEM_CONTROL, MODEM)?;
    Ok(found)
}

/// Whether a byte arrives within a tenth of a second.
fn arrived() -> Result<bool> {
    for _ in 0..100 {
        if read(LINE_STATUS)? & 1 != 0 {
            return Ok(true);
        }
        clock::spin(Duration::from_millis(1))?;
    }
    Ok(false)
}

/// The interrupt that says that there is room for what is to be sent.
fn interrupt(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let interrupt = match Interrupt::isa(sys, IRQ) {
        Ok(interrupt) => interrupt,
        Err(error) => {
            tap.skip("the serial port's interrupt", &format!("nobody answers for it: {error}"));
            return Ok(());
        }
    };
    // A signal without badge could not be told from none.
    let badge = badged(sys, interrupt.notification(), Rights::WRITE, 1)?;
    interrupt.handler().set_notification(badge)?;
    let found = room(&interrupt);
    write(INTERRUPT_ENABLE, 0)?;
    report(tap, found);
    interrupt.handler().clear()?;
    drop_cap(sys, badge)?;
    interrupt.release(sys)
}

/// Whether the interrupt comes within a tenth of a second.
fn signalled(interrupt: &Interrupt) -> Result<bool> {
    for _ in 0..100 {
        if interrupt.notification().poll().is_some() {
            return Ok(true);
        }
        clock::spin(Duration::from_millis(1))?;
    }
    Ok(false)
}

fn room(interrupt: &Interrupt) -> Found {
    sent()?;
    let before = signalled(interrupt)?;
    write(INTERRUPT_ENABLE, 0x02)?;
    let came = signalled(interrupt)?;
    let mut found = vec![
        ("no interrupt while they are off", u8::from(before), 0),
        ("an interrupt once there is room", u8::from(came), 1),
        ("its number", read(INTERRUPT_ID)?, 0xc2),
        ("reading the number takes it away", read(INTERRUPT_ID)?, 0xc1),
    ];
    interrupt.ack()?;
    write(INTERRUPT_ENABLE, 0)?;
    found.push(("off again", read(INTERRUPT_ENABLE)?, 0));
    Ok(found)
}

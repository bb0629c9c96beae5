//! IO ports: what a capability of them allows. The devices behind them have modules of their own.

mod serial;
mod timer;

selkie_sys::when!(issued_ports { mod control; } else {});

use crate::{
    kernel,
    notification::{badged, drop_cap},
    raw::{answer, ask, done, illegal, too_short, truncated},
    tap::Tap,
};
use selkie::{
    cap::{Capability, IoPort, IoPortControl, Rights},
    prelude::*,
};
use selkie_sys::{Word, label};

/// A register of the first serial port that only keeps what is written.
const SCRATCH: Word = 0x3ff;

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    if IoPort::OWN.in8(SCRATCH as u16).is_err() {
        tap.skip("IO ports", "nobody answers for them");
        return Ok(());
    }
    messages(tap);
    widths(tap, sys)?;
    ranges(tap, sys)?;
    selkie_sys::when!(issued_ports { control::run(tap, sys)? } else {});
    serial::run(tap, sys)?;
    timer::run(tap)
}

fn messages(tap: &mut Tap) {
    let Ok(all) = IoPort::OWN.covering(SCRATCH as u16).map(Capability::slot) else { return };
    let reads =
        [("8", label::X86_IO_PORT_IN8), ("16", label::X86_IO_PORT_IN16), ("32", label::X86_IO_PORT_IN32)];
    for (bits, label) in reads {
        too_short(tap, &format!("a read of {bits} bits"), all, label, &[SCRATCH], &[]);
    }
    let writes =
        [("8", label::X86_IO_PORT_OUT8), ("16", label::X86_IO_PORT_OUT16), ("32", label::X86_IO_PORT_OUT32)];
    for (bits, label) in writes {
        too_short(tap, &format!("a write of {bits} bits"), all, label, &[SCRATCH, 0], &[]);
        tap.is(&format!("a write of {bits} bits without words"), ask(all, label, &[], &[]), truncated());
    }
    tap.is(
        "the answer to a write has no words",
        ask(all, label::X86_IO_PORT_OUT8, &[SCRATCH, 0x3c], &[]),
        done(),
    );
    tap.is(
        "that to a read has the value, on seL4 5.0.0 only in a register",
        ask(all, label::X86_IO_PORT_IN8, &[SCRATCH], &[]),
        if kernel::since(10) { answer(0, &[0x3c]) } else { done() },
    );
    tap.is("it is there", IoPort::OWN.in8(SCRATCH as u16), Ok(0x3c));
    let written = ask(all, label::X86_IO_PORT_OUT8, &[0xabcd_0000 | SCRATCH, 0xffff_ff5b], &[]);
    tap.is("bits of port and value that do not count", written, done());
    tap.is("the others do", IoPort::OWN.in8(SCRATCH as u16), Ok(0x5b));
    tap.is("16 bits at the last port", ask(all, label::X86_IO_PORT_IN16, &[0xffff], &[]), illegal());
    tap.is("32 bits at the last but two", ask(all, label::X86_IO_PORT_OUT32, &[0xfffd, 0], &[]), illegal());
}

fn widths(tap: &mut Tap, sys: &mut System) -> Result<()> {
    const SCRATCH: u16 = 0x3ff;
    let all = IoPort::OWN;
    tap.is("write to a port", all.out8(SCRATCH, 0xa5), Ok(()));
    tap.is("read it back", all.in8(SCRATCH), Ok(0xa5));
    tap.yes("read 16 bits", all.in16(0x40).is_ok());
    tap.yes("read 32 bits of a PCI bridge's port", all.in32(0xcf8).is_ok());
    let found = with_few(sys, 0x3f8, |narrow| {
        Ok(vec![
            ("a capability for few ports", narrow.in8(SCRATCH), Ok(0xa5)),
            ("no port outside of them", narrow.in8(0x40), Err(Error::IllegalOperation)),
            ("no access across their end", narrow.in16(SCRATCH).map(|_| 0), Err(Error::IllegalOperation)),
        ])
    });
    report(tap, found?);
    Ok(())
}

/// A check's name, what was found and what was wanted.
type Found = Vec<(&'static str, Result<u8>, Result<u8>)>;

fn report(tap: &mut Tap, found: Found) {
    found.into_iter().for_each(|(what, got, want)| tap.is(what, got, want));
}

/// Runs `checks` with a capability for the ports from `first` to 0x3ff. They are the console's: nothing is printed
/// meanwhile.
fn with_few(sys: &mut System, first: u16, checks: impl FnOnce(IoPort) -> Result<Found>) -> Result<Found> {
    const LAST: u16 = 0x3ff;
    let console = IoPort::OWN.covering(LAST)?;
    if console == IoPort::OWN {
        let few = badged(sys, console, Rights::ALL, Word::from(first) << 16 | Word::from(LAST))?;
        let found = checks(few);
        return drop_cap(sys, few).and(found);
    }
    // There is one capability for a port at a time.
    console.place().delete()?;
    IoPortControl::OWN.issue(first, LAST, console.place())?;
    let found = checks(console);
    console.place().delete()?;
    IoPortControl::OWN.issue(0x3f8, LAST, console.place()).and(found)
}

fn ranges(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let refused = Err(Error::IllegalOperation);
    let found = with_few(sys, 0x3fc, |few| {
        few.out8(0x3ff, 0x11)?;
        Ok(vec![
            ("a range: its last port", few.in8(0x3ff), Ok(0x11)),
            ("a range: its first port", few.in8(0x3fc).map(|_| 0), Ok(0)),
            ("a range: the port before", few.in8(0x3fb), refused),
            ("a range: the port after", few.in8(0x400), refused),
            ("a range: a write before", few.out8(0x3fb, 0).map(|()| 0), refused),
            ("a range: a write after", few.out8(0x400, 0).map(|()| 0), refused),
            ("a range: 16 bits over its end", few.in16(0x3ff).map(|_| 0), refused),
            ("a range: 16 bits over its beginning", few.in16(0x3fb).map(|_| 0), refused),
            ("a range: 32 bits over its end", few.in32(0x3fd).map(|_| 0), refused),
            ("a range: a write of 16 bits over its end", few.out16(0x3ff, 0).map(|()| 0), refused),
            ("a range: a write of 32 bits over its end", few.out32(0x3fd, 0).map(|()| 0), refused),
            ("what was refused was not written", few.in8(0x3ff), Ok(0x11)),
        ])
    });
    report(tap, found?);
    Ok(())
}

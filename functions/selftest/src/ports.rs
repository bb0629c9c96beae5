//! IO ports: what a capability of them allows. The devices behind them have modules of their own.

mod serial;
mod timer;

use crate::{
    notification::{badged, drop_cap},
    raw::{ask, done, illegal, too_short, truncated},
    tap::Tap,
};
use selkie::{
    cap::{Capability, IoPort, Rights},
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
        "neither has that to a read: the value is in a register",
        ask(all, label::X86_IO_PORT_IN8, &[SCRATCH], &[]),
        done(),
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
    let narrow = badged(sys, all, Rights::ALL, 0x3f8 << 16 | 0x3ff)?;
    tap.is("a capability for few ports", narrow.in8(SCRATCH), Ok(0xa5));
    tap.is("no port outside of them", narrow.in8(0x40), Err(Error::IllegalOperation));
    tap.is("no access across their end", narrow.in16(SCRATCH), Err(Error::IllegalOperation));
    drop_cap(sys, narrow)
}

fn ranges(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let few = badged(sys, IoPort::OWN, Rights::ALL, 0x3fc << 16 | 0x3ff)?;
    let refused = Err(Error::IllegalOperation);
    few.out8(0x3ff, 0x11)?;
    tap.is("a range: its last port", few.in8(0x3ff), Ok(0x11));
    tap.yes("a range: its first port", few.in8(0x3fc).is_ok());
    tap.is("a range: the port before", few.in8(0x3fb).map(drop), refused);
    tap.is("a range: the port after", few.in8(0x400).map(drop), refused);
    tap.is("a range: a write before", few.out8(0x3fb, 0), refused);
    tap.is("a range: a write after", few.out8(0x400, 0), refused);
    tap.is("a range: 16 bits over its end", few.in16(0x3ff).map(drop), refused);
    tap.is("a range: 16 bits over its beginning", few.in16(0x3fb).map(drop), refused);
    tap.is("a range: 32 bits over its end", few.in32(0x3fd).map(drop), refused);
    tap.is("a range: a write of 16 bits over its end", few.out16(0x3ff, 0), refused);
    tap.is("a range: a write of 32 bits over its end", few.out32(0x3fd, 0), refused);
    tap.is("what was refused was not written", few.in8(0x3ff), Ok(0x11));
    drop_cap(sys, few)
}

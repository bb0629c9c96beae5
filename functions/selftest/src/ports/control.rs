//! The right to issue capabilities for ranges of ports: every argument, and how long a range is taken.

use crate::{
    raw::{
        End, argument, ask, capability, delete_first, depth, done, illegal, no_root, range, revoke_first,
        too_short,
    },
    tap::Tap,
};
use selkie::{
    cap::{Capability, IoPort, IoPortControl, Rights, Slot},
    prelude::*,
};
use selkie_sys::{Word, label};

/// Ports that nothing uses.
const FIRST: Word = 0xe100;

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let node = sys.memory.create_cnode(4)?;
    let slot = sys.memory.slot()?;
    let (control, root) = (IoPortControl::OWN.slot(), node.cap().slot());
    let issue =
        |words: [Word; 4], root: Slot| ask(control, label::X86_IO_PORT_CONTROL_ISSUE, &words, &[root]);
    let at = |first: Word, last: Word, index: Word| issue([first, last, index, 4], root);
    tap.is("the control of ports: the label 0", ask(control, 0, &[0; 4], &[root]), illegal());
    tap.is("the control of ports: a read", ask(control, label::X86_IO_PORT_IN8, &[FIRST], &[]), illegal());
    let words = [FIRST, FIRST, 1, 4];
    too_short(tap, "a range", control, label::X86_IO_PORT_CONTROL_ISSUE, &words, &[root]);
    tap.is("a range of less than nothing", at(FIRST + 1, FIRST, 1), argument(1));
    tap.is("a range in nothing", issue(words, Slot::NULL), no_root(End::Target));
    tap.is("a range at 0 bits", issue([FIRST, FIRST, 1, 0], root), range(1, 64));
    tap.is("a range at too few bits", issue([FIRST, FIRST, 1, 3], root), depth(End::Target, 3, 4));
    tap.is("a range", at(FIRST, FIRST + 7, 1), done());
    tap.is("the same range", at(FIRST, FIRST + 7, 2), revoke_first());
    tap.is("its last port", at(FIRST + 7, FIRST + 7, 2), revoke_first());
    tap.is("a range around it", at(0, 0xffff, 2), revoke_first());
    tap.is("a range in use before the place", at(FIRST, FIRST, 1), revoke_first());
    tap.is("a range of less than nothing before one in use", at(FIRST + 1, FIRST, 1), argument(1));
    tap.is("the next range in the same slot", at(FIRST + 8, FIRST + 8, 1), delete_first());
    tap.is("the next range", at(FIRST + 8, FIRST + 8, 2), done());
    tap.is("bits that do not count", at(0x5_0000 | (FIRST + 9), 0x7_0000 | (FIRST + 9), 3), done());
    let place = |index| node.cap().place(index, 4);
    tap.is("copy of a range", place(4).copy(place(1), Rights::ALL), Ok(()));
    place(1).delete()?;
    tap.is("a copy keeps it", at(FIRST, FIRST, 1), revoke_first());
    place(4).delete()?;
    tap.is("the last copy gives it back", at(FIRST, FIRST + 7, 1), done());
    let copied = place(5).copy(control.place(), Rights::ALL);
    tap.is("copy of the control", copied, Err(Error::IllegalOperation));
    slot.place().take(place(1))?;
    let port = IoPort::at(slot);
    tap.yes("a port that was issued", port.in8(FIRST as u16).is_ok());
    tap.is("a port beside it", port.in8(FIRST as u16 + 8).map(drop), Err(Error::IllegalOperation));
    tap.is("a range of a range", ask(slot, label::X86_IO_PORT_CONTROL_ISSUE, &words, &[root]), illegal());
    tap.is(
        "mint with other ports changes nothing",
        place(6).mint(slot.place(), Rights::ALL, 1 << 16 | 2),
        Ok(()),
    );
    slot.place().delete()?;
    tap.is("nothing is left in the slot", ask(slot, 0, &[], &[]), capability(0));
    sys.memory.release_slots(slot, 1);
    sys.memory.destroy(node)
}

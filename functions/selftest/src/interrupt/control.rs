//! The right to handle interrupts: every argument of a request, and what a handler takes.

use crate::{
    kernel,
    notification::badged,
    raw::{
        End, ask, capability, delete_first, depth, done, illegal, no_root, range, revoke_first, too_short,
    },
    tap::Tap,
};
use selkie::{
    cap::{CNode, Capability, IrqControl, IrqHandler, Rights, Slot},
    memory::Objects,
    prelude::*,
};
use selkie_sys::{Word, label};

/// A vector that nothing else here uses.
const VECTOR: Word = 90;

struct Bench {
    node: Objects<CNode>,
    control: Slot,
}

impl Bench {
    /// A handler for a pin of the IO-APIC, in slot 1: IO-APIC, pin, level, polarity, vector.
    fn ioapic(&self, arguments: [Word; 5]) -> crate::raw::Answer {
        self.ask(label::X86_IRQ_ISSUE_IRQ_HANDLER_IOAPIC, [1, 4], arguments)
    }

    /// A handler for a message of a PCI function: bus, device, function, handle, vector.
    fn msi(&self, arguments: [Word; 5]) -> crate::raw::Answer {
        self.ask(label::X86_IRQ_ISSUE_IRQ_HANDLER_MSI, [1, 4], arguments)
    }

    fn ask(&self, label: Word, place: [Word; 2], arguments: [Word; 5]) -> crate::raw::Answer {
        ask(self.control, label, &[&place[..], &arguments].concat(), &[self.node.cap().slot()])
    }
}

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let bench = Bench { node: sys.memory.create_cnode(4)?, control: IrqControl::OWN.slot() };
    pins(tap, &bench)?;
    messages(tap, &bench)?;
    places(tap, sys, &bench)?;
    handlers(tap, sys, &bench)?;
    sys.memory.destroy(bench.node)
}

fn pins(tap: &mut Tap, bench: &Bench) -> Result<()> {
    let (control, node) = (bench.control, bench.node.cap().slot());
    let label = label::X86_IRQ_ISSUE_IRQ_HANDLER_IOAPIC;
    too_short(tap, "a pin", control, label, &[1, 4, 0, 20, 1, 1, VECTOR], &[node]);
    tap.is("a vector after the last", bench.ioapic([0, 20, 1, 1, 108]), range(0, 107));
    tap.is("a vector of very much", bench.ioapic([0, 20, 1, 1, Word::MAX]), range(0, 107));
    tap.is("a pin after the last", bench.ioapic([0, 24, 1, 1, VECTOR]), range(0, 23));
    tap.is("a level that is none", bench.ioapic([0, 20, 2, 1, VECTOR]), range(0, 1));
    tap.is("a polarity that is none", bench.ioapic([0, 20, 1, 2, VECTOR]), range(0, 1));
    tap.is("the pin before the level", bench.ioapic([0, 24, 2, 2, VECTOR]), range(0, 23));
    tap.is("the vector before the pin", bench.ioapic([0, 24, 2, 2, 108]), range(0, 107));
    let far = bench.ioapic([Word::MAX, 99, 2, 2, VECTOR]);
    tap.yes("the IO-APIC before all of them", far != range(0, 23) && far != done());
    tap.is("a pin", bench.ioapic([0, 20, 1, 1, VECTOR]), done());
    let again = bench.ioapic([0, 20, 1, 1, VECTOR]);
    tap.is("in the same slot, with the same vector", again, kernel::from(10, revoke_first(), delete_first()));
    let again = bench.ioapic([0, 20, 1, 1, VECTOR + 1]);
    tap.is("in the same slot, with another vector", again, delete_first());
    let elsewhere = bench.ask(label, [2, 4], [0, 21, 1, 1, VECTOR]);
    tap.is("with the same vector", elsewhere, revoke_first());
    let elsewhere = bench.ask(label, [2, 4], [0, 99, 9, 9, VECTOR]);
    tap.is("the vector in use before the pin", elsewhere, revoke_first());
    let elsewhere = bench.ask(label, [2, 4], [0, 20, 1, 1, VECTOR + 1]);
    tap.is("the same pin with another vector", elsewhere, done());
    bench.node.cap().place(2, 4).delete()?;
    bench.node.cap().place(1, 4).delete()?;
    tap.is("a vector that was given back", bench.ioapic([0, 20, 0, 0, VECTOR]), done());
    bench.node.cap().place(1, 4).delete()
}

fn messages(tap: &mut Tap, bench: &Bench) -> Result<()> {
    let (control, node) = (bench.control, bench.node.cap().slot());
    let label = label::X86_IRQ_ISSUE_IRQ_HANDLER_MSI;
    too_short(tap, "a message-signalled interrupt", control, label, &[1, 4, 0, 0, 0, 0, VECTOR], &[node]);
    tap.is("a bus after the last", bench.msi([256, 0, 0, 0, VECTOR]), range(0, 255));
    tap.is("a device after the last", bench.msi([0, 32, 0, 0, VECTOR]), range(0, 31));
    tap.is("a function after the last", bench.msi([0, 0, 8, 0, VECTOR]), range(0, 7));
    tap.is("the bus before the device", bench.msi([256, 32, 8, 0, VECTOR]), range(0, 255));
    tap.is("the vector before the bus", bench.msi([256, 0, 0, 0, 108]), range(0, 107));
    tap.is("a message-signalled interrupt", bench.msi([255, 31, 7, 0xffff, VECTOR]), done());
    let elsewhere = bench.ask(label, [2, 4], [0, 0, 0, 0, VECTOR]);
    tap.is("a second one with the same vector", elsewhere, revoke_first());
    bench.node.cap().place(1, 4).delete()?;
    // What other platforms have: an interrupt by its number alone.
    let plain = label::IRQ_ISSUE_IRQ_HANDLER;
    too_short(tap, "an interrupt by its number", control, plain, &[4, 1, 4], &[node]);
    tap.is("an interrupt by its number", ask(control, plain, &[4, 1, 4], &[node]), illegal());
    Ok(())
}

fn places(tap: &mut Tap, sys: &mut System, bench: &Bench) -> Result<()> {
    let label = label::X86_IRQ_ISSUE_IRQ_HANDLER_IOAPIC;
    let arguments = [0, 20, 1, 1, VECTOR];
    let at = |place: [Word; 2]| bench.ask(label, place, arguments);
    tap.is("a handler at too few bits", at([1, 3]), depth(End::Target, 3, 4));
    tap.is("a handler at too many bits", at([1, 8]), depth(End::Target, 4, 0));
    tap.is("a handler at 0 bits", at([1, 0]), range(1, 64));
    let object = sys.memory.create::<Notification>()?;
    let words = [&[1, 4], &arguments[..]].concat();
    let root = |root: Slot| ask(bench.control, label, &words, &[root]);
    tap.is("a handler in a notification", root(object.cap().slot()), no_root(End::Target));
    tap.is("a handler in nothing", root(Slot::NULL), no_root(End::Target));
    sys.memory.destroy(object)
}

fn handlers(tap: &mut Tap, sys: &mut System, bench: &Bench) -> Result<()> {
    let slot = sys.memory.slot()?;
    let copy = sys.memory.slot()?;
    let object = sys.memory.create::<Notification>()?;
    let endpoint = sys.memory.create::<Endpoint>()?;
    let mute = badged(sys, object.cap(), Rights::READ, 1)?;
    bench.msi([0, 0, 0, 0, VECTOR]);
    slot.place().take(bench.node.cap().place(1, 4))?;
    let set = |what: Slot| ask(slot, label::IRQ_SET_IRQ_HANDLER, &[], &[what]);
    tap.is("a handler: the label 0", ask(slot, 0, &[], &[]), illegal());
    tap.is("a handler: the greatest label", ask(slot, 0xf_ffff, &[], &[]), illegal());
    too_short(
        tap,
        "a notification for a handler",
        slot,
        label::IRQ_SET_IRQ_HANDLER,
        &[],
        &[object.cap().slot()],
    );
    tap.is(
        "a handler without a notification is acknowledged",
        ask(slot, label::IRQ_ACK_IRQ, &[], &[]),
        done(),
    );
    tap.is("and cleared", ask(slot, label::IRQ_CLEAR_IRQ_HANDLER, &[], &[]), done());
    tap.is("a notification that may not be written", set(mute.slot()), capability(0));
    tap.is("an endpoint for a handler", set(endpoint.cap().slot()), capability(0));
    tap.is("nothing for a handler", set(Slot::NULL), capability(0));
    tap.is("a notification for a handler", set(object.cap().slot()), done());
    tap.is("again", set(object.cap().slot()), done());
    tap.is("copy of a handler", copy.place().copy(slot.place(), Rights::NONE), Ok(()));
    tap.is("the copy acknowledges", IrqHandler::at(copy).ack(), Ok(()));
    slot.place().delete()?;
    tap.is("a copy keeps the vector", bench.msi([0, 0, 0, 0, VECTOR]), revoke_first());
    sys.memory.destroy(object)?;
    sys.memory.release_slots(mute.slot(), 1);
    tap.is("a handler whose notification is gone", IrqHandler::at(copy).ack(), Ok(()));
    copy.place().delete()?;
    tap.is("the last copy gives the vector back", bench.msi([0, 0, 0, 0, VECTOR]), done());
    bench.node.cap().place(1, 4).delete()?;
    sys.memory.destroy(endpoint)?;
    sys.memory.release_slots(copy, 1);
    sys.memory.release_slots(slot, 1);
    Ok(())
}

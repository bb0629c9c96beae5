//! Capabilities that travel with messages: which arrive, where, and when none does.

use crate::{
    actor::calm,
    kernel,
    notification::{badged, drop_cap},
    raw::{ask, capability},
    tap::Tap,
};
use selkie::{
    LookupFailure,
    cap::{CNode, Capability, ObjectType, PageTable, Place, Reply, Rights, Slot},
    fault::Fault,
    memory::Objects,
    message::set_receive_place,
    prelude::*,
    thread::Builder,
};

/// An endpoint, a capability to send through, a notification to give away, and slots to get it in.
struct Bench {
    endpoint: Objects<Endpoint>,
    sender: Endpoint,
    gift: Objects<Notification>,
    node: Objects<CNode>,
}

impl Bench {
    fn new(sys: &mut System) -> Result<Self> {
        let endpoint = sys.memory.create::<Endpoint>()?;
        let sender = badged(sys, endpoint.cap(), Rights::ALL, 6)?;
        Ok(Self { endpoint, sender, gift: sys.memory.create()?, node: sys.memory.create_cnode(4)? })
    }

    fn at(&self, index: u64) -> Place {
        self.node.cap().place(index, 4)
    }

    /// Sends `caps` and tells how many came, which as badges, and whether slot 1 of the CNode is taken. It is
    /// empty afterwards.
    fn pass(&self, sys: &mut System, caps: &[Slot]) -> Result<(usize, Vec<Option<u64>>, bool)> {
        let sender = self.sender;
        let message = caps.iter().fold(Message::with(1, &[11]), |message, cap| message.cap(*cap));
        let thread = sys.spawn(move || sender.send(&message))?;
        let message = self.endpoint.cap().recv().message;
        thread.join(sys)?;
        let came = self.at(2).copy(self.at(1), Rights::ALL).is_ok();
        self.at(2).delete()?;
        self.at(1).delete()?;
        let badges = (0..message.caps()).map(|index| message.unwrapped(index)).collect();
        Ok((message.caps(), badges, came))
    }

    fn end(self, sys: &mut System) -> Result<()> {
        set_receive_place(Slot::NULL.place());
        drop_cap(sys, self.sender)?;
        sys.memory.destroy(self.node)?;
        sys.memory.destroy(self.gift)?;
        sys.memory.destroy(self.endpoint)
    }
}

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    calm(sys, |sys| {
        let bench = Bench::new(sys)?;
        mixtures(tap, sys, &bench)?;
        places(tap, sys, &bench)?;
        kinds(tap, sys, &bench)?;
        nowhere(tap, sys, &bench)?;
        with_replies(tap, sys, &bench)?;
        bench.end(sys)
    })
}

fn mixtures(tap: &mut Tap, sys: &mut System, bench: &Bench) -> Result<()> {
    let (gift, sender, plain) = (bench.gift.cap().slot(), bench.sender.slot(), bench.endpoint.cap().slot());
    set_receive_place(bench.at(1));
    tap.is("one capability", bench.pass(sys, &[gift])?, (1, vec![None], true));
    tap.is("two: the second finds no slot", bench.pass(sys, &[gift, gift])?, (1, vec![None], true));
    tap.is("a capability, then a badge", bench.pass(sys, &[gift, sender])?, (2, vec![None, Some(6)], true));
    tap.is(
        "a badge, a capability, a badge",
        bench.pass(sys, &[sender, gift, plain])?,
        (3, vec![Some(6), None, Some(0)], true),
    );
    tap.is(
        "nothing comes after one that finds no slot",
        bench.pass(sys, &[gift, gift, sender])?,
        (1, vec![None], true),
    );
    tap.is("the null slot gives nothing", bench.pass(sys, &[Slot::NULL, sender])?, (0, vec![], false));
    tap.is(
        "a badge before the null slot",
        bench.pass(sys, &[sender, Slot::NULL])?,
        (1, vec![Some(6)], false),
    );
    let other = sys.memory.create::<Endpoint>()?;
    let wrapped = bench.pass(sys, &[other.cap().slot()])?;
    tap.is("another endpoint comes as a capability", wrapped, (1, vec![None], true));
    sys.memory.destroy(other)
}

fn places(tap: &mut Tap, sys: &mut System, bench: &Bench) -> Result<()> {
    let node = bench.node.cap();
    let gift = [bench.gift.cap().slot()];
    let mut nothing = |what: &str, place: Place| -> Result<()> {
        set_receive_place(place);
        let (count, _, came) = bench.pass(sys, &gift)?;
        tap.is(&format!("nothing comes to {what}"), (count, came), (0, false));
        Ok(())
    };
    nothing("a place of too few bits", node.place(1, 3))?;
    nothing("a place of too many bits", node.place(1, 8))?;
    nothing("a place of 0 bits", node.place(1, 0))?;
    nothing("a root that is no CNode", CNode::at(gift[0]).place(1, 4))?;
    nothing("the null slot as the root", CNode::at(Slot::NULL).place(1, 4))?;
    nothing("a root out of the CNode", CNode::at(Slot(0x7fff_0000_0000)).place(1, 4))?;
    bench.at(3).copy(gift[0].place(), Rights::ALL)?;
    nothing("a place that is taken", node.place(3, 4))?;
    bench.at(3).delete()?;
    set_receive_place(bench.at(1));
    tap.is("it comes to a place that is right", bench.pass(sys, &gift)?.0, 1);
    Ok(())
}

/// A capability that cannot be copied cannot be sent either.
fn kinds(tap: &mut Tap, sys: &mut System, bench: &Bench) -> Result<()> {
    let table = sys.memory.create::<PageTable>()?;
    let untyped = sys.memory.create_untyped(12)?;
    let badge = badged(sys, bench.gift.cap(), Rights::WRITE, 0x40)?;
    let came = |passed: (usize, Vec<Option<u64>>, bool)| passed.2;
    tap.is("a page table not mapped does not come", came(bench.pass(sys, &[table.cap().slot()])?), false);
    tap.is("an untyped comes", came(bench.pass(sys, &[untyped.cap().slot()])?), true);
    untyped.cap().retype(ObjectType::Endpoint, bench.node.cap().place(0, 0), 5, 1)?;
    tap.is("an untyped with children does not", came(bench.pass(sys, &[untyped.cap().slot()])?), false);
    bench.at(5).delete()?;
    tap.is("a CNode comes", came(bench.pass(sys, &[bench.node.cap().slot()])?), true);
    tap.is(
        "the control of interrupts does not",
        came(bench.pass(sys, &[selkie::cap::IrqControl::OWN.slot()])?),
        false,
    );
    // What comes has the badge and the rights of what was sent.
    let (sender, given) = (bench.sender, badge.slot());
    let thread = sys.spawn(move || sender.send(&Message::new(0).cap(given)))?;
    let _ = bench.endpoint.cap().recv();
    thread.join(sys)?;
    let slot = sys.memory.slot()?;
    slot.place().take(bench.at(1))?;
    Notification::at(slot).signal();
    tap.is("what comes has its badge", bench.gift.cap().poll(), Some(0x40));
    tap.is("and can be taken back by whoever has the original", bench.gift.cap().place().revoke(), Ok(()));
    tap.is("then it is gone", ask(slot, 0, &[], &[]), capability(0));
    sys.memory.release_slots(slot, 1);
    // The revoke has deleted the badge too.
    sys.memory.release_slots(given, 1);
    sys.memory.destroy(untyped)?;
    sys.memory.destroy(table)
}

/// An address that leads nowhere, of a capability to send.
fn nowhere(tap: &mut Tap, sys: &mut System, bench: &Bench) -> Result<()> {
    const NOWHERE: Slot = Slot(0x7fff_0000_0000);
    let handler = sys.memory.create::<Endpoint>()?;
    let sender = bench.sender;
    let thread = Builder::new().fault_endpoint(handler.cap()).spawn(sys, move || {
        sender.try_send(&Message::new(0).cap(NOWHERE));
        sender.send(&Message::new(0).cap(NOWHERE));
        33
    })?;
    let fault = Fault::decode(&handler.cap().recv().message);
    let failure = kernel::told(LookupFailure::GuardMismatch {
        bits_left: 64,
        guard: 0,
        guard_bits: 64 - kernel::NODE_BITS,
    });
    tap.yes(
        "a capability from nowhere is a fault while sending",
        matches!(fault, Fault::Cap { address, receiving: false, failure: why, .. }
            if address == NOWHERE.0 && why == failure),
    );
    tap.yes("nothing is sent then", bench.endpoint.cap().try_recv().is_none());
    // SAFETY: the thread waits for a reply that never comes, and holds no lock.
    unsafe { thread.kill(sys)? };
    sys.memory.destroy(handler)
}

/// A reply can bring capabilities, whatever the caller's rights.
fn with_replies(tap: &mut Tap, sys: &mut System, bench: &Bench) -> Result<()> {
    let (endpoint, gift, place) = (bench.endpoint.cap(), bench.gift.cap().slot(), bench.at(1));
    let thread = sys.spawn(move || {
        set_receive_place(place);
        endpoint.call(&Message::new(0)).caps()
    })?;
    let _ = endpoint.recv();
    Reply::to_caller(&Message::new(0).cap(gift).cap(endpoint));
    tap.is("a capability comes with a reply", thread.join(sys), Ok(1));
    tap.is("it is where the caller wanted it", bench.at(1).copy(place, Rights::ALL), Err(Error::DeleteFirst));
    bench.at(1).delete()?;
    let thread = sys.spawn(move || {
        set_receive_place(place);
        let answer = endpoint.call(&Message::new(0));
        (answer.caps(), answer.unwrapped(0))
    })?;
    let _ = endpoint.recv();
    Reply::to_caller(&Message::new(0).cap(endpoint));
    tap.is("with a reply nothing is unwrapped", thread.join(sys), Ok((1, None)));
    bench.at(1).delete()
}

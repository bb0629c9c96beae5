//! Invocations that an object does not know, of every kind of object; null capabilities; calls without answers.

use crate::{
    kernel,
    raw::{argument, ask, capability, done, illegal, too_short, truncated},
    tap::Tap,
};
use selkie::{
    cap::{
        Capability, Domain, IoPort, IrqControl, LargePage, Page, PageDirectory, PageTable, Pdpt, Pml4,
        Registers, Slot, Tcb,
    },
    prelude::*,
};
use selkie_sys::{Word, config, label};

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    unknown(tap, sys)?;
    controls(tap);
    nothing(tap, sys)?;
    domains(tap, sys)?;
    unanswered(tap, sys)
}

/// An object of each kind is asked for what only others know.
fn unknown(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let memory = sys.memory.create_untyped(4)?;
    let node = sys.memory.create_cnode(1)?;
    let tcb = sys.memory.create::<Tcb>()?;
    let (page, large) = (sys.memory.create::<Page>()?, sys.memory.create::<LargePage>()?);
    let (table, directory) = (sys.memory.create::<PageTable>()?, sys.memory.create::<PageDirectory>()?);
    let (pdpt, pml4) = (sys.memory.create::<Pdpt>()?, sys.memory.create::<Pml4>()?);
    let objects: [(&str, Slot, Word); 10] = [
        ("an untyped", memory.cap().slot(), label::CNODE_COPY),
        ("a CNode", node.cap().slot(), label::UNTYPED_RETYPE),
        ("a TCB", tcb.cap().slot(), label::CNODE_DELETE),
        ("a page", page.cap().slot(), label::X86_PAGE_TABLE_MAP),
        ("a large page", large.cap().slot(), label::X86_PAGE_TABLE_MAP),
        ("a page table", table.cap().slot(), label::X86_PAGE_MAP),
        ("a page directory", directory.cap().slot(), label::X86_PAGE_TABLE_MAP),
        ("a PDPT", pdpt.cap().slot(), label::X86_PAGE_DIRECTORY_MAP),
        ("a PML4", pml4.cap().slot(), label::X86_PDPT_MAP),
        ("a domain", Domain::OWN.slot(), label::TCB_SUSPEND),
    ];
    for (what, slot, foreign) in objects {
        tap.is(&format!("{what}: the label 0"), ask(slot, 0, &[], &[]), illegal());
        tap.is(&format!("{what}: the greatest label"), ask(slot, 0xf_ffff, &[], &[]), illegal());
        tap.is(&format!("{what}: a label of others"), ask(slot, foreign, &[1, 2, 3], &[slot]), illegal());
    }
    sys.memory.destroy(pml4)?;
    sys.memory.destroy(pdpt)?;
    sys.memory.destroy(directory)?;
    sys.memory.destroy(table)?;
    sys.memory.destroy(large)?;
    sys.memory.destroy(page)?;
    sys.memory.destroy(tcb)?;
    sys.memory.destroy(node)?;
    sys.memory.destroy(memory)
}

/// Controls of interrupts and ports look at the message's length first on seL4 5.0.0, later at the label.
fn controls(tap: &mut Tap) {
    let first = kernel::from(10, illegal(), truncated());
    let irq = IrqControl::OWN.slot();
    let node = selkie::cap::CNode::OWN.slot();
    tap.is("the control of interrupts: the label 0 without words", ask(irq, 0, &[], &[]), first.clone());
    let free = [0, 64, 0, 0, 0, 0, 90];
    tap.is("the control of interrupts: the label 0", ask(irq, 0, &free, &[node]), illegal());
    tap.is("the control of interrupts: the greatest label", ask(irq, 0xf_ffff, &free, &[node]), illegal());
    // Where nobody answers for it, it is as good as the control.
    let port = IoPort::OWN.covering(0x3ff).unwrap_or(IoPort::OWN).slot();
    tap.is("ports: the label 0 without words", ask(port, 0, &[], &[]), first);
    tap.is("ports: the label 0", ask(port, 0, &[0x3ff], &[]), illegal());
    tap.is("ports: the greatest label", ask(port, 0xf_ffff, &[0x3ff, 0], &[]), illegal());
}

/// Slots that hold nothing.
fn nothing(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let empty = sys.memory.slot()?;
    for (what, slot) in [("the null slot", Slot::NULL), ("an empty slot", empty)] {
        tap.is(&format!("{what}: the label 0"), ask(slot, 0, &[], &[]), capability(0));
        tap.is(&format!("{what}: a label"), ask(slot, label::TCB_SUSPEND, &[], &[]), capability(0));
        let long: Vec<_> = (0..120).collect();
        tap.is(
            &format!("{what}: a long message"),
            ask(slot, label::CNODE_COPY, &long, &[slot]),
            capability(0),
        );
        Endpoint::at(slot).send(&Message::new(label::TCB_SUSPEND));
        Endpoint::at(slot).try_send(&Message::new(0));
        tap.yes(&format!("{what}: sends are lost"), true);
    }
    sys.memory.release_slots(empty, 1);
    Ok(())
}

fn domains(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let tcb = sys.memory.create::<Tcb>()?;
    let (domain, thread) = (Domain::OWN.slot(), tcb.cap().slot());
    let set = |words: &[Word], caps: &[Slot]| ask(domain, label::DOMAIN_SET_SET, words, caps);
    tap.is("a thread to domain 0", set(&[0], &[thread]), done());
    too_short(tap, "a thread to a domain", domain, label::DOMAIN_SET_SET, &[0], &[thread]);
    let missing = config::NUM_DOMAINS as Word;
    tap.is("a domain that is not there", set(&[missing], &[thread]), argument(0));
    tap.is("a domain of very many", set(&[Word::MAX], &[thread]), argument(0));
    tap.is("a domain that is not there, before a thread that is not", set(&[missing], &[]), argument(0));
    tap.is("a domain for what is no thread", set(&[0], &[domain]), argument(1));
    tap.is("a domain for nothing", set(&[0], &[Slot::NULL]), argument(1));
    sys.memory.destroy(tcb)
}

/// An invocation by a send does its work, and says nothing of its errors.
fn unanswered(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let tcb = sys.memory.create::<Tcb>()?;
    let through = Endpoint::at(tcb.cap().slot());
    let write = |rip: Word| Message::with(label::TCB_WRITE_REGISTERS, &[0, 1, rip]);
    let rip = || tcb.cap().read_registers(false, Registers::WORDS as usize).map(|registers| registers.rip);
    through.send(&write(0x1000));
    tap.is("an invocation by a send", rip(), Ok(0x1000));
    through.try_send(&write(0x2000));
    tap.is("an invocation by a send that does not wait", rip(), Ok(0x2000));
    through.send(&Message::with(label::TCB_WRITE_REGISTERS, &[0, 2, 0x3000]));
    tap.is("a message that is too short does nothing", rip(), Ok(0x2000));
    through.try_send(&Message::with(label::CNODE_DELETE, &[0, 64]));
    tap.is("a label of others does nothing", rip(), Ok(0x2000));
    sys.memory.destroy(tcb)
}

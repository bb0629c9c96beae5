//! Faults: another thread hears of them, can mend the cause, and let the thread go on.

mod caps;
mod messages;
mod syscalls;

use crate::{
    actor::Actor,
    notification::{badged, drop_cap},
    tap::Tap,
};
use core::arch::asm;
use selkie::{
    cap::{Attributes, Capability, Page, Pml4, Reply, Rights, Slot},
    fault::Fault,
    memory::Objects,
    prelude::*,
    thread::{Builder, JoinHandle},
    vspace,
};

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    mended(tap, sys)?;
    read_only(tap, sys)?;
    exceptions(tap, sys)?;
    missing_capability(tap, sys)?;
    messages::run(tap, sys)?;
    syscalls::run(tap, sys)?;
    caps::run(tap, sys)
}

/// A thread that runs `body`; its faults arrive at `handler`.
fn victim(
    sys: &mut System,
    handler: Endpoint,
    body: impl FnOnce() -> u64 + Send + 'static,
) -> Result<JoinHandle<u64>> {
    Builder::new().fault_endpoint(handler).spawn(sys, body)
}

fn read(address: usize) -> u64 {
    // SAFETY: a read outside all Rust values; where nothing is mapped it ends in a fault, as the test wants.
    unsafe { (address as *const u64).read_volatile() }
}

/// A page fault whose cause is mended by mapping a page: the thread reads on.
fn mended(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let handler = sys.memory.create::<Endpoint>()?;
    let address = vspace::reserve(vspace::PAGE, vspace::PAGE)?;
    let thread = victim(sys, handler.cap(), move || read(address) + 1)?;
    let fault = Fault::decode(&handler.cap().recv().message);
    match fault {
        Fault::Vm { address: at, fetch, status, .. } => {
            tap.is("a page fault tells the address", at, address as u64);
            tap.is("it was a read", (fetch, status & 2), (false, 0));
        }
        other => tap.yes(&format!("a page fault arrives, not {other:?}"), false),
    }
    let page = sys.memory.create::<Page>()?;
    vspace::map_page(
        &mut sys.memory,
        Pml4::OWN,
        page.cap(),
        address,
        Rights::READ_WRITE,
        Attributes::WriteBack,
    )?;
    Reply::to_caller(&Message::new(0));
    tap.is("the thread goes on once the page is there", thread.join(sys), Ok(1));
    sys.memory.destroy(page)?;
    vspace::release(address, vspace::PAGE);
    sys.memory.destroy(handler)
}

/// A write to a page that is mapped without the right to write.
fn read_only(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let handler = sys.memory.create::<Endpoint>()?;
    let address = vspace::reserve(vspace::PAGE, vspace::PAGE)?;
    let page = sys.memory.create::<Page>()?;
    vspace::map_page(&mut sys.memory, Pml4::OWN, page.cap(), address, Rights::READ, Attributes::WriteBack)?;
    let thread = victim(sys, handler.cap(), move || {
        // SAFETY: no Rust value lies in the page.
        unsafe { (address as *mut u64).write_volatile(77) };
        read(address)
    })?;
    match Fault::decode(&handler.cap().recv().message) {
        Fault::Vm { address: at, status, .. } => {
            tap.is("a write to a read-only page faults", at, address as u64);
            tap.is("it was a write to a page that is there", status & 3, 3);
        }
        other => tap.yes(&format!("a page fault arrives, not {other:?}"), false),
    }
    page.cap().remap(Pml4::OWN, address, Rights::READ_WRITE, Attributes::WriteBack)?;
    Reply::to_caller(&Message::new(0));
    tap.is("the write is repeated once it is allowed", thread.join(sys), Ok(77));
    sys.memory.destroy(page)?;
    vspace::release(address, vspace::PAGE);
    sys.memory.destroy(handler)
}

fn exceptions(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let handler = sys.memory.create::<Endpoint>()?;
    // SAFETY: the instruction has no effect but the exception.
    let invalid = victim(sys, handler.cap(), || unsafe {
        asm!("ud2", options(nostack));
        0
    })?;
    let fault = Fault::decode(&handler.cap().recv().message);
    tap.yes("an invalid instruction", matches!(fault, Fault::UserException { number: 6, .. }));
    // SAFETY: the thread has no lock and waits for a reply that never comes.
    unsafe { invalid.kill(sys)? };
    // SAFETY: the division ends in the exception; the registers that it would change are named.
    let division = victim(sys, handler.cap(), || unsafe {
        asm!("xor ecx, ecx", "div ecx", out("eax") _, out("ecx") _, out("edx") _, options(nostack));
        0
    })?;
    let fault = Fault::decode(&handler.cap().recv().message);
    tap.yes("a division by zero", matches!(fault, Fault::UserException { number: 0, .. }));
    // SAFETY: as above.
    unsafe { division.kill(sys)? };
    // SAFETY: user mode may not halt the processor, so it does not.
    let privileged = victim(sys, handler.cap(), || unsafe {
        asm!("hlt", options(nostack));
        0
    })?;
    let fault = Fault::decode(&handler.cap().recv().message);
    tap.yes("a privileged instruction", matches!(fault, Fault::UserException { number: 13, .. }));
    // SAFETY: as above.
    unsafe { privileged.kill(sys)? };
    sys.memory.destroy(handler)
}

fn missing_capability(tap: &mut Tap, sys: &mut System) -> Result<()> {
    const NOWHERE: u64 = 0x7fff_0000_0000;
    let handler = sys.memory.create::<Endpoint>()?;
    let thread = victim(sys, handler.cap(), || {
        Endpoint::at(Slot(NOWHERE)).send(&Message::new(0));
        0
    })?;
    match Fault::decode(&handler.cap().recv().message) {
        Fault::Cap { address, receiving, .. } => {
            tap.is("a send to nowhere tells the address", address, NOWHERE);
            tap.yes("it happened while sending", !receiving);
        }
        other => tap.yes(&format!("a capability fault arrives, not {other:?}"), false),
    }
    // SAFETY: as in `exceptions`.
    unsafe { thread.kill(sys)? };
    let thread = victim(sys, handler.cap(), || Endpoint::at(Slot(NOWHERE)).recv().badge)?;
    let fault = Fault::decode(&handler.cap().recv().message);
    tap.yes("a receive from nowhere", matches!(fault, Fault::Cap { receiving: true, .. }));
    // SAFETY: as in `exceptions`.
    unsafe { thread.kill(sys)? };
    sys.memory.destroy(handler)
}

/// An endpoint that faults arrive at, word by word.
pub struct Handler {
    endpoint: Objects<Endpoint>,
    cap: Endpoint,
}

impl Handler {
    /// The badge that faults arrive with.
    pub const BADGE: u64 = 0x77;

    pub fn new(sys: &mut System) -> Result<Self> {
        let endpoint = sys.memory.create::<Endpoint>()?;
        let cap = badged(sys, endpoint.cap(), Rights::ALL, Self::BADGE)?;
        Ok(Self { endpoint, cap })
    }

    /// The capability that a thread's faults go through.
    pub fn slot(&self) -> Slot {
        self.cap.slot()
    }

    /// Waits for a fault: its badge, label and words.
    pub fn take(&self) -> (u64, u64, Vec<u64>) {
        let received = self.endpoint.cap().recv();
        (received.badge, received.message.label(), received.message.words().to_vec())
    }

    /// The same, if there is one.
    pub fn try_take(&self) -> Option<(u64, u64, Vec<u64>)> {
        let received = self.endpoint.cap().try_recv()?;
        Some((received.badge, received.message.label(), received.message.words().to_vec()))
    }

    pub fn reply(&self, label: u64, words: &[u64]) {
        Reply::to_caller(&Message::with(label, words));
    }

    pub fn end(self, sys: &mut System) -> Result<()> {
        drop_cap(sys, self.cap)?;
        sys.memory.destroy(self.endpoint)
    }
}

/// Whether a thread that has faulted in its first instruction has the registers that it had there.
fn registers_after(actor: &Actor, ip: u64, argument: u64) -> Result<bool> {
    let read = actor.registers()?;
    Ok((read.rip, read.rsp, read.rdi) == (ip, actor.stack_top(), argument))
}

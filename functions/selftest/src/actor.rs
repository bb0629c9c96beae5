//! Threads whose every register, space and buffer a check chooses, and a calm place to watch threads from.

use core::sync::atomic::{AtomicU64, Ordering};
use selkie::{
    cap::{CNode, Capability, Page, Pml4, Registers, Slot, Space, Tcb, with_ipc_buffer},
    memory::Objects,
    prelude::*,
    thread::{Share, current},
    vspace::{Mapping, PAGE},
};

/// The priority of an actor.
pub const PRIORITY: u8 = 200;
/// The priority of the first thread while it is calm.
pub const CALM: u8 = 100;
/// Lets other threads of the same priority run: more than once, because one whose time is just over comes after the
/// calling one again.
pub fn give_way() {
    (0..3).for_each(|_| selkie::thread::yield_now());
}

/// An actor's stack in bytes.
const STACK: usize = 4 * PAGE;

/// What an actor does. It never returns: it waits, or suspends itself.
pub type Body = extern "C" fn(u64) -> !;

/// Runs `checks` with a priority below that of all other threads: each of them runs as soon as it can, and
/// when the first thread goes on, all others wait. So the order of events never depends on a timer.
pub fn calm(sys: &mut System, checks: impl FnOnce(&mut System) -> Result<()>) -> Result<()> {
    let me = current().tcb();
    me.set_priority(CALM)?;
    let result = checks(sys);
    me.set_priority(sys.max_priority())?;
    result
}

/// A thread without any part of the runtime in it.
#[derive(Debug)]
pub struct Actor {
    tcb: Objects<Tcb>,
    /// The time that it runs on.
    pub share: Share,
    memory: Mapping,
}

impl Actor {
    /// A thread with the function's own spaces, a stack and an IPC buffer. Its faults go through `fault`.
    pub fn new(sys: &mut System, fault: Slot) -> Result<Self> {
        let space = Space { fault_endpoint: fault, cnode: CNode::OWN, guard: 0, vspace: Pml4::OWN };
        Self::in_space(sys, space)
    }

    /// The same with other spaces.
    pub fn in_space(sys: &mut System, space: Space) -> Result<Self> {
        let tcb = sys.memory.create::<Tcb>()?;
        let memory = Mapping::with_guard(&mut sys.memory, STACK + PAGE)?;
        let actor = Self { tcb, share: Share::new(sys)?, memory };
        // SAFETY: the thread does not run yet, and its buffer is its own.
        unsafe {
            actor.tcb().configure(space, PRIORITY, PRIORITY, actor.buffer(), actor.buffer_page())?;
        }
        actor.share.bind(actor.tcb())?;
        Ok(actor)
    }

    pub fn tcb(&self) -> Tcb {
        self.tcb.cap()
    }

    /// The address of its IPC buffer.
    pub fn buffer(&self) -> usize {
        self.memory.address() + STACK
    }

    /// The page of its IPC buffer.
    pub fn buffer_page(&self) -> Option<Page> {
        self.memory.page(STACK)
    }

    /// The stack pointer that it starts with.
    pub fn stack_top(&self) -> u64 {
        // As after a call: the return address lies at a multiple of 16 minus 8.
        self.buffer() as u64 - 8
    }

    /// Lets it run `body` from the start.
    pub fn start(&self, body: Body, argument: u64) -> Result<()> {
        self.start_with(body, Registers { rdi: argument, ..Registers::default() })
    }

    /// The same with registers of the caller's choice; those for instructions and stack are set here.
    pub fn start_with(&self, body: Body, registers: Registers) -> Result<()> {
        let start =
            Registers { rip: body as *const () as u64, rsp: self.stack_top(), rflags: 0x202, ..registers };
        let start = with_ipc_buffer(start, self.buffer());
        // SAFETY: the body gets a stack of its own and never returns; what it does is the check's business.
        unsafe { self.tcb().write_registers(true, Registers::WORDS as usize, &start) }
    }

    /// All registers as they are now.
    pub fn registers(&self) -> Result<Registers> {
        self.tcb().read_registers(false, Registers::WORDS as usize)
    }

    /// Deletes the thread and what it is made of.
    pub fn end(self, sys: &mut System) -> Result<()> {
        sys.memory.destroy(self.tcb)?;
        self.share.destroy(&mut sys.memory)?;
        self.memory.unmap(&mut sys.memory)
    }
}

/// Words that actors leave for the checks.
pub static NOTES: Notes = Notes([const { AtomicU64::new(0) }; 16]);

/// Some words that every thread can read and write.
#[derive(Debug)]
#[repr(transparent)]
pub struct Notes([AtomicU64; 16]);

impl Notes {
    pub fn clear(&self) {
        self.0.iter().for_each(|word| word.store(0, Ordering::SeqCst));
    }

    pub fn set(&self, index: usize, word: u64) {
        self.0[index % 16].store(word, Ordering::SeqCst);
    }

    pub fn get(&self, index: usize) -> u64 {
        self.0[index % 16].load(Ordering::SeqCst)
    }

    /// Appends a decimal digit to word 0: the order of events as a number.
    pub fn log(&self, digit: u64) {
        // The update never gives up.
        let _ = self.0[0].fetch_update(Ordering::SeqCst, Ordering::SeqCst, |log| Some(log * 10 + digit));
    }
}

/// Suspends the thread of `tcb`, which is the one that calls: the end of a body.
pub fn rest(tcb: Slot) -> ! {
    loop {
        // It fails only once the thread is gone.
        let _ = Tcb::at(tcb).suspend();
    }
}

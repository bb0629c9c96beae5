//! Threads: registers, priorities, preemption.

mod configure;
mod order;
mod registers;

use crate::tap::Tap;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use selkie::{
    cap::{CNode, Capability, CopyRegisters, Page, Pml4, Registers, Slot, Space, Tcb},
    prelude::*,
    thread::{Builder, current, yield_now},
};

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    plain_registers(tap, sys)?;
    configuration(tap, sys)?;
    suspension(tap, sys)?;
    priorities(tap, sys)?;
    time_slices(tap, sys)?;
    vector_registers(tap, sys)?;
    registers::run(tap, sys)?;
    configure::run(tap, sys)?;
    order::run(tap, sys)
}

/// Threads that never run: only their registers are looked at.
fn plain_registers(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let tcbs = sys.memory.create_many::<Tcb>(2)?;
    let (one, other) = (tcbs.cap(), Tcb::at(tcbs.cap().slot().offset(1)));
    let written = Registers { rip: 0x1234_5000, rsp: 0x7000, rbx: 0xb0b, r15: 0xf15, ..Registers::default() };
    let all = Registers::WORDS as usize;
    // SAFETY: here and below: neither thread is ever resumed.
    tap.is("write registers", unsafe { one.write_registers(false, all, &written) }, Ok(()));
    let read = one.read_registers(false, all)?;
    tap.is("the instruction pointer is read back", read.rip, written.rip);
    tap.is("general registers are read back", (read.rsp, read.rbx, read.r15), (0x7000, 0xb0b, 0xf15));
    tap.is("interrupts cannot be switched off", read.rflags & 0x200, 0x200);
    tap.is("write no register", unsafe { one.write_registers(false, 0, &written) }, Ok(()));
    tap.yes("read no register", matches!(one.read_registers(false, 0), Err(Error::Range { min: 1, .. })));
    tap.is(
        "read one's own registers",
        current().tcb().read_registers(false, 1),
        Err(Error::IllegalOperation),
    );
    let result = unsafe { current().tcb().write_registers(false, 1, &written) };
    tap.is("write one's own registers", result, Err(Error::IllegalOperation));
    let what = CopyRegisters { frame: true, ..CopyRegisters::default() };
    tap.is("copy the frame registers", unsafe { other.copy_registers(one, what) }, Ok(()));
    tap.is("the instruction pointer was copied", other.read_registers(false, all)?.rip, written.rip);
    let wrong = Tcb::at(CNode::OWN.slot());
    tap.is(
        "copy from something that is no thread",
        unsafe { other.copy_registers(wrong, what) },
        Err(Error::InvalidCapability { number: 1 }),
    );
    sys.memory.destroy(tcbs)
}

fn configuration(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let object = sys.memory.create::<Tcb>()?;
    let page = sys.memory.create::<Page>()?;
    let tcb = object.cap();
    let space = Space { fault_endpoint: Slot::NULL, cnode: CNode::OWN, guard: 0, vspace: Pml4::OWN };
    let priority = sys.max_priority();
    // SAFETY: here and below: the thread never runs.
    let configured = unsafe { tcb.configure(space, priority, priority, 0x1000, Some(page.cap())) };
    tap.is("configure", configured, Ok(()));
    tap.is("configure without an IPC buffer", unsafe { tcb.configure(space, 0, 0, 0, None) }, Ok(()));
    tap.is("set the spaces", unsafe { tcb.set_space(space) }, Ok(()));
    let no_cnode = Space { cnode: CNode::at(page.cap().slot()), ..space };
    tap.is(
        "a page as the capability space",
        unsafe { tcb.set_space(no_cnode) },
        Err(Error::IllegalOperation),
    );
    let no_vspace = Space { vspace: Pml4::at(page.cap().slot()), ..space };
    tap.is("a page as the address space", unsafe { tcb.set_space(no_vspace) }, Err(Error::IllegalOperation));
    tap.is("set the IPC buffer", unsafe { tcb.set_ipc_buffer(0x2000, Some(page.cap())) }, Ok(()));
    tap.is(
        "an IPC buffer that is not aligned",
        unsafe { tcb.set_ipc_buffer(0x2008, Some(page.cap())) },
        Err(Error::Alignment),
    );
    let no_page = Page::at(object.cap().slot());
    tap.is(
        "a thread as the IPC buffer's page",
        unsafe { tcb.set_ipc_buffer(0x2000, Some(no_page)) },
        Err(Error::IllegalOperation),
    );
    tap.is("set the priority", tcb.set_priority(priority), Ok(()));
    tap.is("set the greatest priority", tcb.set_max_priority(priority), Ok(()));
    sys.memory.destroy(page)?;
    sys.memory.destroy(object)?;
    // A thread may give no more than it has.
    let limited = Builder::new().priority(priority - 1).max_priority(priority - 1).spawn(sys, move || {
        let me = current().tcb();
        (me.set_priority(priority), me.set_max_priority(priority))
    })?;
    let refused = Err(Error::Range { min: 0, max: u64::from(priority) - 1 });
    let (own, greatest) = limited.join(sys)?;
    tap.is("a priority above one's own greatest", own, refused);
    tap.is("a greatest priority above one's own", greatest, refused);
    Ok(())
}

fn suspension(tap: &mut Tap, sys: &mut System) -> Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    static STOP: AtomicBool = AtomicBool::new(false);
    COUNT.store(0, Ordering::SeqCst);
    STOP.store(false, Ordering::SeqCst);
    let thread = sys.spawn(|| {
        while !STOP.load(Ordering::SeqCst) {
            COUNT.fetch_add(1, Ordering::SeqCst);
            yield_now();
        }
    })?;
    let turns = || {
        let before = COUNT.load(Ordering::SeqCst);
        (0..4).for_each(|_| yield_now());
        COUNT.load(Ordering::SeqCst) - before
    };
    tap.yes("a thread runs", turns() > 0);
    tap.is("suspend", thread.tcb().suspend(), Ok(()));
    tap.is("a suspended thread does not run", turns(), 0);
    let stopped = thread.tcb().read_registers(false, Registers::WORDS as usize)?;
    tap.yes("its registers can be read", stopped.rip != 0);
    tap.is("resume", thread.tcb().resume(), Ok(()));
    tap.yes("a resumed thread goes on", turns() > 0);
    STOP.store(true, Ordering::SeqCst);
    thread.join(sys)?;
    Ok(())
}

fn priorities(tap: &mut Tap, sys: &mut System) -> Result<()> {
    static LOG: AtomicU64 = AtomicU64::new(0);
    LOG.store(0, Ordering::SeqCst);
    let note = |digit: u64| {
        let _ = LOG.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |log| Some(log * 10 + digit));
    };
    let object = sys.memory.create::<Notification>()?;
    let (wake, top) = (object.cap(), sys.max_priority());
    // The higher thread waits, so the lower one runs; its signal lets the higher one go first.
    let higher = Builder::new().priority(top - 1).spawn(sys, move || {
        note(1);
        wake.wait();
        note(3);
    })?;
    let lower = Builder::new().priority(top - 2).spawn(sys, move || {
        note(2);
        wake.signal();
        note(4);
    })?;
    tap.is("a thread of lower priority does not run before its turn", LOG.load(Ordering::SeqCst), 0);
    lower.join(sys)?;
    higher.join(sys)?;
    tap.is("a signal lets the thread of higher priority go first", LOG.load(Ordering::SeqCst), 1234);

    LOG.store(0, Ordering::SeqCst);
    let low = Builder::new().priority(top - 2).spawn(sys, move || note(1))?;
    let raised = Builder::new().priority(top - 3).spawn(sys, move || note(2))?;
    raised.tcb().set_priority(top - 1)?;
    low.join(sys)?;
    raised.join(sys)?;
    tap.is("a thread whose priority is raised overtakes", LOG.load(Ordering::SeqCst), 21);
    sys.memory.destroy(object)
}

/// Two threads wait for each other without giving way: they end only when the kernel preempts them.
fn time_slices(tap: &mut Tap, sys: &mut System) -> Result<()> {
    static HERE: [AtomicBool; 2] = [AtomicBool::new(false), AtomicBool::new(false)];
    HERE.iter().for_each(|flag| flag.store(false, Ordering::SeqCst));
    let meet = |me: usize| {
        HERE[me].store(true, Ordering::SeqCst);
        while !HERE[1 - me].load(Ordering::SeqCst) {
            core::hint::spin_loop();
        }
        me
    };
    let one = sys.spawn(move || meet(0))?;
    let other = sys.spawn(move || meet(1))?;
    tap.is("threads of one priority share the time", (one.join(sys), other.join(sys)), (Ok(0), Ok(1)));
    Ok(())
}

/// Each thread keeps its own vector registers when others run in between.
fn vector_registers(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let threads: Vec<_> = (1..=3).map(|seed| sys.spawn(move || keep(f64::from(seed)))).collect();
    let mut kept = true;
    for thread in threads {
        kept &= thread?.join(sys)?;
    }
    tap.yes("threads keep their vector registers", kept);
    Ok(())
}

fn keep(seed: f64) -> bool {
    let mut value = seed;
    for _ in 0..1000 {
        // The system call comes between the halves of one computation.
        value *= 3.0;
        yield_now();
        value /= 3.0;
        if value != seed {
            return false;
        }
    }
    true
}

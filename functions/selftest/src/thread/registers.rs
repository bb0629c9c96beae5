//! Reading, writing and copying registers: every count and flag, and what the kernel changes of what it is given.

use crate::{
    actor::{Actor, NOTES, calm, rest},
    kernel,
    raw::{Answer, answer, ask, capability, done, illegal, range, too_short, truncated},
    tap::Tap,
};
use selkie::{
    cap::{CNode, Capability, CopyRegisters, Registers, Slot, Tcb},
    memory::Objects,
    prelude::*,
    thread::current,
};
use selkie_sys::{Word, label, when};

/// Where the kernel's addresses begin.
const KERNEL: Word = 0xffff_ff80_0000_0000;
const COUNT: Word = Registers::WORDS;
const ALL: usize = COUNT as usize;
/// The first register that is none of the frame: the TLS base.
const TLS: usize = 18;

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let tcbs = sys.memory.create_many::<Tcb>(2)?;
    reading(tap, &tcbs);
    writing(tap, &tcbs);
    sanitised(tap, tcbs.cap());
    copying(tap, &tcbs)?;
    sys.memory.destroy(tcbs)?;
    calm(sys, |sys| {
        running(tap, sys)?;
        segments(tap, sys)
    })
}

fn read(tcb: Tcb, words: &[Word]) -> Answer {
    ask(tcb.slot(), label::TCB_READ_REGISTERS, words, &[])
}

fn write(tcb: Tcb, words: &[Word]) -> Answer {
    ask(tcb.slot(), label::TCB_WRITE_REGISTERS, words, &[])
}

/// Different small numbers, with flags that may be set.
fn numbers(first: Word) -> [Word; ALL] {
    core::array::from_fn(|index| if index == 2 { 0x202 } else { first + index as Word })
}

fn filled(flags: Word, count: Word, registers: &[Word]) -> Vec<Word> {
    [&[flags, count], registers].concat()
}

fn reading(tap: &mut Tap, tcbs: &Objects<Tcb>) {
    let tcb = tcbs.cap();
    let mut fresh = [0; ALL];
    fresh[2] = 0x202;
    tap.is("a fresh thread's registers", read(tcb, &[0, COUNT]), answer(0, &fresh));
    let given = numbers(0x1000);
    tap.is("write all registers", write(tcb, &filled(0, COUNT, &given)), done());
    let good = (1..=ALL).all(|count| read(tcb, &[0, count as Word]) == answer(0, &given[..count]));
    tap.yes("read 1 to all registers", good);
    tap.is("read with words beyond those needed", read(tcb, &[0, 2, 3, 4]), answer(0, &given[..2]));
    tap.is("read with flags that say nothing", read(tcb, &[0xff_fffe, 2]), answer(0, &given[..2]));
    tap.is("read a register too many", read(tcb, &[0, COUNT + 1]), range(1, COUNT));
    tap.is("read very many registers", read(tcb, &[0, Word::MAX]), range(1, COUNT));
    too_short(tap, "a read of registers", tcb.slot(), label::TCB_READ_REGISTERS, &[0, 1], &[]);
    let me = current().tcb();
    tap.is("read one's own: the count is looked at before", read(me, &[0, 0]), range(1, COUNT));
    tap.is("read one of one's own registers", read(me, &[0, 1]), illegal());
}

fn writing(tap: &mut Tap, tcbs: &Objects<Tcb>) {
    let tcb = tcbs.cap();
    let base = numbers(0x1000);
    let good = (0..=ALL).all(|count| {
        let new = numbers(0x2000);
        let mixed: Vec<_> = new[..count].iter().chain(&base[count..]).copied().collect();
        write(tcb, &filled(0, COUNT, &base)) == done()
            && write(tcb, &filled(0, count as Word, &new[..count])) == done()
            && read(tcb, &[0, COUNT]) == answer(0, &mixed)
    });
    tap.yes("write 0 to all registers", good);
    let more: Vec<_> = (0..30).map(|index| if index == 2 { 0x202 } else { 0x3000 + index }).collect();
    tap.is("write 30 registers", write(tcb, &filled(0, 30, &more)), done());
    tap.is("those that there are are written", read(tcb, &[0, COUNT]), answer(0, &more[..ALL]));
    tap.is("write fewer than the message has", write(tcb, &filled(0, 1, &base)), done());
    tap.is("only those are written", read(tcb, &[0, 2]), answer(0, &[base[0], more[1]]));
    tap.is("write more than the message has", write(tcb, &filled(0, 3, &base[..2])), truncated());
    tap.is("write very many", write(tcb, &[0, Word::MAX]), truncated());
    too_short(tap, "a write of registers", tcb.slot(), label::TCB_WRITE_REGISTERS, &[0, 0], &[]);
    tap.is("write with flags that say nothing", write(tcb, &[0xff_fffe, 1, 0x77]), done());
    let me = current().tcb();
    tap.is("write one's own: the length is looked at before", write(me, &[0, 2, 0]), truncated());
    tap.is("write none of one's own registers", write(me, &[0, 0]), illegal());
}

/// What a thread may not have is changed when it is written.
fn sanitised(tap: &mut Tap, tcb: Tcb) {
    let after = |index: usize, word: Word| {
        let mut registers = numbers(0x1000);
        registers[index] = word;
        // A failure shows in what is read.
        let _ = write(tcb, &filled(0, COUNT, &registers));
        tcb.read_registers(false, ALL).map(|read| read.words()[index])
    };
    tap.is("all flags: those that a user may have", after(2, Word::MAX), Ok(0xed7));
    tap.is("no flags: those that must be set", after(2, 0), Ok(0x202));
    tap.is("the flag for single steps", after(2, 0x100), Ok(0x202));
    tap.is(
        "the instruction pointer: the last address below the gap",
        after(0, 0x7fff_ffff_ffff),
        Ok(0x7fff_ffff_ffff),
    );
    tap.is("the first address of the gap becomes 0", after(0, 0x8000_0000_0000), Ok(0));
    tap.is("the last address of the gap becomes 0", after(0, 0xffff_7fff_ffff_ffff), Ok(0));
    tap.is("an address of the kernel stays", after(0, 0xffff_8000_0000_0000), Ok(0xffff_8000_0000_0000));
    tap.is("the stack pointer stays as it is", after(1, 0x8000_0000_0000), Ok(0x8000_0000_0000));
    tap.is("the TLS base stays below the kernel", after(TLS, 0x7fff_0000_0000), Ok(0x7fff_0000_0000));
    tap.is(
        "and comes down to where it begins",
        after(TLS, Word::MAX),
        Ok(kernel::from(10, Word::MAX, KERNEL)),
    );
}

fn copying(tap: &mut Tap, tcbs: &Objects<Tcb>) -> Result<()> {
    let (one, other) = (tcbs.cap(), Tcb::at(tcbs.cap().slot().offset(1)));
    let copy = |flags: Word| ask(other.slot(), label::TCB_COPY_REGISTERS, &[flags], &[one.slot()]);
    let reset = || write(other, &filled(0, COUNT, &numbers(0x2000)));
    let (source, target) = (numbers(0x1000), numbers(0x2000));
    let _ = (write(one, &filled(0, COUNT, &source)), reset());
    tap.is("copy nothing", copy(0), done());
    tap.is("changes nothing", read(other, &[0, COUNT]), answer(0, &target));
    tap.is("copy the frame registers alone", copy(1 << 2), done());
    let mut mixed = source;
    mixed[TLS..].copy_from_slice(&target[TLS..]);
    tap.is("copies all but the TLS base", read(other, &[0, COUNT]), answer(0, &mixed));
    let _ = reset();
    tap.is("copy the integer registers", copy(1 << 3), done());
    let mut mixed = target;
    mixed[TLS..].copy_from_slice(&source[TLS..]);
    tap.is("copies the TLS base", read(other, &[0, COUNT]), answer(0, &mixed));
    tap.is("copy both, with flags that say nothing", copy(0xff_ff00 | 3 << 2), done());
    tap.is("copies all", read(other, &[0, COUNT]), answer(0, &source));
    too_short(tap, "a copy of registers", other.slot(), label::TCB_COPY_REGISTERS, &[0], &[one.slot()]);
    for (what, wrong) in [("a CNode", CNode::OWN.slot()), ("the null slot", Slot::NULL)] {
        let refused = ask(other.slot(), label::TCB_COPY_REGISTERS, &[0], &[wrong]);
        tap.is(&format!("copy from {what}"), refused, capability(1));
    }
    let itself = ask(one.slot(), label::TCB_COPY_REGISTERS, &[3 << 2], &[one.slot()]);
    tap.is("copy from itself", itself, done());
    tap.is("leaves it as it is", read(one, &[0, COUNT]), answer(0, &source));
    Ok(())
}

/// Waits for a signal through note 8 and logs 1.
extern "C" fn wait(tcb: Word) -> ! {
    NOTES.log(2);
    Notification::at(Slot(NOTES.get(8))).wait();
    NOTES.log(1);
    rest(Slot(tcb))
}

/// Logs 7.
extern "C" fn seven(tcb: Word) -> ! {
    NOTES.log(7);
    rest(Slot(tcb))
}

/// Flags that stop and start threads.
fn running(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let object = sys.memory.create::<Notification>()?;
    let actor = Actor::new(sys, Slot::NULL)?;
    let other = Actor::new(sys, Slot::NULL)?;
    let (tcb, signal) = (actor.tcb(), object.cap());
    NOTES.clear();
    NOTES.set(8, signal.slot().0);
    actor.start(wait, tcb.slot().0)?;
    tap.is("a write that resumes starts a thread", NOTES.get(0), 2);
    let waiting = actor.registers()?;
    tap.is("a read leaves a waiting thread alone", tcb.read_registers(false, ALL), Ok(waiting));
    signal.signal();
    tap.is("it goes on", NOTES.get(0), 21);
    actor.start(wait, tcb.slot().0)?;
    let ip = |read: Result<Registers>| read.map(|registers| registers.rip);
    tap.is("a read that suspends", ip(tcb.read_registers(true, ALL)), Ok(waiting.rip));
    signal.signal();
    tap.is("stops the thread", NOTES.get(0), 212);
    tap.is("resume repeats the wait", tcb.resume(), Ok(()));
    tap.is("which finds the signal", NOTES.get(0), 2121);
    actor.start(wait, tcb.slot().0)?;
    let what = CopyRegisters { suspend_source: true, ..CopyRegisters::default() };
    // SAFETY: nothing is copied.
    tap.is("a copy that suspends the source", unsafe { other.tcb().copy_registers(tcb, what) }, Ok(()));
    signal.signal();
    tap.is("stops it", NOTES.get(0), 21212);
    tap.is("the signal is still there", signal.wait(), 0);
    let start =
        Registers { rip: seven as *const () as Word, rsp: actor.stack_top(), rdi: tcb.slot().0, ..waiting };
    // SAFETY: the thread has its own stack and starts at a body.
    tap.is("a write that does not resume", unsafe { tcb.write_registers(false, ALL, &start) }, Ok(()));
    tap.is("starts nothing", NOTES.get(0), 21212);
    let what = CopyRegisters { resume_target: true, ..CopyRegisters::default() };
    // SAFETY: nothing is copied; the thread starts as was written.
    tap.is("a copy that resumes the target", unsafe { tcb.copy_registers(other.tcb(), what) }, Ok(()));
    tap.is("starts it", NOTES.get(0), 212_127);
    NOTES.set(0, 0);
    actor.start(wait, tcb.slot().0)?;
    actor.start(seven, tcb.slot().0)?;
    tap.is("a write that resumes takes a thread out of its wait", NOTES.get(0), 27);
    signal.signal();
    tap.is("nobody waits any more", signal.wait(), 0);
    other.end(sys)?;
    actor.end(sys)?;
    sys.memory.destroy(object)
}

/// Notes the words at the TLS base and at the IPC buffer's first word, gives way, and notes them again.
extern "C" fn look(argument: Word) -> ! {
    let (note, tcb) = ((argument & 0xf) as usize, Slot(argument >> 4));
    for step in 0..2 {
        NOTES.set(note + step, tls_word());
        // SAFETY: the thread has an IPC buffer.
        NOTES.set(note + step + 2, unsafe { selkie_sys::ipc_buffer::mr(0) });
        selkie::thread::yield_now();
    }
    rest(tcb)
}

/// The word at the TLS base.
fn tls_word() -> Word {
    let word;
    // SAFETY: the checks start the thread with a TLS base where a word lies.
    unsafe { core::arch::asm!("mov {}, fs:[0]", out(reg) word, options(nostack, readonly)) };
    word
}

/// Registers with a TLS base at the word; where the runtime uses the TLS base itself, it is the IPC buffer, which
/// begins with the same word.
fn with_tls(word: &'static Word, registers: Registers) -> Registers {
    when!(set_tls_base {{
        let _ = word;
        registers
    }} else {
        Registers { tls_base: core::ptr::from_ref(word).expose_provenance() as Word, ..registers }
    })
}

/// Each thread has its own TLS base and its own IPC buffer.
fn segments(tap: &mut Tap, sys: &mut System) -> Result<()> {
    static WORDS: [Word; 2] = [0x71, 0x72];
    let actors = [Actor::new(sys, Slot::NULL)?, Actor::new(sys, Slot::NULL)?];
    NOTES.clear();
    // Both start when the first thread waits: with its usual priority it is above them.
    current().tcb().set_priority(sys.max_priority())?;
    for ((actor, word), note) in actors.iter().zip(&WORDS).zip([0, 4]) {
        // SAFETY: the buffer is mapped, and the thread does not run yet.
        unsafe {
            (actor.buffer() as *mut Word).write_volatile(*word);
            (actor.buffer() as *mut Word).add(1).write_volatile(word << 8);
        }
        let argument = actor.tcb().slot().0 << 4 | note;
        actor.start_with(look, with_tls(word, Registers { rdi: argument, ..Registers::default() }))?;
    }
    current().tcb().set_priority(crate::actor::CALM)?;
    let notes: Vec<_> = (0..8).map(|note| NOTES.get(note)).collect();
    tap.is(
        "threads keep their TLS bases",
        [notes[0], notes[1], notes[4], notes[5]],
        [0x71, 0x71, 0x72, 0x72],
    );
    tap.is(
        "threads keep their IPC buffers",
        [notes[2], notes[3], notes[6], notes[7]],
        [0x7100, 0x7100, 0x7200, 0x7200],
    );
    for actor in actors {
        actor.end(sys)?;
    }
    Ok(())
}

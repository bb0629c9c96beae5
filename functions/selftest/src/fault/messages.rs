//! What a fault's message says of memory accesses and exceptions, and what a reply can change.

use super::{Handler, registers_after};
use crate::{
    actor::{Actor, Body, NOTES, calm},
    kernel,
    tap::Tap,
};
use core::arch::naked_asm;
use selkie::{cap::Registers, prelude::*};
use selkie_sys::{Word, fault};

/// Where no function of this repository maps anything, with bits above the lower 32.
const FAR: Word = 0x7300_1234_5000;
/// Where the kernel's own memory begins, and is mapped.
const KERNEL: Word = 0xffff_ff80_0010_0000;

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    calm(sys, |sys| {
        memory(tap, sys)?;
        exceptions(tap, sys)?;
        replies(tap, sys)
    })
}

/// Reads from its argument. Every body here ends in an invalid instruction, should it come that far.
#[unsafe(naked)]
extern "C" fn read(_: Word) -> ! {
    naked_asm!("mov rax, [rdi]", "ud2")
}

/// Writes to its argument.
#[unsafe(naked)]
extern "C" fn write(_: Word) -> ! {
    naked_asm!("mov [rdi], rax", "ud2")
}

/// Jumps to its argument.
#[unsafe(naked)]
extern "C" fn jump(_: Word) -> ! {
    naked_asm!("jmp rdi")
}

fn address_of(body: Body) -> Word {
    body as *const () as Word
}

/// What of the processor's error code is the same everywhere: whether the page was there, writing, user mode.
const STATUS: Word = 7;

fn memory(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let handler = Handler::new(sys)?;
    let actor = Actor::new(sys, handler.slot())?;
    // What happens, the body, its argument, where it happens, and the processor's error code.
    let cases: [(&str, Body, Word, Word, Word); 6] = [
        ("a read from nowhere", read, 0x1008, address_of(read), 4),
        ("a write to nowhere", write, 0x1008, address_of(write), 6),
        ("a read far up", read, FAR, address_of(read), 4),
        ("a write far up", write, FAR + 0x18, address_of(write), 6),
        ("a read of the kernel's memory", read, KERNEL, address_of(read), 5),
        ("a write of the kernel's memory", write, KERNEL, address_of(write), 7),
    ];
    for (what, body, target, ip, status) in cases {
        actor.start(body, target)?;
        let (badge, label, words) = handler.take();
        tap.is(&format!("{what}: a memory fault of four words"), (label, words.len()), (fault::VM_FAULT, 4));
        tap.is(&format!("{what}: the badge of the fault endpoint"), badge, Handler::BADGE);
        tap.is(&format!("{what}: the instruction"), words.first().copied(), Some(ip));
        tap.is(&format!("{what}: the address"), words.get(1).copied(), Some(target & kernel::FAULT_ADDRESS));
        tap.is(&format!("{what}: it was no fetch"), words.get(2).copied(), Some(0));
        tap.is(&format!("{what}: the status"), words.get(3).map(|word| word & STATUS), Some(status));
        tap.is(&format!("{what}: the registers"), registers_after(&actor, ip, target)?, true);
    }
    // seL4 5.0.0 does not use the bit that forbids execution, so the processor does not tell a fetch from a read.
    for (what, target) in [("a jump to nowhere", 0x1000), ("a jump far up", FAR)] {
        actor.start(jump, target)?;
        let (_, label, words) = handler.take();
        tap.is(&format!("{what}: a memory fault"), label, fault::VM_FAULT);
        tap.is(&format!("{what}: the instruction"), words.first().copied(), Some(target));
        tap.is(&format!("{what}: the address"), words.get(1).copied(), Some(target & kernel::FAULT_ADDRESS));
        tap.is(&format!("{what}: whether it was a fetch"), words.get(2).copied(), Some(0));
        tap.is(&format!("{what}: the status"), words.get(3).map(|word| word & STATUS), Some(4));
    }
    actor.end(sys)?;
    handler.end(sys)
}

/// Notes the stack pointer and the flags where it goes on after an invalid instruction.
#[unsafe(naked)]
extern "C" fn invalid(_: Word) -> ! {
    naked_asm!(
        "ud2",
        "mov [rip + {notes}], rsp",
        "pushfq",
        "pop [rip + {notes} + 8]",
        "ud2",
        notes = sym NOTES,
    )
}

#[unsafe(naked)]
extern "C" fn division(_: Word) -> ! {
    naked_asm!("xor ecx, ecx", "div ecx", "ud2")
}

#[unsafe(naked)]
extern "C" fn overflow(_: Word) -> ! {
    naked_asm!("mov edx, -1", "mov ecx, 1", "div ecx", "ud2")
}

#[unsafe(naked)]
extern "C" fn breakpoint(_: Word) -> ! {
    naked_asm!("int3", "ud2")
}

#[unsafe(naked)]
extern "C" fn halt(_: Word) -> ! {
    naked_asm!("hlt", "ud2")
}

#[unsafe(naked)]
extern "C" fn interrupts_off(_: Word) -> ! {
    naked_asm!("cli", "ud2")
}

#[unsafe(naked)]
extern "C" fn port(_: Word) -> ! {
    naked_asm!("in al, dx", "ud2")
}

#[unsafe(naked)]
extern "C" fn control(_: Word) -> ! {
    naked_asm!("mov rax, cr0", "ud2")
}

fn exceptions(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let handler = Handler::new(sys)?;
    let actor = Actor::new(sys, handler.slot())?;
    // What happens, the body, how far into it, the exception's number and code.
    let cases: [(&str, Body, Word, Word, Word); 9] = [
        ("an invalid instruction", invalid, 0, 6, 0),
        ("a division by zero", division, 2, 0, 0),
        ("a quotient that is too large", overflow, 10, 0, 0),
        ("a breakpoint", breakpoint, 1, 3, 0),
        ("an instruction that halts", halt, 0, 13, 0),
        ("an instruction that stops interrupts", interrupts_off, 0, 13, 0),
        ("an access to a port", port, 0, 13, 0),
        ("an access to a control register", control, 0, 13, 0),
        ("a read from an address that cannot be", read, 0, 13, 0),
    ];
    for (what, body, offset, number, code) in cases {
        actor.start(body, 0x1234_5678_9abc_def0)?;
        let (badge, label, words) = handler.take();
        let kind = (badge, label, words.len());
        tap.is(
            &format!("{what}: an exception of five words"),
            kind,
            (Handler::BADGE, fault::USER_EXCEPTION, 5),
        );
        let ip = address_of(body) + offset;
        tap.is(&format!("{what}: the instruction"), words.first().copied(), Some(ip));
        tap.is(&format!("{what}: the stack pointer"), words.get(1).copied(), Some(actor.stack_top()));
        tap.is(&format!("{what}: interrupts are on"), words.get(2).map(|flags| flags & 0x302), Some(0x202));
        tap.is(
            &format!("{what}: number and code"),
            words.get(3..).map(<[Word]>::to_vec),
            Some(vec![number, code]),
        );
    }
    actor.end(sys)?;
    handler.end(sys)
}

/// A handler changes instruction and stack pointer and flags, or lets the thread try again, or stops it.
fn replies(tap: &mut Tap, sys: &mut System) -> Result<()> {
    let handler = Handler::new(sys)?;
    let actor = Actor::new(sys, handler.slot())?;
    let ip = address_of(invalid);
    actor.start(invalid, 0)?;
    drop(handler.take());
    handler.reply(0, &[]);
    let again = handler.try_take();
    tap.is(
        "a reply without words repeats the instruction",
        again.map(|(_, label, _)| label),
        Some(fault::USER_EXCEPTION),
    );
    handler.reply(7, &[ip + 2]);
    tap.yes("after an exception, a reply with a label stops the thread", handler.try_take().is_none());
    tap.is("where the reply says", actor.registers()?.rip, ip + 2);
    actor.start(invalid, 0)?;
    let (_, _, words) = handler.take();
    NOTES.clear();
    let stack = words.get(1).copied().unwrap_or(0) - 0x40;
    handler.reply(0, &[ip + 2, stack, 0x203, 99, 99, 99]);
    drop(handler.take());
    tap.is("a reply sets the stack pointer", NOTES.get(0), stack);
    tap.is("a reply sets the flags", NOTES.get(1) & 0xf, 3);
    actor.start(invalid, 0)?;
    drop(handler.take());
    handler.reply(0, &[0x8000_0000_0000]);
    let fault = handler.try_take();
    tap.is(
        "an instruction pointer that cannot be becomes 0",
        fault.map(|(_, label, words)| (label, words.first().copied())),
        Some((fault::VM_FAULT, Some(0))),
    );
    actor.start(read, FAR)?;
    drop(handler.take());
    handler.reply(9, &[1, 2, 3]);
    let again = handler.try_take();
    tap.is(
        "after a memory fault any reply repeats the instruction",
        again.map(|(_, _, words)| words.first().copied()),
        Some(Some(address_of(read))),
    );
    // The handler moves the thread on by itself, then replies.
    let moved = Registers { rip: ip, ..actor.registers()? };
    // SAFETY: the body is made to be started like this.
    unsafe { actor.tcb().write_registers(false, 1, &moved)? };
    handler.reply(0, &[]);
    let next = handler.try_take();
    tap.is(
        "or goes on where the handler has put the thread",
        next.map(|(_, label, _)| label),
        Some(fault::USER_EXCEPTION),
    );
    actor.tcb().suspend()?;
    tap.is("a suspended thread's fault is forgotten", actor.tcb().resume(), Ok(()));
    let next = handler.try_take();
    tap.is("a resumed one faults anew", next.map(|(_, label, _)| label), Some(fault::USER_EXCEPTION));
    actor.end(sys)?;
    handler.end(sys)
}

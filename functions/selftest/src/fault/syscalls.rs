//! Unknown system calls: their message, and the registers that a reply changes.

use super::Handler;
use crate::{
    actor::{Actor, NOTES, calm},
    tap::Tap,
};
use core::arch::naked_asm;
use selkie::{cap::Registers, prelude::*};
use selkie_sys::{Word, fault, stub, unknown_syscall as place};

pub fn run(tap: &mut Tap, sys: &mut System) -> Result<()> {
    calm(sys, |sys| {
        let handler = Handler::new(sys)?;
        let actor = Actor::new(sys, handler.slot())?;
        numbers(tap, &handler, &actor)?;
        message(tap, &handler, &actor)?;
        reply(tap, &handler, &actor)?;
        actor.end(sys)?;
        handler.end(sys)
    })
}

/// Makes a system call with the registers that the thread was started with, notes some of them, and ends in an
/// invalid instruction.
#[unsafe(naked)]
extern "C" fn body(_: Word) -> ! {
    naked_asm!(
        "call {call}",
        "mov [rip + {notes}], rbx",
        "mov [rip + {notes} + 8], rbp",
        "mov [rip + {notes} + 16], r8",
        "mov [rip + {notes} + 24], r9",
        "mov [rip + {notes} + 32], r10",
        "mov [rip + {notes} + 40], r12",
        "mov [rip + {notes} + 48], r13",
        "mov [rip + {notes} + 56], r14",
        "mov [rip + {notes} + 64], r15",
        "mov [rip + {notes} + 72], rdx",
        "mov [rip + {notes} + 80], rsi",
        "mov [rip + {notes} + 88], rdi",
        "mov [rip + {notes} + 96], rsp",
        "ud2",
        call = sym stub::word,
        notes = sym NOTES,
    )
}

/// Where the system call itself is: after an instruction of three bytes.
fn ip() -> Word {
    stub::word as *const () as Word + 3
}

fn registers(number: Word) -> Registers {
    Registers {
        rdi: 0xd1,
        rsi: 0x51,
        rdx: number,
        rbx: 0xb1,
        rbp: 0xb2,
        r8: 8,
        r9: 9,
        r10: 10,
        r12: 12,
        r13: 13,
        r14: 14,
        r15: 15,
        ..Registers::default()
    }
}

fn numbers(tap: &mut Tap, handler: &Handler, actor: &Actor) -> Result<()> {
    let numbers: [(&str, Word); 8] = [
        ("0", 0),
        ("1", 1),
        ("-100", -100i64 as Word),
        ("-2147483648", i64::from(i32::MIN) as Word),
        ("2147483648", 0x8000_0000),
        ("of more than 32 bits", 0x5_0000_0063),
        ("whose lower 32 bits are those of a known one", 0x7_ffff_fff9),
        ("-9223372036854775808", i64::MIN as Word),
    ];
    for (what, number) in numbers {
        actor.start_with(body, registers(number))?;
        let (badge, label, words) = handler.take();
        let kind = (badge, label, words.len());
        tap.is(
            &format!("system call {what}: a message of 19 words"),
            kind,
            (Handler::BADGE, fault::UNKNOWN_SYSCALL, 19),
        );
        let got = words.get(place::SYSCALL as usize).copied();
        tap.is(&format!("system call {what}: its number"), got, Some(number));
    }
    Ok(())
}

/// Every register that the kernel has: it has lost rcx, r11 and the stack pointer.
fn message(tap: &mut Tap, handler: &Handler, actor: &Actor) -> Result<()> {
    actor.start_with(body, registers(99))?;
    let (_, _, words) = handler.take();
    let word = |index: Word| words.get(index as usize).copied().unwrap_or(Word::MAX);
    tap.is("rax is the stack pointer, which the stub has put there", word(place::RAX), actor.stack_top() - 8);
    let cases = [
        ("rbx", place::RBX, 0xb1),
        ("rdx, the number", place::RDX, 99),
        ("rsi", place::RSI, 0x51),
        ("rdi", place::RDI, 0xd1),
        ("rbp", place::RBP, 0xb2),
        ("r8", place::R8, 8),
        ("r9", place::R9, 9),
        ("r10", place::R10, 10),
        ("r12", place::R12, 12),
        ("r13", place::R13, 13),
        ("r14", place::R14, 14),
        ("r15", place::R15, 15),
        ("the instruction", place::FAULT_IP, ip()),
    ];
    for (what, index, want) in cases {
        tap.is(&format!("an unknown system call tells {what}"), word(index), want);
    }
    tap.is("interrupts are on", word(place::FLAGS) & 0x202, 0x202);
    let read = actor.registers()?;
    tap.is(
        "the same registers can be read",
        (read.rip, read.rbx, read.r15, read.rdi),
        (ip(), 0xb1, 15, 0xd1),
    );
    Ok(())
}

fn reply(tap: &mut Tap, handler: &Handler, actor: &Actor) -> Result<()> {
    actor.start_with(body, registers(99))?;
    let (_, _, mut words) = handler.take();
    handler.reply(0, &[]);
    let again = handler.try_take().map(|(_, label, _)| label);
    tap.is("a reply without words repeats the system call", again, Some(fault::UNKNOWN_SYSCALL));
    handler.reply(5, &[]);
    tap.yes(
        "after an unknown system call, a reply with a label stops the thread",
        handler.try_take().is_none(),
    );
    actor.tcb().resume()?;
    let again = handler.try_take().map(|(_, label, _)| label);
    tap.is("resumed, it repeats the system call", again, Some(fault::UNKNOWN_SYSCALL));
    let changes = [
        ("rbx", place::RBX),
        ("rbp", place::RBP),
        ("r8", place::R8),
        ("r9", place::R9),
        ("r10", place::R10),
        ("r12", place::R12),
        ("r13", place::R13),
        ("r14", place::R14),
        ("r15", place::R15),
        ("rdx", place::RDX),
        ("rsi", place::RSI),
        ("rdi", place::RDI),
    ];
    for ((_, index), value) in changes.iter().zip(0x9000..) {
        words[*index as usize] = value;
    }
    words[place::FAULT_IP as usize] = ip() + 2;
    NOTES.clear();
    handler.reply(0, &words[..18]);
    let next = handler.take();
    tap.is("a reply lets the thread go on after the system call", next.1, fault::USER_EXCEPTION);
    for ((note, (what, _)), value) in changes.iter().enumerate().zip(0x9000..) {
        tap.is(&format!("a reply sets {what}"), NOTES.get(note), value);
    }
    tap.is("the stack pointer is what it was", NOTES.get(12), actor.stack_top());
    // A new number in place of the old one: the repeated system call is a known one.
    actor.start_with(body, registers(99))?;
    let (_, _, mut words) = handler.take();
    words[place::RDX as usize] = selkie_sys::syscall::YIELD as Word;
    handler.reply(0, &words[..4]);
    tap.is("a reply that changes the number lets the call succeed", handler.take().1, fault::USER_EXCEPTION);
    Ok(())
}

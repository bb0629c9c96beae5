//! The ways between the root task and the tender.
//!
//! `selkie_entry` is what a rewritten site reaches, with the address after the site in rcx and all other
//! registers as the root task has them; r11 is free, as for any system call. A Yield that changes nothing
//! is answered at once, without touching the flags. Anything else saves the registers to the TCB, switches
//! to the tender's stack, and comes back by `selkie_leave`.
//!
//! Signals that come while the tender runs are only noted, and looked at when it is left. Between that look
//! and the jump a signal could be overlooked; so the handler, when it finds the instruction pointer in such
//! a window, moves it: out of `selkie_yield_begin..selkie_yield_end` to `selkie_slow`, and from
//! `selkie_leave_begin..selkie_leave_end` back to `selkie_leave`, which loads every register anew.
//!
//! The processor's arithmetic flags go back by SAHF; only a thread with other flags set takes POPFQ, which
//! is slow.

use crate::state::{STATE, State};
use core::{arch::global_asm, mem::offset_of};
use selkie_tender_model::{Register, Tcb};

unsafe extern "C" {
    /// What the stubs of rewritten sites jump to.
    pub(crate) safe static selkie_entry: u8;
    /// The first instruction of the answer to a Yield.
    pub(crate) safe static selkie_yield_begin: u8;
    /// After its last.
    pub(crate) safe static selkie_yield_end: u8;
    /// Where other system calls go on.
    pub(crate) safe static selkie_slow: u8;
    /// What a signal handler returns to when it has saved the root task's registers.
    pub(crate) safe static selkie_trap: u8;
    /// The way out.
    pub(crate) safe static selkie_leave: u8;
    /// The first instruction after which a signal is no longer seen.
    pub(crate) safe static selkie_leave_begin: u8;
    /// The jump to the root task.
    pub(crate) safe static selkie_leave_jump: u8;
    /// After it.
    pub(crate) safe static selkie_leave_end: u8;

    /// Runs the current thread. The stack below the caller's frame becomes the tender's.
    pub(crate) fn selkie_go() -> !;
    /// Switches the FPU's state, but for xmm0 to xmm15, between two areas of FXSAVE.
    pub(crate) fn selkie_switch_fpu(from: *mut u8, to: *const u8);
}

/// xmm0, in bytes from a TCB's registers.
const XMM: i64 = Tcb::FPU as i64 + 160 - Tcb::REGISTERS as i64;
/// Flags that SAHF and an addition can set, and the two that are always set.
const PLAIN_FLAGS: u32 = 0xad7;

const fn at(register: Register) -> u64 {
    register as u64 * 8
}

global_asm!(
    ".pushsection .text.tender_entry, \"ax\", @progbits",
    ".macro each_xmm action",
    r"  .irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    r"  \action \number",
    "  .endr",
    ".endm",
    ".macro store_xmm number",
    r"  movups [rcx + {xmm} + 16 * \number], xmm\number",
    ".endm",
    ".macro load_xmm number",
    r"  movups xmm\number, [rcx + {xmm} + 16 * \number]",
    ".endm",
    // From a site.
    ".balign 64",
    ".globl selkie_entry, selkie_yield_begin, selkie_yield_end, selkie_slow",
    "selkie_entry:",
    "mov r11, rcx",
    "selkie_yield_begin:",
    "mov rcx, [rip + {state} + {yield_blocked}]",
    "jrcxz 2f",
    "jmp selkie_slow",
    "2: mov rcx, [rip + {state} + {minus_yield}]",
    "lea rcx, [rcx + rdx]",
    "jrcxz 3f",
    "jmp selkie_slow",
    "3: jmp r11",
    "selkie_yield_end:",
    "selkie_slow:",
    "mov rcx, [rip + {state} + {registers}]",
    "mov [rcx + {rsp}], rsp",
    "mov rsp, [rip + {state} + {stack}]",
    "pushfq",
    "mov [rcx + {rax}], rax",
    "mov [rcx + {rbx}], rbx",
    "mov [rcx + {rdx}], rdx",
    "mov [rcx + {rsi}], rsi",
    "mov [rcx + {rdi}], rdi",
    "mov [rcx + {rbp}], rbp",
    "mov [rcx + {r8}], r8",
    "mov [rcx + {r9}], r9",
    "mov [rcx + {r10}], r10",
    "mov [rcx + {r12}], r12",
    "mov [rcx + {r13}], r13",
    "mov [rcx + {r14}], r14",
    "mov [rcx + {r15}], r15",
    // The site is `mov rax, rsp` (3 bytes), `syscall` (2), `mov rsp, rax` (3); r11 is what follows. A
    // system call leaves the next address in rcx, the flags in r11.
    "lea rax, [r11 - 5]",
    "mov [rcx + {fault_ip}], rax",
    "add rax, 2",
    "mov [rcx + {rip}], rax",
    "mov [rcx + {rcx_}], rax",
    "pop rax",
    "mov [rcx + {rflags}], rax",
    "mov [rcx + {r11}], rax",
    "each_xmm store_xmm",
    "cld",
    "call {on_syscall}",
    "jmp selkie_leave",
    // From a signal handler, which has saved all but the xmm registers.
    ".globl selkie_trap",
    "selkie_trap:",
    "mov rcx, [rip + {state} + {registers}]",
    "each_xmm store_xmm",
    "call {on_trap}",
    "jmp selkie_leave",
    // The first time.
    ".globl selkie_go",
    "selkie_go:",
    "and rsp, -16",
    "mov [rip + {state} + {stack}], rsp",
    "jmp selkie_leave",
    "2: call {on_pending}",
    // The way out.
    ".globl selkie_leave, selkie_leave_begin, selkie_leave_jump, selkie_leave_end",
    "selkie_leave:",
    "mov rcx, [rip + {state} + {registers}]",
    "each_xmm load_xmm",
    "selkie_leave_begin:",
    "cmp dword ptr [rip + {state} + {pending}], 0",
    "jne 2b",
    "mov edx, [rcx + {rflags}]",
    "test edx, {other_flags}",
    "jnz 3f",
    "mov eax, edx",
    "shr eax, 11",
    "mov ah, dl",
    "add al, 0x7f",
    "sahf",
    "4: mov rax, [rcx + {rax}]",
    "mov rbx, [rcx + {rbx}]",
    "mov rdx, [rcx + {rdx}]",
    "mov rsi, [rcx + {rsi}]",
    "mov rdi, [rcx + {rdi}]",
    "mov rbp, [rcx + {rbp}]",
    "mov r8, [rcx + {r8}]",
    "mov r9, [rcx + {r9}]",
    "mov r10, [rcx + {r10}]",
    "mov r11, [rcx + {r11}]",
    "mov r12, [rcx + {r12}]",
    "mov r13, [rcx + {r13}]",
    "mov r14, [rcx + {r14}]",
    "mov r15, [rcx + {r15}]",
    "mov rsp, [rip + {state} + {go_rsp}]",
    "mov rcx, [rcx + {rcx_}]",
    "selkie_leave_jump:",
    "jmp [rip + {state} + {go_rip}]",
    "3: push [rcx + {rflags}]",
    "popfq",
    "jmp 4b",
    "selkie_leave_end:",
    // rdi and rsi are areas of FXSAVE; the former has xmm0 to xmm15 already.
    ".globl selkie_switch_fpu",
    "selkie_switch_fpu:",
    "lea rcx, [rdi + {area}]",
    "each_xmm load_xmm",
    "fxsave64 [rdi]",
    "fxrstor64 [rsi]",
    "ret",
    ".purgem each_xmm",
    ".purgem store_xmm",
    ".purgem load_xmm",
    ".popsection",
    state = sym STATE,
    yield_blocked = const offset_of!(State, yield_blocked),
    minus_yield = const offset_of!(State, minus_yield),
    registers = const offset_of!(State, registers),
    stack = const offset_of!(State, stack),
    pending = const offset_of!(State, pending),
    go_rip = const offset_of!(State, rip),
    go_rsp = const offset_of!(State, rsp),
    rip = const at(Register::Rip),
    rsp = const at(Register::Rsp),
    rflags = const at(Register::Rflags),
    rax = const at(Register::Rax),
    rbx = const at(Register::Rbx),
    rcx_ = const at(Register::Rcx),
    rdx = const at(Register::Rdx),
    rsi = const at(Register::Rsi),
    rdi = const at(Register::Rdi),
    rbp = const at(Register::Rbp),
    r8 = const at(Register::R8),
    r9 = const at(Register::R9),
    r10 = const at(Register::R10),
    r11 = const at(Register::R11),
    r12 = const at(Register::R12),
    r13 = const at(Register::R13),
    r14 = const at(Register::R14),
    r15 = const at(Register::R15),
    fault_ip = const at(Register::FaultIp),
    xmm = const XMM,
    area = const Tcb::REGISTERS - Tcb::FPU,
    other_flags = const !PLAIN_FLAGS,
    on_syscall = sym crate::run::on_syscall,
    on_trap = sym crate::run::on_trap,
    on_pending = sym crate::run::on_pending,
);

//! The system-call instructions, one stub for each way in which registers are used.
//!
//! A *site* is `mov rax, rsp; syscall; mov rsp, rax`, 8 bytes in a row: on return from a system call
//! this kernel has lost the stack pointer, but keeps rax. The address of each site is a word of the
//! section `.sel4_sites`, so that whatever hosts a root task without the kernel can put something else
//! in its place. That word is link-ordered to the stub's text, which is a section of its own: the
//! linker drops both together when nothing calls the stub.
//!
//! Registers: rdx is the system call's number, rdi the capability or badge, rsi the tag, and r10, r8,
//! r9 and r15 are the message's first four words. With MCS, r12 is a reply object's capability, and r13 what is
//! sent to when r12 is taken. The kernel clobbers rcx and r11.

use crate::{CPtr, Word};
use core::arch::naked_asm;

/// What a system call that receives gives.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Received {
    /// The tag of the message.
    pub info: Word,
    /// The badge of the capability that it came through.
    pub badge: Word,
}

/// A site, and its address in `.sel4_sites`, link-ordered to the named section.
macro_rules! site {
    ($section:literal) => {
        concat!(
            "77: mov rax, rsp\n",
            "syscall\n",
            "mov rsp, rax\n",
            ".pushsection .sel4_sites, \"ao\", @progbits, ",
            $section,
            "\n.balign 8\n",
            ".quad 77b\n",
            ".popsection\n",
        )
    };
}

/// Sends the message `info`, `mrs` to `dest`.
///
/// # Safety
/// See the crate's documentation. `number` must be that of a system call that only sends.
#[unsafe(naked)]
#[unsafe(link_section = ".text.selkie_sys.send")]
pub unsafe extern "sysv64" fn send(dest: CPtr, info: Word, number: i64, mrs: &[Word; 4]) {
    naked_asm!(
        "push r15",
        "mov r10, [rcx]",
        "mov r8, [rcx + 8]",
        "mov r9, [rcx + 16]",
        "mov r15, [rcx + 24]",
        site!(".text.selkie_sys.send"),
        "pop r15",
        "ret",
    )
}

/// Receives a message from `source`; its first words go to `mrs`.
///
/// # Safety
/// See the crate's documentation. `number` must be that of a system call that only receives.
#[unsafe(naked)]
#[unsafe(link_section = ".text.selkie_sys.recv")]
pub unsafe extern "sysv64" fn recv(source: CPtr, info: Word, number: i64, mrs: &mut [Word; 4]) -> Received {
    naked_asm!(
        "push r15",
        "push rcx",
        site!(".text.selkie_sys.recv"),
        "pop rcx",
        "mov [rcx], r10",
        "mov [rcx + 8], r8",
        "mov [rcx + 16], r9",
        "mov [rcx + 24], r15",
        "mov rax, rsi",
        "mov rdx, rdi",
        "pop r15",
        "ret",
    )
}

/// Sends the message `info`, `mrs`, then receives one; its first words go to `mrs`.
///
/// # Safety
/// See the crate's documentation. `number` must be that of a system call that sends and receives.
#[unsafe(naked)]
#[unsafe(link_section = ".text.selkie_sys.send_recv")]
pub unsafe extern "sysv64" fn send_recv(cap: CPtr, info: Word, number: i64, mrs: &mut [Word; 4]) -> Received {
    naked_asm!(
        "push r15",
        "push rcx",
        "mov r10, [rcx]",
        "mov r8, [rcx + 8]",
        "mov r9, [rcx + 16]",
        "mov r15, [rcx + 24]",
        site!(".text.selkie_sys.send_recv"),
        "pop rcx",
        "mov [rcx], r10",
        "mov [rcx + 8], r8",
        "mov [rcx + 16], r9",
        "mov [rcx + 24], r15",
        "mov rax, rsi",
        "mov rdx, rdi",
        "pop r15",
        "ret",
    )
}

/// As [`recv`]; the way back to a caller is put into the reply object `reply` (MCS).
///
/// # Safety
/// See the crate's documentation. `number` must be that of a system call that takes a reply object and only
/// receives.
#[unsafe(naked)]
#[unsafe(link_section = ".text.selkie_sys.recv_reply")]
pub unsafe extern "sysv64" fn recv_reply(
    source: CPtr,
    info: Word,
    number: i64,
    mrs: &mut [Word; 4],
    reply: CPtr,
) -> Received {
    naked_asm!(
        "push r15",
        "push r12",
        "push rcx",
        "mov r12, r8",
        site!(".text.selkie_sys.recv_reply"),
        "pop rcx",
        "mov [rcx], r10",
        "mov [rcx + 8], r8",
        "mov [rcx + 16], r9",
        "mov [rcx + 24], r15",
        "mov rax, rsi",
        "mov rdx, rdi",
        "pop r12",
        "pop r15",
        "ret",
    )
}

/// As [`send_recv`], with `reply` in r12 and `dest` in r13 (MCS): the system call's number says what each of them
/// is.
///
/// # Safety
/// See the crate's documentation. `number` must be that of a system call that takes these registers.
#[unsafe(naked)]
#[unsafe(link_section = ".text.selkie_sys.send_recv_reply")]
pub unsafe extern "sysv64" fn send_recv_reply(
    cap: CPtr,
    info: Word,
    number: i64,
    mrs: &mut [Word; 4],
    reply: CPtr,
    dest: CPtr,
) -> Received {
    naked_asm!(
        "push r15",
        "push r13",
        "push r12",
        "push rcx",
        "mov r12, r8",
        "mov r13, r9",
        "mov r10, [rcx]",
        "mov r8, [rcx + 8]",
        "mov r9, [rcx + 16]",
        "mov r15, [rcx + 24]",
        site!(".text.selkie_sys.send_recv_reply"),
        "pop rcx",
        "mov [rcx], r10",
        "mov [rcx + 8], r8",
        "mov [rcx + 16], r9",
        "mov [rcx + 24], r15",
        "mov rax, rsi",
        "mov rdx, rdi",
        "pop r12",
        "pop r13",
        "pop r15",
        "ret",
    )
}

/// Makes a system call without a message: `word` goes in, a word comes out.
///
/// # Safety
/// See the crate's documentation. `number` must be that of a system call without a message.
#[unsafe(naked)]
#[unsafe(link_section = ".text.selkie_sys.word")]
pub unsafe extern "sysv64" fn word(word: Word, info: Word, number: i64) -> Word {
    naked_asm!(site!(".text.selkie_sys.word"), "mov rax, rdi", "ret")
}

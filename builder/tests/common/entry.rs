//! What every root task of these tests begins with.

/// The head of a crate that needs nothing of the runtime: its entry, which calls `main`, `stub`, which calls
/// the kernel at one listed site, and a panic handler.
pub(crate) const ENTRY: &str = r#"#![no_std]
#![no_main]
use core::{arch::global_asm, hint::black_box, panic::PanicInfo};

global_asm!(
    ".section .text._start,\"ax\",@progbits",
    ".globl _start", ".type _start,@function",
    "_start: lea rsp, [rip + __selkie_stack_top]", "call {main}", "ud2",
    ".size _start, . - _start",
    ".section .text.stub,\"ax\",@progbits",
    ".globl stub", ".type stub,@function",
    "stub: mov rdx, -9", "1: mov r14, rsp", "syscall", "mov rsp, r14", "ret",
    ".size stub, . - stub",
    ".section .sel4_sites,\"ao\",@progbits,.text.stub",
    ".quad 1b",
    ".text",
    main = sym main,
);

unsafe extern "C" {
    fn stub();
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

"#;

//! System calls of Linux, all by way of one instruction: the filter lets no other through.

use core::arch::naked_asm;
use linux_raw_sys::general;

pub(crate) use selkie_tender_setup::Errno;

unsafe extern "C" {
    /// The program's one system-call instruction.
    pub(crate) safe static selkie_syscall_instruction: u8;
    /// Where [`wait`]'s look at pending signals begins.
    pub(crate) safe static selkie_wait_begin: u8;
    /// Where it is left when there is one.
    pub(crate) safe static selkie_wait_interrupted: u8;
}

/// Makes a system call.
///
/// # Safety
/// The call's own conditions.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn selkie_raw_syscall(
    number: u64,
    a: u64,
    b: u64,
    c: u64,
    d: u64,
    e: u64,
    f: u64,
) -> i64 {
    naked_asm!(
        "mov rax, rdi",
        "mov rdi, rsi",
        "mov rsi, rdx",
        "mov rdx, rcx",
        "mov r10, r8",
        "mov r8, r9",
        "mov r9, [rsp + 8]",
        ".globl selkie_syscall_instruction",
        "selkie_syscall_instruction:",
        "syscall",
        "ret",
    )
}

/// Makes a system call that waits for a signal, unless one is pending already: then, and when one comes
/// at any moment until it waits, the answer is `EINTR`. [`crate::signal`] does the latter.
///
/// # Safety
/// The call's own conditions.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn wait(number: u64, a: u64, b: u64, c: u64, d: u64, e: u64, f: u64) -> i64 {
    naked_asm!(
        "mov rax, rdi",
        "mov rdi, rsi",
        "mov rsi, rdx",
        "mov rdx, rcx",
        "mov r10, r8",
        "mov r8, r9",
        "mov r9, [rsp + 8]",
        ".globl selkie_wait_begin",
        "selkie_wait_begin:",
        "cmp dword ptr [rip + {state} + {pending}], 0",
        "je selkie_syscall_instruction",
        ".globl selkie_wait_interrupted",
        "selkie_wait_interrupted:",
        "mov rax, -{eintr}",
        "ret",
        state = sym crate::state::STATE,
        pending = const core::mem::offset_of!(crate::state::State, pending),
        eintr = const linux_raw_sys::errno::EINTR,
    )
}

/// What a signal handler returns to: the end of the signal.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn restorer() {
    naked_asm!("mov eax, {sigreturn}", "jmp selkie_syscall_instruction", sigreturn = const general::__NR_rt_sigreturn)
}

/// The way into Linux, for the set-up.
pub(crate) struct Raw;

impl selkie_tender_setup::Linux for Raw {
    unsafe fn syscall(&self, number: u32, arguments: [usize; 6]) -> isize {
        let [a, b, c, d, e, f] = arguments.map(|argument| argument as u64);
        // SAFETY: the caller's.
        unsafe { selkie_raw_syscall(number.into(), a, b, c, d, e, f) as isize }
    }
}

/// Makes a system call; arguments that are left out are 0.
///
/// # Safety
/// The call's own conditions.
#[inline]
pub(crate) unsafe fn syscall<const N: usize>(number: u32, args: [u64; N]) -> Result<u64, Errno> {
    let [a, b, c, d, e, f] = padded(args);
    // SAFETY: the caller's.
    answer(unsafe { selkie_raw_syscall(number.into(), a, b, c, d, e, f) })
}

/// As [`syscall`], by way of [`wait`].
///
/// # Safety
/// The call's own conditions.
#[inline]
pub(crate) unsafe fn syscall_wait<const N: usize>(number: u32, args: [u64; N]) -> Result<u64, Errno> {
    let [a, b, c, d, e, f] = padded(args);
    // SAFETY: the caller's.
    answer(unsafe { wait(number.into(), a, b, c, d, e, f) })
}

/// Ends the process.
pub(crate) fn exit(status: u8) -> ! {
    loop {
        // SAFETY: nothing of the process is used any more.
        let _ = unsafe { syscall(general::__NR_exit_group, [status.into()]) };
    }
}

fn padded<const N: usize>(args: [u64; N]) -> [u64; 6] {
    let mut all = [0; 6];
    all[..N].copy_from_slice(&args);
    all
}

fn answer(value: i64) -> Result<u64, Errno> {
    u64::try_from(value).map_err(|_| Errno(value.unsigned_abs() as u32))
}

//! Signals: how the processor's exceptions, the timers and the filter's trap reach the tender.
//!
//! A handler does little. When the root task was running, its registers go to its TCB and the signal
//! returns to `selkie_trap`, so that the kernel always runs on the tender's own stack, with no signal held
//! back. When the tender was running, the signal is noted.

use crate::{
    FAILED, entry,
    output::report,
    state::{Cause, Pending, State},
    syscall::{self, syscall},
};
use core::{ptr::with_exposed_provenance, slice};
use linux_raw_sys::general;
use selkie_tender_model::{Fault, Register};

/// Bytes of the stack that signals are handled on: the kernel's frame, up to 11 KiB with all of today's
/// state of the processor (`AT_MINSIGSTKSZ`), and the handler's own.
const STACK: usize = 32 << 10;
/// What a handler needs of it beside the kernel's frame.
pub(crate) const HANDLER: usize = 8 << 10;

#[repr(C, align(4096))]
struct Stack([u8; STACK]);

/// Written to by the kernel and by handlers only, of which one runs at a time.
#[unsafe(link_section = ".signal_stack")]
static mut SIGNAL_STACK: Stack = Stack([0; STACK]);

/// The kernel's `struct rt_sigaction`.
#[repr(C)]
struct Action {
    handler: usize,
    flags: u64,
    restorer: usize,
    mask: u64,
}

/// The kernel's `stack_t`.
#[repr(C)]
struct SignalStack {
    start: *mut u8,
    flags: u64,
    size: usize,
}

/// The kernel's `struct ucontext`, as far as it is used.
#[repr(C)]
struct Context {
    flags: u64,
    link: u64,
    stack: SignalStack,
    registers: [u64; 23],
}

// Places in `Context::registers` (`struct sigcontext`).
const RIP: usize = 16;
const RSP: usize = 15;
const RAX: usize = 13;
const FLAGS: usize = 17;
/// The segments of code (lowest 16 bits) and stack (highest).
const SEGMENTS: usize = 18;
const ERROR: usize = 19;
const TRAP: usize = 20;
const CR2: usize = 22;

/// Where each register of a TCB is in a context.
const PLACES: [(Register, usize); 18] = [
    (Register::Rip, RIP),
    (Register::Rsp, RSP),
    (Register::Rflags, FLAGS),
    (Register::Rax, RAX),
    (Register::Rbx, 11),
    (Register::Rcx, 14),
    (Register::Rdx, 12),
    (Register::Rsi, 9),
    (Register::Rdi, 8),
    (Register::Rbp, 10),
    (Register::R8, 0),
    (Register::R9, 1),
    (Register::R10, 2),
    (Register::R11, 3),
    (Register::R12, 4),
    (Register::R13, 5),
    (Register::R14, 6),
    (Register::R15, 7),
];

/// The kernel's `__USER_CS` and `__USER_DS`.
const OWN_SEGMENTS: u64 = 0x33 | 0x2b << 48;
/// Flags of a program that has just begun: interrupts on, all else clear.
const FRESH_FLAGS: u64 = 0x202;
/// The processor's exceptions.
const DEBUG: u64 = 1;
const PROTECTION: u64 = 13;
const PAGE: u64 = 14;
/// In a page fault's code: an instruction was fetched.
const FETCH: u64 = 1 << 4;
/// The longest `si_code` of a signal that some process has sent.
const SI_USER: i32 = 0;
/// The kernel's `SIG_IGN`.
const SIG_IGN: usize = 1;
/// The kernel's `SA_RESTORER`.
const SA_RESTORER: u64 = 0x0400_0000;

/// Signals by which the kernel tells of exceptions.
const EXCEPTIONS: [u32; 5] =
    [general::SIGSEGV, general::SIGBUS, general::SIGILL, general::SIGFPE, general::SIGTRAP];

/// Handles all signals that the tender works with. Fails when `frame` bytes of the kernel's frame would not
/// fit, or the kernel refuses.
pub(crate) fn install(frame: usize) -> Result<(), &'static str> {
    if frame + HANDLER > STACK {
        return Err("the processor has more registers than the tender has room for");
    }
    let stack = SignalStack { start: (&raw mut SIGNAL_STACK).cast(), flags: 0, size: STACK };
    // SAFETY: the stack is used by nobody else, and lives as long as the process.
    let done = unsafe { syscall(general::__NR_sigaltstack, [(&raw const stack).expose_provenance() as u64]) };
    done.map_err(|_| "the kernel refuses its stack for signals")?;
    let handled = [general::SIGSYS, general::SIGVTALRM, general::SIGALRM];
    for signal in EXCEPTIONS.into_iter().chain(handled) {
        set_action(signal, handle as *const () as usize)?;
    }
    // A closed console, and a file that may not grow any more, are errors of `write`.
    set_action(general::SIGXFSZ, SIG_IGN)?;
    set_action(general::SIGPIPE, SIG_IGN)
}

fn set_action(signal: u32, handler: usize) -> Result<(), &'static str> {
    let flags = u64::from(general::SA_SIGINFO | general::SA_ONSTACK) | SA_RESTORER;
    let restorer = syscall::restorer as *const () as usize;
    let action = Action { handler, flags, restorer, mask: !0 };
    let action = (&raw const action).expose_provenance() as u64;
    // SAFETY: `handle` runs on its own stack and keeps to what is said at `State`.
    let done =
        unsafe { syscall(general::__NR_rt_sigaction, [signal.into(), action, 0, size_of::<u64>() as u64]) };
    done.map(drop).map_err(|_| "the kernel refuses a handler of signals")
}

/// What runs when a signal comes. All signals are held back meanwhile.
unsafe extern "C" fn handle(signal: u32, info: *const [i32; 4], context: *mut Context) {
    // SAFETY: the kernel passes both, and nobody else has them; `State` says who writes what.
    let (info, context, state) = unsafe { (&*info, &mut *context, State::get()) };
    let code = info[2];
    if EXCEPTIONS.contains(&signal) && code <= SI_USER {
        stopped_from_outside(signal);
    }
    let ip = context.registers[RIP];
    if !in_tender(state, ip) {
        interrupt(state, signal, context);
    } else if EXCEPTIONS.contains(&signal) {
        own_fault(state, signal, context);
    } else {
        note(state, signal);
        leave_window(state, context);
    }
}

/// Whether the instruction is the tender's own, or the vDSO's.
fn in_tender(state: &State, ip: u64) -> bool {
    unsafe extern "C" {
        safe static __text_start: u8;
        safe static __text_end: u8;
    }
    (address(&__text_start)..address(&__text_end)).contains(&ip)
        || (state.vdso[0]..state.vdso[1]).contains(&ip)
}

fn address(symbol: &'static u8) -> u64 {
    (&raw const *symbol).addr() as u64
}

/// Notes a timer's signal.
fn note(state: &State, signal: u32) {
    state.note(if signal == general::SIGALRM { Pending::ALARM } else { Pending::LOOK });
}

/// The root task was interrupted: saves its registers and goes on with the tender.
fn interrupt(state: &mut State, signal: u32, context: &mut Context) {
    let registers = &mut context.registers;
    // A stub whose page the root task has taken away cannot be looked at.
    let missing = EXCEPTIONS.contains(&signal) && registers[TRAP] == PAGE && registers[CR2] == registers[RIP];
    if !missing {
        registers[RIP] = site_of(state, registers[RIP]);
    }
    for (register, place) in PLACES {
        set_register(state, register, registers[place]);
    }
    let ip = registers[RIP];
    set_register(state, Register::FaultIp, ip);
    match signal {
        general::SIGSYS => {
            // The trap comes after the instruction.
            set_register(state, Register::FaultIp, ip.wrapping_sub(2));
            state.cause = Cause::Syscall;
        }
        general::SIGALRM | general::SIGVTALRM => note(state, signal),
        _ => state.cause = Cause::Fault(fault(registers)),
    }
    go_to(context, address(&entry::selkie_trap), state.stack);
}

/// The fault that the processor's exception means.
fn fault(registers: &[u64; 23]) -> Fault {
    let (number, code) = (registers[TRAP], registers[ERROR]);
    if number == PAGE {
        return Fault::Vm { address: registers[CR2], fetch: code & FETCH != 0, code };
    }
    Fault::Exception { number, code }
}

/// The system call's own instruction when `ip` is in the stub of a site, else `ip`.
fn site_of(state: &State, ip: u64) -> u64 {
    let Some(thunks) = &state.thunks else { return ip };
    let all = thunks.all();
    if !all.contains(&ip) {
        return ip;
    }
    let size = (all.end - all.start) as usize;
    // SAFETY: the set-up has mapped them, and an instruction there has just run.
    let stubs = unsafe { slice::from_raw_parts(with_exposed_provenance(all.start as usize), size) };
    thunks.syscall_of(stubs, ip).unwrap_or(ip)
}

/// An exception in the tender: the jump to the root task, when its thread goes on at an address that is
/// none, or at one instruction only. Anything else is the tender's own failure.
fn own_fault(state: &mut State, signal: u32, context: &mut Context) {
    let (ip, trap) = (context.registers[RIP], context.registers[TRAP]);
    let is_leaving = (address(&entry::selkie_leave_begin)..address(&entry::selkie_leave_end)).contains(&ip);
    if is_leaving && trap == DEBUG {
        // The thread asks to be stopped after each instruction, and that begins too early. The end of the
        // signal sets all registers at once.
        for (register, place) in PLACES {
            context.registers[place] = register_of(state, register);
        }
        (context.registers[RIP], context.registers[RSP]) = (state.rip, state.rsp);
    } else if ip == address(&entry::selkie_leave_jump) && trap == PROTECTION {
        state.cause = Cause::Fault(Fault::Exception { number: PROTECTION, code: 0 });
        set_register(state, Register::FaultIp, state.rip);
        go_to(context, address(&entry::selkie_trap), state.stack);
    } else {
        let [ip, sp, at, code] = [RIP, RSP, CR2, ERROR].map(|place| context.registers[place]);
        report(format_args!(
            "selkie-tender: internal error: signal {signal}, exception {trap} ({code:#x}) at {ip:#x}, \
             address {at:#x}, stack {sp:#x}\n  \
             help: the root task may have written to the tender's memory; otherwise please report it\n"
        ));
        syscall::exit(FAILED);
    }
}

/// Moves the instruction pointer out of places where a signal that was just noted would be overlooked.
fn leave_window(state: &State, context: &mut Context) {
    use syscall::{selkie_syscall_instruction, selkie_wait_begin, selkie_wait_interrupted};
    let (ip, call) = (context.registers[RIP], context.registers[RAX]);
    let is_in = |start: &'static u8, end: &'static u8| (address(start)..address(end)).contains(&ip);
    let is_waiting = call == general::__NR_epoll_pwait.into() || call == general::__NR_pause.into();
    if is_in(&entry::selkie_leave_begin, &entry::selkie_leave_end) {
        go_to(context, address(&entry::selkie_leave), state.stack);
    } else if is_in(&entry::selkie_yield_begin, &entry::selkie_yield_end) {
        context.registers[RIP] = address(&entry::selkie_slow);
    } else if is_in(&selkie_wait_begin, &selkie_wait_interrupted)
        || ip == address(&selkie_syscall_instruction) && is_waiting
    {
        context.registers[RIP] = address(&selkie_wait_interrupted);
    }
}

/// Goes on in the tender after the signal, whatever the root task had made of the processor: it can go to
/// 32-bit code.
fn go_to(context: &mut Context, ip: u64, stack: u64) {
    context.registers[SEGMENTS] = OWN_SEGMENTS;
    context.registers[RIP] = ip;
    context.registers[RSP] = stack;
    context.registers[FLAGS] = FRESH_FLAGS;
}

fn register_of(state: &State, register: Register) -> u64 {
    // SAFETY: `registers` leads to the registers of the running thread's TCB.
    unsafe { *state.registers.add(register as usize) }
}

fn set_register(state: &State, register: Register, value: u64) {
    // SAFETY: as above; the tender is not running.
    unsafe { *state.registers.add(register as usize) = value };
}

/// Some process has sent a signal that stands for an exception.
fn stopped_from_outside(signal: u32) -> ! {
    report(format_args!("selkie-tender: stopped by signal {signal}, which another process has sent\n"));
    syscall::exit(128 + signal as u8);
}

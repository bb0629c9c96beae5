//! From the root task into the kernel and back.

use crate::{
    entry::selkie_go,
    fpu,
    process::Process,
    segment_bases, sites,
    state::{Cause, Pending, State},
    syscall, unhandled,
};
use core::sync::atomic::Ordering::Relaxed;
use selkie_tender_model::{Kernel, Next, Register, Tcb};

/// The exit status after a fault that nobody handles.
const UNHANDLED: u8 = 103;

type TheKernel = Kernel<'static, Process>;

/// The running thread has made a system call from a rewritten site.
pub(crate) extern "C" fn on_syscall() {
    let (state, kernel) = parts();
    let next = kernel.syscall();
    proceed(state, kernel, next);
}

/// The running thread was interrupted by a signal.
pub(crate) extern "C" fn on_trap() {
    let (state, kernel) = parts();
    let next = match core::mem::replace(&mut state.cause, Cause::None) {
        Cause::None => Next::Run(kernel.current()),
        Cause::Syscall => kernel.syscall(),
        Cause::Fault(fault) => kernel.fault(fault),
    };
    proceed(state, kernel, next);
}

/// Signals came while the tender ran.
pub(crate) extern "C" fn on_pending() {
    let (state, kernel) = parts();
    let pending = state.take();
    let mut next = Next::Run(kernel.current());
    if pending & Pending::LOOK != 0 {
        // Who computes for long shows how far it has come.
        kernel.host().console.flush();
        if state.ticks.pass() {
            next = kernel.tick();
        }
        if matches!(next, Next::Run(_) | Next::Idle) && kernel.host().wakes_for_net() {
            next = kernel.interrupt();
        }
    }
    if pending & Pending::ALARM != 0 && matches!(next, Next::Run(_) | Next::Idle) {
        next = kernel.interrupt();
    }
    proceed(state, kernel, next);
}

/// Does what the kernel says, until a thread can run.
pub(crate) fn proceed(state: &mut State, kernel: &mut TheKernel, mut next: Next) {
    loop {
        match next {
            Next::Run(thread) => return prepare(state, kernel, thread),
            Next::Idle => {
                kernel.host().wait();
                state.take();
                next = kernel.interrupt();
            }
            Next::Exit(status) => {
                kernel.host().console.flush();
                syscall::exit(status);
            }
            Next::Unhandled(thread) => {
                kernel.host().console.flush();
                unhandled::print(kernel, thread);
                next = kernel.go_on().unwrap_or_else(|| syscall::exit(UNHANDLED));
            }
        }
    }
}

/// Runs the root task.
pub(crate) fn first(kernel: &'static mut TheKernel) -> ! {
    // SAFETY: the tender has not been entered yet.
    let state = unsafe { State::get() };
    let thread = kernel.current();
    // What the processor has now is what a fresh thread begins with.
    state.fpu = kernel.host().object(thread.0).wrapping_byte_add(Tcb::FPU as usize);
    prepare(state, kernel, thread);
    // SAFETY: all is ready; the frames above are never returned to.
    unsafe { selkie_go() }
}

fn parts() -> (&'static mut State, &'static mut TheKernel) {
    // SAFETY: called at the begin of each way into the tender, by nobody who has got them already; the
    // handlers keep to what is said at `State`. The kernel is set before.
    unsafe {
        let state = State::get();
        let kernel = &mut *state.kernel;
        (state, kernel)
    }
}

/// Makes `thread` the one that `selkie_leave` goes to.
fn prepare(state: &mut State, kernel: &mut TheKernel, thread: Tcb) {
    let memory = kernel.memory();
    let tcb = kernel.host().object(thread.0);
    state.registers = tcb.wrapping_byte_add(Tcb::REGISTERS as usize);
    switch_fpu(state, tcb.wrapping_byte_add(Tcb::FPU as usize));
    let [ip, sp, fs, gs, after] =
        [Register::Rip, Register::Rsp, Register::FsBase, Register::GsBase, Register::Rax]
            .map(|register| thread.register(&memory, register));
    (state.rip, state.rsp) = (ip, sp);
    if state.text.is_after_syscall(ip) {
        (state.rip, state.rsp) = (ip + sites::AFTER, after);
    }
    segment_bases::set(state, fs, gs);
    state.yield_blocked.store(u64::from(!kernel.yield_is_noop()), Relaxed);
}

/// Gives the FPU to another thread. xmm0 to xmm15 of the one that has it are saved already, and those of the
/// other are loaded when it is left to.
fn switch_fpu(state: &mut State, area: *mut u64) {
    if state.fpu == area {
        return;
    }
    // SAFETY: both areas are the 512 bytes of a TCB, at a multiple of 16. The area that is left is still free
    // to be written to if its thread was deleted by this very call, as memory is cleared when it is used
    // anew.
    unsafe { fpu::switch(&mut state.x87, state.fpu, area) };
    state.fpu = area;
}

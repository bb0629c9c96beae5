//! What the assembly and the signal handlers share with the rest: the one thing that is written to often.

use crate::{fpu::Tells, process::Process, sites::Text};
use core::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    ptr::null_mut,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};
use selkie_tender_model::Kernel;
use selkie_tender_setup::Thunks;

/// What the assembly and the signal handlers know.
///
/// The process has one thread. Its signal handlers write only `pending`, `yield_blocked` and `cause`, and
/// `cause` only while the root task runs: nothing else is used by two at once.
#[repr(C)]
pub(crate) struct State {
    /// Bits of [`Pending`]: signals that came while the tender ran.
    pub(crate) pending: AtomicU32,
    /// Why the root task was interrupted.
    pub(crate) cause: Cause,
    /// 0 while a Yield of the running thread changes nothing.
    pub(crate) yield_blocked: AtomicU64,
    /// Minus the number of Yield.
    pub(crate) minus_yield: u64,
    /// The registers in the running thread's TCB.
    pub(crate) registers: *mut u64,
    /// Where the tender's stack begins when the root task enters it, a multiple of 16.
    pub(crate) stack: u64,
    /// Where the running thread goes on.
    pub(crate) rip: u64,
    /// Its stack pointer.
    pub(crate) rsp: u64,
    /// The kernel.
    pub(crate) kernel: *mut Kernel<'static, Process>,
    /// The thread whose state of the FPU is in the processor, but for xmm0 to xmm15; by its TCB's address
    /// in the window.
    pub(crate) fpu: *mut u64,
    /// Whether the processor tells if the x87 part is in use.
    pub(crate) x87: Tells,
    /// The base of FS.
    pub(crate) fs: u64,
    /// The base of GS.
    pub(crate) gs: u64,
    /// The processor has `wrfsbase` and `wrgsbase`.
    pub(crate) has_fsgsbase: bool,
    /// Addresses of the vDSO's code.
    pub(crate) vdso: [u64; 2],
    /// The stubs of rewritten sites.
    pub(crate) thunks: Option<Thunks>,
    /// The root task's text.
    pub(crate) text: Text,
    /// The ticks of the processor's time.
    pub(crate) ticks: Ticks,
}

/// Ticks of the processor's time, each some looks for input long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticks {
    looks: u64,
    left: u64,
}

impl Ticks {
    /// So many looks make a tick; a kernel that has no ticks looks at its budgets each time.
    pub(crate) const fn new(looks: u64) -> Self {
        Self { looks, left: looks }
    }

    /// Takes a look. Whether a tick is over with it.
    pub(crate) fn pass(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        let is_over = self.left == 0;
        if is_over {
            self.left = self.looks;
        }
        is_over
    }
}

/// Why the root task was interrupted, if not by a signal that is pending.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cause {
    /// No reason of its own.
    None,
    /// A system call from an instruction that has not been rewritten.
    Syscall,
    /// A fault.
    Fault(selkie_tender_model::Fault),
}

/// Bits of [`State::pending`].
pub(crate) struct Pending;

impl Pending {
    /// The running thread has computed long enough for the tender to look for input.
    pub(crate) const LOOK: u32 = 1;
    /// The alarm.
    pub(crate) const ALARM: u32 = 2;
}

/// The state, once [`State::init`] has been called. It is `mut` for the assembly's sake, and zero in the file,
/// because Linux has to copy a page that is not.
pub(crate) static mut STATE: MaybeUninit<State> = MaybeUninit::uninit();

impl State {
    /// Makes the state.
    ///
    /// # Safety
    /// No signal can come yet, and nobody has called [`get`](Self::get).
    pub(crate) unsafe fn init() {
        let state = &raw mut STATE;
        // SAFETY: the caller's.
        unsafe { (*state).write(Self::begin()) };
    }

    fn begin() -> Self {
        Self {
            pending: AtomicU32::new(0),
            cause: Cause::None,
            yield_blocked: AtomicU64::new(1),
            minus_yield: 0,
            registers: null_mut(),
            stack: 0,
            rip: 0,
            rsp: 0,
            kernel: null_mut(),
            fpu: null_mut(),
            x87: Tells::Unknown,
            fs: 0,
            gs: 0,
            has_fsgsbase: false,
            vdso: [0; 2],
            thunks: None,
            text: Text::NONE,
            ticks: Ticks::new(0),
        }
    }

    /// The state.
    ///
    /// # Safety
    /// There is one, and nobody else uses a reference that this has given, but for what is said at [`State`].
    pub(crate) unsafe fn get() -> &'static mut Self {
        let state = &raw mut STATE;
        // SAFETY: the caller's.
        unsafe { (*state).assume_init_mut() }
    }

    /// Notes a signal; whoever leaves the tender next sees it.
    pub(crate) fn note(&self, bit: u32) {
        self.pending.fetch_or(bit, Relaxed);
        self.yield_blocked.store(1, Relaxed);
    }

    /// Takes what is pending.
    pub(crate) fn take(&self) -> u32 {
        self.pending.swap(0, Relaxed)
    }
}

/// Room for something that is made at the start and stays. It lies beside [`STATE`], where it takes no page of
/// its own, as it would on the stack.
pub(crate) struct Place<T>(UnsafeCell<MaybeUninit<T>>);

// SAFETY: the process has one thread, and signal handlers use none of this.
unsafe impl<T> Sync for Place<T> {}

impl<T> Place<T> {
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    /// Puts it there.
    ///
    /// # Safety
    /// This is the only call.
    #[expect(clippy::mut_from_ref, reason = "there is only one call")]
    pub(crate) unsafe fn put(&'static self, value: T) -> &'static mut T {
        // SAFETY: nobody else has a reference, as the caller says.
        unsafe { (*self.0.get()).write(value) }
    }
}

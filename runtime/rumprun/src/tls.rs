//! The base of FS, through which each of the rump kernel's threads finds its own variables.
//!
//! User code may not set it: `wrfsbase` is an exception on many kernels. On seL4 10 and later an invocation does,
//! `TCB_SetTLSBase`; but there the runtime itself finds its IPC buffer by FS, so that it gets that back for as long as it
//! is asked for something. On seL4 5.0.0 an invocation copies the base from one TCB to another, also to the caller's own
//! (`TCB_CopyRegisters`, whose "integer" registers are on x86-64 exactly the bases of segments): there are TCBs that never
//! run, each of which holds the base of a thread that was switched to.

use crate::own::Own;
use selkie::{Result, System};
use selkie_sys::when;

when!(set_tls_base { use by_setting as way; } else { use by_copying as way; });

/// The base of the thread that runs; none before the rump kernel has threads.
static CURRENT: Own<Option<u64>> = Own::new(None);

/// Makes what switches need. The calling thread is the one that runs the rump kernel.
pub(crate) fn init(sys: &mut System) -> Result<()> {
    way::init(sys)
}

/// Sets the base of FS.
pub(crate) fn set(base: u64) {
    *CURRENT.get() = Some(base);
    if let Err(error) = way::set(base) {
        crate::fail(format_args!("cannot switch threads: {error}"));
    }
}

/// Runs something of the runtime's that needs its IPC buffer: where an invocation fails it does, and where a thread waits
/// for another one.
pub(crate) fn runtime<T>(work: impl FnOnce() -> T) -> T {
    let Some(base) = CURRENT.get().take() else { return work() };
    way::enter();
    let result = work();
    way::leave(base);
    *CURRENT.get() = Some(base);
    result
}

#[allow(dead_code, reason = "one kernel has one way")]
mod by_setting {
    use crate::own::Own;
    use selkie::{Result, System, cap::Capability, thread};
    use selkie_sys::ipc_buffer;

    /// The thread, and where its IPC buffer is.
    static PLACES: Own<(u64, u64)> = Own::new((0, 0));

    pub(super) fn init(sys: &mut System) -> Result<()> {
        *PLACES.get() = (thread::current().tcb().slot().0, sys.boot_info().ipc_buffer() as u64);
        Ok(())
    }

    pub(super) fn set(base: u64) -> Result<()> {
        let (thread, _) = *PLACES.get();
        // SAFETY: it changes nothing but the base of FS, for the code that is about to run.
        unsafe { ipc_buffer::init(thread, base) };
        Ok(())
    }

    pub(super) fn enter() {
        let (thread, buffer) = *PLACES.get();
        // SAFETY: as above; it is what the runtime itself has set.
        unsafe { ipc_buffer::init(thread, buffer) };
    }

    pub(super) fn leave(base: u64) {
        // It cannot fail.
        let _ = set(base);
    }
}

#[allow(dead_code, reason = "one kernel has one way")]
mod by_copying {
    use crate::own::Own;
    use selkie::{
        Result, System,
        cap::{CopyRegisters, Registers, Tcb},
        thread,
    };

    /// How many bases are held at a time. A switch to a thread whose place another one has taken costs two invocations.
    const HOLDERS: usize = 64;
    /// The base of FS among the words of [`Registers`].
    const FS_BASE: usize = 18;

    const _: () = assert!(size_of::<Registers>() > FS_BASE * size_of::<u64>());

    struct Switch {
        own: Tcb,
        holders: [(u64, Option<Tcb>); HOLDERS],
    }

    static SWITCH: Own<Option<Switch>> = Own::new(None);

    pub(super) fn init(sys: &mut System) -> Result<()> {
        let objects = sys.memory.create_many::<Tcb>(HOLDERS)?;
        let mut holders = [(0, None); HOLDERS];
        for ((_, place), tcb) in holders.iter_mut().zip(objects.caps()) {
            *place = Some(tcb);
        }
        *SWITCH.get() = Some(Switch { own: thread::current().tcb(), holders });
        Ok(())
    }

    pub(super) fn set(base: u64) -> Result<()> {
        let mut switch = SWITCH.get();
        let Some(Switch { own, holders }) = switch.as_mut() else { return Ok(()) };
        // Blocks of threads lie at multiples of their size: the upper bits of the product tell them apart.
        let place = base.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - HOLDERS.trailing_zeros());
        let Some((held, Some(holder))) = holders.get_mut(place as usize) else { return Ok(()) };
        if *held != base {
            *held = base;
            // SAFETY: the thread of this TCB never runs.
            unsafe { holder.write_registers(false, Registers::WORDS as usize, &with_fs_base(base))? };
        }
        let what = CopyRegisters { integer: true, ..CopyRegisters::default() };
        // SAFETY: only the base changes, for the code that is about to run: the runtime does not use it.
        unsafe { own.copy_registers(*holder, what) }
    }

    fn with_fs_base(base: u64) -> Registers {
        let mut registers = Registers::default();
        // SAFETY: it is made of words, of which there are more.
        unsafe { (&raw mut registers).cast::<u64>().add(FS_BASE).write(base) };
        registers
    }

    /// Here the runtime has no use for FS.
    pub(super) fn enter() {}

    pub(super) fn leave(_: u64) {}
}

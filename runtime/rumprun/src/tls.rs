//! The base of FS, through which each of the rump kernel's threads finds its own variables.
//!
//! User code may not set it: `wrfsbase` is an exception on many kernels. But an invocation can copy it from one TCB to
//! another (`TCB_CopyRegisters`, whose "integer" registers are on x86-64 exactly the bases of segments), also to the
//! caller's own. So there are TCBs that never run, each of which holds the base of a thread that was switched to.

use crate::own::Own;
use core::mem::size_of;
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

/// Makes what switches need. The calling thread is the one that runs the rump kernel.
pub(crate) fn init(sys: &mut System) -> Result<()> {
    let objects = sys.memory.create_many::<Tcb>(HOLDERS)?;
    let mut holders = [(0, None); HOLDERS];
    for ((_, place), tcb) in holders.iter_mut().zip(objects.caps()) {
        *place = Some(tcb);
    }
    *SWITCH.get() = Some(Switch { own: thread::current().tcb(), holders });
    Ok(())
}

/// Sets the base of FS.
pub(crate) fn set(base: u64) {
    let mut switch = SWITCH.get();
    let Some(Switch { own, holders }) = switch.as_mut() else { return };
    // Blocks of threads lie at multiples of their size: the bits above tell them apart.
    let place = base.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - HOLDERS.trailing_zeros());
    let Some((held, Some(holder))) = holders.get_mut(place as usize) else { return };
    let mut set = || -> Result<()> {
        if *held != base {
            *held = base;
            // SAFETY: the thread of this TCB never runs.
            unsafe { holder.write_registers(false, Registers::WORDS as usize, &with_fs_base(base))? };
        }
        let what = CopyRegisters { integer: true, ..CopyRegisters::default() };
        // SAFETY: only the base changes, for the rump kernel's code alone: the runtime does not use it here.
        unsafe { own.copy_registers(*holder, what) }
    };
    if let Err(error) = set() {
        selkie::println!("cannot switch threads: {error}");
        selkie::exit(crate::FAILED);
    }
}

fn with_fs_base(base: u64) -> Registers {
    let mut registers = Registers::default();
    // SAFETY: it is made of words, of which there are more.
    unsafe { (&raw mut registers).cast::<u64>().add(FS_BASE).write(base) };
    registers
}

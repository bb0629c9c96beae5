//! Capabilities by their kind, and what each can be asked to do.
//!
//! A value of one of these types is the address of a capability, not its owner: it can be copied, and
//! nothing happens when it is dropped. Whether the slot holds what the type says is for the kernel to
//! check, with each invocation. A function's own capabilities lie in one CNode, so that an address is
//! the number of a slot.

mod cnode;
mod ipc;
mod irq;
mod paging;
mod port;
mod sched;
mod tcb;
mod untyped;

pub use cnode::{CNode, Place, Rights, Slot};
pub use ipc::{Caller, Endpoint, Notification, Received, Reply};
pub use irq::{IrqControl, IrqHandler, Polarity, Trigger};
pub(crate) use paging::map_page;
pub use paging::{
    AsidControl, AsidPool, Attributes, Domain, LargePage, Page, PageDirectory, PageTable, Pdpt, Pml4,
    Structure,
};
pub use port::{IoPort, IoPortControl};
pub(crate) use port::{PORT_SLOTS, init as init_ports};
pub use sched::{SchedContext, SchedControl};
pub use tcb::{CopyRegisters, Registers, Space, Tcb, with_ipc_buffer};
pub use untyped::{ObjectType, Untyped};

use crate::error::{Error, Result};
use selkie_sys::Word;

/// A kind of capability.
pub trait Capability: Copy {
    /// The capability of this kind in `slot`.
    fn at(slot: Slot) -> Self;
    /// The slot that the capability is in.
    fn slot(self) -> Slot;
    /// The slot as a place that CNode operations work on.
    fn place(self) -> Place {
        self.slot().place()
    }
}

/// A kind of capability whose objects all have the same size.
pub trait Object: Capability {
    /// The object's type.
    const TYPE: ObjectType;
}

/// Declares a kind of capability.
macro_rules! capability {
    ($(#[$doc:meta])* $name:ident $(= $object:expr)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(transparent)]
        pub struct $name($crate::cap::Slot);

        impl $crate::cap::Capability for $name {
            fn at(slot: $crate::cap::Slot) -> Self {
                Self(slot)
            }
            fn slot(self) -> $crate::cap::Slot {
                self.0
            }
        }

        $(impl $crate::cap::Object for $name {
            const TYPE: $crate::cap::ObjectType = $object;
        })?
    };
}
use capability;

/// Leaves a marker in the section `.selkie.needs` as soon as the function that this is in is linked in: what it
/// takes, by the word that recipes have for it, and its name. The function has the section `$text` for itself
/// and is never inlined, so that the linker drops both together.
macro_rules! needs {
    ($word:literal, $function:literal, $text:literal) => {
        // SAFETY: these are no instructions, only two texts in another section.
        unsafe {
            core::arch::asm!(
                concat!(".pushsection .selkie.needs, \"ao\", @progbits, ", $text),
                concat!(".asciz \"", $word, "\""),
                concat!(".asciz \"", $function, "\""),
                ".popsection",
                options(nomem, nostack, preserves_flags)
            );
        }
    };
}
pub(crate) use needs;

/// Turns the kernel's answer into a result. The details of an error are in the message registers.
#[inline]
fn check(error: Word) -> Result<()> {
    if error == 0 { Ok(()) } else { Err(refused(error)) }
}

#[cold]
#[inline(never)]
fn refused(error: Word) -> Error {
    // SAFETY: a function's threads all have an IPC buffer, and `index` is one of the first few words.
    Error::decode(error, |index| unsafe { selkie_sys::ipc_buffer::mr(index) })
}

//! An invocation as it arrives, and its answer.

use crate::{Cap, Error, Host, Kernel, Slot, Tcb};
use selkie_tender_table::{Invocation, Place};

/// An invocation of a capability.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    /// The thread that invokes.
    pub(crate) thread: Tcb,
    /// The slot of the invoked capability.
    pub(crate) slot: Slot,
    /// The invoked capability.
    pub(crate) cap: Cap,
    /// The message's label, as an operation; `None` when it is none of this kernel's.
    pub(crate) invocation: Option<Invocation>,
    /// Words of the message.
    pub(crate) length: u64,
    /// The slots of the extra capabilities; they are filled from the first on.
    pub(crate) extra: [Option<Slot>; 3],
    /// The physical address of the thread's IPC buffer; `None` when it has none.
    pub(crate) buffer: Option<u64>,
    /// The thread waits for an answer.
    pub(crate) call: bool,
}

/// What an invocation answers with when it succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing.
    Empty,
    /// Message words, this many.
    Words([u64; 4], usize),
    /// Message words that are in the thread's registers and IPC buffer already, this many.
    Written(u64),
    /// Nothing, and no answer either: the thread has been changed by the invocation itself.
    Silent,
}

impl Request {
    /// A word of the message: the first four are in registers, the rest in the IPC buffer; 0 beyond what the
    /// thread has.
    pub(crate) fn word<H: Host>(&self, kernel: &Kernel<'_, H>, index: u64) -> u64 {
        kernel.message_word(self.thread, self.buffer, index)
    }

    /// A parameter (see [`param`](selkie_tender_table::param)) that is bits of a word; 0 when this kernel's
    /// invocation does not have it.
    pub(crate) fn value<H: Host>(&self, kernel: &Kernel<'_, H>, param: usize) -> u64 {
        let place = self.place(kernel, param);
        if place.kind == Place::BITS { place.extract(self.word(kernel, place.index.into())) } else { 0 }
    }

    /// Whether this kernel's invocation has the parameter.
    pub(crate) fn has<H: Host>(&self, kernel: &Kernel<'_, H>, param: usize) -> bool {
        self.place(kernel, param).kind != Place::NOWHERE
    }

    /// The whole word that a parameter is in, where the kernel looks at all of it; 0 as above.
    pub(crate) fn whole_word<H: Host>(&self, kernel: &Kernel<'_, H>, param: usize) -> u64 {
        let place = self.place(kernel, param);
        if place.kind == Place::BITS { self.word(kernel, place.index.into()) } else { 0 }
    }

    /// A parameter that is an extra capability: its slot.
    pub(crate) fn cap_slot<H: Host>(&self, kernel: &Kernel<'_, H>, param: usize) -> Option<Slot> {
        let place = self.place(kernel, param);
        if place.kind != Place::CAP {
            return None;
        }
        *self.extra.get(usize::from(place.index))?
    }

    /// Fails unless the message has the words and capabilities of its operation.
    pub(crate) fn complete<H: Host>(&self, kernel: &Kernel<'_, H>) -> Result<(), Error> {
        let Some(invocation) = self.invocation else { return Err(Error::IllegalOperation) };
        let message = kernel.table.message(invocation);
        let caps = self.extra.iter().flatten().count();
        if self.length < message.words.into() || caps < message.caps.into() {
            return Err(Error::TruncatedMessage);
        }
        Ok(())
    }

    fn place<H: Host>(&self, kernel: &Kernel<'_, H>, param: usize) -> Place {
        let none = Place { kind: Place::NOWHERE, index: 0, shift: 0, bits: 0 };
        self.invocation.map_or(none, |invocation| kernel.table.message(invocation).params[param])
    }
}

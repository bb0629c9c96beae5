//! What kernels do differently, as far as checks have to know: by the rules of the configuration that the function
//! is built for.

use crate::raw::{Answer, delete_first, done};
use selkie::{LookupFailure, cap::Slot, prelude::*};
use selkie_sys::{Word, config, lookup_failure, when};

pub use selkie_sys::portable::MCS;

/// The release, without what comes after the first dot.
const RELEASE: u32 = {
    let (digits, mut number, mut index) = (config::KERNEL_VERSION.as_bytes(), 0, 0);
    while digits[index] != b'.' {
        number = number * 10 + (digits[index] - b'0') as u32;
        index += 1;
    }
    number
};

/// Whether the kernel is of this release or a later one.
pub const fn since(release: u32) -> bool {
    RELEASE >= release
}

/// `later` where the kernel is of this release or a later one, else `before`.
pub fn from<T>(release: u32, later: T, before: T) -> T {
    if since(release) { later } else { before }
}

/// `with` on a kernel with MCS, else `without`.
pub fn on_mcs<T>(with: T, without: T) -> T {
    if MCS { with } else { without }
}

/// Bits of the function's own CNode.
pub const NODE_BITS: Word = config::ROOT_CNODE_SIZE_BITS as Word;

/// What of a fault's address is told: seL4 5.0.0 has 32 bits for it.
pub const FAULT_ADDRESS: Word = if since(10) { Word::MAX } else { 0xffff_ffff };

/// Whether a mapping is changed by an invocation of its own, not by a second map.
pub const REMAP: bool = when!(page_remap { true } else { false });

/// What comes of mapping a page where there is one.
pub fn occupied() -> Result<()> {
    from(10, Ok(()), Err(Error::DeleteFirst))
}

/// The same, word by word.
pub fn answer_where_occupied() -> Answer {
    from(10, done(), delete_first())
}

/// Whether a capability fault says where the look-up ended. With MCS, seL4 13 to 15 lose it on the way and say that
/// there was no root.
const TOLD: bool = !MCS || since(16);

/// What a fault says of a look-up that ended like this.
pub fn told(failure: LookupFailure) -> LookupFailure {
    if TOLD { failure } else { LookupFailure::InvalidRoot }
}

/// The same, word by word.
pub fn told_words(failure: &[Word]) -> &[Word] {
    if TOLD { failure } else { &[lookup_failure::INVALID_ROOT] }
}

/// What the address of an IPC buffer is a multiple of.
pub const BUFFER: Word = if since(10) { 1024 } else { 512 };

/// The words of a configuration that sets no fault endpoint: guards of CSpace and VSpace, and the buffer's address.
pub fn configure(guards: [Word; 2], address: Word) -> Vec<Word> {
    let [cspace, vspace] = guards;
    when!(mcs { vec![cspace, vspace, address] } else {
        when!(priority_authority { vec![0, cspace, vspace, address] } else {
            vec![0, 0, cspace, vspace, address]
        })
    })
}

/// The words of a setting of spaces without a fault endpoint.
pub fn spaces(guards: [Word; 2]) -> Vec<Word> {
    if MCS { guards.to_vec() } else { [&[0], &guards[..]].concat() }
}

/// Its capabilities.
pub fn space_caps(caps: [Slot; 2]) -> Vec<Slot> {
    if MCS { [&[Slot::NULL], &caps[..]].concat() } else { caps.to_vec() }
}

/// The capabilities of a setting of a priority by the calling thread.
pub fn authority() -> Vec<Slot> {
    when!(priority_authority { vec![selkie::thread::current().tcb().slot()] } else { vec![] })
}

//! The heap: `Box`, `Vec` and `String` work in a function.

use crate::{error::Result, memory::Memory};

unsafe extern "C" {
    /// An absolute symbol: its address is the heap's size in bytes.
    static __selkie_heap_size: u8;
}

#[cfg(feature = "alloc")]
mod global {
    use crate::sync::RawMutex;
    use talc::{TalcLock, source::Manual};

    #[global_allocator]
    static HEAP: TalcLock<RawMutex, Manual> = TalcLock::new(Manual);

    pub(super) fn add(address: usize, size: usize) {
        // SAFETY: the memory is mapped for ever and known to nobody else.
        unsafe { HEAP.lock().claim(address as *mut u8, size) };
    }
}

/// Maps the heap: once, at start-up.
pub(crate) fn init(memory: &mut Memory) -> Result<()> {
    #[cfg(feature = "alloc")]
    {
        let size = (&raw const __selkie_heap_size).addr();
        if size > 0 {
            let heap = crate::vspace::Mapping::new(memory, size)?;
            global::add(heap.address(), heap.size());
        }
    }
    #[cfg(not(feature = "alloc"))]
    let _ = memory;
    Ok(())
}

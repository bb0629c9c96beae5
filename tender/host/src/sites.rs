//! The root task's system-call sites, as they were in its file.
//!
//! A site at A is `mov rax, rsp; syscall; mov rsp, rax`. Rewritten, what follows its first instruction is a
//! jump, so that there is no instruction at A+5 any more, which is where a thread goes on after the system
//! call. Going on at A+8, with rsp as the last instruction would have set it, is the same; for sites that
//! have not been rewritten too.

use selkie_tender_setup::{Access, Loaded, MAX_SEGMENTS};

/// Bytes of a site after its system call.
pub(crate) const AFTER: u64 = 3;
/// Bytes of a site before the end of its system call.
const BEFORE: u64 = 5;
/// A site, as a little-endian word.
const SITE: u64 = u64::from_le_bytes([0x48, 0x89, 0xe0, 0x0f, 0x05, 0x48, 0x89, 0xc4]);

/// The root task's text, as it is in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text {
    /// Where each part is in memory, and its bytes in the file; empty ones at the end.
    parts: [(u64, &'static [u8]); MAX_SEGMENTS],
}

impl Text {
    /// Of no root task.
    pub(crate) const NONE: Self = Self { parts: [(0, &[]); MAX_SEGMENTS] };

    /// Of this root task.
    pub(crate) fn of(loaded: &Loaded) -> Self {
        let segments = loaded.root_task.segments().iter();
        let code = segments.filter(|segment| segment.access == Access::ReadExecute);
        let mut text = Self::NONE;
        for (part, segment) in text.parts.iter_mut().zip(code) {
            let (start, size) = (segment.offset as usize, segment.file_size as usize);
            let bytes = start.checked_add(size).and_then(|end| loaded.file.get(start..end));
            *part = (segment.address, bytes.unwrap_or_default());
        }
        text
    }

    /// Whether the system call of a site ends at `ip`.
    #[inline]
    pub(crate) fn is_after_syscall(&self, ip: u64) -> bool {
        for (start, bytes) in &self.parts {
            if bytes.is_empty() {
                break;
            }
            let site = ip.wrapping_sub(BEFORE).wrapping_sub(*start) as usize;
            let word = site.checked_add(size_of::<u64>()).and_then(|end| bytes.get(site..end));
            if let Some(word) = word {
                return word == SITE.to_le_bytes();
            }
        }
        false
    }
}

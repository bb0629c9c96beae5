//! What is inside a single executable beside the tender: interface tables, settings and the root task.
//!
//! The tender's last segment (read-only, at a multiple of the page size) begins with a [`Header`] and the tender's
//! own constants. As it is linked, the header says that nothing else follows. The builder appends the parts, each
//! at a multiple of [`ALIGN`], extends the segment to hold them and fills the header in; the tender that an operator
//! installs gets the tables of all shipped kernel configs but no root task.

use bytemuck::{Pod, Zeroable};

/// What the header begins with. The last character is the format's version.
pub const MAGIC: [u8; 8] = *b"SELKIEP2";
/// Parts lie at multiples of this many bytes after the header's begin: pages can be mapped in place.
pub const ALIGN: u64 = 4096;

/// The first bytes of the payload. All places are in bytes after the header's begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// Bytes of the whole payload, this header among them.
    pub size: u64,
    /// Bytes of this header and of what the linker put behind it: they belong to the tender.
    pub own: u64,
    /// The interface tables: an array of [`Table`](crate::Table).
    pub tables: Part,
    /// The root task, an ELF; empty in the tender that an operator installs.
    pub root_task: Part,
    /// What the image asks for.
    pub settings: Settings,
}

/// A part of the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Part {
    /// Where it begins.
    pub offset: u64,
    /// Its bytes.
    pub size: u64,
    /// The SHA-256 of its bytes; `--verify` compares it.
    pub sha256: [u8; 32],
}

/// What an image asks for. In the operator's tender these are limits, set on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Settings {
    /// Memory in bytes, a multiple of 4096: image, kernel objects and untypeds.
    pub memory: u64,
    /// The devices, bits of [`device`].
    pub devices: u64,
}

/// Bits of [`Settings::devices`].
pub mod device {
    /// The console's output: descriptor 1, and 2 for reports.
    pub const CONSOLE: u64 = 1 << 0;
    /// The console's input: descriptor 0.
    pub const INPUT: u64 = 1 << 1;
    /// Wall clock and monotonic clock.
    pub const CLOCK: u64 = 1 << 2;
    /// A network: what `--net` names.
    pub const NET: u64 = 1 << 3;
    /// A disk: what `--disk` names.
    pub const BLOCK: u64 = 1 << 4;
    /// Random bytes.
    pub const ENTROPY: u64 = 1 << 5;
    /// The disk can be written to.
    pub const BLOCK_WRITE: u64 = 1 << 6;
}

impl Part {
    /// The part's bytes, when they lie inside `payload`.
    pub fn of<'p>(&self, payload: &'p [u8]) -> Option<&'p [u8]> {
        let start = usize::try_from(self.offset).ok()?;
        let end = start.checked_add(usize::try_from(self.size).ok()?)?;
        payload.get(start..end)
    }
}

impl Header {
    /// The header at the begin of `payload`, when it is one and what it names lies inside.
    pub fn read(payload: &[u8]) -> Option<&Self> {
        let header: &Self = bytemuck::try_from_bytes(payload.get(..size_of::<Self>())?).ok()?;
        let size = usize::try_from(header.size).ok()?;
        let payload = payload.get(..size)?;
        let fits = [header.tables, header.root_task].iter().all(|part| part.of(payload).is_some());
        (header.magic == MAGIC && fits).then_some(header)
    }

    /// The interface tables in `payload`.
    pub fn tables<'p>(&self, payload: &'p [u8]) -> Option<&'p [crate::Table]> {
        bytemuck::try_cast_slice(self.tables.of(payload)?).ok()
    }
}

//! What the kernel, or whoever starts the function, tells it: BootInfo.

use crate::cap::{Capability, PORT_SLOTS, Page, SchedControl, Slot};
use core::{ops::Range, slice};
use selkie_sys::{self as sys, SlotRegion, Word, config, rule, when};

/// The function's BootInfo, valid as long as the function runs.
#[derive(Debug, Clone, Copy)]
pub struct BootInfo(sys::BootInfo);

// SAFETY: nobody writes to it.
unsafe impl Send for BootInfo {}
// SAFETY: as above.
unsafe impl Sync for BootInfo {}

/// One untyped that the function was started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UntypedInfo {
    /// Where its capability is.
    pub slot: Slot,
    /// Its physical address.
    pub paddr: u64,
    /// It has `2^bits` bytes.
    pub bits: u8,
    /// It is memory of a device: nothing but pages and smaller untypeds can be made of it.
    pub device: bool,
}

impl BootInfo {
    /// # Safety
    /// `frame` is the BootInfo that the function was entered with.
    pub(crate) const unsafe fn new(frame: *const u8) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { sys::BootInfo::new(frame) })
    }

    /// The slots that are empty, as numbers. The runtime keeps some of the last ones for itself.
    pub fn empty_slots(&self) -> Range<Word> {
        let Range { start, end } = range(self.0.empty());
        start..end.saturating_sub(PORT_SLOTS.into()).max(start)
    }

    /// The number of slots of the function's CNode, in bits.
    #[allow(clippy::unnecessary_cast)] // A byte on seL4 5.0.0, a word later.
    pub fn cnode_bits(&self) -> u8 {
        self.0.init_thread_cnode_size_bits() as u8
    }

    /// The pages of the function's own image, in the order of their addresses; none where whoever started
    /// the function keeps them.
    pub fn image_pages(&self) -> impl ExactSizeIterator<Item = Page> + use<> {
        let Range { start, end } = range(self.0.user_image_frames());
        (0..(end - start) as usize).map(move |index| Page::at(Slot(start).offset(index)))
    }

    /// The scheduling domain of the function.
    pub fn domain(&self) -> Word {
        self.0.init_thread_domain() as Word
    }

    /// The frequency of the time-stamp counter in MHz; 0 where it is not known.
    pub fn tsc_mhz(&self) -> Word {
        when!(clock_in_boot_info { self.0.arch_info() } else {{
            let chunk = self.chunk(sys::boot_info_id::X86_TSC_FREQ).and_then(<[u8]>::first_chunk);
            chunk.map_or(0, |megahertz| u32::from_le_bytes(*megahertz).into())
        }})
    }

    /// The right to say how much time scheduling contexts stand for; none on a kernel without MCS.
    pub fn sched_control(&self) -> Option<SchedControl> {
        when!(mcs {{
            let Range { start, end } = range(self.0.sched_control());
            (start < end).then(|| SchedControl::at(Slot(start)))
        }} else { None })
    }

    /// The address of the first thread's IPC buffer.
    pub fn ipc_buffer(&self) -> usize {
        self.0.ipc_buffer() as usize
    }

    /// The untypeds that the function was started with.
    pub fn untypeds(&self) -> impl Iterator<Item = UntypedInfo> + use<> {
        let (info, Range { start, end }) = (self.0, range(self.0.untyped()));
        let count = ((end - start) as usize).min(config::MAX_NUM_BOOTINFO_UNTYPED_CAPS);
        (0..count).filter_map(move |index| {
            let untyped = info.untyped_list(index)?;
            let slot = Slot(start).offset(index);
            Some(UntypedInfo {
                slot,
                paddr: untyped.paddr,
                bits: untyped.size_bits,
                device: untyped.is_device != 0,
            })
        })
    }

    /// Ordinary memory that the function was started with, in bytes, its own image not counted.
    pub fn memory(&self) -> u64 {
        self.untypeds().filter(|untyped| !untyped.device).map(|untyped| 1 << untyped.bits).sum()
    }

    /// The bytes of what has this id among what more there is.
    pub fn chunk(&self, id: Word) -> Option<&'static [u8]> {
        self.extra().find(|chunk| chunk.0 == id).map(|chunk| chunk.1)
    }

    /// What more there is, as pairs of an id and the bytes that belong to it.
    pub fn extra(&self) -> impl Iterator<Item = (Word, &'static [u8])> + use<> {
        let length = self.0.extra_len() as usize;
        // SAFETY: further information follows at this distance and has this length.
        let mut rest =
            unsafe { slice::from_raw_parts(self.0.base().add(rule::BOOT_INFO_EXTRA_OFFSET), length) };
        core::iter::from_fn(move || {
            let header = rest.get(..sys::BootInfoHeader::SIZE)?;
            // SAFETY: a header lies there.
            let header = unsafe { sys::BootInfoHeader::read(header.as_ptr()) };
            let length = usize::try_from(header.len).ok()?;
            let chunk = rest.get(sys::BootInfoHeader::SIZE..length)?;
            rest = &rest[length..];
            Some((header.id, chunk))
        })
    }
}

/// The slots from the first to the last; none when the bounds are the wrong way round.
fn range(region: SlotRegion) -> Range<Word> {
    region.start..region.end.max(region.start)
}

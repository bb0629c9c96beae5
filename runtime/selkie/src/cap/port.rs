//! IO ports: a capability of the kernel's for all of them, or, on later kernels, one for each range that was asked
//! for. There, the runtime asks for the eight ports around one when one of them is used for the first time.

use super::{Place, Slot, capability, check};
use crate::{
    boot_info::BootInfo,
    error::{Error, Result},
};
use core::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use selkie_sys::{self as sys, CPtr, Word, portable, rule};

capability! {
    /// A range of IO ports. Someone else may answer for them: each access is an invocation that can fail.
    IoPort
}

capability! {
    /// The right to make capabilities for ranges of IO ports, on kernels later than seL4 5.0.0. There is
    /// one capability for a port at a time.
    IoPortControl
}

impl IoPortControl {
    /// The capability that BootInfo names. It need not answer.
    pub const OWN: Self = Self(Slot(sys::slot::IO_PORT));

    /// Makes a capability for the ports from `first` to `last`, at the empty place `at`. seL4 5.0.0 refuses: there,
    /// [`IoPort::OWN`] is one for all ports, and a badge of `first << 16 | last` makes one for less of it.
    pub fn issue(self, first: u16, last: u16, at: Place) -> Result<()> {
        let root = super::Capability::slot(at.root).0;
        // SAFETY: what a device does with its ports is the business of whoever gave the capability.
        check(unsafe { portable::issue_ports(self.0.0, first, last, root, at.index, at.depth) })
    }
}

impl IoPort {
    /// All ports that the function may use, as far as somebody answers for them. Where the kernel issues ranges, an
    /// access must not reach from one multiple of 8 over the next.
    pub const OWN: Self = Self(Slot(sys::slot::IO_PORT));

    /// The capability that `port` is accessed through: this one, or, for [`OWN`](Self::OWN) where the kernel issues
    /// ranges, one for eight ports.
    pub fn covering(self, port: u16) -> Result<Self> {
        if rule::IO_PORT_DIRECT || self != Self::OWN { Ok(self) } else { issued(port) }
    }

    fn through(self, port: u16) -> Result<CPtr> {
        self.covering(port).map(|cap| cap.0.0)
    }

    /// Reads a byte.
    pub fn in8(self, port: u16) -> Result<u8> {
        let cap = self.through(port)?;
        // SAFETY: as for `IoPortControl::issue`.
        let (error, value) = unsafe { sys::io_port_in8(cap, port) };
        check(error).map(|()| value)
    }

    /// Reads two bytes.
    pub fn in16(self, port: u16) -> Result<u16> {
        let cap = self.through(port)?;
        // SAFETY: as for `in8`.
        let (error, value) = unsafe { sys::io_port_in16(cap, port) };
        check(error).map(|()| value)
    }

    /// Reads four bytes.
    pub fn in32(self, port: u16) -> Result<u32> {
        let cap = self.through(port)?;
        // SAFETY: as for `in8`.
        let (error, value) = unsafe { sys::io_port_in32(cap, port) };
        check(error).map(|()| value)
    }

    /// Writes a byte.
    pub fn out8(self, port: u16, value: u8) -> Result<()> {
        let cap = self.through(port)?;
        // SAFETY: as for `in8`.
        check(unsafe { sys::io_port_out8(cap, Word::from(port), Word::from(value)) })
    }

    /// Writes two bytes.
    pub fn out16(self, port: u16, value: u16) -> Result<()> {
        let cap = self.through(port)?;
        // SAFETY: as for `in8`.
        check(unsafe { sys::io_port_out16(cap, Word::from(port), Word::from(value)) })
    }

    /// Writes four bytes.
    pub fn out32(self, port: u16, value: u32) -> Result<()> {
        let cap = self.through(port)?;
        // SAFETY: as for `in8`.
        check(unsafe { sys::io_port_out32(cap, Word::from(port), Word::from(value)) })
    }
}

/// Slots that are kept for ranges of ports: none where there is nothing to issue.
pub(crate) const PORT_SLOTS: u32 = if rule::IO_PORT_DIRECT { 0 } else { 32 };

/// The ranges that were issued, in the order of their slots: port / 8 + 1, 0 for none yet.
static RANGES: [AtomicU16; PORT_SLOTS as usize] = [const { AtomicU16::new(0) }; PORT_SLOTS as usize];
/// The first of the slots.
static FIRST: AtomicU32 = AtomicU32::new(0);

/// Takes the slots: once, at start-up.
pub(crate) fn init(boot_info: &BootInfo) {
    if !rule::IO_PORT_DIRECT {
        FIRST.store(boot_info.empty_slots().end as u32, Ordering::Relaxed);
    }
}

/// The capability for `port`, made when there is none yet.
#[inline(never)]
fn issued(port: u16) -> Result<IoPort> {
    let wanted = port / 8 + 1;
    let first = Word::from(FIRST.load(Ordering::Relaxed));
    let slots = || (first..).zip(&RANGES);
    if let Some((slot, _)) = slots().find(|(_, range)| range.load(Ordering::Acquire) == wanted) {
        return Ok(IoPort(Slot(slot)));
    }
    // Who writes the number into an empty place issues the range, and takes it out again when that fails. Until it is
    // done, another thread's access to the same ports fails.
    let take =
        |range: &AtomicU16| range.compare_exchange(0, wanted, Ordering::AcqRel, Ordering::Relaxed).is_ok();
    let (slot, range) = slots().find(|(_, range)| take(range)).ok_or(Error::NoSlots)?;
    let start = (wanted - 1) * 8;
    let made = IoPortControl::OWN.issue(start, start + 7, Slot(slot).place());
    made.map(|()| IoPort(Slot(slot))).inspect_err(|_| range.store(0, Ordering::Release))
}

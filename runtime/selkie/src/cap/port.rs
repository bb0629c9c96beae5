use super::{Slot, capability, check};
use crate::error::Result;
use selkie_sys::{self as sys, Word};

const _: () = assert!(sys::rule::IO_PORT_DIRECT, "on this kernel, slot 7 issues IO ports and is none itself");

capability! {
    /// A range of IO ports. Someone else may answer for them: each access is an invocation that can fail.
    IoPort
}

impl IoPort {
    /// The capability that BootInfo names. It need not answer, or only for some ports.
    pub const OWN: Self = Self(Slot(sys::slot::IO_PORT));

    /// Reads a byte.
    pub fn in8(self, port: u16) -> Result<u8> {
        // SAFETY: what a device does with its ports is the business of whoever gave the capability.
        let (error, value) = unsafe { sys::io_port_in8(self.0.0, port) };
        check(error).map(|()| value)
    }

    /// Reads two bytes.
    pub fn in16(self, port: u16) -> Result<u16> {
        // SAFETY: as for `in8`.
        let (error, value) = unsafe { sys::io_port_in16(self.0.0, port) };
        check(error).map(|()| value)
    }

    /// Reads four bytes.
    pub fn in32(self, port: u16) -> Result<u32> {
        // SAFETY: as for `in8`.
        let (error, value) = unsafe { sys::io_port_in32(self.0.0, port) };
        check(error).map(|()| value)
    }

    /// Writes a byte.
    pub fn out8(self, port: u16, value: u8) -> Result<()> {
        // SAFETY: as for `in8`.
        check(unsafe { sys::io_port_out8(self.0.0, Word::from(port), Word::from(value)) })
    }

    /// Writes two bytes.
    pub fn out16(self, port: u16, value: u16) -> Result<()> {
        // SAFETY: as for `in8`.
        check(unsafe { sys::io_port_out16(self.0.0, Word::from(port), Word::from(value)) })
    }

    /// Writes four bytes.
    pub fn out32(self, port: u16, value: u32) -> Result<()> {
        // SAFETY: as for `in8`.
        check(unsafe { sys::io_port_out32(self.0.0, Word::from(port), Word::from(value)) })
    }
}

use super::{Capability, Notification, Place, Slot, capability, check};
use crate::error::Result;
use selkie_sys::{self as sys, Word};

/// What makes an interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// A change of the line: ISA devices.
    Edge,
    /// The line's level: PCI devices.
    Level,
}

/// Which level of the line is the active one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polarity {
    /// The high one: ISA devices.
    High,
    /// The low one: PCI devices.
    Low,
}

capability! {
    /// The right to handle interrupts.
    IrqControl
}

impl IrqControl {
    /// The capability that BootInfo names. It need not answer.
    pub const OWN: Self = Self(Slot(sys::slot::IRQ_CONTROL));

    /// Makes a handler for `pin` of IO-APIC number `ioapic` at the empty place `at`. `vector` (0 to 107) is
    /// the processor's number for it and must not be in use.
    #[allow(clippy::useless_conversion)] // A depth is a word on seL4 5.0.0, a byte later.
    pub fn ioapic(
        self,
        at: Place,
        ioapic: u8,
        pin: u8,
        trigger: Trigger,
        polarity: Polarity,
        vector: u8,
    ) -> Result<()> {
        let (root, index, depth) = (at.root.slot().0, at.index, at.depth);
        let level = Word::from(trigger == Trigger::Level);
        let low = Word::from(polarity == Polarity::Low);
        let (ioapic, pin, vector) = (Word::from(ioapic), Word::from(pin), Word::from(vector));
        // SAFETY: an interrupt reaches the function only as a signal.
        check(unsafe {
            sys::irq_control_get_ioapic(self.0.0, root, index, depth.into(), ioapic, pin, level, low, vector)
        })
    }

    /// Makes a handler for a message-signalled interrupt of the PCI function `bus:device.function`.
    #[allow(clippy::useless_conversion)] // As for `ioapic`.
    pub fn msi(self, at: Place, pci: (u8, u8, u8), handle: u32, vector: u8) -> Result<()> {
        let (root, index, depth) = (at.root.slot().0, at.index, at.depth);
        let (bus, device, function) = (Word::from(pci.0), Word::from(pci.1), Word::from(pci.2));
        let (handle, vector) = (Word::from(handle), Word::from(vector));
        // SAFETY: as for `ioapic`.
        check(unsafe {
            sys::irq_control_get_msi(
                self.0.0,
                root,
                index,
                depth.into(),
                bus,
                device,
                function,
                handle,
                vector,
            )
        })
    }
}

capability! {
    /// One interrupt.
    IrqHandler
}

impl IrqHandler {
    /// Says that the interrupt was handled, so that the next one is delivered.
    pub fn ack(self) -> Result<()> {
        // SAFETY: as for `IrqControl::ioapic`.
        check(unsafe { sys::irq_handler_ack(self.0.0) })
    }

    /// Lets the interrupt signal `notification`, with the badge of that capability.
    pub fn set_notification(self, notification: Notification) -> Result<()> {
        // SAFETY: as for `IrqControl::ioapic`.
        check(unsafe { sys::irq_handler_set_notification(self.0.0, notification.slot().0) })
    }

    /// Undoes [`set_notification`](Self::set_notification).
    pub fn clear(self) -> Result<()> {
        // SAFETY: as for `IrqControl::ioapic`.
        check(unsafe { sys::irq_handler_clear(self.0.0) })
    }
}

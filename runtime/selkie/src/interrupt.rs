//! Interrupts as signals.

use crate::{
    cap::{Capability, IrqControl, IrqHandler, Notification, Polarity, Slot, Trigger},
    error::Result,
    memory::Objects,
    system::System,
};

/// Where a device writes to signal an interrupt by a message: the processor that has started the machine, which has the
/// number 0.
pub const MSI_ADDRESS: u64 = 0xfee0_0000;

/// What a device writes there for the interrupt that was taken under `vector`: the processor's number for it. The
/// kernel keeps 32 for exceptions and 16 for the ISA's interrupts.
pub const fn msi_data(vector: u8) -> u32 {
    vector as u32 + 48
}

/// One interrupt line and the notification that it signals.
#[derive(Debug)]
pub struct Interrupt {
    handler: IrqHandler,
    notification: Objects<Notification>,
}

impl Interrupt {
    /// Takes an ISA interrupt (edge-triggered, active high) at `pin` of the first IO-APIC. The pin is the
    /// interrupt's number, but for the timer (pin 2). Fails where nobody answers for interrupts.
    pub fn isa(sys: &mut System, pin: u8) -> Result<Self> {
        Self::ioapic(sys, 0, pin, Trigger::Edge, Polarity::High, pin)
    }

    /// Takes the interrupt at `pin` of IO-APIC number `ioapic`, under the vector `vector`.
    pub fn ioapic(
        sys: &mut System,
        ioapic: u8,
        pin: u8,
        trigger: Trigger,
        polarity: Polarity,
        vector: u8,
    ) -> Result<Self> {
        Self::made(sys, |slot| IrqControl::OWN.ioapic(slot.place(), ioapic, pin, trigger, polarity, vector))
    }

    /// Takes a message-signalled interrupt of the PCI function `bus:device.function`, under the vector `vector`. The
    /// function sends it by writing [`msi_data`] to [`MSI_ADDRESS`], which the caller has to tell it. Nothing holds back
    /// one that comes before the last was acknowledged.
    pub fn msi(sys: &mut System, pci: (u8, u8, u8), vector: u8) -> Result<Self> {
        Self::made(sys, |slot| IrqControl::OWN.msi(slot.place(), pci, 0, vector))
    }

    /// Takes what `make` makes a handler of in an empty slot.
    fn made(sys: &mut System, make: impl FnOnce(Slot) -> Result<()>) -> Result<Self> {
        let slot = sys.memory.slot()?;
        make(slot).inspect_err(|_| sys.memory.release_slots(slot, 1))?;
        Self::with_handler(sys, slot).inspect_err(|_| {
            // Nothing more can be done when this fails; the slot is lost then.
            if slot.place().delete().is_ok() {
                sys.memory.release_slots(slot, 1);
            }
        })
    }

    fn with_handler(sys: &mut System, slot: Slot) -> Result<Self> {
        let interrupt = Self { handler: IrqHandler::at(slot), notification: sys.memory.create()? };
        interrupt.handler.set_notification(interrupt.notification.cap())?;
        // One that came before anyone listened would hold back all others.
        interrupt.handler.ack()?;
        Ok(interrupt)
    }

    /// The handler's capability.
    pub fn handler(&self) -> IrqHandler {
        self.handler
    }

    /// The notification that the interrupt signals.
    pub fn notification(&self) -> Notification {
        self.notification.cap()
    }

    /// Waits for the interrupt. The next one comes only after [`ack`](Self::ack).
    pub fn wait(&self) {
        self.notification.cap().wait();
    }

    /// Lets the next interrupt come.
    pub fn ack(&self) -> Result<()> {
        self.handler.ack()
    }

    /// Gives the interrupt back.
    pub fn release(self, sys: &mut System) -> Result<()> {
        self.handler.clear()?;
        self.handler.place().delete()?;
        sys.memory.release_slots(self.handler.slot(), 1);
        sys.memory.destroy(self.notification)
    }
}

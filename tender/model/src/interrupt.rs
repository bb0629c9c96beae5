//! Interrupts: the IO-APIC, the handlers' capabilities and how interrupts become signals.

use crate::{
    Cap, Error, Host, Kernel, Slot,
    request::{Answer, Request},
};
use selkie_tender_table::{Invocation, param};

/// Pins of the one IO-APIC.
const PINS: usize = 24;
/// The interrupt that the least vector stands for: those below are the old interrupt controller's.
const FIRST: u8 = 16;
/// The greatest vector that can be asked for.
const MAX_VECTOR: u64 = 107;
/// Places for interrupts, more than there are.
const COUNT: usize = 128;
/// The greatest numbers of a device on PCI: bus, device, function.
const PCI_MAX: [u64; 3] = [255, 31, 7];

/// Where an interrupt comes from that has never been given out, or that is for a message of a device: no pin.
const NO_PIN: u8 = u8::MAX;

/// A pin of the IO-APIC. What it was set to stays when its interrupt's handler is gone.
#[derive(Debug, Clone, Copy, Default)]
struct Pin {
    /// The interrupt that it raises; 0 while it was never set.
    irq: u8,
    unmasked: bool,
    /// Triggered by the level, not by the edge.
    level: bool,
    /// The device asserts it.
    asserted: bool,
}

/// The IO-APIC and what the kernel knows of each interrupt.
#[derive(Debug, Clone)]
pub(crate) struct Interrupts {
    /// A slot for each interrupt: the notification that it signals.
    slots: u64,
    /// A bit for each interrupt that there is a handler for.
    active: u128,
    /// The pin that each interrupt was given out for last.
    sources: [u8; COUNT],
    pins: [Pin; PINS],
}

impl Default for Interrupts {
    fn default() -> Self {
        Self { slots: 0, active: 0, sources: [NO_PIN; COUNT], pins: [Pin::default(); PINS] }
    }
}

impl Interrupts {
    /// Bytes of memory for the slots of all interrupts' notifications.
    pub(crate) const MEMORY: u64 = COUNT as u64 * Slot::SIZE;

    fn is_active(&self, irq: u8) -> bool {
        self.active >> (irq % COUNT as u8) & 1 != 0
    }

    fn set_active(&mut self, irq: u8, on: bool) {
        let bit = 1 << (irq % COUNT as u8);
        self.active = self.active & !bit | if on { bit } else { 0 };
        self.set_mask(irq, !on);
    }

    /// The slot of the interrupt's notification.
    pub(crate) fn slot(&self, irq: u8) -> Slot {
        Slot(self.slots + u64::from(irq % COUNT as u8) * Slot::SIZE)
    }

    /// Masks or unmasks the pin that the interrupt was given out for last.
    fn set_mask(&mut self, irq: u8, masked: bool) {
        let pin = self.sources[usize::from(irq) % COUNT];
        if let Some(pin) = self.pins.get_mut(usize::from(pin)) {
            pin.unmasked = !masked;
        }
    }

    /// Whether an event at the pin could be delivered now.
    pub(crate) fn listens(&self, pin: u8) -> bool {
        let pin = &self.pins[usize::from(pin)];
        pin.unmasked && self.is_active(pin.irq)
    }

    /// Sets a pin's line; answers with the interrupt that this raises.
    fn set_line(&mut self, pin: u8, asserted: bool) -> Option<u8> {
        let pin = &mut self.pins[usize::from(pin)];
        let rose = asserted && !pin.asserted;
        pin.asserted = asserted;
        (pin.unmasked && if pin.level { asserted } else { rose }).then_some(pin.irq)
    }

    /// The interrupt that a pin with its level raises when it has just been unmasked for `irq`.
    fn still_raised(&self, irq: u8) -> Option<u8> {
        let pin = self.pins.get(usize::from(self.sources[usize::from(irq) % COUNT]))?;
        (pin.unmasked && pin.level && pin.asserted).then_some(pin.irq)
    }
}

impl<H: Host> Kernel<'_, H> {
    /// Where the slots of the interrupts' notifications lie: [`Interrupts::MEMORY`] bytes, zeroed.
    pub(crate) fn init_interrupts(&mut self, address: u64) {
        self.machine.interrupts.slots = address;
    }

    /// Serves an invocation of IRQ control.
    pub(crate) fn invoke_irq_control(&mut self, request: &Request) -> Result<Answer, Error> {
        match request.invocation {
            Some(Invocation::IrqIssueHandler) => {
                // The old interrupt controller is not used where there is an IO-APIC.
                request.complete(self)?;
                Err(Error::IllegalOperation)
            }
            Some(Invocation::IrqIssueHandlerIoApic) => {
                use param::irq_issue_handler_ioapic as p;
                let (irq, dest) = self.check_handler(request, p::VECTOR, (p::ROOT, p::INDEX, p::DEPTH))?;
                self.issue_pin(request, irq, dest)
            }
            Some(Invocation::IrqIssueHandlerMsi) => {
                use param::irq_issue_handler_msi as p;
                let (irq, dest) = self.check_handler(request, p::VECTOR, (p::ROOT, p::INDEX, p::DEPTH))?;
                self.issue_message(request, irq, dest)
            }
            _ => self.refuse_irq_control(request),
        }
    }

    /// Up to seL4 5 any other label is taken for one of the calls with a vector, and refused when those could begin.
    fn refuse_irq_control(&self, request: &Request) -> Result<Answer, Error> {
        if self.since(10, 0) {
            return Err(Error::IllegalOperation);
        }
        let message = self.table.message(Invocation::IrqIssueHandlerIoApic);
        if request.length < message.words.into() || request.extra[0].is_none() {
            return Err(Error::TruncatedMessage);
        }
        let as_ioapic = Request { invocation: Some(Invocation::IrqIssueHandlerIoApic), ..*request };
        use param::irq_issue_handler_ioapic as p;
        self.check_handler(&as_ioapic, p::VECTOR, (p::ROOT, p::INDEX, p::DEPTH))?;
        Err(Error::IllegalOperation)
    }

    /// What both calls with a vector check first: the interrupt that is asked for, and the empty slot for its
    /// handler.
    fn check_handler(
        &self,
        request: &Request,
        vector: usize,
        (root, index, depth): (usize, usize, usize),
    ) -> Result<(u8, Slot), Error> {
        request.complete(self)?;
        let vector = request.value(self, vector);
        if vector > MAX_VECTOR {
            return Err(Error::Range { min: 0, max: MAX_VECTOR });
        }
        let irq = vector as u8 + FIRST;
        if self.since(10, 0) && self.machine.interrupts.is_active(irq) {
            return Err(Error::RevokeFirst);
        }
        let root = request.cap_slot(self, root).ok_or(Error::TruncatedMessage)?.cap(&self.memory);
        let dest = self.lookup_slot(root, request.value(self, index), request.value(self, depth), false)?;
        self.ensure_empty(dest)?;
        Ok((irq, dest))
    }

    fn issue_pin(&mut self, request: &Request, irq: u8, dest: Slot) -> Result<Answer, Error> {
        use param::irq_issue_handler_ioapic::{IOAPIC, LEVEL, PIN, POLARITY};
        if self.machine.interrupts.is_active(irq) {
            return Err(Error::RevokeFirst);
        }
        let below = |param: usize, count: u64| {
            let value = request.value(self, param);
            if value < count { Ok(value) } else { Err(Error::Range { min: 0, max: count - 1 }) }
        };
        below(IOAPIC, 1)?;
        let pin = below(PIN, PINS as u64)?;
        let level = below(LEVEL, 2)? != 0;
        below(POLARITY, 2)?;
        let now = self.host.now();
        self.advance_timer(now);
        let interrupts = &mut self.machine.interrupts;
        interrupts.sources[usize::from(irq)] = pin as u8;
        let Pin { asserted, .. } = interrupts.pins[pin as usize];
        interrupts.pins[pin as usize] = Pin { irq, unmasked: false, level, asserted };
        self.issue(request, irq, dest, now)
    }

    fn issue_message(&mut self, request: &Request, irq: u8, dest: Slot) -> Result<Answer, Error> {
        use param::irq_issue_handler_msi::{PCI_BUS, PCI_DEV, PCI_FUNC};
        if self.machine.interrupts.is_active(irq) {
            return Err(Error::RevokeFirst);
        }
        for (param, max) in [PCI_BUS, PCI_DEV, PCI_FUNC].into_iter().zip(PCI_MAX) {
            if request.value(self, param) > max {
                return Err(Error::Range { min: 0, max });
            }
        }
        let now = self.host.now();
        self.machine.interrupts.sources[usize::from(irq)] = NO_PIN;
        self.issue(request, irq, dest, now)
    }

    /// Gives the handler out; its interrupt is unmasked from now on.
    fn issue(&mut self, request: &Request, irq: u8, dest: Slot, now: u64) -> Result<Answer, Error> {
        self.machine.interrupts.set_active(irq, true);
        self.insert(Cap::IrqHandler { irq }, request.slot, dest);
        self.unmasked(irq, now);
        Ok(Answer::Empty)
    }

    /// Serves an invocation of an interrupt's handler.
    pub(crate) fn invoke_irq_handler(&mut self, request: &Request) -> Result<Answer, Error> {
        let Cap::IrqHandler { irq } = request.cap else { return Err(Error::IllegalOperation) };
        match request.invocation {
            Some(Invocation::IrqAck) => {
                // What came until now came while it was masked.
                let now = self.host.now();
                self.advance_timer(now);
                self.machine.interrupts.set_mask(irq, false);
                self.unmasked(irq, now);
            }
            Some(Invocation::IrqSetHandler) => {
                let notification = request.extra[0].ok_or(Error::TruncatedMessage)?;
                let cap = notification.cap(&self.memory);
                let Cap::Notification { rights, .. } = cap else { return Err(Error::InvalidCapability(0)) };
                if !rights.write {
                    return Err(Error::InvalidCapability(0));
                }
                let slot = self.machine.interrupts.slot(irq);
                self.delete(slot);
                self.insert(cap, notification, slot);
            }
            Some(Invocation::IrqClearHandler) => self.delete(self.machine.interrupts.slot(irq)),
            _ => return Err(Error::IllegalOperation),
        }
        Ok(Answer::Empty)
    }

    /// The last capability to the interrupt is gone.
    pub(crate) fn release_irq(&mut self, irq: u8) {
        self.delete(self.machine.interrupts.slot(irq));
        self.machine.interrupts.set_active(irq, false);
    }

    /// A device sets its interrupt line.
    pub(crate) fn set_line(&mut self, pin: u8, asserted: bool) {
        if let Some(irq) = self.machine.interrupts.set_line(pin, asserted) {
            self.deliver_interrupt(irq);
        }
    }

    /// Delivers what has been waiting for the interrupt to be unmasked.
    fn unmasked(&mut self, irq: u8, now: u64) {
        if let Some(raised) = self.machine.interrupts.still_raised(irq) {
            self.deliver_interrupt(raised);
        }
        self.update_serial(now);
        self.set_next_alarm(now);
    }

    /// Signals the interrupt's notification, if it has one, and masks the interrupt until it is acknowledged.
    fn deliver_interrupt(&mut self, irq: u8) {
        if self.machine.interrupts.is_active(irq) {
            let cap = self.machine.interrupts.slot(irq).cap(&self.memory);
            if let Cap::Notification { address, badge, rights } = cap
                && rights.write
            {
                self.signal(address, badge);
            }
        }
        self.machine.interrupts.set_mask(irq, true);
    }
}

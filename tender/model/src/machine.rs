//! The machine around the kernel: what the root task sees of a PC.

use crate::{Host, Kernel, interrupt::Interrupts, pit::Pit, serial::Serial};

/// The pin that the timer's channel 0 is at, as on PCs that have an IO-APIC.
const TIMER_PIN: u8 = 2;
/// The pin that the first serial port is at.
const SERIAL_PIN: u8 = 4;

/// The devices' state.
#[derive(Debug, Clone, Default)]
pub(crate) struct Machine {
    pub(crate) interrupts: Interrupts,
    pub(crate) pit: Pit,
    pub(crate) serial: Serial,
    /// The alarm that the host was asked for last, while it is still to come.
    alarm: Option<u64>,
}

impl<H: Host> Kernel<'_, H> {
    /// Looks at all devices and delivers the interrupts that are due.
    pub(crate) fn poll_devices(&mut self) {
        let now = self.host.now();
        // What called may have been the alarm, even a moment too early: it is asked for once more.
        let alarm = self.machine.alarm.take().filter(|at| *at > now);
        self.advance_timer(now);
        self.receive_console();
        // What a broken queue is asked next is answered so.
        let _ = self.move_frames();
        self.update_serial(now);
        self.set_next_alarm(now);
        if alarm.is_some() && self.machine.alarm.is_none() {
            self.host.set_alarm(None);
        }
    }

    /// Whether a device could ever interrupt, as they are set now.
    pub(crate) fn can_wake(&self) -> bool {
        let serial = self.machine.interrupts.listens(SERIAL_PIN);
        let device = self.devices.console_is_open() || self.devices.has_net();
        serial || self.machine.alarm.is_some() || device || self.awaits_budget()
    }

    /// Counts the timer on to `now`; an end that it has come to meanwhile is an interrupt, unless that is
    /// masked: then it is lost, as with any edge.
    pub(crate) fn advance_timer(&mut self, now: u64) {
        let (rose, level) = self.machine.pit.advance(now);
        if rose {
            self.set_line(TIMER_PIN, false);
            self.set_line(TIMER_PIN, true);
        }
        self.set_line(TIMER_PIN, level);
    }

    /// Brings the serial port's interrupt line to where it should be; then has the port take what was typed,
    /// where that interrupts and is not the console device's. While the interrupt is masked nothing is taken,
    /// or its edge would be lost.
    pub(crate) fn update_serial(&mut self, now: u64) {
        self.machine.serial.tell_time(now);
        self.set_serial_line();
        let listens = self.machine.serial.tells_of_input() && self.machine.interrupts.listens(SERIAL_PIN);
        if listens && !self.devices.console_is_open() {
            self.machine.serial.receive(&mut self.host, now);
            self.set_serial_line();
        }
    }

    fn set_serial_line(&mut self) {
        let pending = self.machine.serial.is_interrupting();
        self.set_line(SERIAL_PIN, pending);
    }

    /// The serial port's interrupt line is low for a moment.
    pub(crate) fn lower_serial(&mut self) {
        self.set_line(SERIAL_PIN, false);
    }

    /// Asks the host for an alarm at the next event that can interrupt, or that ends somebody's budget.
    pub(crate) fn set_next_alarm(&mut self, now: u64) {
        let interrupts = &self.machine.interrupts;
        let timer = interrupts.listens(TIMER_PIN).then(|| self.machine.pit.next_end(now)).flatten();
        let serial = interrupts.listens(SERIAL_PIN).then(|| self.machine.serial.timeout()).flatten();
        let budget = if self.is_mcs() { self.budget_alarm() } else { None };
        let next = [timer, serial, budget].into_iter().flatten().min();
        if next != self.machine.alarm {
            self.machine.alarm = next;
            self.host.set_alarm(next);
        }
    }
}

//! IO ports: who answers at which.
//!
//! The timer, its control port, the first serial port and the exit port are there; anywhere else reads give
//! ones and writes do nothing, as on a PC without the device. An access to more than one port is one to each.

use crate::{
    Cap, Error, Host, Kernel, Next, Register, Slot,
    request::{Answer, Request},
    serial,
};
use selkie_tender_table::{Invocation, param};

const TIMER: u16 = 0x40;
const TIMER_LAST: u16 = 0x43;
const TIMER_CONTROL: u16 = 0x61;
const SERIAL_LAST: u16 = serial::BASE + 7;
/// As QEMU's `isa-debug-exit`, with its four ports.
const EXIT: u16 = 0xf4;
const EXIT_LAST: u16 = 0xf7;
/// Added to the status, so that QEMU's own exit codes cannot be taken for one of a function.
const EXIT_OFFSET: u8 = 0x10;
/// What QEMU leaves of a value that is written to the exit port.
const EXIT_MASK: u8 = 0x7f;
/// The root task's status when what it wrote to the exit port is none.
const NO_STATUS: u8 = 1;

impl<H: Host> Kernel<'_, H> {
    /// Serves an invocation of an IO-port capability.
    pub(crate) fn invoke_io_port(&mut self, request: &Request) -> Result<Answer, Error> {
        // Later kernels look at the operation first.
        if request.length < 1 && !self.since(10, 0) {
            return Err(Error::TruncatedMessage);
        }
        let (size, port, data) = match request.invocation {
            Some(Invocation::IoPortIn8) => (1, param::io_port_in8::PORT, None),
            Some(Invocation::IoPortIn16) => (2, param::io_port_in16::PORT, None),
            Some(Invocation::IoPortIn32) => (4, param::io_port_in32::PORT, None),
            Some(Invocation::IoPortOut8) => (1, param::io_port_out8::PORT, Some(param::io_port_out8::DATA)),
            Some(Invocation::IoPortOut16) => {
                (2, param::io_port_out16::PORT, Some(param::io_port_out16::DATA))
            }
            Some(Invocation::IoPortOut32) => {
                (4, param::io_port_out32::PORT, Some(param::io_port_out32::DATA))
            }
            _ => return Err(Error::IllegalOperation),
        };
        request.complete(self)?;
        let first = request.value(self, port) & 0xffff;
        match request.cap {
            Cap::IoPort { first: low, last: high }
                if first >= low.into() && first + size - 1 <= high.into() => {}
            _ => return Err(Error::IllegalOperation),
        }
        let first = first as u16;
        match data {
            Some(data) => {
                let value = request.value(self, data) as u32;
                self.port_write(first, size as u16, value);
                if !self.since(10, 0) {
                    request.thread.set_register(&self.memory, Register::Rsi, 0);
                }
                Ok(Answer::Empty)
            }
            None => {
                let (value, told) = (self.port_read(first, size as u16), self.since(10, 0));
                if !told {
                    request.thread.set_register(&self.memory, Register::Rdi, 0);
                }
                Ok(self.answer_word(request, value.into(), told))
            }
        }
    }

    /// Serves an invocation of the capability to give out IO ports: each port is in one range at most.
    #[cold]
    pub(crate) fn invoke_io_port_control(&mut self, request: &Request) -> Result<Answer, Error> {
        use param::io_port_control_issue as at;
        if request.invocation != Some(Invocation::IoPortControlIssue) {
            return Err(Error::IllegalOperation);
        }
        request.complete(self)?;
        let port = |param| request.whole_word(self, param) as u16;
        let (first, last) = (port(at::FIRST_PORT), port(at::LAST_PORT));
        if last < first {
            return Err(Error::InvalidArgument(1));
        }
        // All that was given out comes directly after it in the derivation list.
        let memory = &self.memory;
        let mut next = Slot(request.slot.mdb(memory).next);
        while next.0 != 0
            && let Cap::IoPort { first: given, last: to } = next.cap(memory)
        {
            if given <= last && first <= to {
                return Err(Error::RevokeFirst);
            }
            next = Slot(next.mdb(memory).next);
        }
        let root = request.cap_slot(self, at::ROOT).ok_or(Error::TruncatedMessage)?.cap(memory);
        let (index, depth) = (request.value(self, at::INDEX), request.whole_word(self, at::DEPTH));
        let dest = self.lookup_slot(root, index, depth, false)?;
        self.ensure_empty(dest)?;
        self.insert(Cap::IoPort { first, last }, request.slot, dest);
        Ok(Answer::Empty)
    }

    fn port_read(&mut self, first: u16, size: u16) -> u32 {
        let now = self.port_time(first, size);
        let mut bytes = [0; 4];
        for (offset, byte) in (0..size).zip(&mut bytes) {
            *byte = self.port_read_byte(first + offset, now);
        }
        u32::from_le_bytes(bytes)
    }

    /// The time, when one of these ports has to do with it. To read the clock for the first time is slow, and who
    /// only looks what machine this is does not need it.
    fn port_time(&mut self, first: u16, size: u16) -> u64 {
        let last = first.saturating_add(size - 1);
        let timed = [(TIMER, TIMER_CONTROL), (serial::BASE, SERIAL_LAST)];
        let asks = timed.iter().any(|(start, end)| first <= *end && *start <= last);
        if asks { self.host.now() } else { 0 }
    }

    fn port_read_byte(&mut self, port: u16, now: u64) -> u8 {
        match port {
            TIMER..=TIMER_LAST => self.machine.pit.read(port - TIMER, now),
            TIMER_CONTROL => self.machine.pit.read_control(now),
            serial::BASE..=SERIAL_LAST => {
                let byte = self.read_serial(port - serial::BASE, now);
                self.update_serial(now);
                self.set_next_alarm(now);
                byte
            }
            EXIT..=EXIT_LAST => 0,
            _ => 0xff,
        }
    }

    fn read_serial(&mut self, register: u16, now: u64) -> u8 {
        if self.machine.serial.asks_for_input(register) && !self.devices.console_is_open() {
            self.machine.serial.receive(&mut self.host, now);
        }
        self.machine.serial.read(register, now)
    }

    fn port_write(&mut self, first: u16, size: u16, value: u32) {
        // This port takes what it is given as one number, whatever its size.
        if (EXIT..=EXIT_LAST).contains(&first) {
            self.ended = Some(Next::Exit(status(value)));
            return;
        }
        let now = self.port_time(first, size);
        for (offset, byte) in (0..size).zip(value.to_le_bytes()) {
            self.port_write_byte(first + offset, byte, now);
        }
    }

    fn port_write_byte(&mut self, port: u16, byte: u8, now: u64) {
        match port {
            TIMER..=TIMER_LAST => {
                // What has ended before this is not lost by it.
                self.advance_timer(now);
                self.machine.pit.write(port - TIMER, byte, now);
                self.advance_timer(now);
                self.set_next_alarm(now);
            }
            TIMER_CONTROL => self.machine.pit.write_control(byte, now),
            serial::BASE..=SERIAL_LAST => {
                let fell = self.machine.serial.write(port - serial::BASE, byte, &mut self.host, now);
                if fell {
                    self.lower_serial();
                }
                self.update_serial(now);
                self.set_next_alarm(now);
            }
            _ => {}
        }
    }
}

/// The status that a write to the exit port means.
fn status(value: u32) -> u8 {
    (value as u8 & EXIT_MASK).checked_sub(EXIT_OFFSET).unwrap_or(NO_STATUS)
}

#[cfg(test)]
mod tests {
    use super::status;

    #[test]
    fn the_exit_port_takes_seven_bits_and_the_offset_off() {
        assert_eq!(status(0x10), 0);
        assert_eq!(status(0x10 + 111), 111);
        assert_eq!(status(0xffff_ff93), 3);
        assert_eq!(status(3), 1);
    }
}

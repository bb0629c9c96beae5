//! The first serial port: a 16550A at the host's console, as QEMU has it.
//!
//! A byte that is written has left the port at once. Bytes that are typed are taken from the host only as fast
//! as they are read from the port: none is lost.

use crate::Host;

/// The first of its eight ports.
pub(crate) const BASE: u16 = 0x3f8;
/// Bytes in the receiver's FIFO.
const DEPTH: u8 = 16;

mod register {
    pub(super) const DATA: u16 = 0;
    pub(super) const INTERRUPT_ENABLE: u16 = 1;
    pub(super) const INTERRUPT_ID: u16 = 2;
    pub(super) const LINE_CONTROL: u16 = 3;
    pub(super) const MODEM_CONTROL: u16 = 4;
    pub(super) const LINE_STATUS: u16 = 5;
    pub(super) const MODEM_STATUS: u16 = 6;
}

/// Interrupt enable: data received, transmitter empty, line status, modem status.
const ENABLE_DATA: u8 = 1 << 0;
const ENABLE_EMPTY: u8 = 1 << 1;
const ENABLE_LINE: u8 = 1 << 2;
const ENABLE_ALL: u8 = 0x0f;
/// Interrupt identification.
const NO_INTERRUPT: u8 = 0x01;
const TRANSMITTER_EMPTY: u8 = 0x02;
const DATA_RECEIVED: u8 = 0x04;
const LINE_CHANGED: u8 = 0x06;
const DATA_WAITS: u8 = 0x0c;
const FIFO_WORKS: u8 = 0xc0;
/// FIFO control: on, empty the receiver; which bits can be seen by their effect later.
const FIFO_ON: u8 = 1 << 0;
const FIFO_CLEAR_RECEIVER: u8 = 1 << 1;
const FIFO_CLEAR_TRANSMITTER: u8 = 1 << 2;
const FIFO_KEPT: u8 = 0xc9;
/// Line control: the divisor takes the place of the first two registers.
const DIVISOR_ACCESS: u8 = 1 << 7;
/// Modem control: what is sent is received.
const LOOPBACK: u8 = 1 << 4;
const MODEM_CONTROL_BITS: u8 = 0x1f;
/// Line status: data is there, data was lost, the transmitter takes data, it has sent all.
const DATA_READY: u8 = 1 << 0;
const OVERRUN: u8 = 1 << 1;
const HOLDING_EMPTY: u8 = 1 << 5;
const ALL_SENT: u8 = 1 << 6;
/// Modem status: a carrier, data set ready, clear to send.
const CONNECTED: u8 = 0xb0;
/// Bits in a second with the divisor 1.
const BAUD_BASE: u64 = 115_200;
const NANOSECONDS: u64 = 1_000_000_000;

/// The port's state.
#[derive(Debug, Clone)]
pub(crate) struct Serial {
    divisor: u16,
    enabled: u8,
    fifo_control: u8,
    line_control: u8,
    modem_control: u8,
    scratch: u8,
    overrun: bool,
    /// That the transmitter is empty has not been noticed yet.
    empty_pending: bool,
    /// Fewer bytes than were asked for wait, for long enough.
    waits: bool,
    /// When that will be so.
    timeout: Option<u64>,
    fifo: [u8; DEPTH as usize],
    /// Where the oldest byte is, and how many there are.
    first: u8,
    count: u8,
    /// The last byte that was received without FIFO.
    last: u8,
}

impl Default for Serial {
    /// As who has printed through it leaves it: 115,200 bits per second of 8 bits, FIFOs on, ready.
    fn default() -> Self {
        Self {
            divisor: 1,
            enabled: 0,
            fifo_control: FIFO_ON,
            line_control: 0x03,
            modem_control: 0x0b,
            scratch: 0,
            overrun: false,
            empty_pending: false,
            waits: false,
            timeout: None,
            fifo: [0; DEPTH as usize],
            first: 0,
            count: 0,
            last: 0,
        }
    }
}

impl Serial {
    /// Whether the port asserts its interrupt line.
    pub(crate) fn is_interrupting(&self) -> bool {
        self.identify() != NO_INTERRUPT
    }

    /// When bytes will have waited for so long that this is worth an interrupt.
    pub(crate) fn timeout(&self) -> Option<u64> {
        self.timeout.filter(|_| self.enabled & ENABLE_DATA != 0)
    }

    /// Takes what was typed at the console, as much as the port has room for.
    pub(crate) fn receive<H: Host>(&mut self, host: &mut H, now: u64) {
        while self.room() > 0 && self.modem_control & LOOPBACK == 0 {
            let Some(byte) = host.console_read() else { break };
            self.put(byte, now);
        }
        self.tell_time(now);
    }

    /// Notices that bytes have waited for long.
    pub(crate) fn tell_time(&mut self, now: u64) {
        if self.timeout.is_some_and(|at| at <= now) {
            self.timeout = None;
            self.waits = self.count > 0;
        }
    }

    /// A byte that was typed, and received here, but not read.
    pub(crate) fn give_back(&mut self) -> Option<u8> {
        (self.count > 0).then(|| self.take(0))
    }

    /// Whether the port interrupts when something was typed.
    pub(crate) fn tells_of_input(&self) -> bool {
        self.enabled & ENABLE_DATA != 0
    }

    /// Whether a read of this register is one that asks for what was typed.
    pub(crate) fn asks_for_input(&self, port: u16) -> bool {
        port == register::LINE_STATUS && self.count == 0 || port == register::INTERRUPT_ID
    }

    /// Reads a register.
    pub(crate) fn read(&mut self, port: u16, now: u64) -> u8 {
        let divisor = self.line_control & DIVISOR_ACCESS != 0;
        let [low, high] = self.divisor.to_le_bytes();
        match port {
            register::DATA if divisor => low,
            register::DATA => self.take(now),
            register::INTERRUPT_ENABLE if divisor => high,
            register::INTERRUPT_ENABLE => self.enabled,
            register::INTERRUPT_ID => {
                let id = self.identify();
                self.empty_pending &= id != TRANSMITTER_EMPTY;
                id | if self.has_fifo() { FIFO_WORKS } else { 0 }
            }
            register::LINE_CONTROL => self.line_control,
            register::MODEM_CONTROL => self.modem_control,
            register::LINE_STATUS => {
                let status = self.line_status();
                self.overrun = false;
                status
            }
            register::MODEM_STATUS => self.modem_status(),
            _ => self.scratch,
        }
    }

    /// Writes a register. Answers whether the interrupt line has been low in between.
    pub(crate) fn write<H: Host>(&mut self, port: u16, value: u8, host: &mut H, now: u64) -> bool {
        let divisor = self.line_control & DIVISOR_ACCESS != 0;
        let [low, high] = self.divisor.to_le_bytes();
        match port {
            register::DATA if divisor => self.divisor = u16::from_le_bytes([value, high]),
            register::DATA => return self.send(value, host, now),
            register::INTERRUPT_ENABLE if divisor => self.divisor = u16::from_le_bytes([low, value]),
            register::INTERRUPT_ENABLE => {
                let value = value & ENABLE_ALL;
                if (self.enabled ^ value) & ENABLE_EMPTY != 0 {
                    self.empty_pending = value & ENABLE_EMPTY != 0;
                }
                self.enabled = value;
            }
            register::INTERRUPT_ID => self.set_fifo_control(value),
            register::LINE_CONTROL => self.line_control = value,
            register::MODEM_CONTROL => self.modem_control = value & MODEM_CONTROL_BITS,
            register::LINE_STATUS | register::MODEM_STATUS => {}
            _ => self.scratch = value,
        }
        false
    }

    /// The interrupt that comes first of those that are pending. One for the modem status never is.
    fn identify(&self) -> u8 {
        let enabled = |bit: u8| self.enabled & bit != 0;
        if enabled(ENABLE_LINE) && self.overrun {
            LINE_CHANGED
        } else if enabled(ENABLE_DATA) && self.waits {
            DATA_WAITS
        } else if enabled(ENABLE_DATA) && self.count > 0 && (!self.has_fifo() || self.count >= self.trigger())
        {
            DATA_RECEIVED
        } else if enabled(ENABLE_EMPTY) && self.empty_pending {
            TRANSMITTER_EMPTY
        } else {
            NO_INTERRUPT
        }
    }

    fn has_fifo(&self) -> bool {
        self.fifo_control & FIFO_ON != 0
    }

    /// How many bytes in the FIFO are worth an interrupt at once.
    fn trigger(&self) -> u8 {
        match self.fifo_control >> 6 {
            0 => 1,
            1 => 4,
            2 => 8,
            _ => 14,
        }
    }

    /// How many bytes the port takes from the console: up to what makes an interrupt, then one by one.
    fn room(&self) -> u8 {
        match (self.has_fifo(), self.count) {
            (false, count) => 1 - count.min(1),
            (true, DEPTH) => 0,
            (true, count) => self.trigger().saturating_sub(count).max(u8::from(count > self.trigger())),
        }
    }

    fn line_status(&self) -> u8 {
        let ready = if self.count > 0 { DATA_READY } else { 0 };
        let overrun = if self.overrun { OVERRUN } else { 0 };
        ready | overrun | HOLDING_EMPTY | ALL_SENT
    }

    /// In loopback the outputs are the inputs: OUT2, OUT1, DTR and RTS.
    fn modem_status(&self) -> u8 {
        let control = self.modem_control;
        if control & LOOPBACK == 0 {
            return CONNECTED;
        }
        (control & 0x0c) << 4 | (control & 0x02) << 3 | (control & 0x01) << 5
    }

    fn set_fifo_control(&mut self, value: u8) {
        let switched = (value ^ self.fifo_control) & FIFO_ON != 0;
        if switched || value & FIFO_CLEAR_RECEIVER != 0 {
            (self.count, self.first) = (0, 0);
            (self.waits, self.timeout) = (false, None);
        }
        if switched || value & FIFO_CLEAR_TRANSMITTER != 0 {
            self.empty_pending = true;
        }
        self.fifo_control = value & FIFO_KEPT;
    }

    /// Sends a byte; the line falls, as the transmitter is not empty for a moment.
    fn send<H: Host>(&mut self, byte: u8, host: &mut H, now: u64) -> bool {
        self.empty_pending = false;
        let falls = !self.is_interrupting();
        if self.modem_control & LOOPBACK != 0 {
            self.put(byte, now);
        } else {
            host.console_write(byte);
        }
        self.empty_pending = true;
        falls
    }

    fn put(&mut self, byte: u8, now: u64) {
        if !self.has_fifo() {
            self.overrun |= self.count > 0;
            (self.last, self.count) = (byte, 1);
            return;
        }
        if self.count == DEPTH {
            self.overrun = true;
        } else {
            self.fifo[usize::from((self.first + self.count) % DEPTH)] = byte;
            self.count += 1;
        }
        self.timeout = Some(now.saturating_add(self.wait()));
    }

    fn take(&mut self, now: u64) -> u8 {
        self.waits = false;
        if !self.has_fifo() {
            self.count = 0;
            return self.last;
        }
        if self.count == 0 {
            return 0;
        }
        let byte = self.fifo[usize::from(self.first)];
        (self.first, self.count) = ((self.first + 1) % DEPTH, self.count - 1);
        self.timeout = (self.count > 0).then(|| now.saturating_add(self.wait()));
        byte
    }

    /// Nanoseconds that four characters take.
    fn wait(&self) -> u64 {
        let control = self.line_control;
        let data = u64::from(control & 3) + 5;
        let bits = 1 + data + u64::from(control >> 3 & 1) + 1 + u64::from(control >> 2 & 1);
        4 * bits * NANOSECONDS * u64::from(self.divisor.max(1)) / BAUD_BASE
    }
}

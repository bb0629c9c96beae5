//! A 16550 serial port behind IO ports, one invocation for each access.
//!
//! Registers and bits: National Semiconductor PC16550D data sheet, table II.

use crate::{
    cap::IoPort,
    error::{Error, Result},
};
use selkie_base::SerialPort;

const DATA: u16 = 0;
const INTERRUPT_ENABLE: u16 = 1;
const FIFO_CONTROL: u16 = 2;
const INTERRUPT_ID: u16 = 2;
const LINE_CONTROL: u16 = 3;
const MODEM_CONTROL: u16 = 4;
const LINE_STATUS: u16 = 5;
const SCRATCH: u16 = 7;

/// Line status: a byte has arrived.
const DATA_READY: u8 = 1 << 0;
/// Line status: the FIFO for sending is empty.
const HOLDING_EMPTY: u8 = 1 << 5;
/// Line status: everything has left the port.
const TRANSMITTER_EMPTY: u8 = 1 << 6;

/// A serial port that answers.
#[derive(Debug, Clone, Copy)]
pub struct Serial {
    ports: IoPort,
    base: u16,
    /// Bytes that can be written once the FIFO is empty: 1 to 16.
    depth: u16,
}

impl Serial {
    /// Sets the port up for 115,200 bits per second, 8 bits, no parity, if there is one.
    pub fn open(ports: IoPort, port: SerialPort) -> Result<Self> {
        Self::open_slow(ports, port, 1)
    }

    /// The same for 115,200 bits per second divided by `divisor`, which is not 0.
    pub fn open_slow(ports: IoPort, port: SerialPort, divisor: u16) -> Result<Self> {
        let base = match port {
            SerialPort::Com1 => 0x3f8,
            SerialPort::Com2 => 0x2f8,
        };
        let mut serial = Self { ports, base, depth: 1 };
        serial.write(SCRATCH, 0x5a)?;
        if serial.read(SCRATCH)? != 0x5a {
            return Err(Error::NoDevice);
        }
        serial.write(INTERRUPT_ENABLE, 0)?;
        let [low, high] = divisor.to_le_bytes();
        serial.write(LINE_CONTROL, 0x80)?; // The next two registers are the divisor.
        serial.write(DATA, low)?;
        serial.write(INTERRUPT_ENABLE, high)?;
        serial.write(LINE_CONTROL, 0x03)?; // 8 bits, no parity, 1 stop bit.
        serial.write(FIFO_CONTROL, 0x07)?; // Both FIFOs on and empty, an interrupt for each byte.
        serial.write(MODEM_CONTROL, 0x0b)?; // Ready, and interrupts reach the line.
        if serial.read(INTERRUPT_ID)? & 0xc0 == 0xc0 {
            serial.depth = 16;
        }
        Ok(serial)
    }

    /// A port behind the function's own capability in one word, never 0.
    pub(crate) fn to_bits(self) -> u32 {
        u32::from(self.base) << 16 | u32::from(self.depth)
    }

    /// The port that [`to_bits`](Self::to_bits) was asked for; none for 0.
    pub(crate) fn from_bits(bits: u32) -> Option<Self> {
        let (base, depth) = ((bits >> 16) as u16, bits as u16);
        (depth > 0).then_some(Self { ports: IoPort::OWN, base, depth })
    }

    /// Sends bytes as they are; waits while the port is busy.
    pub fn send(&self, bytes: &[u8]) -> Result<()> {
        let mut room = 0;
        for byte in bytes {
            if room == 0 {
                self.wait_for(HOLDING_EMPTY)?;
                room = self.depth;
            }
            self.write(DATA, *byte)?;
            room -= 1;
        }
        Ok(())
    }

    /// Waits until everything has left the port.
    pub fn flush(&self) -> Result<()> {
        self.wait_for(TRANSMITTER_EMPTY)
    }

    /// A byte that has arrived, if there is one.
    pub fn receive(&self) -> Result<Option<u8>> {
        if self.read(LINE_STATUS)? & DATA_READY == 0 {
            return Ok(None);
        }
        self.read(DATA).map(Some)
    }

    /// Lets the port interrupt, or not, when a byte has arrived.
    pub fn interrupts(&self, on: bool) -> Result<()> {
        self.write(INTERRUPT_ENABLE, u8::from(on))
    }

    fn wait_for(&self, status: u8) -> Result<()> {
        while self.read(LINE_STATUS)? & status == 0 {
            crate::thread::yield_now();
        }
        Ok(())
    }

    fn read(&self, register: u16) -> Result<u8> {
        self.ports.in8(self.base + register)
    }

    fn write(&self, register: u16, value: u8) -> Result<()> {
        self.ports.out8(self.base + register, value)
    }
}

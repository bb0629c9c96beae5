//! The programmable interval timer (Intel 8254): a source of interrupts, and a measure for the clock.

use crate::{
    cap::IoPort,
    clock::Instant,
    error::{Error, Result},
    interrupt::Interrupt,
    system::System,
};

/// Counts of the timer in a second.
pub const FREQUENCY: u32 = 1_193_182;
/// The timer's ISA interrupt. The IO-APIC has it at pin 2 (ACPI: the usual interrupt source override).
pub const IRQ_PIN: u8 = 2;

const CHANNEL_0: u16 = 0x40;
const CHANNEL_2: u16 = 0x42;
const COMMAND: u16 = 0x43;
/// A one-shot of channel 0 that is never given its count.
const STOPPED: u8 = 0x30;
/// Bit 0: channel 2 counts; bit 1: to the loudspeaker; bit 5: channel 2 has come to its end.
const GATE: u16 = 0x61;

/// Channel 0 of the timer, with its interrupt.
#[derive(Debug)]
pub struct Timer {
    ports: IoPort,
    /// The interrupt: wait for it, then acknowledge it.
    pub interrupt: Interrupt,
}

impl Timer {
    /// Takes the timer and its interrupt. Nothing counts yet.
    pub fn new(sys: &mut System) -> Result<Self> {
        let ports = IoPort::OWN;
        // The firmware leaves it running.
        ports.out8(COMMAND, STOPPED)?;
        let interrupt = Interrupt::isa(sys, IRQ_PIN)?;
        // What came before is not the caller's.
        let _ = interrupt.notification().poll();
        interrupt.ack()?;
        Ok(Self { ports, interrupt })
    }

    /// Interrupts every `counts` counts (2 to 65,536; [`FREQUENCY`] of them are a second).
    pub fn periodic(&self, counts: u32) -> Result<()> {
        self.program(0x34, counts)
    }

    /// Interrupts once, after `counts` counts (1 to 65,536).
    pub fn one_shot(&self, counts: u32) -> Result<()> {
        self.program(0x30, counts)
    }

    /// Stops: an already begun interrupt may still come.
    pub fn stop(&self) -> Result<()> {
        self.ports.out8(COMMAND, STOPPED)
    }

    fn program(&self, command: u8, counts: u32) -> Result<()> {
        if !(1..=65_536).contains(&counts) {
            return Err(Error::Range { min: 1, max: 65_536 });
        }
        // 65,536 is written as 0.
        let [low, high, ..] = counts.to_le_bytes();
        self.ports.out8(COMMAND, command)?;
        self.ports.out8(CHANNEL_0, low)?;
        self.ports.out8(CHANNEL_0, high)
    }
}

/// The frequency of the time-stamp counter in Hz, measured with channel 2 for 10 ms.
///
/// Others may run in between, for as long as they like where the host is one of many processes: so both counters
/// are read together, more than once, and the reading that took least time counts.
pub(crate) fn measure(ports: IoPort) -> Result<u64> {
    let gate = ports.in8(GATE)? & !0x03;
    let result = (0..ATTEMPTS).find_map(|_| attempt(ports, gate).transpose());
    ports.out8(GATE, gate)?;
    result.unwrap_or(Err(Error::NoDevice))
}

/// How often a measurement is begun anew when it took longer than the timer counts.
const ATTEMPTS: usize = 20;
/// Counts of a measurement: 10 ms.
const COUNTS: u16 = (FREQUENCY / 100) as u16;

/// One measurement; none when the timer came to its end meanwhile.
fn attempt(ports: IoPort, gate: u8) -> Result<Option<u64>> {
    ports.out8(GATE, gate)?;
    ports.out8(COMMAND, 0xb0)?; // Channel 2, low then high byte, interrupt on terminal count.
    ports.out8(CHANNEL_2, 0xff)?;
    ports.out8(CHANNEL_2, 0xff)?;
    ports.out8(GATE, gate | 1)?;
    let first = Reading::best(ports)?;
    loop {
        let last = Reading::now(ports)?;
        if ports.in8(GATE)? & 0x20 != 0 {
            return Ok(None);
        }
        // A processor of 10 GHz needs 10^8 counts for 10 ms: beyond that nothing counts.
        if last.ticks - first.ticks > 1_000_000_000 {
            return Err(Error::NoDevice);
        }
        if first.count.saturating_sub(last.count) >= COUNTS {
            break;
        }
    }
    let last = Reading::best(ports)?;
    if ports.in8(GATE)? & 0x20 != 0 {
        return Ok(None);
    }
    let counts = u64::from(first.count.saturating_sub(last.count).max(1));
    Ok(Some((last.ticks - first.ticks) * u64::from(FREQUENCY) / counts))
}

/// Both counters at one moment.
struct Reading {
    count: u16,
    ticks: u64,
    /// Ticks that the reading took, in the middle of which `ticks` is.
    took: u64,
}

impl Reading {
    fn now(ports: IoPort) -> Result<Self> {
        let before = Instant::now().ticks();
        ports.out8(COMMAND, 0x80)?; // Latch the count of channel 2.
        let took = Instant::now().ticks() - before;
        let count = u16::from_le_bytes([ports.in8(CHANNEL_2)?, ports.in8(CHANNEL_2)?]);
        Ok(Self { count, ticks: before + took / 2, took })
    }

    /// The quickest of several.
    fn best(ports: IoPort) -> Result<Self> {
        let mut best = Self::now(ports)?;
        for _ in 0..7 {
            let next = Self::now(ports)?;
            if next.took < best.took {
                best = next;
            }
        }
        Ok(best)
    }
}

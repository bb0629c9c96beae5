//! The programmable interval timer (Intel 8254), and the port that controls its channel 2.
//!
//! Nothing counts here: counts follow from the host's time and the time at which a channel was started, so
//! that nothing drifts. Where the chip's data sheet leaves something open, or QEMU differs from it, this is
//! as QEMU: what a channel counts begins with the last byte of its count, and the gate holds nothing back.

/// Counts in a second.
const FREQUENCY: u128 = 1_193_182;
const NANOSECONDS: u128 = 1_000_000_000;
/// The count that 0 stands for.
const MAX_COUNT: u32 = 0x1_0000;

/// How counts are read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bytes {
    Low = 1,
    High = 2,
    Both = 3,
}

/// One of the three channels.
#[derive(Debug, Clone)]
struct Channel {
    /// 0 to 5.
    mode: u8,
    /// Counts are to be decimal. Kept for the status only.
    decimal: bool,
    bytes: Bytes,
    gate: bool,
    /// 1 to 65,536.
    count: u32,
    /// When the count was written, or the gate has restarted it; `None` between command and count.
    start: Option<u64>,
    /// The next byte that is read is the high one.
    read_high: bool,
    /// The low byte of a count whose high one has not been written.
    written_low: Option<u8>,
    /// A count that was latched, and which of its bytes are to be read.
    latched: Option<(u16, Bytes)>,
    status: Option<u8>,
    /// How often the output has risen since `start`, as far as that has been looked at.
    rises: u64,
}

impl Default for Channel {
    /// As a PC's firmware leaves it: it counts 65,536 again and again.
    fn default() -> Self {
        Self {
            mode: 2,
            decimal: false,
            bytes: Bytes::Both,
            gate: true,
            count: MAX_COUNT,
            start: Some(0),
            read_high: false,
            written_low: None,
            latched: None,
            status: None,
            rises: 0,
        }
    }
}

impl Channel {
    /// Counts since the start.
    fn elapsed(&self, now: u64) -> u64 {
        let passed = self.start.map_or(0, |start| now.saturating_sub(start));
        (u128::from(passed) * FREQUENCY / NANOSECONDS) as u64
    }

    /// What the counter shows.
    fn value(&self, now: u64) -> u16 {
        let (count, elapsed) = (u64::from(self.count), self.elapsed(now));
        (match self.mode {
            2 => count - elapsed % count,
            3 => count - 2 * elapsed % count,
            _ => count.wrapping_sub(elapsed),
        }) as u16
    }

    /// Whether the output is high.
    fn output(&self, now: u64) -> bool {
        if self.start.is_none() {
            return false;
        }
        let (count, elapsed) = (u64::from(self.count), self.elapsed(now));
        match self.mode {
            0 => elapsed >= count,
            1 => elapsed < count,
            2 => elapsed != 0 && elapsed.is_multiple_of(count),
            3 => elapsed % count < count.div_ceil(2),
            _ => elapsed == count,
        }
    }

    /// How often the output has risen at the end of a count since the start.
    fn rises(&self, now: u64) -> u64 {
        if self.start.is_none() {
            return 0;
        }
        let ends = self.elapsed(now) / u64::from(self.count);
        match self.mode {
            0 | 4 => ends.min(1),
            2 | 3 => ends,
            _ => 0,
        }
    }

    /// When the output rises next after `now`.
    fn next_rise(&self, now: u64) -> Option<u64> {
        let start = self.start?;
        let nth = self.rises(now) + 1;
        if nth > 1 && !matches!(self.mode, 2 | 3) || matches!(self.mode, 1 | 5) {
            return None;
        }
        let counts = u128::from(nth) * u128::from(self.count);
        let passed = (counts * NANOSECONDS).div_ceil(FREQUENCY);
        Some(start.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX)))
    }

    fn command(&mut self, command: u8, now: u64) {
        let bytes = match command >> 4 & 3 {
            0 => return self.latch(now),
            1 => Bytes::Low,
            2 => Bytes::High,
            _ => Bytes::Both,
        };
        let mode = command >> 1 & 7;
        self.mode = if mode > 5 { mode - 4 } else { mode };
        self.decimal = command & 1 != 0;
        self.bytes = bytes;
        self.start = None;
        self.rises = 0;
        self.read_high = bytes == Bytes::High;
        self.written_low = None;
    }

    /// Keeps the count to be read, unless one is kept already.
    fn latch(&mut self, now: u64) {
        if self.latched.is_none() {
            self.latched = Some((self.value(now), self.bytes));
        }
    }

    fn latch_status(&mut self, now: u64) {
        let status = u8::from(self.output(now)) << 7
            | u8::from(self.start.is_none()) << 6
            | (self.bytes as u8) << 4
            | self.mode << 1
            | u8::from(self.decimal);
        self.status.get_or_insert(status);
    }

    fn read(&mut self, now: u64) -> u8 {
        if let Some(status) = self.status.take() {
            return status;
        }
        if let Some((count, bytes)) = self.latched.take() {
            let [low, high] = count.to_le_bytes();
            if bytes == Bytes::Both {
                self.latched = Some((count, Bytes::High));
            }
            return if bytes == Bytes::High { high } else { low };
        }
        let [low, high] = self.value(now).to_le_bytes();
        let byte = if self.read_high { high } else { low };
        self.read_high ^= self.bytes == Bytes::Both;
        byte
    }

    fn write(&mut self, byte: u8, now: u64) {
        let count = match (self.bytes, self.written_low.take()) {
            (Bytes::Low, _) => byte.into(),
            (Bytes::High, _) => u16::from(byte) << 8,
            (Bytes::Both, Some(low)) => u16::from_le_bytes([low, byte]),
            (Bytes::Both, None) => {
                self.written_low = Some(byte);
                return;
            }
        };
        self.count = if count == 0 { MAX_COUNT } else { count.into() };
        self.start(now);
    }

    fn start(&mut self, now: u64) {
        self.start = Some(now);
        self.rises = 0;
    }

    fn set_gate(&mut self, gate: bool, now: u64) {
        let rose = gate && !self.gate;
        self.gate = gate;
        // In the other modes the gate does not restart.
        if rose && self.start.is_some() && matches!(self.mode, 1 | 2 | 3 | 5) {
            self.start(now);
        }
    }
}

/// The timer.
#[derive(Debug, Clone)]
pub(crate) struct Pit {
    channels: [Channel; 3],
    /// Channel 2 goes to the loudspeaker.
    speaker: bool,
    /// A bit that changes with each look at it.
    refresh: bool,
}

impl Default for Pit {
    fn default() -> Self {
        let sound = Channel { gate: false, ..Channel::default() };
        Self { channels: [Channel::default(), Channel::default(), sound], speaker: false, refresh: false }
    }
}

impl Pit {
    /// Looks at channel 0: whether its output has risen since the last look, and where it is now.
    pub(crate) fn advance(&mut self, now: u64) -> (bool, bool) {
        let channel = &mut self.channels[0];
        let rises = channel.rises(now);
        let rose = rises > channel.rises;
        channel.rises = rises;
        // The output of this mode is high for one count only, which is shorter than any look at it.
        (rose, channel.mode != 2 && channel.mode != 4 && channel.output(now))
    }

    /// When the output of channel 0 rises next after `now`.
    pub(crate) fn next_end(&self, now: u64) -> Option<u64> {
        self.channels[0].next_rise(now)
    }

    /// Reads a channel (0 to 2) or the command port (3).
    pub(crate) fn read(&mut self, port: u16, now: u64) -> u8 {
        self.channels.get_mut(usize::from(port)).map_or(0, |channel| channel.read(now))
    }

    /// Writes a channel's count (0 to 2) or a command (3).
    pub(crate) fn write(&mut self, port: u16, byte: u8, now: u64) {
        if let Some(channel) = self.channels.get_mut(usize::from(port)) {
            channel.write(byte, now);
        } else if let Some(channel) = self.channels.get_mut(usize::from(byte >> 6)) {
            channel.command(byte, now);
        } else {
            self.read_back(byte, now);
        }
    }

    fn read_back(&mut self, command: u8, now: u64) {
        for (number, channel) in self.channels.iter_mut().enumerate() {
            if command & 2 << number == 0 {
                continue;
            }
            if command & 0x20 == 0 {
                channel.latch(now);
            }
            if command & 0x10 == 0 {
                channel.latch_status(now);
            }
        }
    }

    /// Reads port 0x61: channel 2's gate, loudspeaker, refresh, and channel 2's output.
    pub(crate) fn read_control(&mut self, now: u64) -> u8 {
        let channel = &self.channels[2];
        self.refresh = !self.refresh;
        u8::from(channel.gate)
            | u8::from(self.speaker) << 1
            | u8::from(self.refresh) << 4
            | u8::from(channel.output(now)) << 5
    }

    /// Writes port 0x61: bit 0 channel 2's gate, bit 1 the loudspeaker.
    pub(crate) fn write_control(&mut self, byte: u8, now: u64) {
        self.speaker = byte & 2 != 0;
        self.channels[2].set_gate(byte & 1 != 0, now);
    }
}

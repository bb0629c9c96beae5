//! A network: frames as Ethernet has them, without their check sequence. [`NetFunction`] and [`NetHost`] are the two
//! sides of it.

mod frame;
mod function;
mod host;
mod packet;
mod syn;

pub use frame::{Incoming, is_reset};
pub use function::NetFunction;
pub use host::{NetHost, Nic, TOKENS};
pub use syn::Syns;

use super::{
    BadDevices, Device, DeviceKind,
    buffers::{BUFFER, Layout},
};

/// Bytes of an Ethernet header: what a frame has before its packet.
pub const HEADER: u32 = 14;
/// Bytes before a frame, in its buffer, that the function leaves to the host.
pub const HEADROOM: u32 = 64;
/// The least and the largest packet that a network may be said to take.
const MTU: core::ops::RangeInclusive<u16> = 576..=(BUFFER - HEADROOM - HEADER) as u16;

/// Which queue of the region is which.
pub mod queue {
    /// Frames that the function sends.
    pub const TRANSMIT: usize = 0;
    /// Buffers that the function gives for frames to come.
    pub const RECEIVE: usize = 1;
}

/// How it went, in an answer.
pub mod status {
    /// The frame was sent, or is in the buffer.
    pub const DONE: u32 = 0;
    /// The frame was not sent, or the buffer comes back without one.
    pub const DROPPED: u32 = 1;
}

/// What the list says about a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Net {
    /// The function's address on it.
    pub mac: [u8; 6],
    /// The largest packet, the Ethernet header not counted.
    pub mtu: u16,
    /// Queues and buffers.
    pub layout: Layout<2>,
}

impl Net {
    /// Reads and checks an entry of the list.
    pub fn of(device: &Device) -> Result<Self, BadDevices> {
        let [a, b, c, d, e, f, low, high] = device.params[0].to_le_bytes();
        let net = Self {
            mac: [a, b, c, d, e, f],
            mtu: u16::from_le_bytes([low, high]),
            layout: Layout::of(device)?,
        };
        // The lowest bit of the first byte is that of a group's address.
        let good = device.kind() == Some(DeviceKind::Net) && MTU.contains(&net.mtu) && a & 1 == 0;
        if good { Ok(net) } else { Err(BadDevices) }
    }

    /// Its form in [`Device::params`].
    pub const fn params(&self) -> [u64; 2] {
        let ([a, b, c, d, e, f], [low, high]) = (self.mac, self.mtu.to_le_bytes());
        [u64::from_le_bytes([a, b, c, d, e, f, low, high]), self.layout.param()]
    }

    /// The number of the buffer that a frame lies in; none when it is no frame of this network.
    pub fn frame(&self, offset: u32, length: u32) -> Option<u32> {
        let sizes = HEADER..=HEADER + u32::from(self.mtu);
        self.layout.holds(offset, length).filter(|_| sizes.contains(&length))
    }
}

#[cfg(test)]
mod side_tests;

#[cfg(test)]
mod tests {
    use super::*;

    const NET: Net = Net { mac: [0x52, 0x54, 0, 0x12, 0x34, 0x56], mtu: 1500, layout: Layout::new(4, 32) };

    fn device() -> Device {
        let (params, size) = (NET.params(), NET.layout.size().into());
        Device { number: DeviceKind::Net as u32, size, params, ..Device::default() }
    }

    #[test]
    fn an_entry_is_read_as_it_was_written_and_a_bad_one_is_refused() {
        assert_eq!(Net::of(&device()), Ok(NET));
        let bad = |change: fn(&mut Device)| {
            let mut device = device();
            change(&mut device);
            assert_eq!(Net::of(&device), Err(BadDevices), "{device:?}");
        };
        bad(|device| device.number = DeviceKind::Block as u32);
        bad(|device| device.params[0] |= 1);
        bad(|device| device.params[0] |= 0xffff << 48);
        bad(|device| device.params[0] &= !(0xffff << 48));
        bad(|device| device.size -= 1);
    }

    #[test]
    fn a_frame_has_a_header_and_is_no_longer_than_the_network_takes() {
        let first = NET.layout.buffers;
        assert_eq!(NET.frame(first + HEADROOM, 1514), Some(0));
        assert_eq!(NET.frame(first + HEADROOM, 14), Some(0));
        assert_eq!(NET.frame(first + HEADROOM, 13), None);
        assert_eq!(NET.frame(first + HEADROOM, 1515), None);
        assert_eq!(NET.frame(first + 1000, 1514), None);
        assert_eq!(NET.frame(first - 64, 100), None);
    }
}

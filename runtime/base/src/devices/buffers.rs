//! Buffers of a device's region, and the second word of an entry of the list, which says where they are.

use super::{
    BadDevices, Device,
    queue::{LINES, MAX_BITS, QueuePlace},
};
use core::ops::Range;

/// Bytes of a buffer, and what its offset is a multiple of.
pub const BUFFER: u32 = 2048;
/// What the address of a region with queues is a multiple of.
pub const REGION_ALIGN: u64 = 4096;

/// How a region with `N` queues and buffers is laid out: the queues' lines, their rings, then the buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout<const N: usize> {
    /// A ring has `2^bits` entries.
    pub bits: u32,
    /// Where the first buffer begins, a multiple of [`BUFFER`].
    pub buffers: u32,
    /// How many buffers there are.
    pub count: u32,
}

impl<const N: usize> Layout<N> {
    /// The smallest region with queues of `2^bits` entries (at most [`MAX_BITS`]) and `count` buffers.
    pub const fn new(bits: u32, count: u16) -> Self {
        Self { bits, buffers: Self::rings_end(bits).next_multiple_of(BUFFER), count: count as u32 }
    }

    /// Bytes of the region.
    pub const fn size(&self) -> u32 {
        self.buffers + self.count * BUFFER
    }

    /// Where the queues are.
    pub fn queues(&self) -> [QueuePlace; N] {
        let (bits, size) = (self.bits, QueuePlace::rings_size(self.bits));
        core::array::from_fn(|index| QueuePlace {
            lines: index as u32 * LINES,
            rings: N as u32 * LINES + index as u32 * size,
            bits,
        })
    }

    /// Its form in [`Device::params`].
    pub const fn param(&self) -> u64 {
        self.buffers as u64 | (self.count as u64) << 32 | (self.bits as u64) << 48
    }

    /// Reads and checks what the list says: queues and buffers lie inside the region, one after the other.
    pub(super) fn of(device: &Device) -> Result<Self, BadDevices> {
        let param = device.params[1];
        let layout = Self {
            bits: (param >> 48) as u32,
            buffers: param as u32,
            count: u32::from((param >> 32) as u16),
        };
        let end = u64::from(layout.buffers) + u64::from(layout.count) * u64::from(BUFFER);
        let good = layout.bits <= MAX_BITS
            && layout.buffers >= Self::rings_end(layout.bits)
            && layout.buffers.is_multiple_of(BUFFER)
            && layout.count > 0
            && end <= device.size.min(1 << 31)
            && device.address.is_multiple_of(REGION_ALIGN);
        if good { Ok(layout) } else { Err(BadDevices) }
    }

    /// Where buffer `number` is in the region.
    pub fn buffer(&self, number: u32) -> Option<Range<u32>> {
        let start = self.buffers + number * BUFFER;
        (number < self.count).then_some(start..start + BUFFER)
    }

    /// The number of the buffer that `length` bytes from `offset` on lie in; none when they do not lie in one alone.
    pub fn holds(&self, offset: u32, length: u32) -> Option<u32> {
        let inside = offset.checked_sub(self.buffers)?;
        let number = inside / BUFFER;
        (number < self.count && length <= BUFFER - inside % BUFFER).then_some(number)
    }

    /// Whether `length` bytes from `offset` on lie in buffers, one or several neighbours.
    pub fn hold(&self, offset: u32, length: u32) -> bool {
        let end = u64::from(offset) + u64::from(length);
        offset >= self.buffers && end <= u64::from(self.size())
    }

    const fn rings_end(bits: u32) -> u32 {
        N as u32 * (LINES + QueuePlace::rings_size(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::DeviceKind;

    const LAYOUT: Layout<2> = Layout::new(6, 100);

    fn device() -> Device {
        let params = [0, LAYOUT.param()];
        let size = LAYOUT.size().into();
        Device { number: DeviceKind::Net as u32, address: 0x7000, size, params, ..Device::default() }
    }

    #[test]
    fn a_layout_is_read_as_it_was_written_and_its_parts_do_not_overlap() {
        assert_eq!(Layout::of(&device()), Ok(LAYOUT));
        let [first, second] = LAYOUT.queues();
        assert_eq!((first.lines, second.lines, first.rings), (0, 128, 256));
        assert_eq!(second.rings, first.rings + QueuePlace::rings_size(6));
        assert!(second.rings + QueuePlace::rings_size(6) <= LAYOUT.buffers);
        assert_eq!(LAYOUT.buffer(99).map(|buffer| buffer.end), Some(LAYOUT.size()));
        assert_eq!(LAYOUT.buffer(100), None);
    }

    #[test]
    fn every_damaged_bit_ends_in_an_error_or_in_places_inside_the_region() {
        for word in 0..3 {
            for bit in 0..64 {
                let mut device = device();
                *[&mut device.params[1], &mut device.size, &mut device.address][word] ^= 1 << bit;
                let Ok(layout) = Layout::<2>::of(&device) else { continue };
                assert!(u64::from(layout.size()) <= device.size, "{device:?}");
                let end = layout.queues().map(|queue| queue.rings + QueuePlace::rings_size(queue.bits));
                assert!(end.into_iter().all(|end| end <= layout.buffers), "{device:?}");
            }
        }
        let mut empty = device();
        empty.params[1] &= !(0xffff << 32);
        assert_eq!(Layout::<2>::of(&empty), Err(BadDevices));
    }

    #[test]
    fn data_lies_in_one_buffer_or_is_refused() {
        let first = LAYOUT.buffers;
        assert_eq!(LAYOUT.holds(first, BUFFER), Some(0));
        assert_eq!(LAYOUT.holds(first + 64, BUFFER - 64), Some(0));
        assert_eq!(LAYOUT.holds(first + BUFFER, 0), Some(1));
        for (offset, length) in [
            (first - 1, 1),
            (0, 0),
            (first, BUFFER + 1),
            (first + 1, BUFFER),
            (first, u32::MAX),
            (u32::MAX, u32::MAX),
            (LAYOUT.size(), 0),
        ] {
            assert_eq!(LAYOUT.holds(offset, length), None, "{offset} {length}");
        }
        assert!(LAYOUT.hold(first, 100 * BUFFER) && LAYOUT.hold(first + 512, 4096));
        assert!(!LAYOUT.hold(first, 100 * BUFFER + 1) && !LAYOUT.hold(first - 1, 2));
        assert!(!LAYOUT.hold(u32::MAX, u32::MAX));
    }
}

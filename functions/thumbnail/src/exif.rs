//! How a camera was held (Exif 2.32, 4.6.4 A: `Orientation`).

use crate::Pixels;
use alloc::vec::Vec;

/// Where the first row and the first column of a picture belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Orientation {
    /// Rows are columns. This comes first.
    transposed: bool,
    /// The left is the right.
    mirrored: bool,
    /// The top is the bottom.
    upside_down: bool,
}

impl Orientation {
    /// The tag with it.
    const TAG: u16 = 0x0112;
    /// The type of the tag: a number of 16 bits.
    const SHORT: u16 = 3;
    /// More entries than this has no camera.
    const MOST_ENTRIES: u16 = 1024;

    /// What Exif's data says; as it lies where it says nothing that makes sense.
    pub(crate) fn read(tiff: &[u8]) -> Self {
        Self::value(tiff).map(Self::from_value).unwrap_or_default()
    }

    fn value(tiff: &[u8]) -> Option<u16> {
        let little = match tiff.get(..4)? {
            b"II\x2a\x00" => true,
            b"MM\x00\x2a" => false,
            _ => return None,
        };
        let short = |at: usize| {
            let bytes = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
            Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
        };
        let first = tiff.get(4..8)?.try_into().ok()?;
        let first = if little { u32::from_le_bytes(first) } else { u32::from_be_bytes(first) };
        let first = usize::try_from(first).ok()?;
        let entries = (0..short(first)?.min(Self::MOST_ENTRIES)).map(|i| first + 2 + 12 * usize::from(i));
        let mut found = entries.take_while(|entry| short(*entry).is_some());
        let entry = found.find(|entry| short(*entry) == Some(Self::TAG))?;
        (short(entry + 2)? == Self::SHORT).then(|| short(entry + 8))?
    }

    fn from_value(value: u16) -> Self {
        let (transposed, mirrored, upside_down) = match value {
            2 => (false, true, false),
            3 => (false, true, true),
            4 => (false, false, true),
            5 => (true, false, false),
            6 => (true, true, false),
            7 => (true, true, true),
            8 => (true, false, true),
            _ => (false, false, false),
        };
        Self { transposed, mirrored, upside_down }
    }

    /// Width and height after it is turned, or before.
    pub(crate) fn sides(self, (width, height): (usize, usize)) -> (usize, usize) {
        if self.transposed { (height, width) } else { (width, height) }
    }

    /// Turns a picture as it belongs.
    pub(crate) fn turn(self, pixels: Pixels) -> Pixels {
        if self == Self::default() {
            return pixels;
        }
        let Pixels { width: from_width, height: from_height, channels, bytes } = pixels;
        let (width, height) = self.sides((from_width, from_height));
        let mut turned = Vec::with_capacity(bytes.len());
        for y in 0..height {
            let y = if self.upside_down { height - 1 - y } else { y };
            for x in 0..width {
                let x = if self.mirrored { width - 1 - x } else { x };
                let (from_x, from_y) = if self.transposed { (y, x) } else { (x, y) };
                let at = (from_y * from_width + from_x) * channels;
                turned.extend_from_slice(bytes.get(at..at + channels).unwrap_or_default());
            }
        }
        Pixels { width, height, channels, bytes: turned }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiff(little: bool, value: u16) -> Vec<u8> {
        let short = |v: u16| if little { v.to_le_bytes() } else { v.to_be_bytes() };
        let long = |v: u32| if little { v.to_le_bytes() } else { v.to_be_bytes() };
        let mut tiff = Vec::from(if little { b"II\x2a\0" } else { b"MM\0\x2a" });
        tiff.extend(long(8));
        tiff.extend(short(2));
        for (tag, value) in [(0x0100, 7), (Orientation::TAG, value)] {
            tiff.extend(short(tag));
            tiff.extend(short(Orientation::SHORT));
            tiff.extend(long(1));
            tiff.extend(short(value));
            tiff.extend(short(0));
        }
        tiff
    }

    /// A picture of two rows of three, whose pixels are numbered.
    fn turned(value: u16) -> (usize, usize, Vec<u8>) {
        let pixels = Pixels { width: 3, height: 2, channels: 1, bytes: vec![1, 2, 3, 4, 5, 6] };
        let Pixels { width, height, bytes, .. } =
            Orientation::read(&tiff(value.is_multiple_of(2), value)).turn(pixels);
        (width, height, bytes)
    }

    #[test]
    fn a_picture_is_turned_as_the_camera_was_held() {
        assert_eq!(turned(1), (3, 2, vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(turned(2), (3, 2, vec![3, 2, 1, 6, 5, 4]));
        assert_eq!(turned(3), (3, 2, vec![6, 5, 4, 3, 2, 1]));
        assert_eq!(turned(4), (3, 2, vec![4, 5, 6, 1, 2, 3]));
        assert_eq!(turned(5), (2, 3, vec![1, 4, 2, 5, 3, 6]));
        // The most usual of them: the first row belongs to the right.
        assert_eq!(turned(6), (2, 3, vec![4, 1, 5, 2, 6, 3]));
        assert_eq!(turned(7), (2, 3, vec![6, 3, 5, 2, 4, 1]));
        assert_eq!(turned(8), (2, 3, vec![3, 6, 2, 5, 1, 4]));
        assert_eq!(turned(9), turned(1));
    }

    #[test]
    fn what_is_cut_off_says_nothing() {
        let whole = tiff(true, 6);
        for length in 0..whole.len() - 3 {
            assert_eq!(Orientation::read(&whole[..length]), Orientation::default(), "{length}");
        }
        let mut far = whole;
        far[4..8].fill(0xff);
        assert_eq!(Orientation::read(&far), Orientation::default());
    }
}

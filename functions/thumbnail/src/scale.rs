//! Fewer pixels.

use crate::{Error, Head, Pixels, damaged};
use alloc::vec::Vec;
use resize::{PixelFormat, Resizer, Type};

/// The longest side of a small picture.
pub const MAX_SIDE: usize = 1024;

/// What a small picture has to fit into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// The most pixels from left to right.
    pub width: usize,
    /// The most pixels from top to bottom.
    pub height: usize,
}

impl Size {
    /// The sides of a picture with these sides once it fits: its ratio is kept, and it never becomes larger.
    pub(crate) fn fit(self, width: usize, height: usize) -> (usize, usize) {
        if width <= self.width && height <= self.height {
            return (width, height);
        }
        // Half a pixel more is rounded up.
        let scaled = |side: usize, to: usize, of: usize| ((2 * side * to + of) / (2 * of)).max(1);
        if width * self.height >= height * self.width {
            (self.width, scaled(height, self.width, width))
        } else {
            (scaled(width, self.height, height), self.height)
        }
    }
}

/// Bytes that [`scale`] and what follows it allocate for a picture.
pub(crate) fn memory(head: &Head, (width, height): (usize, usize)) -> usize {
    // Rows are scaled first, to numbers of 32 bits; then columns. Turning takes the small picture twice; encoding
    // takes it and, where it cannot be packed, as much again in a buffer that doubles.
    width * head.height * head.channels * 4 + 6 * width * height * head.channels
}

/// Scales a picture.
pub(crate) fn scale(pixels: Pixels, (width, height): (usize, usize)) -> Result<Pixels, Error> {
    if (pixels.width, pixels.height) == (width, height) {
        return Ok(pixels);
    }
    let channels = pixels.channels;
    let bytes = match channels {
        1 => channelwise::<1, false>(&pixels, width, height),
        2 => channelwise::<2, true>(&pixels, width, height),
        3 => channelwise::<3, false>(&pixels, width, height),
        _ => channelwise::<4, true>(&pixels, width, height),
    };
    let bytes = bytes.map_err(|_| damaged("its pixels are not as many as its head says"))?;
    Ok(Pixels { width, height, channels, bytes })
}

fn channelwise<const N: usize, const ALPHA: bool>(
    pixels: &Pixels,
    width: usize,
    height: usize,
) -> resize::Result<Vec<u8>> {
    let (source, _) = pixels.bytes.as_chunks::<N>();
    let mut small = alloc::vec![Pixel([0; N]); width * height];
    let mut resizer =
        Resizer::new(pixels.width, pixels.height, width, height, Channels::<N, ALPHA>, Type::Catrom)?;
    resizer.resize(source, &mut small)?;
    Ok(small.iter().flat_map(|Pixel(channels)| channels).copied().collect())
}

/// A pixel with so many channels, the last of which may be alpha: a colour counts as much as can be seen of it.
struct Channels<const N: usize, const ALPHA: bool>;

#[derive(Clone, Copy)]
struct Pixel<const N: usize>([u8; N]);

impl<const N: usize> Default for Pixel<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize, const ALPHA: bool> PixelFormat for Channels<N, ALPHA> {
    type InputPixel = [u8; N];
    type OutputPixel = Pixel<N>;
    type Accumulator = [f32; N];

    fn new() -> [f32; N] {
        [0.0; N]
    }

    #[inline(always)]
    fn add(&self, sum: &mut [f32; N], pixel: [u8; N], weight: f32) {
        let of_colours = if ALPHA { weight * f32::from(pixel[N - 1]) } else { weight };
        for (channel, (sum, value)) in sum.iter_mut().zip(pixel).enumerate() {
            let weight = if ALPHA && channel == N - 1 { weight } else { of_colours };
            *sum += f32::from(value) * weight;
        }
    }

    #[inline(always)]
    fn add_acc(sum: &mut [f32; N], other: [f32; N], weight: f32) {
        for (sum, value) in sum.iter_mut().zip(other) {
            *sum += value * weight;
        }
    }

    #[inline(always)]
    fn into_pixel(&self, sum: [f32; N]) -> Pixel<N> {
        let alpha = if ALPHA { sum[N - 1] } else { 1.0 };
        // Colours that cannot be seen are none.
        let share = if alpha > 0.0 { 1.0 / alpha } else { 0.0 };
        let mut pixel = [0; N];
        for (channel, (byte, value)) in pixel.iter_mut().zip(sum).enumerate() {
            let value = if ALPHA && channel < N - 1 { value * share } else { value };
            // Rounded; what is below 0 or above 255 becomes that.
            *byte = (value + 0.5) as u8;
        }
        Pixel(pixel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_kept_and_nothing_grows() {
        let size = Size { width: 128, height: 64 };
        assert_eq!(size.fit(100, 50), (100, 50));
        assert_eq!(size.fit(256, 128), (128, 64));
        assert_eq!(size.fit(4000, 3000), (85, 64));
        assert_eq!(size.fit(3000, 1000), (128, 43));
        assert_eq!(size.fit(16_384, 1), (128, 1));
        assert_eq!(size.fit(1, 16_384), (1, 64));
        assert_eq!(size.fit(129, 64), (128, 64));
    }

    fn scaled(channels: usize, bytes: &[u8]) -> Vec<u8> {
        let pixels = Pixels { width: 4, height: 4, channels, bytes: bytes.to_vec() };
        scale(pixels, (1, 1)).unwrap().bytes
    }

    #[test]
    fn one_colour_stays_that_colour() {
        assert_eq!(scaled(1, &[200; 16]), [200]);
        assert_eq!(scaled(3, &[10, 0, 255].repeat(16)), [10, 0, 255]);
        assert_eq!(scaled(4, &[10, 20, 30, 128].repeat(16)), [10, 20, 30, 128]);
    }

    #[test]
    fn what_cannot_be_seen_has_no_colour() {
        let half = [[255, 0, 0, 255], [0, 255, 0, 0]].concat().repeat(8);
        assert_eq!(scaled(4, &half), [255, 0, 0, 128]);
        assert_eq!(scaled(2, &[7, 0].repeat(16)), [0, 0]);
    }
}
